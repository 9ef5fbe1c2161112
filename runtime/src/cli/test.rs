//! `corelane test`: the tests of queries in files, run and told.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use corelane_engine::{Code, Error, Result};

use crate::testing::{self, Golden, Verdict};

/// The arguments of `test`.
#[derive(Debug, Parser)]
#[command(
    name = "corelane test",
    about = "Run the tests of queries in files",
    after_help = "\
A test declares tables without files, inserts rows into them and asserts what queries give:
  --@test: sums
  CREATE STREAM t (k STRING, n BIGINT);
  CREATE VIEW sums AS SELECT k, SUM(n) AS s FROM t GROUP BY k;
  INSERT INTO t VALUES ('a', 1), ('b', 2), ('a', 3);
  ASSERT VALUES sums (k, s) VALUES ('a', 4), ('b', 2);
ASSERT FILE sums 'sums.csv' holds the result against a file. --@expected.error: TEXT says that a test
fails. Ends with status 4 where a test did not pass."
)]
#[allow(missing_docs, reason = "a doc comment becomes the help text; the names say the rest")]
pub struct TestFlags {
    /// Files of tests
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Only tests with this in their name
    #[arg(long)]
    pub only: Option<String>,
    /// Write the files that ASSERT FILE names from what the queries give
    #[arg(long)]
    pub update: bool,
}

/// What is said of all tests, and whether all passed.
pub fn test(flags: &TestFlags) -> Result<(String, bool)> {
    let mut told = String::new();
    let (mut passed, mut failed) = (0, 0);
    let options = super::parse_run(["corelane", "test"].map(str::to_owned))
        .map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    for path in &flags.files {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Error::new(Code::Io, format!("cannot read `{file}`: {cause}")))?;
        let golden = Golden { folder: path.parent().unwrap_or(Path::new("")).to_owned(), update: flags.update };
        for test in testing::tests(&file, &text)? {
            if flags.only.as_ref().is_some_and(|only| !test.name.contains(only)) {
                continue;
            }
            match testing::run(&test, &options, &golden) {
                Verdict::Passed => {
                    passed += 1;
                    let _ = writeln!(told, "ok      {file}: {}", test.name);
                }
                Verdict::Failed(why) => {
                    failed += 1;
                    let why = why.trim_end().replace('\n', "\n        ");
                    let _ = writeln!(told, "FAILED  {file}: {}\n        {why}", test.name);
                }
            }
        }
    }
    if passed + failed == 0 {
        let error = Error::new(Code::BadOption, "no test was run");
        return Err(match &flags.only {
            Some(only) => error.help(format!("no test has `{only}` in its name")),
            None => error,
        });
    }
    let _ = writeln!(told, "{passed} passed, {failed} failed");
    Ok((told, failed == 0))
}
