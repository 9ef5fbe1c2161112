//! Scalar expressions: their typed form, and how a whole chunk is put through one.
//!
//! The binder makes [`Expr`]s; every column reference is a position in the input's schema and every
//! coercion is an explicit [`ExprKind::Cast`]. Evaluation walks the tree once per chunk, never per
//! row, and takes its intermediate columns from a scratch arena.

pub(crate) mod calendar;
mod cast;
mod compare;
mod evaluate;
mod fold;
pub mod functions;
mod kernels;
mod pattern;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use cast::read_leaf;
pub use cast::{castable, write_value};
pub(crate) use compare::order_of;
pub use evaluate::{evaluate, evaluate_predicate};
pub use fold::fold;
pub(crate) use functions::typing::common as common_type;
pub use show::to_sql;
pub(crate) use show::zone_between;

use crate::error::Span;
use crate::types::{DataType, Value};

/// A typed expression over the columns of one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it computes.
    pub kind: ExprKind,
    /// The type of its result.
    pub data_type: DataType,
    /// Where it stands in the script, for errors at run time.
    pub span: Span,
}

/// The forms an expression can take.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// Column `n` of the input.
    Column(usize),
    /// A constant of the expression's type.
    Literal(Value),
    /// A scalar function or operator, resolved: arguments already have the types it takes.
    Call {
        /// Which one, from the table in [`functions`].
        function: functions::FunctionId,
        /// Its arguments.
        arguments: Vec<Expr>,
    },
    /// Conversion to the expression's type. `safe` (TRY_CAST) gives NULL where CAST gives an error.
    Cast {
        /// What is converted.
        input: Box<Expr>,
        /// NULL instead of an error.
        safe: bool,
    },
    /// A comparison of two expressions of one type (the binder has made them so).
    Compare {
        /// Which.
        comparison: Comparison,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// TRUE where both are, FALSE where one is, else NULL.
    And(Vec<Expr>),
    /// TRUE where one is, FALSE where all are, else NULL.
    Or(Vec<Expr>),
    /// Turns TRUE and FALSE round.
    Not(Box<Expr>),
    /// IS NULL, never NULL itself.
    IsNull(Box<Expr>),
    /// The first branch whose condition is TRUE, evaluated only for the rows that reach it, so that
    /// `CASE WHEN b <> 0 THEN a / b END` is safe. Without `otherwise`: NULL. COALESCE, NULLIF and
    /// IF become this.
    Case {
        /// (condition, result); results have the expression's type.
        branches: Vec<(Expr, Expr)>,
        /// ELSE.
        otherwise: Option<Box<Expr>>,
    },
    /// `input IN (literals)`; the list holds no NULL, `list_has_null` says whether it did.
    InList {
        /// What is looked up.
        input: Box<Expr>,
        /// Constants of `input`'s type.
        list: Vec<Value>,
        /// The SQL list had a NULL: a miss is then NULL, not FALSE.
        list_has_null: bool,
    },
    /// LIKE and ILIKE against a constant pattern.
    Like {
        /// The text.
        input: Box<Expr>,
        /// The pattern, with `%`, `_`.
        pattern: String,
        /// The character that takes the meaning from the next one.
        escape: Option<char>,
        /// ILIKE.
        ignore_case: bool,
    },
}

/// The six comparisons and the two that treat NULL as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
    /// `IS DISTINCT FROM`
    Distinct,
}

impl Expr {
    /// Column `index` of type `data_type`.
    pub fn column(index: usize, data_type: DataType) -> Self {
        Expr { kind: ExprKind::Column(index), data_type, span: Span::NONE }
    }

    /// A constant.
    pub fn literal(value: Value, data_type: DataType) -> Self {
        Expr { kind: ExprKind::Literal(value), data_type, span: Span::NONE }
    }

    /// This expression converted to `data_type`; itself when it has that type.
    pub fn cast(self, data_type: DataType) -> Self {
        if self.data_type == data_type {
            return self;
        }
        let span = self.span;
        Expr { kind: ExprKind::Cast { input: Box::new(self), safe: false }, data_type, span }
    }

    /// The expressions directly under this one.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => Vec::new(),
            ExprKind::Call { arguments, .. } => arguments.iter().collect(),
            ExprKind::Cast { input, .. } | ExprKind::InList { input, .. } | ExprKind::Like { input, .. } => vec![input],
            ExprKind::Compare { left, right, .. } => vec![left, right],
            ExprKind::And(terms) | ExprKind::Or(terms) => terms.iter().collect(),
            ExprKind::Not(input) | ExprKind::IsNull(input) => vec![input],
            ExprKind::Case { branches, otherwise } => {
                let pairs = branches.iter().flat_map(|(condition, result)| [condition, result]);
                pairs.chain(otherwise.as_deref()).collect()
            }
        }
    }

    /// The expressions directly under this one, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => Vec::new(),
            ExprKind::Call { arguments, .. } => arguments.iter_mut().collect(),
            ExprKind::Cast { input, .. } | ExprKind::InList { input, .. } | ExprKind::Like { input, .. } => vec![input],
            ExprKind::Compare { left, right, .. } => vec![left, right],
            ExprKind::And(terms) | ExprKind::Or(terms) => terms.iter_mut().collect(),
            ExprKind::Not(input) | ExprKind::IsNull(input) => vec![input],
            ExprKind::Case { branches, otherwise } => {
                let pairs = branches.iter_mut().flat_map(|(condition, result)| [condition, result]);
                pairs.chain(otherwise.as_deref_mut()).collect()
            }
        }
    }

    /// Calls `visit` with every column position used.
    pub fn visit_columns(&self, visit: &mut impl FnMut(usize)) {
        if let ExprKind::Column(index) = self.kind {
            visit(index);
        }
        for child in self.children() {
            child.visit_columns(visit);
        }
    }

    /// Replaces every column position by `map` of it.
    pub fn map_columns(&mut self, map: &impl Fn(usize) -> usize) {
        if let ExprKind::Column(index) = &mut self.kind {
            *index = map(*index);
        }
        for child in self.children_mut() {
            child.map_columns(map);
        }
    }
}
