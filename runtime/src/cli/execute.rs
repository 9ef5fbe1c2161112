//! A parsed command carried out: the one place that knows what ends with which status.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use corelane_engine::sql::{Explain, Program};
use corelane_engine::{Code, Error, Result, plan};
use corelane_io::fault;
use corelane_io::fs::RealDisk;
use corelane_io::generate::{Generator, Request, write_files};

use super::command::{self, Command, GenFlags};
use super::errors;
use super::exit::Exit;
use super::functions::functions;
use super::recovery::{self, Resumed};
use super::schema::schema;
use super::test::test;
use crate::job::{self, Finished, tell};
use crate::latency::{Interval, write_hgrm, write_hlog, write_json};
use crate::options::{Options, Script};
use crate::progress::Progress;
use crate::report::report;
use crate::stats::Stats;
use crate::{cores, sys};

/// How wide the report is where it goes to no terminal.
const COLUMNS: usize = 120;

/// Writes to standard error, which may be gone or full: talk is never worth a failure.
pub fn talk(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Carries out `command` and returns the status the process ends with.
pub fn execute(command: Command) -> u8 {
    match command {
        Command::Run(options) => run(&options),
        Command::Explain(options) => explain(&options),
        Command::Check(options) => check(&options),
        Command::Gen(flags) => plain(generate(&flags)),
        Command::Schema(flags) => plain(schema(&flags.files, &RealDisk::default())),
        Command::Functions(flags) => plain(functions(flags.name.as_deref())),
        Command::Test(flags) => match test(&flags) {
            Ok((told, true)) => plain(Ok(told)),
            Ok((told, false)) => plain(Ok(told)).max(Exit::TestFailed.status()),
            Err(error) => plain(Err(error)),
        },
        Command::Cores => plain(Ok(cores::cores_report())),
        Command::Latency(flags) => plain(latency(&flags.file)),
        Command::Completions(flags) => plain(Ok(String::from_utf8_lossy(&command::completions(&flags)).into_owned())),
    }
}

/// Prints what a subcommand without rows says. The reader of standard output may go away.
fn plain(result: Result<String>) -> u8 {
    match result {
        Ok(text) => {
            let text = if text.ends_with('\n') || text.is_empty() { text } else { text + "\n" };
            let mut out = io::stdout();
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
                    talk(&format!("error: cannot write standard output: {cause}\n"));
                    Exit::Failed.status()
                }
                _ => Exit::Done.status(),
            }
        }
        Err(error) => {
            let color = errors::colored(crate::options::When::Auto, io::stderr().is_terminal());
            talk(&errors::render(&error, "", "", crate::options::ErrorFormat::Text, color));
            Exit::Refused.status()
        }
    }
}

/// A script and the name errors call it by.
struct Text {
    sql: String,
    name: String,
}

fn read_script(script: &Script) -> Result<Text> {
    let cannot = |name: &str, cause: io::Error| Error::new(Code::Io, format!("cannot read {name}: {cause}"));
    match script {
        Script::Text(sql) => Ok(Text { sql: sql.clone(), name: "SQL".to_owned() }),
        Script::Stdin => {
            let sql = io::read_to_string(io::stdin()).map_err(|cause| cannot("standard input", cause))?;
            Ok(Text { sql, name: "standard input".to_owned() })
        }
        Script::File(path) => {
            let name = path.display().to_string();
            let sql = fs::read_to_string(path).map_err(|cause| cannot(&format!("`{name}`"), cause))?;
            Ok(Text { sql, name })
        }
    }
}

fn print_error(error: &Error, text: &Text, options: &Options) {
    let color = errors::colored(options.color, io::stderr().is_terminal());
    talk(&errors::render(error, &text.sql, &text.name, options.error_format, color));
}

/// Reads the script and does `act` with it; what it refuses is printed.
fn with_script(options: &Options, act: impl FnOnce(&Text) -> Result<u8>) -> u8 {
    let text = match read_script(&options.script) {
        Ok(text) => text,
        Err(error) => {
            print_error(&error, &Text { sql: String::new(), name: String::new() }, options);
            return Exit::Refused.status();
        }
    };
    act(&text).unwrap_or_else(|error| {
        print_error(&error, &text, options);
        Exit::Refused.status()
    })
}

fn explain(options: &Options) -> u8 {
    with_script(options, |text| {
        let program = job::compile(&text.sql, &RealDisk::default(), options)?;
        Ok(plain(Ok(explained(&program, options)?)))
    })
}

/// The plan as it would run on as many shards as `options` ask for; no file is opened for it.
fn explained(program: &Program, options: &Options) -> Result<String> {
    let shards = job::shards(options)?.0;
    let distribution = plan::Distribution { shards, force_exchange: options.force_exchange, ordered: options.ordered };
    let plan = plan::distribute(program.plan.clone(), &distribution)?;
    Ok(format!("{}shards: {shards}\n", plan::explain(&plan)))
}

fn check(options: &Options) -> u8 {
    with_script(options, |text| job::compile(&text.sql, &RealDisk::default(), options).map(|_| Exit::Done.status()))
}

fn run(options: &Options) -> u8 {
    with_script(options, |text| {
        sys::raise_file_limit();
        fault::check().map_err(|what| Error::new(Code::BadOption, what))?;
        let disk = RealDisk::default();
        let mut resumed = Resumed::open(options)?;
        let options = &resumed.options(options);
        let now_us = resumed.opened.as_ref().map_or_else(|| job::begins_at(options), |opened| opened.job.now_us);
        let program = job::compile_at(&text.sql, &disk, options, now_us)?;
        if program.explain == Some(Explain::Plan) {
            return Ok(plain(Ok(explained(&program, options)?)));
        }
        if let Some(shown) = &program.shown {
            let status = plain(Ok(shown.clone()));
            if status != Exit::Done.status() || program.plan.nodes.is_empty() {
                return Ok(status);
            }
        }
        if program.plan.nodes.is_empty() {
            let error = Error::new(Code::Syntax, "the script runs nothing");
            return Err(error.help("end it with a SELECT, or INSERT INTO a table"));
        }
        let analyzed = program.explain == Some(Explain::Analyze);
        let nowhere = analyzed.then(|| Options { output: Some("/dev/null".into()), ..options.clone() });
        let mut prepared = job::prepare(program, &disk, nowhere.as_ref().unwrap_or(options))?;
        if let Some(said) = resumed.prepare(&mut prepared, options, now_us)? {
            talk(&format!("{said}\n"));
            return Ok(Exit::Done.status());
        }
        if !options.quiet {
            prepared.notes.iter().for_each(|note| talk(&format!("note: {note}\n")));
        }
        let described = tell::Described::new(&prepared);
        let plan = analyzed.then(|| prepared.plan().clone());
        // Until here a signal ends the process at once: opening a pipe may wait for ever.
        if let Err(cause) = sys::watch_signals() {
            return Err(Error::new(Code::Io, format!("cannot watch signals: {cause}")));
        }
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let progress = Progress::new(options.progress, options.quiet);
        let finished = prepared.run(|gauges, elapsed| {
            let (rows, bytes) = gauges.read();
            progress.show(rows, bytes, elapsed);
            if sys::report_asked() {
                let rate = rows as f64 / elapsed.as_secs_f64().max(1e-9);
                let seconds = elapsed.as_secs_f64();
                talk(&format!("so far: {rows} rows, {bytes} bytes in {seconds:.1} s, {rate:.0} rows/s\n"));
            }
        });
        progress.clear();
        let finished = finished?;
        let stats = tell::stats(&described, &finished, &text.sql);
        if !options.quiet {
            let columns = sys::terminal_columns(io::stderr().as_fd()).unwrap_or(COLUMNS);
            talk(&report(&stats, options.ledger, columns));
            finished.kept.iter().for_each(|kept| talk(&format!("{}\n", recovery::kept(kept))));
        }
        if let Some(plan) = plan {
            let rows: Vec<u64> = stats.operators.iter().map(|operator| operator.rows_out).collect();
            let text = format!("{}shards: {}\n", plan::analyzed(&plan, &rows), stats.shards.len());
            if plain(Ok(text)) != Exit::Done.status() {
                return Ok(Exit::Failed.status());
            }
        }
        let written = write_files_asked(options, &stats, &finished, began);
        if let Some(error) = &finished.error {
            print_error(error, text, options);
        }
        if let Err(error) = written {
            print_error(&error, text, options);
            return Ok(Exit::Failed.status());
        }
        Ok(exit(&finished).status())
    })
}

/// With which status a run ends.
fn exit(finished: &Finished) -> Exit {
    match &finished.error {
        _ if finished.too_many_bad => Exit::TooManyErrors,
        Some(_) => Exit::Failed,
        None if finished.reader_gone => Exit::Done,
        None => finished.signal.map_or(Exit::Done, |signal| Exit::Signal(signal as u8)),
    }
}

/// Writes the statistics and latencies to the files asked for.
fn write_files_asked(options: &Options, stats: &Stats, finished: &Finished, began: f64) -> Result<()> {
    let clocks = &finished.clocks;
    let write = |path: &Path, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let result = File::create(path).map(io::BufWriter::new).and_then(|mut file| {
            write(&mut file)?;
            file.flush()
        });
        result.map_err(|cause| Error::new(Code::Io, format!("cannot write `{}`: {cause}", path.display())))
    };
    if let Some(path) = &options.stats_json {
        write(path, &|out| {
            serde_json::to_writer_pretty(&mut *out, stats)?;
            writeln!(out)
        })?;
    }
    if let Some(path) = &options.latency_json {
        write(path, &|out| write_json(out, &clocks.named()))?;
    }
    if let Some(path) = &options.latency_hgrm {
        // The clock that says most: the schedule where there is one, then rows, then windows.
        let order = [&clocks.scheduled, &clocks.engine, &clocks.window_close];
        let told = order.into_iter().find(|clock| !clock.histogram().is_empty()).unwrap_or(&clocks.engine);
        write(path, &|out| write_hgrm(out, told.histogram()))?;
    }
    if let Some(path) = &options.latency_hlog {
        let mut intervals = Vec::new();
        for (number, shard) in finished.shards.iter().enumerate() {
            let recorded = shard.clocks.named().into_iter().filter(|(_, clock)| !clock.histogram().is_empty());
            intervals.extend(recorded.map(|(name, clock)| Interval {
                tag: format!("{name}-shard{number}"),
                start: std::time::Duration::ZERO,
                length: finished.elapsed,
                histogram: clock.histogram().clone(),
            }));
        }
        write(path, &|out| write_hlog(out, began, &intervals))?;
    }
    Ok(())
}

fn generate(flags: &GenFlags) -> Result<String> {
    let (name, within) =
        flags.name.split_once(':').map_or((&*flags.name, None), |(name, flavour)| (name, Some(flavour)));
    let generator = Generator::parse(name, flags.flavour.as_deref().or(within))?;
    let request = Request {
        generator,
        rows: flags.rows,
        shards: flags.shards as u64,
        seed: flags.seed,
        directory: flags.output.clone(),
    };
    let files = write_files(&request)?;
    let lines = files
        .iter()
        .map(|file| format!("{}  {} rows, {} bytes\n", flags.output.join(&file.name).display(), file.rows, file.bytes));
    Ok(lines.collect())
}

fn latency(path: &Path) -> Result<String> {
    let named = |cause: String| Error::new(Code::Input, format!("`{}`: {cause}", path.display()));
    let text = fs::read_to_string(path).map_err(|cause| named(cause.to_string()))?;
    command::latency(&text).map_err(named)
}
