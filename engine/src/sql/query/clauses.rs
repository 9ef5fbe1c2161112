//! Clauses that parse and that nobody here carries out: refused by name.
//!
//! The parser knows words of many engines. A clause that was read and then left out would change what
//! a query means without a word, so each tree is taken apart in full: a part that a newer parser adds
//! does not compile until it is decided on here.

use sqlparser::ast::{self, Spanned};

use crate::error::{Result, Span};
use crate::sql::token::place;
use crate::sql::unsupported;

/// A clause: whether it is there, what it is called, what to write in its place.
type Clause = (bool, &'static str, &'static str);

fn refuse(clauses: &[Clause], span: Span) -> Result<()> {
    match clauses.iter().find(|(present, ..)| *present) {
        Some((_, what, help)) => Err(unsupported(format!("{what} is not supported yet"), span).help(*help)),
        None => Ok(()),
    }
}

/// Clauses of a whole query.
pub(super) fn of_query(query: &ast::Query) -> Result<()> {
    let span = place(query.span());
    let ast::Query {
        with: _,
        body: _,
        order_by,
        limit_clause: _,
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let interpolates = order_by.as_ref().is_some_and(|order| order.interpolate.is_some());
    refuse(
        &[
            (interpolates, "INTERPOLATE", "leave it out"),
            (!locks.is_empty() || for_clause.is_some(), "FOR", "leave it out"),
            (settings.is_some(), "SETTINGS", "settings are flags of `corelane run`"),
            (format_clause.is_some(), "FORMAT", "use --format"),
            (!pipe_operators.is_empty(), "|>", "write the clauses of a SELECT"),
        ],
        span,
    )
}

/// Clauses of one SELECT.
pub(super) fn of_select(select: &ast::Select) -> Result<()> {
    let ast::Select {
        select_token: _,
        optimizer_hints: _,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    refuse(
        &[
            (select_modifiers.is_some(), "a modifier of SELECT", "leave it out"),
            (top.is_some(), "TOP", "use LIMIT"),
            (exclude.is_some(), "EXCLUDE behind the columns", "write it behind the `*`"),
            (into.is_some(), "SELECT .. INTO", "use INSERT INTO"),
            (!lateral_views.is_empty(), "LATERAL VIEW", "read a plain table"),
            (prewhere.is_some(), "PREWHERE", "use WHERE"),
            (!connect_by.is_empty(), "CONNECT BY", "leave it out"),
            (!cluster_by.is_empty() || !distribute_by.is_empty(), "CLUSTER BY", "leave it out"),
            (!sort_by.is_empty(), "SORT BY", "use ORDER BY"),
            (value_table_mode.is_some(), "SELECT AS", "name the columns"),
        ],
        place(select.span()),
    )
}

/// Clauses of one table in FROM.
pub(super) fn of_table(factor: &ast::TableFactor) -> Result<()> {
    use ast::TableFactor as Factor;
    let span = place(factor.span());
    const ORDINALITY: &str = "number the rows with ROW_NUMBER() OVER (ORDER BY ..)";
    const SAMPLE: &str = "choose rows in WHERE: MOD(id, 100) = 0";
    let alias = match factor {
        Factor::Table {
            name: _,
            alias,
            args,
            with_hints,
            version: _,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_directives,
            inheritance,
        } => {
            let sets = args.as_ref().is_some_and(|args| args.settings.is_some());
            refuse(
                &[
                    (!with_hints.is_empty(), "WITH (..) behind a table", "leave it out"),
                    (sets, "SETTINGS", "leave it out"),
                    (*with_ordinality, "WITH ORDINALITY", ORDINALITY),
                    (!partitions.is_empty(), "PARTITION (..) behind a table", "choose the files: 'path' = '..'"),
                    (json_path.is_some(), "a path into a table", "use JSON_VALUE"),
                    (sample.is_some(), "TABLESAMPLE", SAMPLE),
                    (!index_directives.is_empty(), "an index", "leave it out"),
                    (inheritance.is_some(), "ONLY", "leave it out"),
                ],
                span,
            )?;
            alias
        }
        Factor::Derived { lateral: _, subquery: _, alias, sample } => {
            refuse(&[(sample.is_some(), "TABLESAMPLE", SAMPLE)], span)?;
            alias
        }
        Factor::Function { lateral, name: _, args: _, with_ordinality, alias } => {
            refuse(
                &[
                    (*lateral, "LATERAL before a function", "leave it out"),
                    (*with_ordinality, "WITH ORDINALITY", ORDINALITY),
                ],
                span,
            )?;
            alias
        }
        Factor::TableFunction { expr: _, alias } | Factor::NestedJoin { table_with_joins: _, alias } => alias,
        // The others are no form of FROM that is planned.
        _ => return Ok(()),
    };
    let has_index = alias.as_ref().is_some_and(|alias| alias.at.is_some());
    refuse(&[(has_index, "AT behind a name", "leave it out")], span)
}

/// Clauses of one join.
pub(super) fn of_join(join: &ast::Join) -> Result<()> {
    let ast::Join { relation, global, join_operator: _ } = join;
    refuse(&[(*global, "GLOBAL", "leave it out")], place(relation.span()))
}

/// Clauses of a WITH query.
pub(super) fn of_cte(cte: &ast::Cte) -> Result<()> {
    // MATERIALIZED says how to run it, not what it means.
    let ast::Cte { alias, query: _, from, materialized: _, closing_paren_token: _ } = cte;
    refuse(&[(from.is_some(), "FROM behind a WITH query", "leave it out")], place(alias.name.span))
}

/// Clauses of one item of ORDER BY.
pub(super) fn of_order(item: &ast::OrderByExpr) -> Result<()> {
    let ast::OrderByExpr { expr: _, options: _, with_fill } = item;
    refuse(&[(with_fill.is_some(), "WITH FILL", "leave it out")], place(item.span()))
}

/// Clauses of one call, beside its arguments, FILTER, WITHIN GROUP and OVER.
pub(in crate::sql) fn of_call(function: &ast::Function) -> Result<()> {
    let ast::Function {
        name,
        uses_odbc_syntax: _,
        parameters,
        args: _,
        within_group: _,
        filter: _,
        null_treatment,
        over,
    } = function;
    // Aggregates leave NULLs out anyway.
    let ignores = matches!(null_treatment, Some(ast::NullTreatment::IgnoreNulls)) && over.is_some();
    let respects = matches!(null_treatment, Some(ast::NullTreatment::RespectNulls)) && over.is_none();
    let has_parameters = !matches!(parameters, ast::FunctionArguments::None);
    refuse(
        &[
            (has_parameters, "a second list of arguments", "write them all in one list"),
            (ignores, "IGNORE NULLS before OVER", "leave NULLs out before: WHERE x IS NOT NULL"),
            (respects, "RESPECT NULLS without OVER", "aggregates leave NULLs out"),
        ],
        place(name.span()),
    )
}
