//! Text. Positions and lengths count characters, from 1.

use super::math::function;
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::{Data, Text, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::kernels::{each_row, text};
use crate::types::{DataType, Value};
use DataType::{BigInt, Boolean};
use std::borrow::Cow;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("upper", ["ucase"], "text", "In capital letters.", t, |call| change(call, |s| Cow::Owned(s.to_uppercase())), "upper('straße')" => "STRASSE"),
    function!("lower", ["lcase"], "text", "In small letters.", t, |call| change(call, |s| Cow::Owned(s.to_lowercase())), "lower('ABC')" => "abc"),
    function!("trim", ["btrim"], "text, and which characters", "Without spaces (or those characters) at both ends.", t_or_tt, |call| trim(call, true, true), "trim('  a b ')" => "a b"),
    function!("ltrim", [], "text, and which characters", "Without spaces (or those characters) in front.", t_or_tt, |call| trim(call, true, false), "ltrim('xxaxx', 'x')" => "axx"),
    function!("rtrim", [], "text, and which characters", "Without spaces (or those characters) behind.", t_or_tt, |call| trim(call, false, true), "rtrim('xxaxx', 'x')" => "xxa"),
    function!("length", ["char_length", "character_length", "len"], "text, or an array or a map", "How many characters, elements or entries.", length_typing, length, "length('Zürich')" => "6"),
    function!("count_char", [], "text and one character", "How often the character occurs.", tt_to_n, |call| count(call, |s, c| s.matches(c).count()), "count_char('banana', 'a')" => "3"),
    function!("position", ["locate"], "what is looked for, and the text", "Where it first occurs, 0 if nowhere.", tt_to_n, |call| count(call, |what, s| s.find(what).map_or(0, |at| characters(&s[..at]) + 1)), "position('na', 'banana')" => "3"),
    function!("strpos", ["instr"], "the text, and what is looked for", "Where it first occurs, 0 if nowhere.", tt_to_n, |call| count(call, |s, what| s.find(what).map_or(0, |at| characters(&s[..at]) + 1)), "strpos('banana', 'na')" => "3"),
    function!("ascii", [], "text", "Number of the first character.", t_to_n, |call| count(call, |s, _| s.chars().next().map_or(0, |c| c as usize)), "ascii('A')" => "65"),
    function!("chr", ["char"], "a number", "The character of that number.", n, chr, "chr(65)" => "A"),
    function!("substring", ["substr", "mid"], "text, from where, and how many characters", "A part of the text.", substring_typing, substring, "substring('banana', 2, 3)" => "ana"),
    function!("left", [], "text and how many characters", "Its first characters; for a number below zero all but so many of the last.", tn, |call| cut(call, |s, n| &s[..byte_of(s, kept(s, n))]), "left('banana', 2)" => "ba"),
    function!("right", [], "text and how many characters", "Its last characters; for a number below zero all but so many of the first.", tn, |call| cut(call, |s, n| &s[byte_of(s, characters(s) - kept(s, n))..]), "right('banana', 2)" => "na"),
    function!("split_part", [], "text, separator, and which field from 1", "One field of the text, from the end for a number below zero; empty beyond the last.", ttn, |call| split(call, 1), "split_part('a,b,c', ',', 2)" => "b"),
    function!("split_index", [], "text, separator, and which field from 0", "One field of the text, empty beyond the last.", ttn, |call| split(call, 0), "split_index('a,b,c', ',', 2)" => "c"),
    function!("replace", [], "text, what, and by what", "With every occurrence replaced.", ttt, |call| compose(call, |out, row| {
        let [s, what, by] = [0, 1, 2].map(|index| at(call, index, row));
        out.push_str(&if what.is_empty() { s } else { s.replace(&*what, &by).into() });
        Ok(())
    }), "replace('banana', 'an', 'o')" => "booa"),
    function!("reverse", [], "text", "Backwards.", t, |call| change(call, |s| Cow::Owned(s.chars().rev().collect())), "reverse('abc')" => "cba"),
    function!("concat", ["||"], "texts, or arrays, or an array and a value", "One after the other.", texts, concat, "concat('a', 'b', 'c')" => "abc"),
    function!("concat_ws", [], "a separator, and texts", "One after the other with the separator between.", plain_texts, concat_ws, "concat_ws('-', 'a', 'b')" => "a-b"),
    function!("lpad", [], "text, length, and with what", "Filled up (or cut) to a length, in front.", pad_typing, |call| pad(call, true), "lpad('7', 3, '0')" => "007"),
    function!("rpad", [], "text, length, and with what", "Filled up (or cut) to a length, behind.", pad_typing, |call| pad(call, false), "rpad('7', 3, 'x')" => "7xx"),
    function!("starts_with", ["startswith"], "text and its beginning", "Whether it begins so.", tt_to_b, |call| count(call, |s, with| usize::from(s.starts_with(with))), "starts_with('banana', 'ba')" => "TRUE"),
    function!("ends_with", ["endswith"], "text and its end", "Whether it ends so.", tt_to_b, |call| count(call, |s, with| usize::from(s.ends_with(with))), "ends_with('banana', 'na')" => "TRUE"),
    function!("repeat", [], "text and how often", "So many times, one after the other.", tn, repeat, "repeat('ab', 3)" => "ababab"),
];

fn texts(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    super::array::concat_typing(types, literals).or_else(|| plain_texts(types, literals))
}

/// Numbers are shown as text where text is asked for in a concatenation.
fn plain_texts(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let any_text = types.contains(&DataType::Text);
    any_text.then(|| (vec![DataType::Text; types.len()], DataType::Text))
}

fn exact(types: &[DataType], wanted: &[DataType], returns: DataType) -> Fit {
    let fits = |(given, wanted): (&DataType, &DataType)| given == wanted || given.is_integer() && wanted.is_integer();
    let all = types.len() == wanted.len() && types.iter().zip(wanted).all(fits);
    all.then(|| (wanted.to_vec(), returns))
}

pub(super) fn t(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[DataType::Text], DataType::Text)
}

fn n(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[BigInt], DataType::Text)
}

fn tn(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[DataType::Text, BigInt], DataType::Text)
}

fn ttn(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[DataType::Text, DataType::Text, BigInt], DataType::Text)
}

fn ttt(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[DataType::Text; 3], DataType::Text)
}

fn t_or_tt(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    t(types, literals).or_else(|| exact(types, &[DataType::Text; 2], DataType::Text))
}

fn t_to_n(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[DataType::Text], BigInt)
}

fn length_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match types {
        [DataType::Array(_) | DataType::Map(_)] => Some((types.to_vec(), BigInt)),
        _ => t_to_n(types, literals),
    }
}

pub(super) fn tt_to_n(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[DataType::Text; 2], BigInt)
}

pub(super) fn tt_to_b(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    exact(types, &[DataType::Text; 2], Boolean)
}

fn substring_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    tn(types, literals).or_else(|| exact(types, &[DataType::Text, BigInt, BigInt], DataType::Text))
}

fn pad_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    tn(types, literals).or_else(|| exact(types, &[DataType::Text, BigInt, DataType::Text], DataType::Text))
}

/// Text argument `index` at `row`.
pub(super) fn at<'a>(call: &Call<'_, 'a>, index: usize, row: usize) -> Cow<'a, str> {
    call.arguments[index].texts()[row].to_str_lossy()
}

fn characters(s: &str) -> usize {
    if s.is_ascii() { s.len() } else { s.chars().count() }
}

/// How many characters are kept of those `s` has: `n`, or all but so many.
fn kept(s: &str, n: i64) -> usize {
    let all = characters(s);
    let count = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    if n < 0 { all.saturating_sub(count) } else { all.min(count) }
}

/// Where character `n` begins; the end for one beyond it.
fn byte_of(s: &str, n: usize) -> usize {
    if s.is_ascii() { n.min(s.len()) } else { s.char_indices().nth(n).map_or(s.len(), |(at, _)| at) }
}

/// A text column written row by row.
pub(super) fn compose<'a>(
    call: &Call<'_, 'a>,
    mut write: impl FnMut(&mut String, usize) -> Result<()>,
) -> Result<Vector<'a>> {
    let mut out = String::new();
    let values: &[Text<'a>] = each_row(call.rows, call.nulls, call.scratch, |row| {
        out.clear();
        write(&mut out, row)?;
        Ok(text(out.as_bytes(), call.scratch))
    })?;
    Ok(Vector { data: Data::Text(values), nulls: call.nulls })
}

fn change<'a>(call: &Call<'_, 'a>, op: impl for<'s> Fn(&'s str) -> Cow<'s, str>) -> Result<Vector<'a>> {
    compose(call, |out, row| {
        out.push_str(&op(&at(call, 0, row)));
        Ok(())
    })
}

/// A whole number from one or two texts.
pub(super) fn count<'a>(call: &Call<'_, 'a>, op: impl Fn(&str, &str) -> usize) -> Result<Vector<'a>> {
    let two = call.arguments.len() > 1;
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let second = if two { at(call, 1, row) } else { Cow::Borrowed("") };
        Ok(op(&at(call, 0, row), &second) as i64)
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn length<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    if call.data_type(0).is_nested() { super::array::count(call) } else { count(call, |s, _| characters(s)) }
}

/// A part of argument 0, told by the number in argument 1.
fn cut<'a>(call: &Call<'_, 'a>, op: impl for<'s> Fn(&'s str, i64) -> &'s str) -> Result<Vector<'a>> {
    let counts = call.arguments[1].i64s();
    compose(call, |out, row| {
        out.push_str(op(&at(call, 0, row), counts[row]));
        Ok(())
    })
}

fn trim<'a>(call: &Call<'_, 'a>, front: bool, back: bool) -> Result<Vector<'a>> {
    let two = call.arguments.len() > 1;
    compose(call, |out, row| {
        let (s, set) = (at(call, 0, row), if two { at(call, 1, row) } else { Cow::Borrowed(" ") });
        let gone = |c: char| set.contains(c);
        let kept = if front { s.trim_start_matches(gone) } else { &s };
        out.push_str(if back { kept.trim_end_matches(gone) } else { kept });
        Ok(())
    })
}

fn chr<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let numbers = call.arguments[0].i64s();
    compose(call, |out, row| {
        let known = u32::try_from(numbers[row]).ok().and_then(char::from_u32);
        out.push(known.ok_or_else(|| Error::new(Code::Cast, format!("{} is no character's number", numbers[row])))?);
        Ok(())
    })
}

/// SUBSTRING: a start before the text takes from the length, as the standard says; a negative one
/// without that reading counts from the end in no dialect we follow.
fn substring<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let starts = call.arguments[1].i64s();
    let lengths = call.arguments.get(2).map(Vector::i64s);
    compose(call, |out, row| {
        let s = at(call, 0, row);
        let length = lengths.map_or(i64::MAX, |lengths| lengths[row]);
        if length < 0 {
            return Err(Error::new(Code::Cast, format!("the length {length} of a substring is below zero")));
        }
        let end = starts[row].saturating_add(length).saturating_sub(1).max(0);
        let start = starts[row].saturating_sub(1).max(0).min(end);
        let place = |n: i64| byte_of(&s, usize::try_from(n).unwrap_or(usize::MAX));
        out.push_str(&s[place(start)..place(end)]);
        Ok(())
    })
}

fn split<'a>(call: &Call<'_, 'a>, first: i64) -> Result<Vector<'a>> {
    let fields = call.arguments[2].i64s();
    compose(call, |out, row| {
        let (s, separator) = (at(call, 0, row), at(call, 1, row));
        // Only fields counted from 1 can be counted from the end.
        if first == 1 && fields[row] < 0 {
            let field = usize::try_from(fields[row].unsigned_abs() - 1).unwrap_or(usize::MAX);
            out.push_str(match separator.is_empty() {
                true if field == 0 => &s,
                true => "",
                false => s.rsplit(&*separator).nth(field).unwrap_or(""),
            });
        } else if let Ok(field) = usize::try_from(fields[row].saturating_sub(first)) {
            out.push_str(match separator.is_empty() {
                true if field == 0 => &s,
                true => "",
                false => s.split(&*separator).nth(field).unwrap_or(""),
            });
        }
        Ok(())
    })
}

fn concat<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    if call.returns != DataType::Text {
        return super::array::concat(call);
    }
    compose(call, |out, row| {
        (0..call.arguments.len()).for_each(|index| out.push_str(&at(call, index, row)));
        Ok(())
    })
}

fn concat_ws<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    // Only a NULL separator makes NULL; other NULLs are left out.
    let call = &Call { nulls: call.arguments[0].nulls, ..*call };
    compose(call, |out, row| {
        let separator = at(call, 0, row);
        let live = (1..call.arguments.len()).filter(|&index| !call.arguments[index].is_null(row));
        for (place, index) in live.enumerate() {
            out.push_str(if place > 0 { &separator } else { "" });
            out.push_str(&at(call, index, row));
        }
        Ok(())
    })
}

fn repeat<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let times = call.arguments[1].i64s();
    compose(call, |out, row| {
        let s = at(call, 0, row);
        let times = usize::try_from(times[row]).unwrap_or(0);
        if s.len().saturating_mul(times) > PAD_MAX as usize {
            return Err(Error::new(Code::Limit, format!("a text of {} bytes {times} times is too long", s.len())));
        }
        (0..times).for_each(|_| out.push_str(&s));
        Ok(())
    })
}

/// The longest text a padding may make.
const PAD_MAX: i64 = 1 << 20;

fn pad<'a>(call: &Call<'_, 'a>, front: bool) -> Result<Vector<'a>> {
    let (lengths, two) = (call.arguments[1].i64s(), call.arguments.len() > 2);
    compose(call, |out, row| {
        let (s, with) = (at(call, 0, row), if two { at(call, 2, row) } else { Cow::Borrowed(" ") });
        if lengths[row] > PAD_MAX {
            return Err(Error::new(Code::Limit, format!("a text of {} characters is too long to pad", lengths[row])));
        }
        let length = usize::try_from(lengths[row]).unwrap_or(0);
        let missing = length.saturating_sub(characters(&s));
        let fill = with.chars().cycle().take(missing);
        if front {
            out.extend(fill);
            out.push_str(&s[..byte_of(&s, length)]);
        } else {
            out.push_str(&s[..byte_of(&s, length)]);
            out.extend(fill);
        }
        Ok(())
    })
}
