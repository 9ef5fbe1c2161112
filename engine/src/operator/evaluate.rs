//! The one door from operators to expressions.

pub(crate) use crate::expr::{evaluate, evaluate_predicate};
