//! Expressions as SQL again, for EXPLAIN.

use super::{Comparison, Expr, ExprKind, cast::write_value, functions};
use crate::types::{DataType, Schema, Value};
use crate::zone::Zone;

/// `expr` as SQL, with the names of `schema` for its columns.
pub fn to_sql(expr: &Expr, schema: &Schema) -> String {
    let sql = |expr: &Expr| to_sql(expr, schema);
    let list = |terms: &[Expr], between: &str| terms.iter().map(sql).collect::<Vec<_>>().join(between);
    // A term inside an operator: in brackets unless it stands for itself.
    let inner = |expr: &Expr| if is_tight(expr) { sql(expr) } else { format!("({})", sql(expr)) };
    let inners = |terms: &[Expr], between: &str| terms.iter().map(inner).collect::<Vec<_>>().join(between);
    match &expr.kind {
        ExprKind::Column(index) => match schema.fields.get(*index) {
            Some(field) => field.name.clone(),
            None => format!("#{index}"),
        },
        ExprKind::Literal(value) => literal(value, expr.data_type),
        ExprKind::Call { function, arguments } => match (functions::name(*function), &arguments[..]) {
            ("negate", [number]) => format!("-{}", inner(number)),
            (symbol, [_, _]) if !symbol.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                inners(arguments, &format!(" {symbol} "))
            }
            (name, _) => format!("{}({})", name.to_uppercase(), list(arguments, ", ")),
        },
        ExprKind::Cast { input, .. } if zone_between(input.data_type, expr.data_type).is_some() => {
            let zone = zone_between(input.data_type, expr.data_type).map_or("", Zone::name);
            format!("{} AT TIME ZONE '{zone}'", inner(input))
        }
        ExprKind::Cast { input, safe } => {
            format!("{}({} AS {})", if *safe { "TRY_CAST" } else { "CAST" }, sql(input), expr.data_type)
        }
        ExprKind::Compare { comparison, left, right } => {
            format!("{} {} {}", inner(left), symbol(*comparison), inner(right))
        }
        ExprKind::And(terms) => inners(terms, " AND "),
        ExprKind::Or(terms) => inners(terms, " OR "),
        ExprKind::Not(input) => format!("NOT {}", inner(input)),
        ExprKind::IsNull(input) => format!("{} IS NULL", inner(input)),
        ExprKind::Case { branches, otherwise } => {
            let mut out = String::from("CASE");
            for (condition, result) in branches {
                out.push_str(&format!(" WHEN {} THEN {}", sql(condition), sql(result)));
            }
            if let Some(result) = otherwise {
                out.push_str(&format!(" ELSE {}", sql(result)));
            }
            out + " END"
        }
        ExprKind::InList { input, list, list_has_null } => {
            let mut items: Vec<_> = list.iter().map(|value| literal(value, input.data_type)).collect();
            items.extend(list_has_null.then(|| "NULL".to_owned()));
            format!("{} IN ({})", inner(input), items.join(", "))
        }
        ExprKind::Like { input, pattern, escape, ignore_case } => {
            let word = if *ignore_case { "ILIKE" } else { "LIKE" };
            let escape = escape.map_or(String::new(), |escape| format!(" ESCAPE '{escape}'"));
            format!("{} {word} {}{escape}", inner(input), quoted(pattern))
        }
    }
}

/// The zone whose clocks a cast reads or sets.
pub(crate) fn zone_between(from: DataType, to: DataType) -> Option<Zone> {
    let is_cast = from.is_timestamp() && to.is_timestamp() && from.zone().is_some() != to.zone().is_some();
    from.zone().or(to.zone()).filter(|zone| is_cast && !zone.is_utc())
}

fn is_tight(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Cast { input, .. } => zone_between(input.data_type, expr.data_type).is_none(),
        ExprKind::Column(_) | ExprKind::Literal(_) | ExprKind::Case { .. } => true,
        ExprKind::Call { function, .. } => functions::name(*function).starts_with(|c: char| c.is_ascii_alphabetic()),
        _ => false,
    }
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::NotDistinct => "IS NOT DISTINCT FROM",
        Comparison::Distinct => "IS DISTINCT FROM",
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(value: &Value, data_type: DataType) -> String {
    let mut text = String::new();
    write_value(&mut text, value, data_type);
    match (value, data_type) {
        (Value::Null, _) => text,
        (_, DataType::Text) => quoted(&text),
        (_, DataType::Json) => format!("CAST({} AS JSON)", quoted(&text)),
        (Value::Nested(_), _) => format!("CAST({} AS {data_type})", quoted(&text)),
        (_, DataType::Timestamp { zone: None, .. }) => format!("TIMESTAMP '{text}'"),
        (_, DataType::Timestamp { zone: Some(_), .. }) => format!("TIMESTAMP_LTZ '{text}'"),
        (_, DataType::Date) => format!("DATE '{text}'"),
        (_, DataType::Interval) => format!("INTERVAL '{text}'"),
        _ => text,
    }
}
