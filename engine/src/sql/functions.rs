//! What can be called, and the nearest name to one that cannot.

use super::suggest::nearest;
use crate::agg::functions as aggregates;
use crate::expr::functions::{self as scalars, Description};

const fn form(
    name: &'static str,
    aliases: &'static [&'static str],
    signature: &'static str,
    doc: &'static str,
) -> Description {
    Description { name, aliases, signature, doc, example: None }
}

/// Calls that the binder turns into CASE or a constant.
const FORMS: [Description; 11] = [
    form("coalesce", &["ifnull", "nvl"], "values of one type", "The first that is not NULL."),
    form("nvl2", &[], "three values", "The second if the first is not NULL, else the third."),
    form("nanvl", &[], "two numbers", "The first; the second where the first is NaN."),
    form("nullif", &[], "two values", "The first; NULL if they are equal."),
    form("if", &["iif"], "a condition and two values", "The first value if it is TRUE, else the second."),
    form("cast", &["try_cast"], "(x AS type)", "The value as another type; TRY_CAST gives NULL where it cannot be."),
    form("extract", &[], "(unit FROM time)", "One part of a time, as date_part."),
    form(
        "grouping",
        &["grouping_id"],
        "keys",
        "A bit per key, the last one lowest: 1 where the row's grouping set leaves it out.",
    ),
    form("now", &["current_timestamp", "localtimestamp"], "nothing", "When the run began."),
    form(
        "proctime",
        &["now64"],
        "nothing",
        "When the row was read, by the clock of its shard; windows over it close by that clock (--clock).",
    ),
    form("current_date", &[], "nothing", "The day the run began."),
];

/// A kind of function, as it is said in a listing, and those of the kind in order of the table.
pub type Family = (&'static str, Vec<Description>);

/// Everything that can be called, by kind.
pub fn families() -> Vec<Family> {
    vec![
        ("scalar", FORMS.into_iter().chain(scalars::describe()).collect()),
        ("aggregate", aggregates::describe().collect()),
        ("before OVER, with the aggregates", super::over::TABLE.to_vec()),
    ]
}

fn names() -> Vec<&'static str> {
    let all = families().into_iter().flat_map(|(_, known)| known);
    let names = all.flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()));
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())).collect()
}

/// The name nearest to `name`, where one is near enough to be meant.
pub fn nearest_function(name: &str) -> Option<&'static str> {
    nearest(name, names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_but_for_those_that_may_stand_before_over() {
        let mut names = names();
        names.sort_unstable();
        let twice: Vec<&str> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        assert_eq!(twice, Vec::<&str>::new());
        assert_eq!(nearest_function("regexp_replcae"), Some("regexp_replace"));
        assert_eq!(nearest_function("medain_of_all"), None);
    }
}
