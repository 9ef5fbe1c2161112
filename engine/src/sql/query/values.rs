//! VALUES, and SELECT without FROM: rows that stand in the script itself.
//!
//! They are constants, folded here and written down as the lines of a file in memory, so that everything
//! behind the scan treats them like any other input.

use std::sync::Arc;

use sqlparser::ast::{self, Spanned};

use super::{Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind, fold};
use crate::sql::expression::{Binder, case, coerce};
use crate::sql::scope::Scope;
use crate::sql::token::place;
use crate::sql::{MAX_COLUMNS, NULL_FIELD, Table, unsupported};
use crate::types::{DataType, Value};

impl<'a> Planner<'_> {
    /// `VALUES (1, 'a'), (2, 'b')`: a table of the columns `column1`, `column2`, ..
    pub(super) fn values(&mut self, values: &'a ast::Values, span: Span) -> Result<Relation<'a>> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        if width > MAX_COLUMNS {
            let error = Error::new(Code::Limit, "VALUES has too many columns").at(span);
            return Err(error.note(format!("limit: {MAX_COLUMNS} columns")));
        }
        let nothing = Scope::default();
        let mut columns: Vec<Vec<Expr>> = vec![Vec::with_capacity(values.rows.len()); width];
        for row in &values.rows {
            let trees = &row.content;
            if trees.len() != width {
                let message = format!("this row of VALUES has {} columns, the first has {width}", trees.len());
                let at = trees.first().map_or(span, |tree| place(tree.span()));
                return Err(Error::new(Code::Type, message).at(at));
            }
            for (column, tree) in columns.iter_mut().zip(trees) {
                column.push(Binder::new(&nothing, self.options.clock, "VALUES").bind(tree)?);
            }
        }
        let columns = columns.into_iter().map(|column| one_type(column, span)).collect::<Result<Vec<_>>>()?;
        let mut lines = String::new();
        for row in 0..values.rows.len() {
            let fields = columns.iter().map(|(_, column)| field(&column[row])).collect::<Result<Vec<_>>>()?;
            lines.push_str(&fields.join(","));
            lines.push('\n');
        }
        let named = columns.iter().enumerate().map(|(at, (data_type, _))| (format!("column{}", at + 1), *data_type));
        let name = self.free_values_name();
        self.scan(&Table { text: Some(Arc::from(lines)), ..Table::of(name, named) }, span)
    }

    /// One row without columns.
    pub(super) fn nothing(&mut self, span: Span) -> Result<Relation<'a>> {
        let columns = [("nothing".to_owned(), DataType::BigInt)];
        let table = Table { text: Some(Arc::from("0\n")), ..Table::of(self.free_values_name(), columns) };
        let mut relation = self.scan(&table, span)?;
        relation.scope = Scope::default();
        Ok(relation)
    }

    fn free_values_name(&self) -> String {
        let number = self.used.iter().filter(|table| table.text.is_some()).count();
        if number == 0 { "values".to_owned() } else { format!("values {}", number + 1) }
    }
}

/// Values of one column as what they have in common, as CASE finds it.
fn one_type(column: Vec<Expr>, span: Span) -> Result<(DataType, Vec<Expr>)> {
    let is_so = || Expr::literal(Value::I64(1), DataType::Boolean);
    let branches = column.iter().map(|value| (is_so(), value.clone())).collect();
    let data_type = match case(branches, None, span)?.data_type {
        DataType::Null => DataType::Text,
        DataType::Interval => {
            return Err(unsupported("VALUES of intervals are not supported", column[0].span)
                .help("write a number, and make an interval of it where it is used"));
        }
        known => known,
    };
    Ok((data_type, column.into_iter().map(|value| coerce(value, data_type)).collect()))
}

/// A constant as a field of CSV: [`NULL_FIELD`], or in quotes.
fn field(value: &Expr) -> Result<String> {
    let span = value.span;
    match fold(coerce(value.clone(), value.data_type).cast(DataType::Text)).map_err(|error| error.at(span))?.kind {
        ExprKind::Literal(Value::Null) => Ok(NULL_FIELD.to_owned()),
        ExprKind::Literal(Value::Text(text)) => Ok(format!("\"{}\"", text.replace('"', "\"\""))),
        _ => Err(unsupported("VALUES takes constants", span)),
    }
}
