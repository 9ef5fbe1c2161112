//! What coordination costs: direct and coordinated runs in one process, in alternating pairs.
//!
//! Machines are shared and noisy, so a figure is the median over pairs of the ratio *within* a pair,
//! and a pair in which neighbours took more than a fiftieth of the time is repeated, as often as
//! there are pairs; when that is not enough, the least disturbed count, and the table says so.
//!
//! Every run of a pair is checked: all rows were read, and the rows written are those of one direct
//! run over all files. A wrong answer ends the measurement.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use corelane::cores::CpuSet;
use corelane::{job, sys};
use corelane_engine::batch::BATCH_ROWS;
use corelane_io::fs::RealDisk;
use corelane_io::generate::Generator;
use tempfile::TempDir;

use crate::case::{Answer, Case, FULL};
use crate::checksum::{self, Checksum};
use crate::coordinated;
use crate::dataset::Dataset;
use crate::direct::Direct;
use crate::report::Figures;

/// Pairs that count, in a full and in a quick run.
const PAIRS: usize = 7;
const PAIRS_QUICK: usize = 3;
/// The share of time that neighbours may take from a pair.
const LOST_MOST: f64 = 0.02;
/// A quick run that has taken this long repeats nothing any more.
const QUICK_REPEATS_UNTIL: Duration = Duration::from_secs(200);
/// The kernel's clock ticks a second, in which it counts stolen time.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Request {
    /// Fewer rows and pairs.
    pub quick: bool,
    /// Which cases.
    pub cases: Vec<&'static Case>,
    /// On how many cores.
    pub cores: Vec<usize>,
    /// Rows of every case; its own number unless said.
    pub rows: Option<u64>,
    /// Where data is kept; it is temporary unless said.
    pub data: Option<PathBuf>,
}

/// Measures what `request` asks for, and gives the figures of each case to `tell` as they come.
pub fn measure(request: &Request, mut tell: impl FnMut(&Figures)) -> Result<()> {
    let allowed: Vec<usize> = CpuSet::allowed().iter().collect();
    let began = Instant::now();
    let mut shelf = Shelf { root: request.data.clone(), current: None };
    for &cores in &request.cores {
        ensure!(cores <= allowed.len(), "{cores} cores were asked for, {} may be used", allowed.len());
        for case in &request.cases {
            let scale = if request.quick { 1000 } else { 1000 * FULL };
            let rows = request.rows.unwrap_or(case.quick_krows * scale);
            let dataset = shelf.take(case.generator, rows, cores)?;
            let may_repeat = || !request.quick || began.elapsed() < QUICK_REPEATS_UNTIL;
            let pairs = if request.quick { PAIRS_QUICK } else { PAIRS };
            let bout = Bout::new(case, dataset, &allowed[..cores])?;
            tell(&bout.fight(pairs, may_repeat).with_context(|| format!("{} on {cores} cores", case.name))?);
        }
    }
    Ok(())
}

/// The data set at hand. Temporary ones go when the next is taken, for there is room for one in the
/// page cache, not for all.
struct Shelf {
    root: Option<PathBuf>,
    current: Option<Shelved>,
}

/// A data set, what it was made for, and where it is if it is temporary.
struct Shelved {
    made_for: (Generator, u64, usize),
    dataset: Dataset,
    /// Goes, with its files, when the data set does.
    _temporary: Option<TempDir>,
}

impl Shelf {
    fn take(&mut self, generator: Generator, rows: u64, files: usize) -> Result<&Dataset> {
        let wanted = (generator, rows, files);
        if self.current.as_ref().is_none_or(|current| current.made_for != wanted) {
            self.current = None;
            let temporary = if self.root.is_none() { Some(TempDir::new()?) } else { None };
            let root = self.root.as_deref().or(temporary.as_ref().map(TempDir::path));
            let dataset = Dataset::prepare(root.expect("one of the two is there"), generator, rows, files)?;
            self.current = Some(Shelved { made_for: wanted, dataset, _temporary: temporary });
        }
        Ok(&self.current.as_ref().expect("was just taken").dataset)
    }
}

/// One case on one number of cores.
struct Bout<'c> {
    case: &'c Case,
    cpus: &'c [usize],
    rows: u64,
    inputs: Vec<String>,
    direct: Direct,
    /// What rows are compared by.
    answer: Answer,
    /// The rows of a direct run over all files.
    expected: Checksum,
    outputs: TempDir,
}

/// One run, of either kind.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    rows_per_s: f64,
    cpu: Duration,
    /// Of all its threads together.
    wall: Duration,
    /// Time that neighbours took.
    lost: Duration,
    involuntary_switches: u64,
    voluntary_switches: u64,
    unexplained: f64,
}

/// Runs next to each other.
#[derive(Clone, Copy, Debug)]
struct Pair {
    direct: Run,
    coordinated: Run,
    forced: Option<Run>,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.coordinated.rows_per_s / self.direct.rows_per_s
    }

    fn ratio_cpu(&self) -> f64 {
        self.direct.cpu.as_secs_f64() / self.coordinated.cpu.as_secs_f64()
    }

    fn lost(&self) -> f64 {
        let lost = self.direct.lost + self.coordinated.lost;
        lost.as_secs_f64() / (self.direct.wall + self.coordinated.wall).as_secs_f64()
    }
}

impl<'c> Bout<'c> {
    fn new(case: &'c Case, dataset: &Dataset, cpus: &'c [usize]) -> Result<Self> {
        let outputs = TempDir::new()?;
        let inputs = dataset.inputs(case);
        let options = coordinated::options(&inputs, cpus, outputs.path(), false)?;
        let program = job::compile(case.sql, &RealDisk::default(), &options)?;
        let direct = Direct::new(&program, &RealDisk::default(), &options)?;
        let answer = if cpus.len() == 1 { Answer::Rows } else { case.answer };
        let mut bout = Bout {
            case,
            cpus,
            rows: dataset.rows(case),
            inputs,
            direct,
            answer,
            expected: Checksum::default(),
            outputs,
        };
        bout.expected = bout.expect()?;
        Ok(bout)
    }

    /// What every run is held to: all files in this thread, untimed.
    fn expect(&self) -> Result<Checksum> {
        let directory = self.output("expected")?;
        let mut file = std::fs::File::create(directory.join("part-0.csv"))?;
        let (rows_in, rows_out) = self.direct.all(&mut file)?;
        ensure!(rows_in == self.rows, "the direct run has read {rows_in} of {} rows", self.rows);
        let expected = checksum::of_directory(&directory, self.answer)?;
        ensure!(expected.rows == rows_out, "{rows_out} rows went out, {} are in the file", expected.rows);
        std::fs::remove_dir_all(&directory)?;
        Ok(expected)
    }

    /// An empty directory. What an earlier run left there goes now, not while the next is timed:
    /// to cut off a file means to give back all its pages.
    fn output(&self, name: &str) -> Result<PathBuf> {
        let directory = self.outputs.path().join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir(&directory)?;
        Ok(directory)
    }

    fn fight(&self, pairs: usize, may_repeat: impl Fn() -> bool) -> Result<Figures> {
        let mut fought: Vec<Pair> = Vec::new();
        let clean = |fought: &[Pair]| fought.iter().filter(|pair| pair.lost() <= LOST_MOST).count();
        while fought.len() < pairs || (clean(&fought) < pairs && fought.len() < 2 * pairs && may_repeat()) {
            fought.push(self.pair(fought.len())?);
        }
        let repeated = fought.len() - pairs;
        fought.sort_by(|one, other| one.lost().total_cmp(&other.lost()));
        fought.truncate(pairs);
        Ok(self.figures(&fought, repeated))
    }

    /// Both kinds of run; who begins alternates, so that neither profits from what drifts.
    fn pair(&self, number: usize) -> Result<Pair> {
        let forced = |bout: &Self| (bout.cpus.len() == 1).then(|| bout.coordinated(true)).transpose();
        Ok(if number.is_multiple_of(2) {
            let direct = self.direct()?;
            Pair { direct, coordinated: self.coordinated(false)?, forced: forced(self)? }
        } else {
            let forced = forced(self)?;
            let coordinated = self.coordinated(false)?;
            Pair { direct: self.direct()?, coordinated, forced }
        })
    }

    fn direct(&self) -> Result<Run> {
        let directory = self.output("direct")?;
        let stolen = sys::steal_ticks();
        let copies = self.direct.copies(self.cpus, &directory)?;
        let mut run = Run { lost: stolen_since(stolen), ..Run::default() };
        for copy in &copies {
            run.rows_per_s += copy.rows_in as f64 / copy.wall.as_secs_f64();
            run.cpu += copy.cpu;
            run.wall += copy.wall;
            // A copy has nothing to wait for: when it does not run, something else does.
            run.lost += copy.wall.saturating_sub(copy.cpu);
            run.involuntary_switches += copy.involuntary_switches;
        }
        let (rows_in, rows_out) = copies.iter().fold((0, 0), |sum, copy| (sum.0 + copy.rows_in, sum.1 + copy.rows_out));
        match copies.len() {
            1 => self.check("the direct run", rows_in, rows_out, &directory)?,
            // Each copy has grouped its own rows.
            _ => ensure!(rows_in == self.rows, "the direct copies have read {rows_in} of {} rows", self.rows),
        }
        Ok(run)
    }

    fn coordinated(&self, force_exchange: bool) -> Result<Run> {
        let (name, what) = if force_exchange {
            ("forced", "the job with --force-exchange")
        } else {
            ("coordinated", "the coordinated run")
        };
        let directory = self.output(name)?;
        let options = coordinated::options(&self.inputs, self.cpus, &directory, force_exchange)?;
        let stolen = sys::steal_ticks();
        let outcome = coordinated::run(self.case, &options)?;
        let lost = stolen_since(stolen) + outcome.descheduled;
        self.check(what, outcome.rows_in, outcome.rows_out, &directory)?;
        Ok(Run {
            rows_per_s: outcome.rows_in as f64 / outcome.wall.as_secs_f64(),
            cpu: outcome.cpu,
            wall: outcome.wall * self.cpus.len() as u32,
            lost,
            involuntary_switches: outcome.involuntary_switches,
            voluntary_switches: outcome.voluntary_switches,
            unexplained: outcome.unexplained,
        })
    }

    fn check(&self, what: &str, rows_in: u64, rows_out: u64, directory: &Path) -> Result<()> {
        ensure!(rows_in == self.rows, "{what} has read {rows_in} of {} rows", self.rows);
        let found = checksum::of_directory(directory, self.answer)?;
        ensure!(found.rows == rows_out, "{what} told of {rows_out} rows and wrote {}", found.rows);
        let expected = self.expected;
        ensure!(found == expected, "{what} gave {found}, a direct run over all files {expected}");
        Ok(())
    }

    fn figures(&self, pairs: &[Pair], repeated: usize) -> Figures {
        let middle = |value: &dyn Fn(&Pair) -> f64| median(pairs.iter().map(value).collect());
        let ratios = || pairs.iter().map(Pair::ratio);
        let forced = pairs.iter().filter_map(|pair| Some(pair.forced?.rows_per_s / pair.direct.rows_per_s));
        let forced: Vec<f64> = forced.collect();
        let batches = self.rows as f64 / BATCH_ROWS as f64;
        let gave_up = |pair: &Pair| pair.coordinated.voluntary_switches as f64 / batches * 1e3;
        let switches = |pair: &Pair| pair.direct.involuntary_switches + pair.coordinated.involuntary_switches;
        Figures {
            case: self.case.name,
            cores: self.cpus.len(),
            rows: self.rows,
            direct_rows_per_s: middle(&|pair| pair.direct.rows_per_s).round(),
            rows_per_s: middle(&|pair| pair.coordinated.rows_per_s).round(),
            ratio: rounded(middle(&Pair::ratio)),
            ratio_min: rounded(ratios().fold(f64::INFINITY, f64::min)),
            ratio_max: rounded(ratios().fold(0.0, f64::max)),
            ratio_cpu: rounded(middle(&Pair::ratio_cpu)),
            unexplained: rounded(middle(&|pair| pair.coordinated.unexplained)),
            rows_out: self.expected.rows,
            checksum: format!("{:016x}", self.expected.sum),
            force_exchange_ratio: (!forced.is_empty()).then(|| rounded(median(forced))),
            pairs: pairs.len(),
            repeated,
            disturbed: pairs.iter().filter(|pair| pair.lost() > LOST_MOST).count(),
            lost: pairs.iter().map(Pair::lost).sum::<f64>() / pairs.len() as f64,
            involuntary_switches: pairs.iter().map(switches).sum(),
            switches_per_1000_batches: middle(&gave_up),
        }
    }
}

fn stolen_since(ticks: u64) -> Duration {
    Duration::from_secs_f64(sys::steal_ticks().saturating_sub(ticks) as f64 / TICKS_PER_SECOND)
}

/// To four places: what comes behind them is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The one in the middle; of an even number the mean of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;

    #[test]
    fn medians() {
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }

    #[test]
    fn direct_and_coordinated_agree_in_every_case_on_one_core() {
        let request =
            Request { quick: true, cases: case::select(&[]).unwrap(), cores: vec![1], rows: Some(5000), data: None };
        let mut names = Vec::new();
        measure(&request, |figures| {
            names.push(figures.case);
            assert!(figures.rows_out > 0 && figures.force_exchange_ratio.is_some());
        })
        .unwrap();
        assert_eq!(names.len(), case::ALL.len());
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let case = case::select(&["S0w".to_owned()]).unwrap()[0];
        let dataset = Dataset::prepare(directory.path(), case.generator, 1000, 1).unwrap();
        let cpus: Vec<usize> = CpuSet::allowed().iter().take(1).collect();
        let mut bout = Bout::new(case, &dataset, &cpus).unwrap();
        bout.pair(0).unwrap();
        bout.expected.sum ^= 1;
        let error = bout.pair(1).unwrap_err().to_string();
        assert!(error.contains("a direct run over all files"), "{error}");
    }
}
