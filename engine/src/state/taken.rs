//! State that is taken in parts, while rows go on coming, is the state of the point where saving began.

use bumpalo::Bump;

use super::tests::{HOLDING, Recorded, TABLE, pipeline, plan, rows, scan};
use super::{Part, Section};
use crate::agg::tests::Random;
use crate::batch::Batch;
use crate::operator::{Context, Time};
use crate::pipeline::Pipeline;
use crate::plan::Plan;
use crate::stage::Ledger;

/// Queries whose groups are taken in parts.
const GROUPS: [&str; 9] = [
    HOLDING[0],
    HOLDING[1],
    "SELECT k, t, COUNT(*) AS n, SUM(x) AS s, MIN(x) AS m FROM r GROUP BY k, t",
    "SELECT COUNT(*) AS n, COUNT(DISTINCT ts) AS d, COUNT(DISTINCT t) FILTER (WHERE x > 1) AS e, AVG(x) AS a FROM r",
    "SELECT k, x, COUNT(t) AS n, MAX(t) AS m, COUNT(DISTINCT t) AS d FROM r GROUP BY k, x",
    "SELECT k, t, x, window_end, COUNT(ms) AS n, MEDIAN(x) AS m FROM TUMBLE(r, ts, INTERVAL '10' MINUTE) \
     GROUP BY k, t, x, window_start, window_end",
    "SELECT k, t, COUNT(*) AS n, SUM(x) AS s, COUNT(DISTINCT x) AS d FROM r GROUP BY k, t EMIT CHANGES",
    "SELECT k, t, COUNT(*) AS n, MAX(x) AS s FROM TUMBLE(r, ts, INTERVAL '5' MINUTE) \
     GROUP BY k, t, window_start, window_end EMIT CHANGES",
    "SELECT n, COUNT(*) AS c, SUM(n) AS s, COUNT(t) AS d FROM (SELECT k, t, x, COUNT(*) AS n FROM r GROUP BY k, t, x) \
     GROUP BY n EMIT CHANGELOG",
];

fn feed(pipeline: &mut Pipeline, plan: &Plan, (batch, watermark): &(Batch, Time), out: &mut Recorded) {
    let (ledger, entry, scratch) = (Ledger::idle(), scan(plan), Bump::new());
    let context = Context { scratch: &scratch, ledger: &ledger };
    pipeline.push(entry, &batch.chunk(&scratch), &context, out).expect("no row is bad");
    while pipeline.drain(entry, &context, out).expect("no row is bad") {}
    if pipeline.takes_turns() {
        pipeline.turn(entry, &context, out).expect("no row is bad");
        while pipeline.drain(entry, &context, out).expect("no row is bad") {}
    }
    pipeline.watermark(entry, *watermark, &context, out).expect("no row is bad");
    while pipeline.drain(entry, &context, out).expect("no row is bad") {}
}

fn finish(pipeline: &mut Pipeline, plan: &Plan, mut between: impl FnMut(&mut Pipeline), out: &mut Recorded) {
    let (ledger, entry, scratch) = (Ledger::idle(), scan(plan), Bump::new());
    let context = Context { scratch: &scratch, ledger: &ledger };
    pipeline.finish(entry, &context, out).expect("no row is bad");
    while pipeline.drain(entry, &context, out).expect("no row is bad") {
        between(pipeline);
    }
}

/// All rows behind those of `from` steps, by a pipeline that goes on with `sections`.
fn rest(plan: &Plan, sections: &[Section], table: &[(Batch, Time)]) -> Recorded {
    let (mut pipeline, mut out) = (pipeline(plan), Recorded::default());
    pipeline.restore(sections).expect("the state is good");
    table.iter().for_each(|step| feed(&mut pipeline, plan, step, &mut out));
    finish(&mut pipeline, plan, |_| {}, &mut out);
    out
}

fn take(pipeline: &mut Pipeline, most: usize, parts: &mut Vec<Part>) {
    parts.extend(std::iter::from_fn(|| pipeline.save_part()).take(most));
}

/// At every step saving begins, and its parts are taken few or many at a time while later steps are made.
#[test]
fn parts_taken_between_rows_are_the_state_of_before() {
    for query in GROUPS {
        let plan = plan(&format!("{TABLE}{query}"), 1);
        let table = rows(&plan, 400, 17);
        let mut random = Random(17);
        let mut most_parts = 0;
        for begun in 0..table.len() {
            for pace in [0, 1, 2, 5] {
                let (mut pipeline, mut out) = (pipeline(&plan), Recorded::default());
                table[..begun].iter().for_each(|step| feed(&mut pipeline, &plan, step, &mut out));
                let before = std::mem::take(&mut out);
                let mut sections = pipeline.begin_save().expect("nothing is due");
                let mut parts = Vec::new();
                for step in &table[begun..] {
                    // Some rows come before the first part is taken.
                    take(&mut pipeline, random.below(pace + 1) as usize, &mut parts);
                    feed(&mut pipeline, &plan, step, &mut out);
                }
                finish(
                    &mut pipeline,
                    &plan,
                    |pipeline| take(pipeline, random.below(pace + 1) as usize, &mut parts),
                    &mut out,
                );
                take(&mut pipeline, usize::MAX, &mut parts);
                assert!(!pipeline.is_saving() && pipeline.save_part().is_none());
                most_parts = most_parts.max(parts.len());
                sections.extend(parts.iter().map(Part::section));
                let again = rest(&plan, &sections, &table[begun..]);
                assert_eq!(again, out, "begun at {begun}, pace {pace}: {query}");
                assert!(begun > 0 || before.is_empty());
            }
        }
        assert!(most_parts > 1, "{query}: {most_parts} parts");
    }
}

/// Saving again right after all is taken, with rows in between, and without.
#[test]
fn one_point_after_another_is_saved() {
    for query in GROUPS {
        let plan = plan(&format!("{TABLE}{query}"), 1);
        let table = rows(&plan, 400, 13);
        let (mut pipeline, mut out) = (pipeline(&plan), Recorded::default());
        let mut saved: Vec<(usize, Vec<Section>, usize)> = Vec::new();
        let mut random = Random(3);
        for (number, step) in table.iter().enumerate() {
            if !pipeline.is_saving() {
                saved.push((number, pipeline.begin_save().expect("nothing is due"), out.len()));
                assert!(pipeline.begin_save().is_err(), "one after the other");
            }
            feed(&mut pipeline, &plan, step, &mut out);
            let mut parts = Vec::new();
            take(&mut pipeline, random.below(3) as usize, &mut parts);
            saved.last_mut().expect("it has begun").1.extend(parts.iter().map(Part::section));
        }
        finish(&mut pipeline, &plan, |_| {}, &mut out);
        let last = saved.pop().expect("it has begun");
        assert!(saved.len() > 2, "{query}: {}", saved.len());
        for (number, sections, rows) in &saved {
            let expected = out.from(*rows);
            assert_eq!(rest(&plan, sections, &table[*number..]), expected, "from {number}: {query}");
        }
        assert!(last.0 < table.len());
    }
}
