//! Where results go: standard output, one merged file, one file per shard, or nowhere.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corelane_engine::plan::{Changelog, Node, NodeId, Operator, Plan, Sink, SinkOrder};
use corelane_engine::sql::{Program, Table, TableOption};
use corelane_engine::{Code, Error, Result};
use corelane_io::durable::{RealTree, Tree};
use corelane_io::format::{Assembler, Buffer, Format, Formatter};
use corelane_io::order::OrderKeys;
use corelane_io::source::Source;

use super::Bells;
use super::catalog::read_options;
use crate::checkpoint::Recovery;
use crate::checkpoint::job::{Parts, Places};
use crate::checkpoint::record::SinkStanding;
use crate::options::{Options, parse_size};
use crate::pace::Pace;
use crate::partitions::{OPEN_MOST, Partitioning, Partitions, Place};
use crate::ring::ring;
use crate::sink::{BLOCKS_OUT, Destination, ShardSink};
use crate::writer::{Merged, Target, TextLane};

/// Where one sink's rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output, merged.
    Stdout,
    /// One file, merged.
    File(PathBuf),
    /// A directory, one file per shard.
    Directory(PathBuf),
    /// A directory, folders named by the rows' values.
    Partitioned(Partitioning),
    /// Nowhere: formatted and counted only.
    Nowhere,
}

/// The outputs of a plan, by number of sink.
pub struct Outputs {
    list: Vec<(Output, Format)>,
}

/// The format where nothing says one: a table on a terminal, else NDJSON.
pub fn default_format(output: &Output) -> Format {
    match output {
        Output::Stdout if std::io::stdout().is_terminal() => Format::Table,
        Output::Stdout => Format::Ndjson,
        Output::File(path) => Format::of_path(&path.to_string_lossy()).unwrap_or(Format::Ndjson),
        Output::Directory(_) | Output::Partitioned(_) | Output::Nowhere => Format::Csv,
    }
}

impl Output {
    fn parse(path: Option<&Path>) -> Output {
        let Some(path) = path else { return Output::Stdout };
        let text = path.to_string_lossy();
        match &*text {
            "-" | "/dev/stdout" => Output::Stdout,
            "/dev/null" => Output::Nowhere,
            _ if text.ends_with('/') || path.is_dir() => Output::Directory(path.to_owned()),
            _ => Output::File(path.to_owned()),
        }
    }

    /// The files that a run would replace, as far as they exist.
    fn files(&self, format: Format) -> Vec<PathBuf> {
        match self {
            Output::Stdout | Output::Partitioned(_) | Output::Nowhere => Vec::new(),
            Output::File(path) => vec![path.clone()],
            Output::Directory(path) => {
                (0..).map(|shard| part(path, shard, format)).take_while(|part| part.exists()).collect()
            }
        }
    }

    /// The file or directory it is.
    fn path(&self) -> Option<&Path> {
        match self {
            Output::File(path) | Output::Directory(path) => Some(path),
            Output::Partitioned(how) => Some(&how.root),
            Output::Stdout | Output::Nowhere => None,
        }
    }

    /// Refuses early what cannot work, and makes directories. With checkpoints a tree of partitions is made and
    /// looked at by the run that begins.
    fn check(&self, is_checkpointed: bool) -> Result<()> {
        let failed = |path: &Path, cause: std::io::Error| {
            Error::new(Code::Io, format!("cannot write to `{}`: {cause}", path.display()))
        };
        match self {
            Output::Stdout | Output::Nowhere => Ok(()),
            Output::Partitioned(_) if is_checkpointed => Ok(()),
            Output::File(path) => check_file(path),
            Output::Directory(path) => std::fs::create_dir_all(path).map_err(|cause| failed(path, cause)),
            Output::Partitioned(Partitioning { root, .. }) => {
                std::fs::create_dir_all(root).map_err(|cause| failed(root, cause))?;
                let mut inside = std::fs::read_dir(root).map_err(|cause| failed(root, cause))?;
                if inside.next().is_some() {
                    let error = Error::new(Code::BadOption, format!("`{}` is not empty", root.display()));
                    return Err(error.help("write to an empty directory: a partitioned one is never written over"));
                }
                Ok(())
            }
        }
    }
}

/// Refuses a file that could not be written.
pub(super) fn check_file(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        let error = Error::new(Code::Io, format!("there is no directory `{}`", parent.display()));
        return Err(error.help("make it first"));
    }
    if !crate::sys::may_write(if path.exists() { path } else { parent }) {
        return Err(Error::new(Code::Io, format!("`{}` may not be written to", path.display())));
    }
    Ok(())
}

/// Whether two names mean one file.
pub(super) fn is_same_file(left: &Path, right: &Path) -> bool {
    file_id(left).is_some_and(|id| file_id(right) == Some(id))
}

/// Device and number of a file, the same by whatever name.
type FileId = (u64, u64);

fn file_id(path: &Path) -> Option<FileId> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some((metadata.dev(), metadata.ino()))
}

/// The options of a table that is written to; those that only reading knows are refused.
fn check_sink_options(table: &Table) -> Result<()> {
    // Rows are written in more formats than they are read in.
    let is_ours = |option: &&TableOption| {
        let is_partition = PARTITION_OPTIONS.iter().any(|known| option.key.eq_ignore_ascii_case(known));
        option.key.eq_ignore_ascii_case("format")
            || option.key.eq_ignore_ascii_case("changelog")
            || (is_partition && !table.partitioned_by.is_empty())
    };
    read_options(&table.options.iter().filter(|option| !is_ours(option)).cloned().collect::<Vec<_>>())?;
    for option in table.options.iter().filter(|option| !is_ours(option)) {
        let is_default = match option.key.to_ascii_lowercase().as_str() {
            "connector" | "path" | "type" => true,
            "delimiter" => option.value == ",",
            "header" => option.value.eq_ignore_ascii_case("true"),
            "quote" => option.value == "\"",
            _ => false,
        };
        if !is_default {
            let message = format!("'{}' = '{}' is not supported for writing yet", option.key, option.value);
            return Err(Error::new(Code::Unsupported, message)
                .at(option.span)
                .help("leave it out: rows are written as RFC 4180 with a header"));
        }
    }
    Ok(())
}

/// What a partitioned table may say about its files.
const PARTITION_OPTIONS: [&str; 4] = ["roll.rows", "roll.bytes", "sink.rolling-policy.file-size", "open.files"];

/// How a partitioned table is written.
fn partitioning(table: &Table, root: PathBuf, columns: Vec<usize>) -> Result<Partitioning> {
    let mut how = Partitioning { root, columns, roll_rows: u64::MAX, roll_bytes: u64::MAX, open_most: OPEN_MOST };
    for option in &table.options {
        let bad = |wanted: &str| {
            let message = format!("'{}' cannot be '{}'", option.key, option.value);
            Error::new(Code::BadOption, message).at(option.span).help(format!("it takes {wanted}"))
        };
        let size = || parse_size(&option.value).ok().filter(|&size| size > 0);
        match option.key.to_ascii_lowercase().as_str() {
            "roll.rows" => how.roll_rows = size().ok_or_else(|| bad("a number of rows from 1"))?,
            "roll.bytes" | "sink.rolling-policy.file-size" => {
                how.roll_bytes = size().ok_or_else(|| bad("a size, as 128MiB"))?;
            }
            "open.files" => {
                let files = size().filter(|&files| files <= 4096);
                how.open_most = files.ok_or_else(|| bad("a number of files from 1 to 4096"))? as usize;
            }
            _ => {}
        }
    }
    Ok(how)
}

impl Outputs {
    /// Finds out where every sink of `plan` goes, and checks that it can.
    pub fn new(
        plan: &Plan,
        program: &Program,
        options: &Options,
        shards: usize,
        inputs: &[(NodeId, Arc<Source>)],
    ) -> Result<Self> {
        let mut list: Vec<(Output, Format)> = Vec::new();
        let files = inputs.iter().flat_map(|(_, input)| &input.files).map(|file| Path::new(file.file.name()));
        let inputs: Vec<FileId> = files.filter_map(file_id).collect();
        for (_, sink) in sinks(plan) {
            let (path, format) = match &sink.table {
                None => (options.output.clone(), options.format.clone()),
                Some(name) => {
                    let table = program.table(name);
                    table.map_or(Ok(()), check_sink_options)?;
                    let option =
                        |key: &str| table.and_then(|table| table.option(key)).map(|option| option.value.clone());
                    let Some(path) = option("path") else {
                        let error = Error::new(Code::BadOption, format!("table `{name}` says no 'path' to write to"));
                        let span = table.map_or(corelane_engine::Span::NONE, |table| table.span);
                        return Err(error.at(span).help("add WITH ('path' = 'out.csv', 'format' = 'csv')"));
                    };
                    (Some(PathBuf::from(path)), option("format"))
                }
            };
            let partitioned = sink.table.as_ref().and_then(|name| program.table(name));
            let partitioned = partitioned.filter(|_| !sink.partitioned_by.is_empty());
            let output = match (partitioned, &path) {
                (Some(table), Some(root)) => {
                    Output::Partitioned(partitioning(table, root.clone(), sink.partitioned_by.clone())?)
                }
                _ => Output::parse(path.as_deref()),
            };
            let format = match format {
                None => default_format(&output),
                Some(name) => Format::parse(&name).ok_or_else(|| {
                    let known: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                    Error::new(Code::BadOption, format!("there is no format `{name}`"))
                        .help(format!("formats: {}", known.join(", ")))
                })?,
            };
            let format = form_of(sink, format)?;
            output.check(options.is_checkpointed())?;
            if let Some(path) = output.path()
                && list.iter().any(|(other, _)| other.path() == Some(path))
            {
                let error = Error::new(Code::BadOption, format!("two queries write to `{}`", path.display()));
                return Err(error.help("give each a path of its own; UNION ALL is not supported yet"));
            }
            for path in output.files(format) {
                if file_id(&path).is_some_and(|id| inputs.contains(&id)) {
                    let error =
                        Error::new(Code::BadOption, format!("`{}` is read and would be replaced", path.display()));
                    return Err(error.help("write to another file or directory"));
                }
            }
            list.push((output, format));
        }
        let outputs = Outputs { list };
        if !options.is_checkpointed() {
            outputs.remove_stale_parts(shards)?;
        }
        Ok(outputs)
    }

    /// What is committed with checkpoints.
    pub fn committed(&self) -> Result<Places> {
        let mut places = Places::default();
        for (output, format) in &self.list {
            let path = match output {
                Output::Stdout | Output::Nowhere => continue,
                Output::Partitioned(how) => &how.root,
                Output::File(path) | Output::Directory(path) => path,
            };
            if *format == Format::Table {
                let message = "--checkpoint: a table for people cannot be written on after a stop";
                let error = Error::new(Code::BadOption, message);
                return Err(error.help("write csv, tsv, ndjson or json"));
            }
            let name = path
                .to_str()
                .map(str::to_owned)
                .ok_or_else(|| Error::new(Code::BadOption, format!("the name of `{}` is not UTF-8", path.display())))?;
            match output {
                Output::Directory(_) => places.folders.push(parts(name, *format)),
                Output::Partitioned(_) => places.trees.push(parts(tree_name(&name), *format)),
                _ => places.files.push(name),
            }
        }
        Ok(places)
    }

    /// The outputs, by number of sink.
    pub fn list(&self) -> &[(Output, Format)] {
        &self.list
    }

    /// Empties the files that the run replaces, which takes tens of milliseconds where they are long.
    /// Else that is done when the first row leaves, so that a run that fails before leaves them alone.
    pub fn clear(&self) -> Result<()> {
        let files = self.list.iter().filter_map(|(output, _)| match output {
            Output::File(path) => Some(path),
            _ => None,
        });
        for path in files {
            File::create(path)
                .map_err(|cause| Error::new(Code::Io, format!("cannot write `{}`: {cause}", path.display())))?;
        }
        Ok(())
    }

    /// Name and place of every output, by number of sink.
    pub fn names(&self, plan: &Plan) -> Vec<(String, String)> {
        let name = |sink: &Sink| sink.table.clone().unwrap_or_else(|| "SELECT".to_owned());
        let place = |output: &Output| match output {
            Output::Stdout => "standard output".to_owned(),
            Output::Nowhere => "/dev/null".to_owned(),
            _ => output.path().map_or_else(String::new, |path| path.display().to_string()),
        };
        sinks(plan).zip(&self.list).map(|((_, sink), (output, _))| (name(sink), place(output))).collect()
    }

    /// Removes the parts of an earlier run from directories, so that what is there is one result.
    fn remove_stale_parts(&self, shards: usize) -> Result<()> {
        for (output, format) in &self.list {
            let Output::Directory(path) = output else { continue };
            for shard in 0.. {
                let part = part(path, shard, *format);
                match std::fs::remove_file(&part) {
                    Ok(()) => {}
                    Err(_) if shard < shards => {}
                    Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => break,
                    Err(cause) => {
                        return Err(Error::new(Code::Io, format!("cannot remove `{}`: {cause}", part.display())));
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the shards' sinks (by shard, then number), and what the writer has to merge.
    pub fn connect(
        &self,
        plan: &Plan,
        shards: usize,
        bells: &Bells,
        pace: Option<Pace>,
        mut recovery: Option<&mut Recovery>,
    ) -> Result<(Vec<Vec<ShardSink>>, Vec<Merged>)> {
        let mut by_shard: Vec<Vec<ShardSink>> = (0..shards).map(|_| Vec::new()).collect();
        let mut merged = Vec::new();
        for ((node, sink), (output, format)) in sinks(plan).zip(&self.list) {
            let schema = &node.schema;
            // What several shards have begun is in their order.
            let is_spread = shards > 1 || recovery.as_ref().is_some_and(|recovery| recovery.is_spread());
            let arrival = !is_spread || sink.order == SinkOrder::Arrival;
            let mut lanes = Vec::new();
            for (shard, own) in by_shard.iter_mut().enumerate() {
                let formatter = match output {
                    Output::Directory(_) => Formatter::new(*format, schema, sink.visible),
                    _ => Formatter::of_part(*format, schema, sink.visible),
                };
                let to = match output {
                    Output::Nowhere => Destination::Nowhere,
                    Output::Partitioned(how) => {
                        let make = |place| Partitions::new(how.clone(), *format, schema, sink.visible, place);
                        let root = tree_name(&how.root.to_string_lossy());
                        let made = match &mut recovery {
                            Some(recovery) => recovery.partitions(&root, sink.number, shard, make)?,
                            None => {
                                let failed = |cause| crate::sink::cannot_write(&root, &cause);
                                let tree: Arc<dyn Tree> = Arc::new(RealTree::open(&root).map_err(failed)?);
                                make(Place { tree, job: None, shard })
                            }
                        };
                        Destination::Partitions(Box::new(made))
                    }
                    Output::Directory(path) => {
                        let parts = parts(path.to_string_lossy().into_owned(), *format);
                        match &mut recovery {
                            Some(recovery) => {
                                let part = recovery.part(&parts, sink.number, shard)?;
                                part.map_or(Destination::Nowhere, Destination::Kept)
                            }
                            None => Destination::File { path: part(path, shard, *format), file: None },
                        }
                    }
                    Output::Stdout | Output::File(_) => {
                        let (sender, parcels) = ring(4 * BLOCKS_OUT);
                        let (home, returned) = ring(4 * BLOCKS_OUT);
                        lanes.push(TextLane { parcels, home });
                        Destination::Writer { parcels: sender, home: returned, bell: Arc::clone(&bells.writer) }
                    }
                };
                let keys = (output.is_merged() && !arrival).then(|| OrderKeys::new(&sink.order, schema));
                own.push(ShardSink::new(formatter, keys, to, pace));
            }
            if let Some(recovery) = &mut recovery {
                recovery.close_parts(sink.number, |stood| rest(*format, node, sink, stood))?;
            }
            let target = match output {
                Output::Stdout => Target::Stdout,
                Output::File(path) => match &recovery {
                    Some(recovery) => Target::Kept(recovery.output(&path.to_string_lossy())?),
                    None => Target::File(path.clone()),
                },
                _ => continue,
            };
            let assembler = Assembler::new(*format, schema, sink.visible);
            merged.push(Merged { target, assembler, lanes, bells: Arc::clone(&bells.shards), arrival, pace });
        }
        Ok((by_shard, merged))
    }
}

/// The format in which the rows of a sink leave: changes as Debezium writes them have one of their own.
fn form_of(sink: &Sink, format: Format) -> Result<Format> {
    let is_debezium = sink.changelog.as_ref().is_some_and(|net| net.form == Changelog::Debezium);
    match (is_debezium, format) {
        (true, Format::Ndjson | Format::Debezium) => Ok(Format::Debezium),
        (true, _) => {
            let message = "'changelog' = 'debezium' is written as JSON objects, one a line";
            Err(Error::new(Code::BadOption, message).help("add 'format' = 'ndjson'"))
        }
        (false, Format::Debezium) => {
            let message = "the format `debezium-json` is a form of changes";
            let help = "write to a table WITH ('format' = 'debezium-json'), or use ndjson";
            Err(Error::new(Code::BadOption, message).help(help))
        }
        (false, format) => Ok(format),
    }
}

/// What is still to be written to the file of a shard that is no more.
fn rest(format: Format, node: &Node, sink: &Sink, stood: &SinkStanding) -> Vec<u8> {
    let mut formatter = Formatter::new(format, &node.schema, sink.visible);
    let mut out = Buffer::default();
    if stood.header_due {
        formatter.header(&mut out);
    }
    formatter.footer(stood.rows, &mut out);
    out.bytes().to_vec()
}

/// The root of a tree as its records have it.
fn tree_name(root: &str) -> String {
    if root.len() > 1 { root.trim_end_matches('/').to_owned() } else { root.to_owned() }
}

/// The files of a directory.
fn parts(folder: String, format: Format) -> Parts {
    Parts { folder, extension: format.extension().to_owned() }
}

/// A shard's own file in a directory.
fn part(directory: &Path, shard: usize, format: Format) -> PathBuf {
    directory.join(format!("part-{shard}.{}", format.extension()))
}

/// The sinks of a plan by number, each with its node.
fn sinks(plan: &Plan) -> impl Iterator<Item = (&Node, &Sink)> {
    let mut list: Vec<(&Node, &Sink)> = plan
        .nodes
        .iter()
        .filter_map(|node| match &node.operator {
            Operator::Sink(sink) => Some((node, sink)),
            _ => None,
        })
        .collect();
    list.sort_by_key(|(_, sink)| sink.number);
    list.into_iter()
}
