//! `measurements`: temperatures at 413 stations, as in the One Billion Row Challenge.

use super::Rows;
use super::random::{Stream, below};
use crate::format::Buffer;
use crate::format::value;

const STATIONS: usize = 413;

const PLACES: [&str; 59] = [
    "Abéché",
    "Accra",
    "Addis Ababa",
    "Adelaide",
    "Alger",
    "Anchorage",
    "Ankara",
    "Antananarivo",
    "Asunción",
    "Athens",
    "Baku",
    "Bangkok",
    "Beirut",
    "Bergen",
    "Bogotá",
    "Brasília",
    "Cairo",
    "Chișinău",
    "Colombo",
    "Dakar",
    "Delhi",
    "Dublin",
    "Erbil",
    "Fukuoka",
    "Gaborone",
    "Hamburg",
    "Hanoi",
    "Honolulu",
    "Irkutsk",
    "Jakarta",
    "Kankan",
    "Kyiv",
    "Lagos",
    "Lima",
    "Luanda",
    "Málaga",
    "Melbourne",
    "Milan",
    "Minsk",
    "Nairobi",
    "Oslo",
    "Ouagadougou",
    "Palermo",
    "Perth",
    "Porto",
    "Quito",
    "Reykjavík",
    "Riga",
    "Rostov-on-Don",
    "Seville",
    "Sofia",
    "Suwałki",
    "Tromsø",
    "Ürümqi",
    "Vaduz",
    "Wrocław",
    "Yakutsk",
    "Yellowknife",
    "Zürich",
];
const PREFIXES: [&str; 7] = ["", "New ", "Port ", "Upper ", "Lake ", "Mount ", "East "];

pub(super) struct Measurements {
    stations: Vec<(String, i64)>,
    values: Stream,
}

impl Measurements {
    pub(super) fn new(seed: u64, shard: u64) -> Self {
        let names = PREFIXES.iter().flat_map(|prefix| PLACES.iter().map(move |place| format!("{prefix}{place};")));
        // The mean of a station is its own, whatever the seed: from -10.0 to 30.0 degrees.
        let stations = names.take(STATIONS).enumerate().map(|(place, name)| (name, (place as i64 * 97) % 401 - 100));
        Measurements { stations: stations.collect(), values: Stream::new(seed, shard) }
    }
}

impl Rows for Measurements {
    fn header(&self) -> Option<&'static str> {
        None
    }

    fn row(&mut self, row: u64, out: &mut Buffer) {
        let bits = self.values.at(row);
        let (name, mean) = &self.stations[below(bits as u32, STATIONS as u32) as usize];
        // Four uniform numbers add up to something like a bell, some 30 degrees to either side.
        let spread: i64 = (32..64).step_by(8).map(|shift| (bits >> shift & 0xFF) as i64).sum();
        out.extend(name.as_bytes());
        value::decimal(out, (mean + (spread - 510) * 3 / 5).clamp(-999, 999), 1);
        out.push(b'\n');
    }
}
