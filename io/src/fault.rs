//! Places at which a process can be made to die, so that a test can kill it there.
//!
//! `CORELANE_FAULT=name:3` aborts the process when it comes to the place `name` for the third time.
//! Without the variable a place costs one look at a pointer. All of them stand in [`POINTS`], so that
//! a test can walk them; one that is not listed does not compile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every place, in the order in which a run comes to them.
pub const POINTS: &[&str] = &[
    "job.before-write",
    "job.after-write",
    "job.after-sync",
    "job.after-rename",
    "job.after-names",
    "output.before-make",
    "output.after-make",
    "output.before-append",
    "output.after-append",
    "part.before-make",
    "part.after-make",
    "part.before-append",
    "part.after-append",
    "epoch.before-call",
    "epoch.after-call",
    "barrier.at-source",
    "barrier.at-exchange",
    "state.before-save",
    "state.after-save",
    "writer.before-cut",
    "writer.after-cut",
    "state.before-write",
    "epoch.before-commit",
    "output.before-sync",
    "output.after-sync",
    "part.before-sync",
    "part.after-sync",
    "part.before-names",
    "part.after-names",
    "state.after-write",
    "state.after-sync",
    "manifest.before-write",
    "manifest.after-write",
    "manifest.after-sync",
    "manifest.after-rename",
    "manifest.after-names",
    "length.before-write",
    "length.after-write",
    "length.after-sync",
    "length.after-rename",
    "part.before-rename",
    "part.after-rename",
    "part.before-settle",
    "part.after-settle",
    "settle.before-write",
    "settle.after-write",
    "settle.after-names",
    "remove.before-manifest",
    "remove.after-manifest",
    "remove.after-names",
    "remove.before-folder",
    "remove.after-folder",
    "end.before-commit",
    "end.after-commit",
    "resume.after-open",
    "resume.after-read",
    "resume.before-cut",
    "resume.after-cut",
    "resume.before-part",
    "resume.after-part",
    "resume.before-orphan",
    "resume.after-orphan",
    "resume.after-restore",
];

/// Dies here if that was asked for.
#[macro_export]
macro_rules! fault {
    ($name:literal) => {{
        const { assert!($crate::fault::is_listed($name), "the place is not in POINTS") };
        $crate::fault::reach($name);
    }};
}

/// Whether `name` is one of [`POINTS`].
pub const fn is_listed(name: &str) -> bool {
    let mut at = 0;
    while at < POINTS.len() {
        if is_same(POINTS[at].as_bytes(), name.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A place at which to die, and the visits that are left until then.
struct Armed {
    name: String,
    left: AtomicU64,
}

fn armed() -> &'static Result<Option<Armed>, String> {
    static ARMED: OnceLock<Result<Option<Armed>, String>> = OnceLock::new();
    ARMED.get_or_init(|| match std::env::var("CORELANE_FAULT") {
        Ok(text) => parse(&text).map(Some),
        Err(_) => Ok(None),
    })
}

fn parse(text: &str) -> Result<Armed, String> {
    let (name, hit) = text.split_once(':').unwrap_or((text, "1"));
    if !is_listed(name) {
        return Err(format!("CORELANE_FAULT: there is no place `{name}`"));
    }
    match hit.parse() {
        Ok(hit @ 1..) => Ok(Armed { name: name.to_owned(), left: AtomicU64::new(hit) }),
        _ => Err(format!("CORELANE_FAULT: `{hit}` is not a count of visits from 1")),
    }
}

/// What is wrong with the variable, if anything.
pub fn check() -> Result<(), String> {
    armed().as_ref().map(drop).map_err(Clone::clone)
}

/// The process is at the place `name`; see [`fault!`](crate::fault!).
#[inline]
pub fn reach(name: &str) {
    if let Ok(Some(armed)) = armed()
        && armed.name == name
        && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_once_and_counted_from_one() {
        let mut names = POINTS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), POINTS.len());
        assert_eq!(parse("job.after-sync:3").unwrap().left.into_inner(), 3);
        assert_eq!(parse("job.after-sync").unwrap().left.into_inner(), 1);
        for wrong in ["job", "job.after-sync:0", "job.after-sync:x", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
