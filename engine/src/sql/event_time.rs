//! Event time that options of a table declare, as other engines spell `WATERMARK FOR`.
//!
//! | option | whose | what it says |
//! |---|---|---|
//! | `timestamp`, `event_time_field`, `event.time.field` | ksqlDB, Arroyo, Velostream | the time column |
//! | `watermark_field` | Arroyo | a computed column `c - INTERVAL ..`: the watermark of `c` |
//! | `watermark.strategy` | Velostream | `bounded_out_of_orderness`, `ascending`, or `none` |
//! | `watermark.max_out_of_orderness` | Velostream | how far the watermark stays behind |
//!
//! They are taken out of the table's options: whoever opens its files does not know them.

use super::ddl::delay;
use super::{Clock, Table, TableOption, Watermark, literal, unsupported};
use crate::error::{Code, Error, Result};

const TIME_COLUMN: [&str; 3] = ["timestamp", "event_time_field", "event.time.field"];
const WATERMARK_COLUMN: &str = "watermark_field";
const STRATEGY: &str = "watermark.strategy";
const OUT_OF_ORDER: &str = "watermark.max_out_of_orderness";
/// A pattern for times in text.
const PATTERNS: [&str; 2] = ["timestamp_format", "event.time.format"];

/// Turns such options of `table` into its watermark.
pub(super) fn declare(table: &mut Table, clock: Clock) -> Result<()> {
    let is = |option: &TableOption, names: &[&str]| names.iter().any(|name| option.key.eq_ignore_ascii_case(name));
    if let Some(option) = table.options.iter().find(|option| is(option, &PATTERNS)) {
        return Err(unsupported(format!("'{}' is not supported", option.key), option.span)
            .help("declare a computed column, c AS TO_TIMESTAMP(text, 'pattern'), and WATERMARK FOR c"));
    }
    let mut take = |names: &[&str]| {
        let at = table.options.iter().position(|option| is(option, names))?;
        Some(table.options.remove(at))
    };
    let (column, field) = (take(&TIME_COLUMN), take(&[WATERMARK_COLUMN]));
    let (strategy, bound) = (take(&[STRATEGY]), take(&[OUT_OF_ORDER]));
    let Some(first) = [&column, &field, &strategy, &bound].into_iter().find_map(Option::clone) else { return Ok(()) };
    if table.watermark.is_some() {
        let error = Error::new(Code::BadOption, format!("'{}' and a WATERMARK both declare event time", first.key));
        return Err(error.at(first.span).help("keep one of them"));
    }
    let mut delay_us = match &bound {
        None => 0,
        Some(option) => literal::duration(&option.value).ok_or_else(|| {
            let error = Error::new(Code::BadOption, format!("`{}` is not a length of time", option.value));
            error.at(option.span).help("write it as '5s' or '2 minutes'")
        })?,
    };
    if let Some(option) = &strategy {
        match option.value.to_ascii_lowercase().replace('-', "_").as_str() {
            "bounded_out_of_orderness" => {}
            "ascending" | "monotonous" => delay_us = 0,
            "none" => return Ok(()),
            _ => {
                let error = Error::new(Code::BadOption, format!("there is no strategy `{}`", option.value));
                return Err(error.at(option.span).help("strategies: bounded_out_of_orderness, ascending, none"));
            }
        }
    }
    let mut column = column.map(|option| (option.value, option.span));
    if let Some(option) = field {
        let computed = table.computed.iter().find(|known| known.name.eq_ignore_ascii_case(&option.value));
        let found = computed.and_then(|computed| {
            table.names().find_map(|name| Some((name.clone(), delay(&computed.expression, name, clock)?)))
        });
        let Some((of, behind)) = found else {
            let error =
                Error::new(Code::BadOption, format!("`{}` is not a computed column `c - INTERVAL ..`", option.value));
            return Err(error.at(option.span).help("write WATERMARK FOR c AS c - INTERVAL '5' SECOND"));
        };
        delay_us = behind;
        column.get_or_insert((of, option.span));
    }
    let Some((column, span)) = column else {
        let error = Error::new(Code::BadOption, "the watermark is of no column").at(first.span);
        return Err(error.help("name the time column: 'event.time.field' = 'ts'"));
    };
    table.watermark = Some(Watermark { column, delay_us, span });
    Ok(())
}
