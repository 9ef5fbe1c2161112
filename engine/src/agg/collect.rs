//! ARRAY_AGG, MAP_AGG and TOPK: lists of items put in order and written as one value.
//!
//! An item is a row, made by `array_item` before it is added: its sort key as bytes in order, if there is one,
//! and the value. Ties break by the row's place in the input, then by arrival.

use std::collections::HashSet;

use super::answer::Source;
use super::shape::Answer;
use crate::batch::Text;
use crate::error::{Code, Error, Result};
use crate::nested::{BYTES_MAX, Place, Writer, payload, width};
use crate::operator::Column;
use crate::plan::AggregateFunction;
use crate::types::DataType;

impl Answer {
    /// Writes the value made of all items of a list.
    pub(super) fn collect(&self, list: &[u64], source: &Source<'_>, out: &mut Column<'_>, row: usize) -> Result<()> {
        let DataType::Row(members) = self.argument_type else {
            return Err(Error::new(Code::Internal, "what is collected is no item"));
        };
        let (last, lists) = (members.len() - 1, &source.texts.lists);
        let value = Place::new(members, last);
        let mut parts = lists.texts(list);
        parts.sort_unstable();
        if last > 0 {
            let key = Place::new(members, 0);
            parts.sort_by(|&left, &right| key.of(lists.bytes(left)).cmp(key.of(lists.bytes(right))));
        }
        let mut values: Vec<&[u8]> = parts.iter().map(|&part| value.of(lists.bytes(part))).collect();
        if self.function == AggregateFunction::ArrayAggDistinct {
            let mut seen = HashSet::new();
            values.retain(|value| seen.insert(*value));
        }
        values.truncate(self.most.unwrap_or(usize::MAX));
        if values.iter().map(|value| value.len() + 4).sum::<usize>() > BYTES_MAX {
            let error = Error::new(Code::Limit, format!("an array of {} values is too large", values.len()));
            return Err(error.note(format!("limit: {BYTES_MAX} bytes")));
        }
        let mut writer = Writer::default();
        let width = width(members[last].data_type);
        match self.data_type {
            DataType::Map(entry) => {
                let key = Place::new(entry, 0);
                values.reverse();
                let mut seen = HashSet::new();
                values.retain(|value| seen.insert(key.of(payload(value))));
                writer.map(&mut values, key, width)?;
            }
            _ => {
                let open = writer.open();
                for value in values {
                    writer.part(value);
                    writer.end_part(open, width);
                }
                writer.close_list(open, width);
            }
        }
        out.set_text(row, Text::new(writer.bytes()));
        Ok(())
    }
}
