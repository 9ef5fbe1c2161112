//! Nested values from and to JSON.
//!
//! Arrays are arrays, rows are objects, maps are objects whose names are their keys as text. Numbers keep
//! all their digits; times, NaN and infinities are text.

use std::borrow::Cow;
use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as Parts;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::read::text_of;
use super::{Leaf, List, Place, Writer, entry_type, is_null, leaf, payload, width};
use crate::expr::read_leaf;
use crate::types::{DataType, Member};

/// Where JSON is written to.
pub trait Sink {
    /// Bytes as they are.
    fn raw(&mut self, bytes: &[u8]);
    /// A text in quotes, escaped.
    fn string(&mut self, text: &[u8]);
    /// A value without quotes, as it is written in this place.
    fn plain(&mut self, leaf: Leaf, data_type: DataType);
}

/// Whether JSON has no number or truth for it.
fn is_quoted(leaf: Leaf, data_type: DataType) -> bool {
    let is_time = data_type.is_timestamp() || matches!(data_type, DataType::Date | DataType::Interval);
    is_time || matches!(leaf, Leaf::F64(value) if !value.is_finite())
}

/// Writes a value of a nested type, or of JSON, which is itself.
pub fn to_json(value: &[u8], data_type: DataType, sink: &mut impl Sink, scratch: &Bump) {
    match data_type {
        DataType::Json => sink.raw(value),
        DataType::Array(element) => {
            for (number, part) in List::new(value, width(*element)).iter().enumerate() {
                sink.raw(if number > 0 { b"," } else { b"[" });
                put(part, *element, sink, scratch);
            }
            sink.raw(if List::new(value, width(*element)).is_empty() { b"[]" } else { b"]" });
        }
        DataType::Row(members) => {
            for (number, member) in members.iter().enumerate() {
                sink.raw(if number > 0 { b"," } else { b"{" });
                sink.string(member.name.as_bytes());
                sink.raw(b":");
                put(Place::new(members, number).of(value), member.data_type, sink, scratch);
            }
            sink.raw(if members.is_empty() { b"{}" } else { b"}" });
        }
        DataType::Map(members) => {
            let places = [0, 1].map(|number| Place::new(members, number));
            let entries = List::new(value, width(entry_type(members)));
            for (number, entry) in entries.iter().enumerate() {
                sink.raw(if number > 0 { b"," } else { b"{" });
                let [key, of] = places.map(|place| place.of(payload(entry)));
                put_key(key, members[0].data_type, sink, scratch);
                sink.raw(b":");
                put(of, members[1].data_type, sink, scratch);
            }
            sink.raw(if entries.is_empty() { b"{}" } else { b"}" });
        }
        _ => {}
    }
}

fn put(part: &[u8], data_type: DataType, sink: &mut impl Sink, scratch: &Bump) {
    if is_null(part) {
        return sink.raw(b"null");
    }
    let payload = payload(part);
    match data_type {
        DataType::Text => sink.string(text_of(payload, scratch)),
        DataType::Json => sink.raw(text_of(payload, scratch)),
        nested if nested.is_nested() => to_json(payload, nested, sink, scratch),
        plain => {
            let leaf = leaf(payload, plain);
            let quote: &[u8] = if is_quoted(leaf, plain) { b"\"" } else { b"" };
            sink.raw(quote);
            sink.plain(leaf, plain);
            sink.raw(quote);
        }
    }
}

fn put_key(part: &[u8], data_type: DataType, sink: &mut impl Sink, scratch: &Bump) {
    if data_type == DataType::Text {
        return sink.string(text_of(payload(part), scratch));
    }
    sink.raw(b"\"");
    sink.plain(leaf(payload(part), data_type), data_type);
    sink.raw(b"\"");
}

/// Whether `text` is JSON; written to `out` without the spaces between its parts.
pub fn check_json(text: &str, out: &mut String) -> bool {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return false };
    let mut rest = raw.get();
    while let Some(at) = rest.find([' ', '\t', '\n', '\r', '"']) {
        let is_text = rest.as_bytes()[at] == b'"';
        let end = if is_text { at + string_length(&rest[at..]) } else { at };
        out.push_str(&rest[..end]);
        rest = &rest[if is_text { end } else { end + 1 }..];
    }
    out.push_str(rest);
    true
}

/// Bytes of the JSON string that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut at = 1;
    let bytes = text.as_bytes();
    while let Some(next) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += next + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Reads JSON text as a value of a nested type and writes it; `None` where it is none, `Some(false)` for a
/// JSON null, of which nothing is written. Of objects read as a ROW, members that the type does not have are
/// left out and those that are not there are NULL; numbers, truths and times may stand in quotes.
pub fn parse(text: &str, data_type: DataType, writer: &mut Writer, scratch: &Bump) -> Option<bool> {
    if text.trim_ascii() == "null" {
        return Some(false);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    Part { data_type, writer, scratch, is_inner: false }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(true)
}

/// A part of what is read; outside all others, its payload alone.
struct Part<'w> {
    data_type: DataType,
    writer: &'w mut Writer,
    scratch: &'w Bump,
    is_inner: bool,
}

impl<'d> DeserializeSeed<'d> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, reader: D) -> Result<(), D::Error> {
        if self.data_type.is_nested() {
            return reader.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(reader)?.get();
        self.leaf(raw).ok_or_else(|| D::Error::custom("not of the type"))
    }
}

/// The name of a member.
struct Name;

impl<'d> DeserializeSeed<'d> for Name {
    type Value = Cow<'d, str>;

    fn deserialize<D: Deserializer<'d>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'d> Visitor<'d> for Name {
    type Value = Cow<'d, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'d str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The text of a JSON string, without quotes and escapes.
fn unquoted(raw: &str) -> Option<Option<Cow<'_, str>>> {
    let Some(inside) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) else { return Some(None) };
    Some(Some(match inside.contains('\\') {
        false => Cow::Borrowed(inside),
        true => Cow::Owned(serde_json::from_str(raw).ok()?),
    }))
}

impl Part<'_> {
    fn leaf(self, raw: &str) -> Option<()> {
        let Part { data_type, writer, .. } = self;
        if raw == "null" {
            writer.null(width(data_type));
            return Some(());
        }
        if data_type == DataType::Json {
            let mut whole = String::new();
            check_json(raw, &mut whole);
            writer.text(whole.as_bytes());
            return Some(());
        }
        let text = unquoted(raw)?.unwrap_or(Cow::Borrowed(raw));
        if data_type == DataType::Text {
            writer.text(text.as_bytes());
            return Some(());
        }
        writer.leaf(read_leaf(text.as_bytes(), data_type)?);
        Some(())
    }

    /// A part within this one.
    fn inner(&mut self, data_type: DataType) -> Part<'_> {
        Part { data_type, writer: &mut *self.writer, scratch: self.scratch, is_inner: true }
    }

    fn raw_inner(&mut self, raw: &str, data_type: DataType) -> Option<()> {
        let mut reader = serde_json::Deserializer::from_str(raw);
        self.inner(data_type).deserialize(&mut reader).ok()
    }

    fn begin(&mut self) {
        if self.is_inner {
            self.writer.begin_value();
        }
    }

    fn row<'d, A: MapAccess<'d>>(mut self, members: &[Member], mut object: A) -> Result<(), A::Error> {
        let mut found = Parts::from_iter_in(std::iter::repeat_n(None, members.len()), self.scratch);
        while let Some(name) = object.next_key_seed(Name)? {
            let raw = object.next_value::<&RawValue>()?.get();
            let exact = members.iter().position(|member| member.name == name);
            let named = exact.or_else(|| members.iter().position(|member| member.name.eq_ignore_ascii_case(&name)));
            if let Some(at) = named
                && found[at].is_none()
            {
                found[at] = Some(raw);
            }
        }
        self.begin();
        let open = self.writer.open();
        for (raw, member) in found.iter().zip(members) {
            let width = width(member.data_type);
            match raw {
                Some(raw) => self
                    .raw_inner(raw, member.data_type)
                    .ok_or_else(|| A::Error::custom("a member is not of its type"))?,
                None => self.writer.null(width),
            }
            self.writer.end_part(open, width);
        }
        self.writer.close_row(open);
        Ok(())
    }

    fn map<'d, A: MapAccess<'d>>(mut self, members: &'static [Member], mut object: A) -> Result<(), A::Error> {
        let wrong = || A::Error::custom("not of the map's types");
        let mut entries: Parts<'_, (&[u8], &str)> = Parts::new_in(self.scratch);
        while let Some(name) = object.next_key_seed(Name)? {
            let raw = object.next_value::<&RawValue>()?.get();
            let before = self.writer.bytes().len();
            match members[0].data_type {
                DataType::Text => self.writer.text(name.as_bytes()),
                of => self.writer.leaf(read_leaf(name.as_bytes(), of).ok_or_else(wrong)?),
            }
            entries.push((self.scratch.alloc_slice_copy(&self.writer.bytes()[before..]), raw));
            self.writer.cut(before);
        }
        entries.sort_by(|left, right| left.0.cmp(right.0));
        if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom("a key stands there twice"));
        }
        self.begin();
        let list = self.writer.open();
        let entry_width = width(entry_type(members));
        for (key, raw) in &entries {
            self.writer.begin_value();
            let row = self.writer.open();
            self.writer.part(key);
            self.writer.end_part(row, width(members[0].data_type));
            self.raw_inner(raw, members[1].data_type).ok_or_else(wrong)?;
            self.writer.end_part(row, width(members[1].data_type));
            self.writer.close_row(row);
            self.writer.end_part(list, entry_width);
        }
        self.writer.close_list(list, entry_width);
        Ok(())
    }
}

impl<'d> Visitor<'d> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.data_type)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.writer.null(width(self.data_type));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let DataType::Array(&element) = self.data_type else { return Err(A::Error::custom("an array")) };
        let width = width(element);
        self.begin();
        let open = self.writer.open();
        while elements.next_element_seed(self.inner(element))?.is_some() {
            self.writer.end_part(open, width);
        }
        self.writer.close_list(open, width);
        Ok(())
    }

    fn visit_map<A: MapAccess<'d>>(self, object: A) -> Result<(), A::Error> {
        match self.data_type {
            DataType::Row(members) => self.row(members, object),
            DataType::Map(members) => self.map(members, object),
            _ => Err(A::Error::custom("an object")),
        }
    }
}
