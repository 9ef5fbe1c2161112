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
        &["first", "earliest_by_offset", "any_value"],
        "values of any type",
        "The first in order of the input.",
    ),
    row(F::Last, "last_value", &["last", "latest_by_offset"], "values of any type", "The last in order of the input."),
    row(F::VarPop, "var_pop", &["var_population"], "numbers", "Variance of all there are."),
    row(
        F::VarSamp,
        "variance",
        &["var_samp", "var", "var_sample"],
        "numbers",
        "Variance, from a sample; NULL for one number.",
    ),
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
    row(F::Corr, "corr", &[], "two numbers", "Correlation of the two."),
    row(F::CovarPop, "covar_pop", &[], "two numbers", "Covariance of all there are."),
    row(F::CovarSamp, "covar_samp", &["covar"], "two numbers", "Covariance, from a sample; NULL for one pair."),
    row(F::RegrSlope, "regr_slope", &[], "y, and x", "Slope of the line nearest to the points."),
    row(F::RegrIntercept, "regr_intercept", &[], "y, and x", "Where that line meets x = 0."),
    row(F::RegrR2, "regr_r2", &[], "y, and x", "Square of the correlation."),
    row(
        F::ArgMin,
        "arg_min",
        &["min_by"],
        "a value, and what is compared",
        "The value where the other is least; the first of equals.",
    ),
    row(
        F::ArgMax,
        "arg_max",
        &["max_by"],
        "a value, and what is compared",
        "The value where the other is greatest; the first of equals.",
    ),
    row(
        F::PercentileCont,
        "percentile_cont",
        &["quantile_cont", "approx_percentile_cont"],
        "numbers, and a share like 0.95; or (share) WITHIN GROUP (ORDER BY numbers)",
        "The number at that share of them in order, between two if need be.",
    ),
    row(
        F::PercentileDisc,
        "percentile_disc",
        &["quantile_disc", "approx_percentile"],
        "values, and a share like 0.95; or (share) WITHIN GROUP (ORDER BY values)",
        "The first value that this share of them does not pass; exact.",
    ),
    row(
        F::PercentileCont,
        "median",
        &["approx_median"],
        "numbers",
        "The middle one, or the mean of the two in the middle.",
    ),
    row(
        F::StringAgg,
        "string_agg",
        &["listagg", "group_concat"],
        "text, and what to put between",
        "The texts in order of the input; with a comma between if nothing is said.",
    ),
    row(
        F::ArrayAgg,
        "array_agg",
        &["collect_list", "group_array", "list"],
        "a value, which may have DISTINCT before and ORDER BY behind it",
        "All values as an array, NULLs with them, in order of the input or of ORDER BY.",
    ),
    row(
        F::MapAgg,
        "map_agg",
        &["object_agg", "json_objectagg"],
        "a key and a value",
        "The entries as a map; of one key the last, and none of a key that is NULL.",
    ),
    row(
        F::TopK,
        "topk",
        &["top_k"],
        "a value, and how many",
        "The greatest values that are not NULL as an array, the greatest first.",
    ),
    row(
        F::Count,
        "approx_count_distinct",
        &["uniq", "approx_distinct"],
        "any value",
        "How many different values there are; counted exactly.",
    ),
];

/// The aggregate called `name` (in lower case).
pub fn find(name: &str) -> Option<AggregateFunction> {
    let named = |known: &&(F, Description)| known.1.name == name || known.1.aliases.contains(&name);
    TABLE.iter().find(named).map(|(function, _)| *function)
}

/// Whether the aggregate called `name` looks at every different value once without being told.
pub fn is_of_different_values(name: &str) -> bool {
    let known = TABLE.iter().find(|(_, known)| known.name == "approx_count_distinct");
    known.is_some_and(|(_, known)| known.name == name || known.aliases.contains(&name))
}

/// All of them, for documentation.
pub fn describe() -> impl Iterator<Item = Description> {
    TABLE.iter().map(|(_, description)| *description)
}

/// Every name, aliases included.
pub fn names() -> impl Iterator<Item = &'static str> {
    describe().flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()))
}
