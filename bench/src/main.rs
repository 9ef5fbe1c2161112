//! The binary `corelane-bench`: its command line.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use corelane::cores::CpuSet;
use corelane::executor::Kind;
use corelane_bench::{case, growth, overhead, parks, report, ring};

/// Measures Corelane.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Direct against coordinated: what coordination costs, with every result checked.
    Overhead(OverheadFlags),
    /// How long one batch takes at most while a group table grows, every row a new group.
    Growth {
        /// How many groups.
        #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        groups: u64,
        /// How often; memory that the system has not given out before is slower at first.
        #[arg(long, default_value_t = 3)]
        times: u32,
    },
    /// Hops of numbers through the ring between two threads that do not sleep.
    Ring {
        /// How many numbers.
        #[arg(long, default_value_t = 100_000_000)]
        items: u64,
    },
    /// Hops of a number between two shards that sleep whenever they wait.
    Parks {
        /// How many hops.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,
        /// Through glommio instead of plain threads.
        #[arg(long)]
        glommio: bool,
    },
}

#[derive(Debug, clap::Args)]
struct OverheadFlags {
    /// A quarter of the rows, three pairs instead of seven; ends within five minutes.
    #[arg(long)]
    quick: bool,
    /// JSON on standard output even if that is a terminal.
    #[arg(long)]
    json: bool,
    /// Numbers of cores; 1, 2, 4, .. and all there are, unless said.
    #[arg(long, num_args = 1.., value_name = "N", value_parser = parse_cores)]
    cores: Vec<usize>,
    /// Only this case; may be repeated.
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Rows of every case.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1000..))]
    rows: Option<u64>,
    /// Keeps the data here, and uses what is there.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn parse_cores(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&cores| cores > 0).ok_or_else(|| format!("`{text}` is not a number of cores from 1"))
}

fn main() -> ExitCode {
    let done = match Flags::parse().command {
        Command::Overhead(flags) => overhead(flags),
        Command::Ring { items } => ring::hop(items).map(|ns| println!("{items} items, {ns:.2} ns/item")),
        Command::Growth { groups, times } => (0..times).try_for_each(|_| grow(groups)),
        Command::Parks { count, glommio } => parks(count, glommio),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn overhead(flags: OverheadFlags) -> Result<()> {
    let OverheadFlags { quick, json, mut cores, cases, rows, data } = flags;
    if cores.is_empty() {
        let all = CpuSet::allowed().len();
        cores = std::iter::successors(Some(1), |cores| Some(cores * 2)).take_while(|&cores| cores < all).collect();
        cores.push(all);
    }
    let cases = case::select(&cases).map_err(|unknown| anyhow!(unknown))?;
    let json = json || !std::io::stdout().is_terminal();
    eprintln!("{}", report::heading());
    overhead::measure(&overhead::Request { quick, cases, cores, rows, data }, |figures| {
        eprintln!("{}", figures.line());
        if json {
            // The table goes on when nobody reads the JSON any more.
            let _ = writeln!(std::io::stdout(), "{}", figures.json());
        }
    })
}

fn grow(groups: u64) -> Result<()> {
    let growth = growth::grow(groups)?;
    let cpu: f64 = growth.pauses.iter().map(|pause| pause.cpu.as_secs_f64()).sum();
    let at = |share: f64| growth.pauses[((growth.pauses.len() - 1) as f64 * share) as usize];
    println!(
        "{groups} groups, {} MB: {:.0} ns/row on the CPU; a batch of 1024: p50 {:?}, p99 {:?}, p99.9 {:?}, most {:?} \
         at {} groups ({:?} by the clock)",
        growth.bytes >> 20,
        cpu * 1e9 / groups as f64,
        at(0.5).cpu,
        at(0.99).cpu,
        at(0.999).cpu,
        at(1.0).cpu,
        at(1.0).groups,
        at(1.0).wall,
    );
    Ok(())
}

fn parks(count: u64, glommio: bool) -> Result<()> {
    let kind = if glommio { Kind::Glommio } else { Kind::Threads };
    let found = parks::hops(kind, count)?;
    let ns = found.elapsed.as_nanos() as f64 / count as f64;
    println!("{count} hops, {ns:.0} ns/hop, {} parks", found.parks);
    Ok(())
}
