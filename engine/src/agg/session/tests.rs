use std::collections::BTreeMap;

use crate::agg::tests::{Random, aggregate, calls, plan, reference, run, sort_key, values};
use crate::pipeline::local::OutputRow;
use crate::plan::{AggregateCall, ExchangeKind, Window, WindowKind};
use crate::types::Value;

/// Sessions with their bounds in front of key and results, found from each key's rows in order of time.
fn model(rows: &[Vec<Value>], gap: i64, keys: &[usize], calls: &[AggregateCall]) -> Vec<Vec<Value>> {
    let time = |row: &Vec<Value>| match row[2] {
        Value::I64(time) => time,
        _ => unreachable!("the time is never NULL"),
    };
    let mut by_key: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let key: Vec<Value> = keys.iter().map(|&key| row[key].clone()).collect();
        by_key.entry(sort_key(&key)).or_default().push(number);
    }
    let mut sessions = Vec::new();
    for mut of_key in by_key.into_values() {
        of_key.sort_by_key(|&number| time(&rows[number]));
        for session in of_key.chunk_by(|&before, &after| time(&rows[after]) - time(&rows[before]) < gap) {
            let (first, last) = (time(&rows[session[0]]), time(&rows[session[session.len() - 1]]));
            let mut session = session.to_vec();
            session.sort_unstable();
            let session: Vec<Vec<Value>> = session.into_iter().map(|number| rows[number].clone()).collect();
            let bounds = vec![Value::I64(first), Value::I64(last + gap)];
            sessions.push([bounds, reference(&session, None, keys, calls).swap_remove(0)].concat());
        }
    }
    sessions
}

#[test]
fn sessions_equal_the_model_on_any_number_of_shards() {
    for seed in 0..30 {
        let mut random = Random(seed << 32 | 7);
        let count = [0, 1, 700, 3000][random.below(4) as usize];
        let nulls = random.below(3) > 0;
        let rows: Vec<Vec<Value>> = (0..count).map(|number| random.row(number, nulls)).collect();
        let gap = [1, 40, 900, 20_000][random.below(4) as usize];
        let window = Window { kind: WindowKind::Session, ..Window::hop(gap, gap, 0) };
        let keys: &[usize] = [&[][..], &[0], &[0, 1]][random.below(3) as usize];
        let aggregate = aggregate(keys, Some(window), calls());
        let head = 2 + keys.len();
        let mut wanted = model(&rows, gap, keys, &aggregate.calls);
        wanted.sort_by_key(|row| sort_key(&row[..head]));
        for shards in [1, 2, 5] {
            let kind = (shards > 1).then_some(ExchangeKind::Rows);
            let chunk = [1, 63, 1024][random.below(3) as usize];
            let given = run(&plan(&aggregate, kind), &rows, shards, chunk, seed);
            let by_end = |row: &OutputRow| sort_key(&row.values[1..head]);
            assert!(given.iter().all(|rows| rows.is_sorted_by_key(by_end)), "seed {seed}: by end, then key");
            let mut got = values(given.into_iter().flatten().collect());
            got.sort_by_key(|row| sort_key(&row[..head]));
            assert_eq!(got, wanted, "seed {seed}, gap {gap}, {shards} shards");
        }
    }
}
