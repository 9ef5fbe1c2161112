//! What names mean at one place of a query, and the marks that stand for values not yet placed.

use sqlparser::ast::Ident;

use super::suggest::did_you_mean;
use super::token::place;
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};

/// Column numbers from here on stand for aggregate calls until the aggregate node exists.
pub(super) const AGGREGATE_MARK: usize = 1 << 20;
/// Column numbers from here on stand for GROUPING calls until the grouping sets are planned.
pub(super) const GROUPING_MARK: usize = AGGREGATE_MARK + (1 << 19);
/// Column numbers from here on stand for OVER calls until their node exists.
pub(super) const OVER_MARK: usize = 1 << 21;
/// Stands for the window's start; the next number for its end.
pub(super) const WINDOW_MARK: usize = 1 << 22;

/// What the column is called that PROCTIME() stands for.
pub(super) const CLOCK_NAME: &str = "PROCTIME()";

/// A name and what it stands for, as an expression over the columns of the relation's node: a
/// projection in a subquery or view costs no node, it is written into its users.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    pub relation: String,
    pub name: String,
    pub expression: Expr,
    /// USING has made it part of another column: it is only found as `table.column`.
    pub merged: bool,
}

/// The names visible at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub columns: Vec<ScopeColumn>,
    /// When the row was read, which is what PROCTIME() says; `None` of rows that are made of others.
    pub clock: Option<Expr>,
}

impl Scope {
    /// What `parts` (`column` or `table.column`) stands for; `None` when there is no such name.
    pub fn find(&self, parts: &[Ident]) -> Result<Option<&ScopeColumn>> {
        let (name, relation) = match parts {
            [name] => (name, None),
            [relation, name] => (name, Some(relation)),
            _ => return Ok(None),
        };
        let fits = |column: &&ScopeColumn| {
            column.name.eq_ignore_ascii_case(&name.value)
                && relation.map_or(!column.merged, |relation| column.relation.eq_ignore_ascii_case(&relation.value))
        };
        let mut found: Vec<&ScopeColumn> = self.columns.iter().filter(fits).collect();
        if found.len() > 1 {
            found.retain(|column| column.name == name.value);
        }
        match found[..] {
            [column] => Ok(Some(column)),
            [] if !self.columns.iter().any(|column| fits(&column)) => Ok(None),
            _ => Err(Error::new(Code::AmbiguousColumn, format!("column `{}` is ambiguous", name.value))
                .at(place(name.span))
                .help("give the columns different names with AS")),
        }
    }

    /// The error for a name that is not here.
    pub fn unknown(&self, parts: &[Ident]) -> Error {
        let Some(name) = parts.last() else { return Error::new(Code::UnknownColumn, "column not found") };
        let mut error = Error::new(Code::UnknownColumn, format!("column `{}` not found", name.value));
        let relations: Vec<&str> = self.columns.iter().map(|column| column.relation.as_str()).collect();
        if let [relation, _] = parts
            && !relations.iter().any(|known| known.eq_ignore_ascii_case(&relation.value))
        {
            let error = Error::new(Code::UnknownTable, format!("table `{}` is not in FROM", relation.value));
            let error = error.at(place(relation.span));
            return match did_you_mean(&relation.value, relations.iter().copied()) {
                Some(help) => error.help(help),
                None => error,
            };
        }
        error = error.at(place(name.span));
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(help) = did_you_mean(&name.value, names.iter().copied()) {
            error = error.help(help);
        }
        match relations.first() {
            Some(relation) => {
                let shown = names.iter().take(24).copied().collect::<Vec<_>>().join(", ");
                let more = if names.len() > 24 { ", .." } else { "" };
                let of = if relation.is_empty() { String::new() } else { format!(" of `{relation}`") };
                error.note(format!("columns{of}: {shown}{more}"))
            }
            None => error,
        }
    }
}

/// Whether two expressions compute the same, wherever they stand in the script.
pub(super) fn same(left: &Expr, right: &Expr) -> bool {
    fn bare(expression: &Expr) -> Expr {
        let mut bare = expression.clone();
        strip(&mut bare);
        bare
    }
    fn strip(expression: &mut Expr) {
        expression.span = Span::NONE;
        expression.children_mut().into_iter().for_each(strip);
    }
    left.data_type == right.data_type && bare(left) == bare(right)
}

/// Replaces every column of `expression` by what `meaning` says it stands for.
pub(super) fn substitute(expression: &mut Expr, meaning: &impl Fn(usize) -> Option<Expr>) {
    if let ExprKind::Column(column) = expression.kind {
        if let Some(replacement) = meaning(column) {
            let span = expression.span;
            *expression = replacement;
            if span != Span::NONE {
                expression.span = span;
            }
        }
        return;
    }
    for child in expression.children_mut() {
        substitute(child, meaning);
    }
}
