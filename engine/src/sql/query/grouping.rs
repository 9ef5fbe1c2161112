//! GROUPING SETS, ROLLUP and CUBE: a GROUP BY per set over the same rows, and their results together.
//!
//! Every set is an aggregate of its own by its keys alone, so that each sends only its own groups between
//! shards, and the one without keys gives its row even of nothing. Behind it stand NULLs for the keys of
//! other sets, and what GROUPING says.

use sqlparser::ast::{self, Spanned};

use super::group::{Columns, Grouping};
use super::{Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::Expr;
use crate::sql::scope::{Scope, ScopeColumn, same};
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::types::{DataType, Value};

/// Most sets of one GROUP BY.
const MAX_SETS: usize = 64;

/// GROUP BY: the expressions it names, and by which of them each set groups.
pub(super) struct Sets<'a> {
    pub trees: Vec<&'a ast::Expr>,
    pub sets: Vec<Vec<usize>>,
}

impl<'a> Sets<'a> {
    /// The items of GROUP BY, each of which is one key, or several sets of them: what is grouped by is a
    /// set of each together.
    pub(super) fn of(items: &[&'a ast::Expr], modifiers: &[ast::GroupByWithModifier], span: Span) -> Result<Sets<'a>> {
        let mut all = Sets { trees: Vec::new(), sets: vec![Vec::new()] };
        match modifiers {
            [] => items.iter().try_for_each(|item| all.add(item))?,
            [ast::GroupByWithModifier::Rollup] => {
                let keys: Vec<&[ast::Expr]> = items.iter().map(|item| std::slice::from_ref(*item)).collect();
                all.multiply(&rollup(&keys), span)?;
            }
            [ast::GroupByWithModifier::Cube] => {
                let keys: Vec<&[ast::Expr]> = items.iter().map(|item| std::slice::from_ref(*item)).collect();
                all.multiply(&cube(&keys, span)?, span)?;
            }
            _ => return Err(unsupported("this form of GROUP BY is not supported", span).help("use ROLLUP or CUBE")),
        }
        Ok(all)
    }

    fn add(&mut self, item: &'a ast::Expr) -> Result<()> {
        let span = place(item.span());
        let parts = |sets: &'a [Vec<ast::Expr>]| sets.iter().map(Vec::as_slice).collect::<Vec<&'a [ast::Expr]>>();
        let sets = match item {
            ast::Expr::Rollup(keys) => rollup(&parts(keys)),
            ast::Expr::Cube(keys) => cube(&parts(keys), span)?,
            ast::Expr::GroupingSets(sets) => parts(sets).into_iter().map(|set| set.iter().collect()).collect(),
            ast::Expr::Tuple(keys) => vec![keys.iter().collect()],
            key => vec![vec![key]],
        };
        self.multiply(&sets, span)
    }

    fn multiply(&mut self, by: &[Vec<&'a ast::Expr>], span: Span) -> Result<()> {
        if self.sets.len().saturating_mul(by.len()) > MAX_SETS {
            let error = Error::new(Code::Limit, "this many sets in one GROUP BY are more than Corelane plans").at(span);
            return Err(error.note(format!("limit: {MAX_SETS}")));
        }
        let mut numbers = Vec::with_capacity(by.len());
        for set in by {
            let mut keys = Vec::with_capacity(set.len());
            for tree in set {
                let known = self.trees.iter().position(|known| known == tree);
                keys.push(known.unwrap_or_else(|| {
                    self.trees.push(tree);
                    self.trees.len() - 1
                }));
            }
            numbers.push(keys);
        }
        let both = |left: &Vec<usize>, right: &Vec<usize>| left.iter().chain(right).copied().collect();
        self.sets = self.sets.iter().flat_map(|left| numbers.iter().map(move |right| both(left, right))).collect();
        Ok(())
    }
}

/// All, all but the last, .., none.
fn rollup<'a>(keys: &[&'a [ast::Expr]]) -> Vec<Vec<&'a ast::Expr>> {
    (0..=keys.len()).rev().map(|count| keys[..count].iter().copied().flatten().collect()).collect()
}

/// Every choice of some.
fn cube<'a>(keys: &[&'a [ast::Expr]], span: Span) -> Result<Vec<Vec<&'a ast::Expr>>> {
    if keys.len() > MAX_SETS.ilog2() as usize {
        let error = Error::new(Code::Limit, "a CUBE of this many keys is more than Corelane plans").at(span);
        return Err(error.note(format!("limit: {} keys, {MAX_SETS} sets", MAX_SETS.ilog2())));
    }
    let chosen = |bits: usize| {
        let keys = keys.iter().enumerate().filter(move |(n, _)| bits & (1 << (keys.len() - 1 - n)) != 0);
        keys.flat_map(|(_, key)| key.iter()).collect()
    };
    Ok((0..1usize << keys.len()).rev().map(chosen).collect())
}

/// Sets of keys, from sets of trees; without sets, that of all keys.
pub(super) fn key_sets(sets: &[Vec<usize>], key_of: &[Option<usize>], keys: usize) -> Vec<Vec<usize>> {
    let named = key_of.iter().copied().flatten().max().map_or(0, |last| last + 1);
    let keys_of = |set: &Vec<usize>| {
        // What is behind the keys that GROUP BY names is the same for all rows of a group.
        let mut of: Vec<usize> = set.iter().filter_map(|&tree| key_of[tree]).chain(named..keys).collect();
        of.sort_unstable();
        of.dedup();
        of
    };
    sets.iter().map(keys_of).collect()
}

/// Which keys the arguments of GROUPING are.
pub(super) fn grouping_keys(of: &[Expr], keys: &[Expr]) -> Result<Vec<usize>> {
    let position = |key: &Expr| {
        keys.iter().position(|known| same(known, key)).ok_or_else(|| {
            let error = Error::new(Code::Misplaced, "GROUPING is about a key of GROUP BY").at(key.span);
            error.help("name it in GROUP BY, too")
        })
    };
    of.iter().map(position).collect()
}

impl Planner<'_> {
    /// One aggregate per set, each projected to `[window_start, window_end,] keys.., calls.., groupings..`.
    pub(super) fn grouping_sets(
        &mut self,
        relation: &mut Relation<'_>,
        grouping: Grouping,
        span: Span,
    ) -> Result<Columns> {
        let Grouping { keys, window, calls, names, sets, groupings } = grouping;
        let key_names: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(number, key)| {
                let named = relation.scope.columns.iter().find(|column| same(&column.expression, key));
                named.map_or_else(|| format!("key{number}"), |column| column.name.clone())
            })
            .collect();
        let mut all = Vec::with_capacity(sets.len());
        for set in &sets {
            let mut one = Relation {
                node: relation.node,
                scope: relation.scope.clone(),
                times: relation.times.clone(),
                natural: relation.natural.clone(),
                closed: relation.closed.clone(),
                window: None,
                bounded: relation.bounded,
                emit: None,
            };
            let own = Grouping {
                keys: set.iter().map(|&key| keys[key].clone()).collect(),
                window: window.clone(),
                calls: calls.clone(),
                names: names.clone(),
                sets: Vec::new(),
                groupings: Vec::new(),
            };
            let placed = self.aggregate(&mut one, own, span)?;
            if !one.bounded && self.waits_for_the_end(one.node) {
                let error = unsupported("a grouping set without a window over endless input gives no row", span);
                return Err(error.help("name window_start, window_end in every set"));
            }
            let mut columns = Vec::new();
            let mut give = |name: &str, expression: Expr| {
                let name = name.to_owned();
                columns.push(ScopeColumn { relation: String::new(), name, expression, merged: false });
            };
            if let Some((_, time)) = &window {
                give("window_start", Expr::column(0, time.data_type));
                give("window_end", Expr::column(1, time.data_type));
            }
            for (number, key) in keys.iter().enumerate() {
                let mut value = key.clone();
                match set.contains(&number) {
                    true => placed.place(&mut value)?,
                    false => value = Expr::literal(Value::Null, key.data_type),
                }
                give(&key_names[number], value);
            }
            for (number, (call, name)) in calls.iter().zip(&names).enumerate() {
                give(name, placed.call(number, call.data_type));
            }
            for of in &groupings {
                let bits = of.iter().fold(0, |bits, key| bits << 1 | i64::from(!set.contains(key)));
                give("GROUPING", Expr::literal(Value::I64(bits), DataType::BigInt));
            }
            one.scope = Scope { columns, clock: None };
            all.push(one);
        }
        let united = self.unite(all, false, "GROUPING SETS")?;
        let first_key = if window.is_some() { 2 } else { 0 };
        let columns = Columns::of_sets(&keys, first_key, calls.len());
        relation.node = united.node;
        relation.times = united.times;
        relation.natural = united.natural;
        relation.closed = united.closed;
        relation.emit = None;
        Ok(columns)
    }
}
