//! GROUP BY: group tables, accumulators, windows, partial states.
//!
//! | module | what it does |
//! |---|---|
//! | [`functions`] | names and documentation |
//! | `shape` | breaks calls down into shared accumulators, and lays a group's words out |
//! | `key`, `table`, `index`, `sort` | keys as words; from keys to groups; groups in order |
//! | `front` | in front of a table of few groups |
//! | `update`, `add`, `texts`, `nulls` | rows into accumulators |
//! | `fused` | several accumulators in one pass |
//! | `pair`, `list` | accumulators of two arguments; those that keep every value |
//! | `collect` | arrays and maps of all values |
//! | `answer` | accumulators to results |
//! | `partial` | accumulators as columns, and back |
//! | `raw`, `single` | rows that cross as they are, or as partial states of their own |
//! | `inputs` | what a chunk brings: keys, arguments, filters |
//! | `windows` | which rows belong to which windows |
//! | `saved` | groups as bytes, and back |
//! | `parts` | groups of one moment, taken while rows go on coming |
//! | `aggregation`, `session` | the operator; the one for session windows |
//!
//! Integer and decimal sums are exact, and doubles are added in an order that follows from the input
//! and the number of shards alone. Closed windows leave in order of their end, their groups in order
//! of the key.

mod add;
mod aggregation;
mod answer;
mod changes;
mod collect;
mod front;
pub mod functions;
mod fused;
mod index;
mod inputs;
mod key;
mod list;
mod mean;
mod nulls;
mod pair;
mod partial;
mod parts;
mod raw;
mod saved;
mod session;
mod shape;
mod single;
mod sort;
mod table;
mod texts;
mod update;
mod windows;

#[cfg(test)]
pub(crate) mod tests;

use crate::error::Result;
use crate::operator::Operator;
use crate::pipeline::Place;
use crate::plan::{Aggregate, Phase};
use crate::types::{DataType, Field, Physical, Schema, Value};

pub(crate) use add::{add_i128, add_wide, merge_moments};
pub(crate) use answer::decimal_mean;
pub(crate) use key::{KEY_COLUMNS_MAX, KeyLayout, Keys, from_order_bits, make_tags, order_bits, tag};
pub(crate) use mean::decimal_means;
pub use parts::Taken;
pub(crate) use parts::{Loader, RUN_BYTES, Saver};
pub(crate) use saved::{SavedKeys, by_key_group};
pub(crate) use shape::without_spans;
pub(crate) use shape::{Kind, Shape};
pub(crate) use table::Table;
pub(crate) use update::{Groups, Rows, Values};

/// The columns of the partial states of `aggregate`: `[window_start,] keys.., accumulators.. [, source] [, columns..]`.
/// Key columns are named as in `input` where they are plain columns of it; the last are those of rows that
/// cross as they are.
pub fn partial_schema(aggregate: &Aggregate, input: &Schema) -> Result<Schema> {
    let mut fields = Vec::new();
    if let Some((_, time)) = aggregate.window {
        let data_type = input.fields[time].data_type;
        fields.push(Field { name: "window_start".to_owned(), data_type });
    }
    for (number, key) in aggregate.keys.iter().enumerate() {
        let name = match key.kind {
            crate::expr::ExprKind::Column(column) => input.fields[column].name.clone(),
            _ => format!("key_{number}"),
        };
        fields.push(Field { name, data_type: key.data_type });
    }
    let shape = Shape::new(aggregate, 1)?;
    fields.extend(shape.partial_fields());
    let raw = raw::Raw::of(aggregate, &shape).filter(|raw| raw.pays(&input.layout()));
    fields.extend(raw.iter().flat_map(|raw| raw.fields(input)));
    Ok(Schema { fields })
}

/// Whether `aggregate` can be split into [`Phase::Partial`] and [`Phase::Merge`]; else its rows must
/// cross the exchange and one node does all of it.
pub fn can_be_partial(aggregate: &Aggregate) -> bool {
    aggregate.emit == crate::plan::Emit::Final
        && !aggregate.window.is_some_and(|(window, _)| window.is_session())
        && aggregate.calls.iter().all(|call| !call.distinct && !call.function.keeps_values())
}

/// Whether a literal is a share, as percentiles take: exact, from 0 to 1.
pub fn is_share(value: &Value, data_type: DataType) -> bool {
    (data_type.is_integer() || matches!(data_type, DataType::Decimal { .. }))
        && list::Share::of(value, data_type.scale()).is_some()
}

/// The operator of `aggregate`, whose input columns have the shapes `input`.
pub(crate) fn build(aggregate: &Aggregate, input: Vec<Physical>, place: Place) -> Result<Box<dyn Operator>> {
    if aggregate.window.is_some_and(|(window, _)| window.is_session()) {
        return Ok(Box::new(session::Sessions::new(aggregate, input, place)?));
    }
    let sources = if aggregate.phase == Phase::Merge { place.shards } else { 1 };
    let shape = Shape::new(aggregate, sources)?;
    Ok(Box::new(aggregation::Aggregation::new(aggregate, shape, &input, place)?))
}
