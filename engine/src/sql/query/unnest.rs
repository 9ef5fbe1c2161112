//! UNNEST: elements of arrays as rows, in FROM beside the tables before it, and as items of SELECT.
//!
//! It is no join: the rows keep their order, their time and their windows, and columns are put behind.

use sqlparser::ast::{self, Spanned};

use super::{Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{Operator, Unnest};
use crate::sql::expression::{self, Binder, at, plain_arguments, text};
use crate::sql::scope::{Scope, ScopeColumn};
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::types::{DataType, Field, Schema, Value};

/// An UNNEST in FROM.
pub(super) struct Lateral<'a> {
    arrays: Vec<&'a ast::Expr>,
    alias: Option<&'a ast::TableAlias>,
    has_ordinality: bool,
    is_outer: bool,
}

/// What it brings.
pub(super) struct Bound {
    pub unnest: Unnest,
    /// Names over the columns that are added, from 0.
    pub columns: Vec<ScopeColumn>,
}

fn is_name(name: &ast::ObjectName) -> Option<bool> {
    match name.to_string().to_ascii_lowercase().as_str() {
        "unnest" | "explode" => Some(false),
        "explode_outer" => Some(true),
        _ => None,
    }
}

/// The UNNEST that a factor of FROM is: `UNNEST(a)`, `LATERAL UNNEST(a)`, `TABLE(EXPLODE(a))`.
pub(super) fn of(factor: &ast::TableFactor) -> Result<Option<Lateral<'_>>> {
    let span = place(factor.span());
    Ok(match factor {
        ast::TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias: _, with_ordinality } => {
            if *with_offset {
                return Err(unsupported("WITH OFFSET is not supported", span)
                    .help("write WITH ORDINALITY, which counts from 1"));
            }
            let arrays = array_exprs.iter().collect();
            Some(Lateral { arrays, alias: alias.as_ref(), has_ordinality: *with_ordinality, is_outer: false })
        }
        ast::TableFactor::Function { lateral: _, name, args, with_ordinality, alias } => match is_name(name) {
            Some(is_outer) => {
                let arrays = trees(args, span)?;
                Some(Lateral { arrays, alias: alias.as_ref(), has_ordinality: *with_ordinality, is_outer })
            }
            None => None,
        },
        ast::TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => match is_name(name) {
            Some(is_outer) => {
                let arrays = trees(&args.args, span)?;
                Some(Lateral { arrays, alias: alias.as_ref(), has_ordinality: *with_ordinality, is_outer })
            }
            None => None,
        },
        ast::TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => {
            match is_name(&function.name) {
                Some(is_outer) => {
                    let arrays = plain_arguments(function, span)?;
                    Some(Lateral { arrays, alias: alias.as_ref(), has_ordinality: false, is_outer })
                }
                None => None,
            }
        }
        _ => None,
    })
}

fn trees(arguments: &[ast::FunctionArg], span: Span) -> Result<Vec<&ast::Expr>> {
    let trees = arguments.iter().map(expression::expression_of).collect::<Option<Vec<_>>>();
    trees.ok_or_else(|| Error::new(Code::Type, "UNNEST takes arrays").at(span))
}

/// Whether all factors of FROM but the first are UNNESTs.
pub(super) fn are_all_but_first(list: &[ast::TableWithJoins]) -> Result<bool> {
    let factors = list
        .iter()
        .flat_map(|item| std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)));
    for factor in factors.skip(1) {
        if of(factor)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The condition of LEFT JOIN UNNEST: TRUE, since elements belong to their row whatever else holds.
pub(super) fn check_on(terms: &[Expr]) -> Result<()> {
    let is_true = |term: &&Expr| matches!(term.kind, ExprKind::Literal(Value::I64(1)));
    match terms.iter().find(|term| !is_true(term)) {
        None => Ok(()),
        Some(term) => Err(unsupported("a condition of LEFT JOIN UNNEST is not supported", term.span)
            .help("write ON TRUE, or CROSS JOIN UNNEST with WHERE")),
    }
}

/// UNNEST in SELECT beside groups.
pub(super) fn beside_groups(span: Span) -> Error {
    unsupported("UNNEST in the SELECT list of a query with groups is not supported", span)
        .help("put it in FROM: FROM t, UNNEST(t.a) AS u(x)")
}

/// `row.*`: the fields of a column that is a row; `None` if there is no such column.
pub(super) fn fields_of(
    scope: &Scope,
    kind: &ast::SelectItemQualifiedWildcardKind,
) -> Result<Option<Vec<ScopeColumn>>> {
    let ast::SelectItemQualifiedWildcardKind::ObjectName(name) = kind else { return Ok(None) };
    let parts: Option<Vec<ast::Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
    let Some(column) = scope.find(&parts.unwrap_or_default())? else { return Ok(None) };
    fields(&column.expression, &column.name, place(name.span()))
}

/// The fields of a row as columns.
fn fields(row: &Expr, relation: &str, span: Span) -> Result<Option<Vec<ScopeColumn>>> {
    let DataType::Row(members) = row.data_type else { return Ok(None) };
    let column = |member: &crate::types::Member| {
        let name = member.name.to_owned();
        let expression = expression::call("field", vec![row.clone(), text(name.clone(), span)], span)?;
        Ok(ScopeColumn { relation: relation.to_owned(), name, expression, merged: false })
    };
    members.iter().map(column).collect::<Result<Vec<_>>>().map(Some)
}

impl Planner<'_> {
    /// Puts the node of `unnest` behind a relation; everything said about its columns holds on.
    pub(super) fn unnest(&mut self, relation: &mut Relation<'_>, unnest: Unnest, span: Span) {
        let mut fields = self.fields(relation.node);
        let added = unnest.added();
        let last = added.len().wrapping_sub(1);
        fields.extend(added.into_iter().enumerate().map(|(number, data_type)| {
            let name = if unnest.has_ordinality && number == last { "ordinality" } else { "element" };
            Field { name: name.to_owned(), data_type }
        }));
        relation.node = self.plan.add(Operator::Unnest(unnest), vec![relation.node], Schema { fields }, span);
    }

    /// Arrays and names of an UNNEST, over the names of `scope`.
    pub(super) fn bind_unnest<'a>(
        &mut self,
        lateral: &Lateral<'a>,
        scope: &Scope,
        is_outer: bool,
        span: Span,
    ) -> Result<Bound> {
        let mut binder = Binder::new(scope, self.options.clock, "UNNEST");
        let mut arrays = Vec::new();
        for tree in &lateral.arrays {
            arrays.push(array(binder.bind(tree)?)?);
        }
        if arrays.is_empty() {
            return Err(Error::new(Code::Type, "UNNEST takes an array").at(span));
        }
        let relation = lateral.alias.map_or("unnest", |alias| alias.name.value.as_str());
        let mut columns = Vec::new();
        let mut at_column = 0;
        for array in &arrays {
            let mut column = |name: &str, data_type| {
                let expression = at(Expr::column(at_column, data_type), array.span);
                at_column += 1;
                ScopeColumn { relation: relation.to_owned(), name: name.to_owned(), expression, merged: false }
            };
            match array.data_type {
                DataType::Map(entry) => columns.extend(entry.iter().map(|part| column(part.name, part.data_type))),
                DataType::Array(element) => {
                    let whole = column("unnest", *element);
                    match fields(&whole.expression, relation, array.span)? {
                        Some(fields) => columns.extend(fields),
                        None => columns.push(whole),
                    }
                }
                _ => {}
            }
        }
        if lateral.has_ordinality {
            let expression = at(Expr::column(at_column, DataType::BigInt), span);
            let name = "ordinality".to_owned();
            columns.push(ScopeColumn { relation: relation.to_owned(), name, expression, merged: false });
        }
        if let Some(alias) = lateral.alias {
            rename(&mut columns, alias)?;
        }
        let is_outer = is_outer || lateral.is_outer;
        Ok(Bound { unnest: Unnest { arrays, is_outer, has_ordinality: lateral.has_ordinality, behind: 0 }, columns })
    }

    /// `FROM UNNEST(ARRAY[1, 2])`.
    pub(super) fn unnest_alone<'a>(&mut self, lateral: &Lateral<'a>, span: Span) -> Result<Relation<'a>> {
        let mut relation = self.nothing(span)?;
        let width = self.fields(relation.node).len();
        let Bound { unnest, mut columns } = self.bind_unnest(lateral, &Scope::default(), false, span)?;
        self.unnest(&mut relation, unnest, span);
        columns.iter_mut().for_each(|column| column.expression.map_columns(&|column| width + column));
        relation.scope = Scope { columns, clock: None };
        Ok(relation)
    }

    /// UNNEST as items of SELECT: side by side, the shorter ones filled up with NULLs. Returns where their
    /// trees lie, and their columns.
    pub(super) fn unnest_items<'a>(
        &mut self,
        relation: &mut Relation<'a>,
        select: &'a ast::Select,
        may_stand: bool,
    ) -> Result<Vec<(usize, Expr)>> {
        let functions = select.projection.iter().filter_map(|item| match item {
            ast::SelectItem::UnnamedExpr(ast::Expr::Function(function))
            | ast::SelectItem::ExprWithAlias { expr: ast::Expr::Function(function), .. } => {
                (is_name(&function.name) == Some(false)).then_some(function)
            }
            _ => None,
        });
        let functions: Vec<&ast::Function> = functions.collect();
        let Some(first) = functions.first() else { return Ok(Vec::new()) };
        let span = place(first.span());
        if !may_stand {
            return Err(beside_groups(span));
        }
        let mut binder = Binder::new(&relation.scope, self.options.clock, "UNNEST");
        let mut arrays = Vec::new();
        for function in &functions {
            let span = place(function.span());
            let &[tree] = &plain_arguments(function, span)?[..] else {
                return Err(Error::new(Code::Type, "UNNEST in SELECT takes one array").at(span));
            };
            let bound = array(binder.bind(tree)?)?;
            if matches!(bound.data_type, DataType::Map(_)) {
                return Err(unsupported("UNNEST of a map in SELECT is not supported", bound.span)
                    .help("put it in FROM, where it gives key and value: FROM t, UNNEST(t.m) AS u(k, v)"));
            }
            arrays.push(bound);
        }
        let width = self.fields(relation.node).len();
        let elements: Vec<(usize, Expr)> = functions
            .iter()
            .zip(&arrays)
            .enumerate()
            .map(|(number, (function, array))| {
                let DataType::Array(element) = array.data_type else { unreachable!("checked above") };
                let column = at(Expr::column(width + number, *element), array.span);
                (std::ptr::from_ref(*function).addr(), column)
            })
            .collect();
        self.unnest(relation, Unnest { arrays, is_outer: false, has_ordinality: false, behind: 0 }, span);
        Ok(elements)
    }
}

/// What can be unnested; the elements of an array of nothing are texts.
fn array(bound: Expr) -> Result<Expr> {
    match bound.data_type {
        DataType::Array(DataType::Null) | DataType::Null => {
            Ok(expression::coerce(bound, DataType::array(DataType::Text)))
        }
        DataType::Array(_) | DataType::Map(_) => Ok(bound),
        other => {
            let error = Error::new(Code::Type, format!("UNNEST takes an ARRAY or a MAP, found {other}")).at(bound.span);
            Err(match other {
                DataType::Text => error.help("make one of it: SPLIT(text, ','), or CAST(text AS ARRAY<INT>)"),
                DataType::Json => error.help("CAST it: CAST(json AS ARRAY<INT>)"),
                _ => error,
            })
        }
    }
}

/// `AS u(x, n)`; `AS x` names the one column as well.
fn rename(columns: &mut [ScopeColumn], alias: &ast::TableAlias) -> Result<()> {
    let names = &alias.columns;
    if names.len() > columns.len() {
        let error = Error::new(Code::Type, format!("`{}` has {} columns", alias.name.value, columns.len()));
        return Err(error.at(place(alias.name.span)));
    }
    if let (true, [only]) = (names.is_empty(), &mut *columns) {
        only.name.clone_from(&alias.name.value);
    }
    for (column, name) in columns.iter_mut().zip(names) {
        column.name.clone_from(&name.name.value);
    }
    Ok(())
}
