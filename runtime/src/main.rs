//! The binary `corelane`.

fn main() {
    corelane::sys::watch_signals().expect("signals can be watched");
    let options = match corelane::cli::parse_run(std::env::args()) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            std::process::exit(error.exit_code());
        }
    };
    let script = match &options.script {
        corelane::options::Script::Text(text) => text.clone(),
        corelane::options::Script::File(path) => std::fs::read_to_string(path).expect("readable"),
        corelane::options::Script::Stdin => std::io::read_to_string(std::io::stdin()).expect("readable"),
    };
    let disk = corelane_io::fs::RealDisk;
    let result = corelane::job::compile(&script, &disk, &options)
        .and_then(|program| corelane::job::prepare(program, &disk, &options))
        .and_then(|prepared| {
            eprintln!("{}", corelane_engine::plan::explain(prepared.plan()));
            prepared.run(|_, _| {})
        });
    match result {
        Err(error) => eprint!("{}", corelane_engine::sql::render(&error, &script, "script", false)),
        Ok(finished) => {
            if let Some(error) = &finished.error {
                eprint!("{}", corelane_engine::sql::render(error, &script, "script", false));
            }
            let books: Vec<_> = finished.shards.iter().map(|shard| shard.books.clone()).collect();
            eprintln!("{}", corelane::ledger::table(&books));
            for shard in &finished.shards {
                for source in &shard.sources {
                    eprintln!("{} {:?} {} bytes", source.table, source.counts, source.bytes);
                }
            }
            eprintln!("{:?} {}", finished.elapsed, finished.clocks.engine.summary().line("engine"));
            eprintln!("{}", finished.clocks.window_close.summary().line("window_close"));
            eprintln!("{}", finished.clocks.scheduled.summary().line("scheduled"));
        }
    }
}
