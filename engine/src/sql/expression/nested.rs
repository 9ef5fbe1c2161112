//! Arrays, maps and rows as they are written: `[a, b]`, `MAP {k: v}`, `STRUCT(a AS x)`, `a[1]`, `r.f`, `x = ANY(a)`.

use sqlparser::ast::{self, AccessExpr, BinaryOperator, Spanned, Subscript};

use super::typed::{at, binary, cast, literal, negate_if, text};
use super::{Binder, call};
use crate::error::{Code, Error, Result, Span};
use crate::expr::Expr;
use crate::sql::suggest::did_you_mean;
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::types::{DataType, Member, Value};

/// Calls a function; what is wrong with a type is said of all that is written.
fn made(name: &str, arguments: Vec<Expr>, span: Span) -> Result<Expr> {
    let bound = call(name, arguments, span)?;
    Ok(Expr { span: bound.span.to(span), ..bound })
}

impl<'a> Binder<'a> {
    fn all(&mut self, trees: impl IntoIterator<Item = &'a ast::Expr>) -> Result<Vec<Expr>> {
        trees.into_iter().map(|tree| self.bind(tree)).collect()
    }

    /// `ARRAY[a, b]`, `[a, b]`.
    pub(super) fn array(&mut self, array: &'a ast::Array, span: Span) -> Result<Expr> {
        let elements = self.all(&array.elem)?;
        if let Some((first, other)) = apart(&elements) {
            let message =
                format!("the elements of an array are of one type; these are {first} and {}", other.data_type);
            return Err(Error::new(Code::Type, message).at(other.span).help("CAST one to the other's type"));
        }
        made("array", elements, span)
    }

    /// `MAP {k: v}`.
    pub(super) fn map(&mut self, map: &'a ast::Map, span: Span) -> Result<Expr> {
        let parts = map.entries.iter().flat_map(|entry| [&*entry.key, &*entry.value]);
        let parts = self.all(parts)?;
        made("map", parts, span)
    }

    /// `{'a': x}`.
    pub(super) fn dictionary(&mut self, fields: &'a [ast::DictionaryField], span: Span) -> Result<Expr> {
        let mut parts = Vec::new();
        for field in fields {
            parts.push(text(field.key.value.clone(), place(field.key.span)));
            parts.push(self.bind(&field.value)?);
        }
        named(parts, span)
    }

    /// `STRUCT(a AS x, b)`.
    pub(super) fn structure(&mut self, values: &'a [ast::Expr], span: Span) -> Result<Expr> {
        let mut parts = Vec::new();
        for (number, tree) in values.iter().enumerate() {
            let (name, tree) = match tree {
                ast::Expr::Named { expr, name } => (name.value.clone(), &**expr),
                ast::Expr::Identifier(name) => (name.value.clone(), tree),
                ast::Expr::CompoundIdentifier(names) => {
                    (names.last().map(|name| name.value.clone()).unwrap_or_default(), tree)
                }
                tree => (format!("f{}", number + 1), tree),
            };
            parts.push(text(name, place(tree.span())));
            parts.push(self.bind(tree)?);
        }
        named(parts, span)
    }

    /// `ROW<a INT, b STRING>(x, y)`, of a type that the pre-pass has made a name of.
    pub(super) fn typed_row(&mut self, row: DataType, trees: &[&'a ast::Expr], span: Span) -> Result<Expr> {
        let values = self.all(trees.iter().copied())?;
        Ok(cast(made("row", values, span)?, row, false))
    }

    /// `root[1].f`, and names in front of a `[`.
    pub(super) fn access(&mut self, root: &'a ast::Expr, chain: &'a [AccessExpr], span: Span) -> Result<Expr> {
        let mut names: Vec<&'a ast::Ident> = match root {
            ast::Expr::Identifier(name) => vec![name],
            ast::Expr::CompoundIdentifier(names) => names.iter().collect(),
            _ => Vec::new(),
        };
        let mut rest = chain;
        while let ([AccessExpr::Dot(ast::Expr::Identifier(name)), after @ ..], false) = (rest, names.is_empty()) {
            names.push(name);
            rest = after;
        }
        let mut bound = match names.is_empty() {
            true => self.bind(root)?,
            false => self.path(&names.into_iter().cloned().collect::<Vec<_>>())?,
        };
        for step in rest {
            bound = match step {
                AccessExpr::Dot(ast::Expr::Identifier(name)) => field(bound, name)?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.bind(index)?;
                    element(bound, index, span)?
                }
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                    let number = |number| at(Expr::literal(Value::I64(number), DataType::BigInt), span);
                    let mut bounds = [(lower_bound, 1), (upper_bound, i64::MAX)].into_iter();
                    let mut next = || match bounds.next() {
                        Some((Some(tree), _)) => self.bind(tree),
                        Some((None, all)) => Ok(number(all)),
                        None => Ok(number(0)),
                    };
                    let (from, to) = (next()?, next()?);
                    made("array_slice", vec![bound, from, to], span)?
                }
                other => {
                    return Err(unsupported(format!("`{other}` is not supported here"), span)
                        .help("elements are a[1], parts of an array a[1:3], fields r.f"));
                }
            };
        }
        Ok(Expr { span, ..bound })
    }

    /// A column, and fields in it: `column.field`, `table.column.field`.
    fn path(&mut self, parts: &[ast::Ident]) -> Result<Expr> {
        let span = parts.iter().fold(Span::NONE, |span, part| span.to(place(part.span)));
        match self.fields(parts)? {
            Some(bound) => Ok(at(bound, span)),
            None => match parts {
                [name] => self.lone(name, span),
                _ => Err(self.scope.unknown(parts)),
            },
        }
    }

    /// One name that is no column: an alias, or nothing.
    fn lone(&mut self, name: &ast::Ident, span: Span) -> Result<Expr> {
        let alias = self.aliases.iter().position(|(alias, _)| alias.eq_ignore_ascii_case(&name.value));
        let Some(alias) = alias else { return Err(self.scope.unknown(std::slice::from_ref(name))) };
        let aliases = std::mem::take(&mut self.aliases);
        let bound = self.bind(aliases[alias].1);
        self.aliases = aliases;
        bound.map(|bound| at(bound, span))
    }

    /// What a path stands for: the longest beginning of it that is a column, and fields behind; `None` if no
    /// beginning is one.
    pub(super) fn fields(&self, parts: &[ast::Ident]) -> Result<Option<Expr>> {
        for columns in [2, 1] {
            let Some((beginning, fields)) = parts.split_at_checked(columns) else { continue };
            if let Some(column) = self.scope.find(beginning)? {
                let bound = at(column.expression.clone(), place(beginning[columns - 1].span));
                return fields.iter().try_fold(bound, field).map(Some);
            }
        }
        Ok(None)
    }

    /// `x = ANY(array)`, `x <> ALL(array)`, `x IN UNNEST(array)`.
    pub(super) fn any(
        &mut self,
        left: &'a ast::Expr,
        op: &BinaryOperator,
        right: &'a ast::Expr,
        is_all: bool,
        span: Span,
    ) -> Result<Expr> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        if !matches!(right.data_type, DataType::Array(_)) {
            let error = Error::new(Code::Type, format!("ANY and ALL take an array, found {}", right.data_type));
            return Err(error.at(right.span).help("of a subquery write IN (SELECT ..)"));
        }
        match (op, is_all) {
            (BinaryOperator::Eq, false) => made("any_equal", vec![right, left], span),
            (BinaryOperator::NotEq, true) => Ok(negate_if(true, made("any_equal", vec![right, left], span)?)),
            (BinaryOperator::Gt | BinaryOperator::GtEq, _) | (BinaryOperator::Lt | BinaryOperator::LtEq, _) => {
                let what = if is_all { "ALL" } else { "ANY" };
                let error = unsupported(format!("`{op} {what}` of an array is not supported"), span);
                Err(error.help("compare with ARRAY_MIN or ARRAY_MAX of it"))
            }
            _ => Err(unsupported(format!("`{op}` of the elements of an array is not supported"), span)
                .help("`= ANY(a)` and `<> ALL(a)` are")),
        }
    }
}

fn named(parts: Vec<Expr>, span: Span) -> Result<Expr> {
    let name = |part: &Expr| match literal(part) {
        Some(Value::Text(name)) => name.to_lowercase(),
        _ => String::new(),
    };
    let names: Vec<(String, Span)> = parts.iter().step_by(2).map(|part| (name(part), part.span)).collect();
    for (number, (name, span)) in names.iter().enumerate() {
        if names[..number].iter().any(|(other, _)| other == name) {
            let error = Error::new(Code::AmbiguousColumn, format!("a row has two fields called `{name}`"));
            return Err(error.at(*span).help("give one another name with AS"));
        }
    }
    made("named_struct", parts, span)
}

/// The type of the first elements, and an element that has nothing in common with it.
fn apart(elements: &[Expr]) -> Option<(DataType, &Expr)> {
    let mut one = DataType::Null;
    for element in elements {
        match crate::expr::common_type(one, element.data_type) {
            Some(common) => one = common,
            None => return Some((one, element)),
        }
    }
    None
}

/// `row.name`.
pub(super) fn field(bound: Expr, name: &ast::Ident) -> Result<Expr> {
    let span = place(name.span);
    match bound.data_type {
        DataType::Row(members) => member(bound, members, &name.value, span),
        DataType::Json => binary(&BinaryOperator::Arrow, bound, text(name.value.clone(), span)),
        DataType::Map(_) => made("element_at", vec![bound, text(name.value.clone(), span)], span),
        other => {
            let error = Error::new(Code::Type, format!("{other} has no field `{}`", name.value)).at(span);
            Err(error.help("fields are of a ROW"))
        }
    }
}

fn member(bound: Expr, members: &[Member], name: &str, span: Span) -> Result<Expr> {
    if !members.iter().any(|member| member.name.eq_ignore_ascii_case(name)) {
        let error =
            Error::new(Code::UnknownColumn, format!("field `{name}` not found in {}", bound.data_type)).at(span);
        return Err(match did_you_mean(name, members.iter().map(|member| member.name)) {
            Some(help) => error.help(help),
            None => error,
        });
    }
    let whole = bound.span.to(span);
    Ok(at(made("field", vec![bound, text(name.to_owned(), span)], span)?, whole))
}

/// `value[index]`.
fn element(bound: Expr, index: Expr, span: Span) -> Result<Expr> {
    match (bound.data_type, literal(&index)) {
        (DataType::Array(_) | DataType::Map(_), _) => made("element_at", vec![bound, index], span),
        (DataType::Row(members), Some(Value::Text(name))) => {
            let (name, at) = (name.clone(), index.span);
            member(bound, members, &name, at)
        }
        (DataType::Row(_), Some(Value::I64(_))) => made("field", vec![bound, index], span),
        (DataType::Row(_), _) => {
            Err(Error::new(Code::Type, "the field of a row must be a constant").at(index.span).help("write r['name']"))
        }
        (DataType::Json, _) => binary(&BinaryOperator::Arrow, bound, index),
        (other, _) => {
            let error = Error::new(Code::Type, format!("{other} has no elements")).at(bound.span);
            Err(error.help("`[..]` takes an ARRAY, a MAP, a ROW or JSON"))
        }
    }
}
