//! Tests of queries as a user writes them: every file in `tests/queries` passes, and wrong ones do not.

use std::path::Path;

use corelane::testing::{self, Golden, Verdict};

fn verdicts(file: &str, text: &str, folder: &Path, update: bool) -> Vec<(String, Verdict)> {
    let options = corelane::cli::parse_run(["corelane", "test"].map(str::to_owned)).unwrap();
    let golden = Golden { folder: folder.to_owned(), update };
    let tests = testing::tests(file, text).unwrap();
    tests.iter().map(|test| (test.name.clone(), testing::run(test, &options, &golden))).collect()
}

#[test]
fn files_of_tests_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/queries");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        for (name, verdict) in verdicts(&file, &std::fs::read_to_string(&path).unwrap(), &folder, false) {
            assert_eq!(verdict, Verdict::Passed, "{file}: {name}");
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} tests");
}

/// Why the one test in `text` did not pass.
fn failure(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    match verdicts("t.sql", text, folder.path(), false).pop() {
        Some((_, Verdict::Failed(why))) => why,
        other => panic!("{other:?}"),
    }
}

const STREAM: &str = "CREATE STREAM s (k STRING, n BIGINT); INSERT INTO s VALUES ('a', 1), ('b', 2), (NULL, 3); ";

#[test]
fn what_is_not_as_asserted_is_told() {
    let missing =
        failure(&format!("{STREAM} CREATE VIEW v AS SELECT k, n FROM s; ASSERT VALUES v VALUES ('a', 1), ('b', 3);"));
    assert!(
        missing.contains("2 expected, 3 found") && missing.contains("- b,3") && missing.contains("+ b,2"),
        "{missing}"
    );
    let none = failure(&format!(
        "{STREAM}\n--@expected.message: zero\nCREATE VIEW v AS SELECT n / 1 AS x FROM s; ASSERT VALUES v VALUES (1), (2), (3);"
    ));
    assert!(none.contains("there was none"), "{none}");
    let width = failure(&format!("{STREAM} CREATE VIEW v AS SELECT k, n FROM s; ASSERT VALUES v (k) VALUES ('a', 1);"));
    assert!(width.contains("has 1 columns, the first row of VALUES 2"), "{width}");
    let unknown = failure(&format!("{STREAM} ASSERT VALUES w VALUES (1);"));
    assert!(unknown.contains("table `w` not found"), "{unknown}");
    let no_file = failure(&format!("{STREAM} CREATE VIEW v AS SELECT k FROM s; ASSERT FILE v 'x.csv';"));
    assert!(no_file.contains("--update writes it"), "{no_file}");
}

#[test]
fn files_are_written_on_demand_and_held_to() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{STREAM} CREATE VIEW v AS SELECT k, n * 2 AS m FROM s; ASSERT FILE v 'v.csv';");
    assert_eq!(verdicts("t.sql", &text, folder.path(), true)[0].1, Verdict::Passed);
    assert_eq!(std::fs::read_to_string(folder.path().join("v.csv")).unwrap(), "k,m\na,2\nb,4\n,6\n");
    assert_eq!(verdicts("t.sql", &text, folder.path(), false)[0].1, Verdict::Passed);
    std::fs::write(folder.path().join("v.csv"), "k,m\na,2\nb,5\n,6\n").unwrap();
    assert!(
        matches!(&verdicts("t.sql", &text, folder.path(), false)[0].1, Verdict::Failed(why) if why.contains("- b,5"))
    );
}
