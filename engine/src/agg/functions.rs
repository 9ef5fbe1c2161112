//! The table of aggregates: names, what each takes, a line of documentation.

use crate::expr::functions::Description;
use crate::plan::AggregateFunction;
use AggregateFunction as F;

const fn row(
    function: F,
    name: &'static str,
    aliases: &'static [&'static str],
    signature: &'static str,
    doc: &'static str,
) -> (F, Description) {
    (function, Description { name, aliases, signature, doc, example: None })
}

const TABLE: &[(F, Description)] = &[
    row(F::Count, "count", &[], "`*`, or any value", "Rows, or those in which the value is not NULL."),
    row(F::Sum, "sum", &[], "numbers", "Sum; exact for integers and decimals."),
    row(F::Avg, "avg", &["mean"], "numbers", "Mean; exact to max(6, s) digits for decimals."),
    row(F::Min, "min", &[], "values of any type", "The least."),
    row(F::Max, "max", &[], "values of any type", "The greatest."),
    row(
        F::First,
        "first_value",
        &["first", "earliest_by_offset"],
        "values of any type",
        "The first in order of the input.",
    ),
    row(F::Last, "last_value", &["last", "latest_by_offset"], "values of any type", "The last in order of the input."),
    row(F::VarPop, "var_pop", &[], "numbers", "Variance of all there are."),
    row(F::VarSamp, "variance", &["var_samp"], "numbers", "Variance, from a sample; NULL for one number."),
    row(F::StddevPop, "stddev_pop", &[], "numbers", "Standard deviation of all there are."),
    row(
        F::StddevSamp,
        "stddev",
        &["stddev_samp"],
        "numbers",
        "Standard deviation, from a sample; NULL for one number.",
    ),
    row(F::BoolAnd, "bool_and", &["every"], "conditions", "Whether all are TRUE."),
    row(F::BoolOr, "bool_or", &[], "conditions", "Whether one is TRUE."),
];

/// The aggregate called `name` (in lower case).
pub fn find(name: &str) -> Option<AggregateFunction> {
    let named = |known: &&(F, Description)| known.1.name == name || known.1.aliases.contains(&name);
    TABLE.iter().find(named).map(|(function, _)| *function)
}

/// All of them, for documentation.
pub fn describe() -> impl Iterator<Item = Description> {
    TABLE.iter().map(|(_, description)| *description)
}

/// Every name, aliases included.
pub fn names() -> impl Iterator<Item = &'static str> {
    describe().flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()))
}
