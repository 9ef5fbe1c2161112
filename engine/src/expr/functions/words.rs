//! Text that is put together from parts of text, and measures of it.

use super::math::function;
use super::text::{at, compose, count, tt_to_b, tt_to_n};
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::Vector;
use crate::error::{Code, Error, Result};
use crate::types::{DataType, Value};
use DataType::{BigInt, Text};

pub(super) const FUNCTIONS: &[Function] = &[
    function!("initcap", [], "text", "Every word with a capital letter first, the others small.", t, initcap, "initcap('two WORDS')" => "Two Words"),
    function!("translate", [], "text, characters, and what stands for each", "With every such character replaced, or left out where nothing stands for it.", ttt, translate, "translate('banana', 'an', 'o')" => "booo"),
    function!("overlay", [], "text, by what, from where, and how many characters", "With a part replaced, of the length of what replaces it unless said.", overlay_typing, overlay, "overlay('banana', 'oo', 2, 3)" => "boona"),
    function!("contains", [], "text and what is looked for", "Whether it occurs.", tt_to_b, |call| count(call, |s, what| usize::from(s.contains(what))), "contains('banana', 'nan')" => "TRUE"),
    function!("octet_length", [], "text", "How many bytes.", t_to_n, |call| count(call, |s, _| s.len()), "octet_length('Zürich')" => "7"),
    function!("bit_length", [], "text", "How many bits.", t_to_n, |call| count(call, |s, _| 8 * s.len()), "bit_length('abc')" => "24"),
    function!("to_hex", ["hex"], "an integer", "Its bits, in hexadecimal.", n, to_hex, "to_hex(255)" => "ff"),
    function!("levenshtein", [], "two texts", "How many characters must be changed, put in or left out to make one the other.", tt_to_n, |call| count(call, distance), "levenshtein('kitten', 'sitting')" => "3"),
    function!("substring_index", [], "text, separator, and a number", "What stands before so many separators; counted from the end, behind them, for a number below zero.", ttn, substring_index, "substring_index('a.b.c', '.', 2)" => "a.b"),
    function!("find_in_set", [], "text, and texts with commas between", "Which of them it is, from 1; 0 for none.", tt_to_n, |call| count(call, find_in_set), "find_in_set('b', 'a,b,c')" => "2"),
];

fn exactly(types: &[DataType], wanted: &[DataType], returns: DataType) -> Fit {
    let fits = |(given, wanted): (&DataType, &DataType)| given == wanted || given.is_integer() && wanted.is_integer();
    let all = types.len() == wanted.len() && types.iter().zip(wanted).all(fits);
    all.then(|| (wanted.to_vec(), returns))
}

fn t(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exactly(types, &[Text], Text)
}

fn n(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exactly(types, &[BigInt], Text)
}

fn t_to_n(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exactly(types, &[Text], BigInt)
}

fn ttt(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exactly(types, &[Text; 3], Text)
}

fn ttn(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exactly(types, &[Text, Text, BigInt], Text)
}

fn overlay_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exactly(types, &[Text, Text, BigInt], Text).or_else(|| exactly(types, &[Text, Text, BigInt, BigInt], Text))
}

fn initcap<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    compose(call, |out, row| {
        let mut inside = false;
        for c in at(call, 0, row).chars() {
            match inside {
                true => out.extend(c.to_lowercase()),
                false => out.extend(c.to_uppercase()),
            }
            inside = c.is_alphanumeric();
        }
        Ok(())
    })
}

fn translate<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    compose(call, |out, row| {
        let (from, to) = (at(call, 1, row), at(call, 2, row));
        for c in at(call, 0, row).chars() {
            match from.chars().position(|known| known == c) {
                None => out.push(c),
                Some(place) => out.extend(to.chars().nth(place)),
            }
        }
        Ok(())
    })
}

fn overlay<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let starts = call.arguments[2].i64s();
    let lengths = call.arguments.get(3).map(Vector::i64s);
    compose(call, |out, row| {
        let (s, by, start) = (at(call, 0, row), at(call, 1, row), starts[row]);
        if start < 1 {
            return Err(Error::new(Code::Cast, format!("the place {start} in a text is below 1")));
        }
        let length = lengths.map_or(by.chars().count() as i64, |lengths| lengths[row]);
        let place = |n: i64| usize::try_from(n.max(0)).unwrap_or(usize::MAX);
        out.extend(s.chars().take(place(start - 1)));
        out.push_str(&by);
        out.extend(s.chars().skip(place((start - 1).saturating_add(length))));
        Ok(())
    })
}

fn to_hex<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let numbers = call.arguments[0].i64s();
    compose(call, |out, row| {
        out.push_str(&format!("{:x}", numbers[row]));
        Ok(())
    })
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut costs: Vec<usize> = (0..=right.len()).collect();
    for (row, c) in left.chars().enumerate() {
        let mut corner = row;
        costs[0] = row + 1;
        for (column, d) in right.iter().enumerate() {
            let replaced = corner + usize::from(c != *d);
            corner = costs[column + 1];
            costs[column + 1] = replaced.min(corner + 1).min(costs[column] + 1);
        }
    }
    costs[right.len()]
}

fn substring_index<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let counts = call.arguments[2].i64s();
    compose(call, |out, row| {
        let (s, separator) = (at(call, 0, row), at(call, 1, row));
        let nth = usize::try_from(counts[row].unsigned_abs()).unwrap_or(usize::MAX).checked_sub(1);
        let (Some(nth), false) = (nth, separator.is_empty()) else { return Ok(()) };
        out.push_str(match counts[row] > 0 {
            true => s.match_indices(&*separator).nth(nth).map_or(&*s, |(at, _)| &s[..at]),
            false => s.rmatch_indices(&*separator).nth(nth).map_or(&*s, |(at, _)| &s[at + separator.len()..]),
        });
        Ok(())
    })
}

fn find_in_set(wanted: &str, list: &str) -> usize {
    list.split(',').position(|item| item == wanted).map_or(0, |place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_characters() {
        for (left, right, wanted) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("Zürich", "Zurich", 1), ("ab", "ba", 2)]
        {
            assert_eq!(distance(left, right), wanted, "{left} {right}");
        }
    }
}
