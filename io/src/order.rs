//! Keys that compare as bytes the way rows are ordered, for merging the output of several shards.

use corelane_engine::batch::{Chunk, Data, Vector};
use corelane_engine::operator::Time;
use corelane_engine::plan::{SinkOrder, SortKey};
use corelane_engine::types::Schema;

/// Makes the keys of one sink's rows.
///
/// A column gives one byte that says NULL or not, then the value so that bytes compare as values:
/// integers big-endian with the sign turned, doubles by the usual trick on their bits (-0.0 as 0.0,
/// every NaN above infinity), text with 0 escaped as `00 FF` and ended by `00 00`. A descending
/// column has the bits of its value turned. A position or ordinal follows as 8 bytes.
#[derive(Clone, Debug)]
pub struct OrderKeys {
    keys: Vec<SortKey>,
    time_first: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    None,
    Position,
    Ordinal,
}

impl OrderKeys {
    /// The keys of `order` over rows of `schema`.
    pub fn new(order: &SinkOrder, _schema: &Schema) -> Self {
        let plain = |place| OrderKeys { keys: Vec::new(), time_first: false, place };
        match order {
            SinkOrder::Arrival => plain(Place::None),
            SinkOrder::Position => plain(Place::Position),
            SinkOrder::Ordinal => plain(Place::Ordinal),
            SinkOrder::Columns { keys, time_first, then_position } => {
                let place = if *then_position { Place::Position } else { Place::None };
                OrderKeys { keys: keys.clone(), time_first: *time_first, place }
            }
        }
    }

    /// Appends the key of every row of `chunk` to `out`, and where each ends to `ends`.
    pub fn encode(&self, chunk: &Chunk<'_>, out: &mut Vec<u8>, ends: &mut Vec<u32>) {
        let places = match self.place {
            Place::None => None,
            Place::Position => chunk.positions,
            Place::Ordinal => chunk.ordinals,
        };
        for row in 0..chunk.rows {
            for key in &self.keys {
                encode_value(&chunk.columns[key.column], row, key, out);
            }
            if let Some(places) = places {
                out.extend_from_slice(&places[row].to_be_bytes());
            }
            ends.push(out.len() as u32);
        }
    }

    /// The least key a row can have whose time is greater than `watermark`; `None` where time says
    /// nothing of the order.
    pub fn frontier(&self, watermark: Time) -> Option<Vec<u8>> {
        self.keys.first().filter(|key| self.time_first && !key.descending)?;
        let mut key = vec![VALUE];
        key.extend_from_slice(&flip_i64(watermark.saturating_add(1)).to_be_bytes());
        Some(key)
    }

    /// The least key of rows at `place` (position or ordinal) or behind; `None` where the place says
    /// nothing of the order.
    pub fn frontier_of_place(&self, place: u64) -> Option<Vec<u8>> {
        (self.keys.is_empty() && self.place != Place::None).then(|| place.to_be_bytes().to_vec())
    }
}

const NULL_FIRST: u8 = 0;
const VALUE: u8 = 1;
const NULL_LAST: u8 = 2;

fn flip_i64(value: i64) -> u64 {
    value as u64 ^ 1 << 63
}

fn encode_value(column: &Vector<'_>, row: usize, key: &SortKey, out: &mut Vec<u8>) {
    if column.is_null(row) {
        return out.push(if key.nulls_first { NULL_FIRST } else { NULL_LAST });
    }
    out.push(VALUE);
    let start = out.len();
    match column.data {
        Data::I64(values) => out.extend_from_slice(&flip_i64(values[row]).to_be_bytes()),
        Data::I128(values) => out.extend_from_slice(&(values[row] as u128 ^ 1 << 127).to_be_bytes()),
        Data::F64(values) => {
            let bits = corelane_engine::hash::canonical_bits(values[row]);
            let sign_turned = if bits >> 63 == 1 { !bits } else { bits ^ 1 << 63 };
            out.extend_from_slice(&sign_turned.to_be_bytes());
        }
        Data::Text(values) => {
            for &byte in values[row].as_bytes() {
                out.push(byte);
                if byte == 0 {
                    out.push(0xFF);
                }
            }
            out.extend_from_slice(&[0, 0]);
        }
    }
    if key.descending {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelane_engine::batch::Text;
    use corelane_engine::types::Schema;
    use std::cmp::Ordering;

    fn keys(order: &SinkOrder, chunk: &Chunk<'_>) -> Vec<Vec<u8>> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        OrderKeys::new(order, &Schema { fields: Vec::new() }).encode(chunk, &mut bytes, &mut ends);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(&ends).map(|(start, &end)| bytes[start as usize..end as usize].to_vec()).collect()
    }

    /// Values given in ascending order, the last one NULL: bytes order them so in every direction.
    fn orders_as_given(data: Data<'_>) {
        let rows = Vector { data, nulls: None }.len();
        let nulls = [1u64 << (rows - 1)];
        let chunk = Chunk {
            rows,
            columns: &[Vector { data, nulls: Some(&nulls) }],
            positions: None,
            ordinals: None,
            floors: None,
            stamp: 0,
        };
        for (descending, nulls_first) in [(false, false), (false, true), (true, false), (true, true)] {
            let key = SortKey { column: 0, descending, nulls_first };
            let order = SinkOrder::Columns { keys: vec![key], time_first: false, then_position: false };
            let keys = keys(&order, &chunk);
            for (left, right) in (0..rows).flat_map(|left| (0..rows).map(move |right| (left, right))) {
                let expected = match (left == rows - 1, right == rows - 1) {
                    (true, true) => Ordering::Equal,
                    (true, false) => {
                        if nulls_first {
                            Ordering::Less
                        } else {
                            Ordering::Greater
                        }
                    }
                    (false, true) => {
                        if nulls_first {
                            Ordering::Greater
                        } else {
                            Ordering::Less
                        }
                    }
                    _ if descending => right.cmp(&left),
                    _ => left.cmp(&right),
                };
                assert_eq!(keys[left].cmp(&keys[right]), expected, "rows {left} and {right} of {data:?}, {descending}");
            }
        }
    }

    #[test]
    fn bytes_compare_as_values() {
        orders_as_given(Data::I64(&[i64::MIN, -256, -1, 0, 1, 255, i64::MAX, 0]));
        orders_as_given(Data::I128(&[i128::MIN, -1, 0, 1 << 64, i128::MAX, 0]));
        orders_as_given(Data::F64(&[
            f64::NEG_INFINITY,
            -1.5,
            -0.0,
            f64::MIN_POSITIVE,
            2.0,
            f64::INFINITY,
            f64::NAN,
            0.0,
        ]));
        let texts = ["", "\0", "\0a", "a", "a\0", "a\0b", "a long text of more than twelve", "ab", "é"];
        let texts: Vec<Text<'_>> = texts.iter().map(|text| Text::new(text.as_bytes())).chain([Text::EMPTY]).collect();
        orders_as_given(Data::Text(&texts));
    }

    #[test]
    fn zeros_are_one_value_and_places_come_last() {
        let column = Vector { data: Data::F64(&[0.0, -0.0]), nulls: None };
        let chunk = Chunk {
            rows: 2,
            columns: &[column],
            positions: Some(&[9, 4]),
            ordinals: Some(&[1, 2]),
            floors: None,
            stamp: 0,
        };
        let key = SortKey { column: 0, descending: true, nulls_first: false };
        let order = |then_position| SinkOrder::Columns { keys: vec![key.clone()], time_first: false, then_position };
        let plain = keys(&order(false), &chunk);
        assert_eq!(plain[0], plain[1]);
        let placed = keys(&order(true), &chunk);
        assert!(placed[1] < placed[0]);
        let ordinals = keys(&SinkOrder::Ordinal, &chunk);
        assert_eq!(ordinals, [1u64.to_be_bytes().to_vec(), 2u64.to_be_bytes().to_vec()]);
    }

    #[test]
    fn a_frontier_stands_between_what_may_come_and_what_may_go() {
        let times = [-5, 10, 11, i64::MAX];
        let chunk = Chunk {
            rows: 4,
            columns: &[Vector { data: Data::I64(&times), nulls: None }],
            positions: None,
            ordinals: None,
            floors: None,
            stamp: 0,
        };
        let key = SortKey { column: 0, descending: false, nulls_first: false };
        let order = SinkOrder::Columns { keys: vec![key], time_first: true, then_position: false };
        let frontier = OrderKeys::new(&order, &Schema { fields: Vec::new() }).frontier(10).unwrap();
        let behind: Vec<bool> = keys(&order, &chunk).iter().map(|key| *key < frontier).collect();
        assert_eq!(behind, [true, true, false, false]);
    }
}
