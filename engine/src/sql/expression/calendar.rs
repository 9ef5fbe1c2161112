//! Intervals of the calendar: months and years, which have no fixed length.
//!
//! They are not values; added to a time or taken off one they become TIMESTAMPADD, which keeps the day of
//! the month and takes the month's last where there is no such day.

use sqlparser::ast;

use super::typed::{at, call, text};
use crate::error::{Code, Error, Result, Span};
use crate::expr::Expr;
use crate::types::{DataType, Value};

/// Months of a literal interval of months and years; `None` for any other expression.
pub(super) fn months(tree: &ast::Expr) -> Option<i64> {
    let interval = match tree {
        ast::Expr::Nested(inner) => return months(inner),
        ast::Expr::Interval(interval) => interval,
        _ => return None,
    };
    let ast::Expr::Value(value) = &*interval.value else { return None };
    let amount = match &value.value {
        ast::Value::Number(amount, _) => amount.clone(),
        value => value.clone().into_string()?,
    };
    let unit = |unit: &ast::DateTimeField| unit.to_string();
    match (&interval.leading_field, &interval.last_field) {
        (Some(leading), None) => whole(&amount)?.checked_mul(of_unit(&unit(leading))?),
        (Some(leading), Some(last)) if of_unit(&unit(leading)) == Some(12) && of_unit(&unit(last)) == Some(1) => {
            years_and_months(&amount)
        }
        (None, None) => written_out(&amount),
        _ => None,
    }
}

fn of_unit(unit: &str) -> Option<i64> {
    match unit.to_ascii_lowercase().as_str() {
        "year" | "years" => Some(12),
        "quarter" | "quarters" => Some(3),
        "month" | "months" | "mon" | "mons" => Some(1),
        _ => None,
    }
}

fn whole(amount: &str) -> Option<i64> {
    amount.trim().parse().ok()
}

/// `1-6` of `INTERVAL '1-6' YEAR TO MONTH`.
fn years_and_months(amount: &str) -> Option<i64> {
    let (negative, amount) = match amount.trim().strip_prefix('-') {
        Some(amount) => (true, amount),
        None => (false, amount.trim()),
    };
    let (years, months) = amount.split_once('-')?;
    let months = whole(months).filter(|months| (0..12).contains(months))?;
    let total = whole(years).filter(|years| *years >= 0)?.checked_mul(12)?.checked_add(months)?;
    Some(if negative { -total } else { total })
}

/// `1 year 6 months`.
fn written_out(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let mut total = 0i64;
    while let Some(amount) = words.next() {
        total = total.checked_add(whole(amount)?.checked_mul(of_unit(words.next()?)?)?)?;
    }
    (!text.trim().is_empty()).then_some(total)
}

/// `time`, so many months later.
pub(super) fn later(time: Expr, months: i64, span: Span) -> Result<Expr> {
    if !time.data_type.is_timestamp() && !matches!(time.data_type, DataType::Date | DataType::Null) {
        let error = Error::new(Code::Type, format!("months cannot be added to {}", time.data_type)).at(time.span);
        return Err(error.help("add them to a TIMESTAMP or DATE"));
    }
    let count = at(Expr::literal(Value::I64(months), DataType::BigInt), span);
    call("timestampadd", vec![text("month".to_owned(), span), count, time], span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_counted() {
        for (text, count) in [("1-6", Some(18)), ("-2-0", Some(-24)), ("1-12", None), ("1", None)] {
            assert_eq!(years_and_months(text), count, "{text}");
        }
        for (text, count) in [("1 year 6 months", Some(18)), ("-1 month", Some(-1)), ("1 day", None), ("", None)] {
            assert_eq!(written_out(text), count, "{text}");
        }
    }
}
