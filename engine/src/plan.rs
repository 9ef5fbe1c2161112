//! The plan: a DAG of nodes from scans to sinks, the same on every shard.
//!
//! Nodes stand in topological order (inputs before users), so the executor can hand a chunk on by
//! splitting its list of operators at a node: data can only flow forwards. A node's output columns
//! are described by its schema. Exchanges are nodes like any other: on every shard the part above
//! one feeds the rings, the part below it reads them.

pub mod changes;
pub mod distribute;
pub mod explain;
pub mod optimize;
mod turns;
mod window;

pub use changes::{Change, Changelog, Changes};
pub use distribute::{Distribution, distribute};
pub use explain::{analyzed, explain};
pub(crate) use turns::scans_under;
pub use turns::turns;
pub use window::{Window, WindowKind};

use crate::error::Span;
use crate::expr::Expr;
use crate::operator::Time;
use crate::owners::Owners;
use crate::types::{DataType, Physical, Schema};

/// Position of a node in [`Plan::nodes`].
pub type NodeId = usize;

/// Everything one script runs, any number of sinks included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In topological order.
    pub nodes: Vec<Node>,
    /// Where the rows of a key belong; the same for all exchanges, so that a join finds both its sides there.
    pub owners: Owners,
}

/// One operator with its inputs and output columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub operator: Operator,
    /// Where its rows come from; earlier in the list.
    pub inputs: Vec<NodeId>,
    /// Its output columns, the hidden ones last (see [`Sink::visible`]).
    pub schema: Schema,
    /// The clause it comes from.
    pub span: Span,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// Rows of a table.
    Scan(Scan),
    /// Rows for which the condition is TRUE.
    Filter(Expr),
    /// One expression per output column.
    Project(Vec<Expr>),
    /// GROUP BY, windowed or not.
    Aggregate(Aggregate),
    /// OVER with ROWS or RANGE frames.
    Over(Over),
    /// ROW_NUMBER, RANK, NTILE and their like by any order.
    Rank(Rank),
    /// Rows of two inputs put together.
    Join(Join),
    /// Rows of any number of inputs, which have the same columns.
    Union(Union),
    /// Every row as many times as its column `times` says, a BIGINT; not at all for 0 and less.
    Repeat {
        /// The column, which passes through as the others do.
        times: usize,
    },
    /// Every row once per element of its arrays.
    Unnest(Unnest),
    /// An operator that answers by turns, in rows that come and go.
    Changes(Changes),
    /// Rows to the shard that owns their key.
    Exchange(Exchange),
    /// The first `n` rows after `offset` skipped.
    Limit {
        /// Rows let through.
        limit: Option<u64>,
        /// Rows dropped before them.
        offset: u64,
    },
    /// All rows, sorted at the end of the input.
    Sort {
        /// What to sort by.
        keys: Vec<SortKey>,
        /// Only this many are wanted.
        limit: Option<u64>,
    },
    /// Where rows leave.
    Sink(Sink),
}

impl Operator {
    /// What it is called where operators are listed.
    pub const fn name(&self) -> &'static str {
        match self {
            Operator::Scan(_) => "scan",
            Operator::Filter(_) => "filter",
            Operator::Project(_) => "project",
            Operator::Aggregate(_) => "aggregate",
            Operator::Over(_) => "over",
            Operator::Rank(_) => "rank",
            Operator::Join(_) => "join",
            Operator::Union(_) => "union",
            Operator::Repeat { .. } => "repeat",
            Operator::Unnest(_) => "unnest",
            Operator::Changes(changes) => match changes.change {
                Change::Aggregate(_) => "aggregate",
                Change::Again(_) => "again",
                Change::Join(_) => "join",
                Change::Unite => "union",
                Change::Net(_) => "net",
            },
            Operator::Exchange(_) => "exchange",
            Operator::Limit { .. } => "limit",
            Operator::Sort { .. } => "sort",
            Operator::Sink(_) => "sink",
        }
    }
}

/// UNNEST: the input's columns, a column of elements per array and two (key, value) per map, then the number
/// of the element where it is asked for. Of arrays of different lengths the shorter ones are filled up with
/// NULLs; a NULL array has no elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Unnest {
    /// The arrays and maps, over the input's columns.
    pub arrays: Vec<Expr>,
    /// A row without elements stays, with NULLs for them.
    pub is_outer: bool,
    /// The number of the element, from 1, is a column.
    pub has_ordinality: bool,
    /// So many of the input's last columns stand behind those that are added.
    pub behind: usize,
}

impl Unnest {
    /// Types of the columns that are added.
    pub fn added(&self) -> Vec<DataType> {
        let mut added = Vec::new();
        for array in &self.arrays {
            match array.data_type {
                DataType::Array(element) => added.push(*element),
                DataType::Map(entry) => added.extend(entry.iter().map(|member| member.data_type)),
                _ => {}
            }
        }
        added.extend(self.has_ordinality.then_some(DataType::BigInt));
        added
    }
}

/// One item of ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// The column sorted by, of the node's input.
    pub column: usize,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST; NULLs come last unless said, whatever the direction.
    pub nulls_first: bool,
}

/// Reading a table: which columns, and what is decided before rows are built.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Name of the table in the catalog that the runtime opens.
    pub table: String,
    /// Columns to convert, in the order of the node's schema. The first `eager` ones are converted
    /// for every row; the rest only for rows that the filter keeps.
    pub columns: Vec<ScanColumn>,
    /// How many leading columns the filter and the event time need.
    pub eager: usize,
    /// Event time, where the table has a watermark.
    pub event_time: Option<EventTime>,
    /// When a row is late, where an operator above judges by time.
    pub late: Option<Late>,
    /// Its watermark is the shard's clock, which an operator above goes by, and not `event_time`.
    pub clock: Option<ClockTime>,
    /// WHERE, as far as it was pushed down; over the eager columns.
    pub filter: Option<Expr>,
    /// In what order one shard reads its splits.
    pub read_order: ReadOrder,
    /// Positions of its rows come behind those of all scans of a lower turn: the place of its SELECT in
    /// a [`Union`].
    pub turn: u8,
    /// What rows carry besides their columns.
    pub needs: Needs,
}

/// A column of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanColumn {
    /// Name in the file's header, or the declared name.
    pub name: String,
    /// Position among the table's physical columns, for files without a header.
    pub index: usize,
    /// The type to convert to.
    pub data_type: DataType,
    /// It is not in the row, but says where the row comes from.
    pub metadata: Option<Metadata>,
}

/// Where a row comes from, and when, as a column of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// STRING: the file's name.
    File,
    /// BIGINT: the number of the line that the row begins in, from 1.
    Line,
    /// BIGINT: the offset in the file of the row's first byte.
    Offset,
    /// TIMESTAMP_LTZ(3): when it was read, by the clock of its shard. It is asked for as PROCTIME().
    Clock,
}

impl Metadata {
    /// Names of those that a table declares, with the type of the column.
    pub const ALL: [(&str, Metadata, DataType); 3] = [
        ("file", Metadata::File, DataType::Text),
        ("line", Metadata::Line, DataType::BigInt),
        ("offset", Metadata::Offset, DataType::BigInt),
    ];
}

impl ScanColumn {
    /// Whether it is the time at which the row was read.
    pub const fn is_clock(&self) -> bool {
        matches!(self.metadata, Some(Metadata::Clock))
    }
}

/// Processing time: rows are stamped as they are read, in whole milliseconds, and never go back on a
/// shard, so none of them is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockTime {
    /// What waits for it: windows, or each row. `None` while nothing does, and the clock is but a column.
    pub waits: Option<Late>,
    /// The watermark stays behind the clock by this many microseconds.
    pub delay_us: i64,
}

/// Where a row's time comes from. The scan's output has it as one more, last column of type
/// TIMESTAMP, so that nothing above computes it again.
#[derive(Clone, Debug, PartialEq)]
pub struct EventTime {
    /// Microseconds, over the eager columns. NULL makes a bad row.
    pub expression: Expr,
    /// The watermark is the highest time seen, less this many microseconds.
    pub delay_us: i64,
}

/// When a row is late, given its split's watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// When the last window it belongs to has ended at the watermark.
    Window(Window),
    /// When its own time is at or before the watermark (OVER).
    Row,
}

/// In what order one shard reads its splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOrder {
    /// By position: piece number, then file name.
    Position,
    /// Always on from the split whose watermark is furthest behind.
    EventTime,
}

/// What rows carry besides their columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`crate::batch::Chunk::positions`].
    pub positions: bool,
    /// [`crate::batch::Chunk::ordinals`].
    pub ordinals: bool,
}

/// When a group's result is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Once, when its window closes or the input ends.
    Final,
    /// After every row, the new value.
    Changes,
    /// What has changed, and what was before; a form of [`Emit::Changes`] that a query may ask for.
    Changelog,
    /// A form of [`Emit::Final`] that a query may ask for: the watermark stays behind by this many
    /// microseconds more.
    Delayed(i64),
    /// A form of [`Emit::Changes`] that a query may ask for: what has changed leaves together at each
    /// multiple of this many microseconds that the clock passes.
    Periodic(i64),
}

/// Which part of an aggregation a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All of it.
    Single,
    /// Rows to partial states: output is `[window_start,] keys.., accumulators..`.
    Partial,
    /// Partial states to results; input is a `Partial`'s output.
    Merge,
}

/// GROUP BY. Output columns: `[window_start, window_end,] keys.., aggregates..` (for
/// [`Phase::Partial`] see there); both window columns are TIMESTAMP like the event time.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What to group by, over the input's columns.
    pub keys: Vec<Expr>,
    /// The window, and the input column that holds the event time.
    pub window: Option<(Window, usize)>,
    /// What to compute per group.
    pub calls: Vec<AggregateCall>,
    /// When results leave.
    pub emit: Emit,
    /// Which part of the work this node does.
    pub phase: Phase,
}

/// One aggregate of a GROUP BY or an OVER.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateCall {
    /// Which.
    pub function: AggregateFunction,
    /// Its arguments, over the input's columns; empty for COUNT(*).
    pub arguments: Vec<Expr>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER (WHERE ..).
    pub filter: Option<Expr>,
    /// Type of the result.
    pub data_type: DataType,
    /// Where it stands in the script.
    pub span: Span,
}

/// The aggregates. AVG of DECIMAL(p,s) is DECIMAL(38, max(6, s)), of integers and DOUBLE it is
/// DOUBLE; SUM of integers is DECIMAL(38, 0), of DECIMAL(p,s) DECIMAL(38, s).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// COUNT(*) or COUNT(x).
    Count,
    /// SUM.
    Sum,
    /// AVG.
    Avg,
    /// MIN.
    Min,
    /// MAX.
    Max,
    /// FIRST_VALUE in order of the input.
    First,
    /// LAST_VALUE in order of the input.
    Last,
    /// Population variance.
    VarPop,
    /// Sample variance.
    VarSamp,
    /// Population standard deviation.
    StddevPop,
    /// Sample standard deviation.
    StddevSamp,
    /// BOOL_AND.
    BoolAnd,
    /// BOOL_OR.
    BoolOr,
    /// Correlation of two DOUBLEs (y, x).
    Corr,
    /// Population covariance.
    CovarPop,
    /// Sample covariance.
    CovarSamp,
    /// Slope of the line through the pairs.
    RegrSlope,
    /// Where that line meets x = 0.
    RegrIntercept,
    /// Square of the correlation.
    RegrR2,
    /// The first argument where the second is least.
    ArgMin,
    /// The first argument where the second is greatest.
    ArgMax,
    /// The value at a share (the second argument, a literal) of the DOUBLEs in order, between two of
    /// them if need be.
    PercentileCont,
    /// The first value that a share (the second argument, a literal) of those in order does not pass.
    PercentileDisc,
    /// The texts in order of the input, with the second argument, a literal, between.
    StringAgg,
    /// All values as an array, in order of their sort keys and then of the input. Its argument, as those of
    /// the ones below, is what `array_item` makes: a row of the sort key, if there is one, and the value.
    ArrayAgg,
    /// The same, of equal values the first alone.
    ArrayAggDistinct,
    /// Entries as a map; of one key the last one.
    MapAgg,
    /// The first values in order, as many as the second argument, a literal, says.
    TopK,
}

impl AggregateFunction {
    /// Sees the rows in which neither of its two arguments is NULL.
    pub const fn is_of_pairs(self) -> bool {
        use AggregateFunction as F;
        matches!(
            self,
            F::Corr | F::CovarPop | F::CovarSamp | F::RegrSlope | F::RegrIntercept | F::RegrR2 | F::ArgMin | F::ArgMax
        )
    }

    /// Keeps every value until the answer, so its rows cross an exchange, not its states.
    pub const fn keeps_values(self) -> bool {
        use AggregateFunction as F;
        matches!(self, F::PercentileCont | F::PercentileDisc | F::StringAgg) || self.is_collection()
    }

    /// Gives an array or a map of its values.
    pub const fn is_collection(self) -> bool {
        use AggregateFunction as F;
        matches!(self, F::ArrayAgg | F::ArrayAggDistinct | F::MapAgg | F::TopK)
    }

    /// Depends on where rows stand in the input.
    pub const fn is_by_position(self) -> bool {
        use AggregateFunction as F;
        matches!(self, F::First | F::Last | F::ArgMin | F::ArgMax | F::StringAgg) || self.is_collection()
    }
}

/// OVER with ROWS or RANGE frames: input columns pass through, one column per call is added. All calls of
/// one node share PARTITION BY and ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// PARTITION BY, over the input's columns.
    pub partition: Vec<Expr>,
    /// The event-time column; `None` orders by position in the input.
    pub time: Option<usize>,
    /// What to compute.
    pub calls: Vec<OverCall>,
    /// Most rows held per partition (`ROWS WINDOW BUFFER n ROWS`), if said.
    pub buffer_rows: Option<u64>,
}

/// One function OVER a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct OverCall {
    /// Which.
    pub function: OverFunction,
    /// Its arguments, over the input's columns.
    pub arguments: Vec<Expr>,
    /// The frame: this many rows before its last one; `None` is UNBOUNDED PRECEDING. Not used by LAG,
    /// LEAD and ROW_NUMBER.
    pub preceding: Option<u64>,
    /// Where the frame's last row is: this many rows behind the current one. Then `preceding` counts from
    /// there, so `BETWEEN 1 PRECEDING AND 2 FOLLOWING` is 3 before the second row behind.
    pub following: u64,
    /// RANGE instead of ROWS: the rows of the partition from so many microseconds before the row's
    /// time up to the last of that time; `i64::MAX` is UNBOUNDED PRECEDING. Where OVER has no time, all
    /// rows are of one, and the frame is the whole partition.
    pub range: Option<i64>,
    /// Type of the result.
    pub data_type: DataType,
    /// Where it stands in the script.
    pub span: Span,
}

/// What can stand before OVER.
#[derive(Clone, Debug, PartialEq)]
pub enum OverFunction {
    /// An aggregate over the frame.
    Aggregate(AggregateFunction),
    /// 1, 2, 3, ...
    RowNumber,
    /// The value this many rows before, else `default` (of the argument's type).
    Lag {
        /// How many rows back.
        offset: u64,
        /// In place of a row that is not there.
        default: Option<crate::types::Value>,
    },
    /// The value this many rows after, else `default`.
    Lead {
        /// How many rows ahead.
        offset: u64,
        /// In place of a row that is not there.
        default: Option<crate::types::Value>,
    },
    /// The first value of the frame.
    FirstValue,
    /// The last value of the frame.
    LastValue,
    /// The value of this row of the frame, from 1; NULL while there is none.
    NthValue(u64),
    /// 1 and the rows of an earlier time.
    Rank,
    /// 1 and the earlier times.
    DenseRank,
}

/// Ranks of rows among their partition: input columns pass through, a column per function is added, BIGINT
/// or DOUBLE. Rows leave in order of (time, partition, order).
#[derive(Clone, Debug, PartialEq)]
pub struct Rank {
    /// PARTITION BY: columns of the input, that of `time` first if there is one.
    pub partition: Vec<usize>,
    /// ORDER BY.
    pub keys: Vec<SortKey>,
    /// What to compute.
    pub functions: Vec<RankFunction>,
    /// The column that is the end of the rows' window: they leave when the watermark has passed it.
    /// Without, all rows are held until the input ends.
    pub time: Option<usize>,
    /// Only rows for which the function of this number says at most so much are wanted.
    pub limit: Option<(usize, i64)>,
}

/// What can be ranked by. All begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankFunction {
    /// ROW_NUMBER: ties break by position in the input.
    RowNumber,
    /// RANK: equal rows share one, the next ones leave a gap.
    Rank,
    /// DENSE_RANK: without gaps.
    DenseRank,
    /// NTILE: the partition in so many parts of equal size, the first ones larger by one; the part's number.
    Ntile(i64),
    /// PERCENT_RANK: RANK less 1, of the rows but one; 0 for a row alone. DOUBLE.
    PercentRank,
    /// CUME_DIST: the share of rows that are not behind. DOUBLE.
    CumeDist,
}

impl RankFunction {
    /// Depends on how many rows the partition has, so that none of them can be dropped early.
    pub const fn is_of_partition(self) -> bool {
        matches!(self, RankFunction::Ntile(_) | RankFunction::PercentRank | RankFunction::CumeDist)
    }

    /// What it gives.
    pub const fn data_type(self) -> DataType {
        match self {
            RankFunction::PercentRank | RankFunction::CumeDist => DataType::Double,
            _ => DataType::BigInt,
        }
    }
}

/// Rows of two inputs put together where keys are equal, times are near and a condition holds. Output:
/// `columns` of the left input's columns followed by the right one's, then for RIGHT and FULL with a
/// time bound the time that orders the rows. Rows leave in order of (time, position of the left row,
/// position of the right row); right rows without a match have the time from which no left row could
/// match, without a time bound they come last.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Which rows leave.
    pub kind: JoinKind,
    /// Pairs of expressions that must be equal, of one type; NULL equals nothing. The left one is over
    /// the left input's columns, the right one over the right input's.
    pub keys: Vec<(Expr, Expr)>,
    /// How far apart in time two rows may be; both inputs have watermarks then.
    pub within: Option<Within>,
    /// What else must be TRUE, over the left input's columns followed by the right one's.
    pub condition: Option<Expr>,
    /// Of the right rows that go with a left row only one does.
    pub pick: Option<Pick>,
    /// Which of the left input's columns followed by the right one's leave; for SEMI and ANTI of the
    /// left one's only.
    pub columns: Vec<usize>,
    /// The right input goes to every shard, the left one stays where it is.
    pub broadcast: bool,
    /// Per side: how long its rows are kept, where the join answers in changes.
    pub keep: [Option<Box<changes::Keep>>; 2],
}

/// Which rows of a join leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and left rows without one.
    Left,
    /// Pairs, and right rows without one.
    Right,
    /// Pairs, and rows of both sides without one.
    Full,
    /// Left rows that are in a pair, once.
    Semi,
    /// Left rows that are in no pair.
    Anti,
}

impl JoinKind {
    /// Left rows leave without a pair as well.
    pub const fn keeps_left(self) -> bool {
        matches!(self, JoinKind::Left | JoinKind::Full)
    }

    /// Right rows leave without a pair as well.
    pub const fn keeps_right(self) -> bool {
        matches!(self, JoinKind::Right | JoinKind::Full)
    }

    /// Only columns of the left input leave.
    pub const fn is_left_only(self) -> bool {
        matches!(self, JoinKind::Semi | JoinKind::Anti)
    }
}

/// The right row's time less the left row's is at least `lower` and at most `upper`; microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    /// Time of a left row, over the left input's columns; follows its watermark.
    pub left: Expr,
    /// Time of a right row, over the right input's columns; follows its watermark.
    pub right: Expr,
    /// Least difference.
    pub lower: i64,
    /// Greatest difference.
    pub upper: i64,
}

/// The right row of ASOF: the one with the greatest or the least value, of equals the last one in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// Over the right input's columns.
    pub value: Expr,
    /// The greatest rather than the least.
    pub greatest: bool,
}

impl Within {
    /// How long a left row waits behind the watermark for right rows to come.
    pub fn wait(&self) -> i64 {
        self.upper.max(0)
    }
}

impl Join {
    /// Whether the time that orders the rows is one more column behind the others.
    pub fn adds_time(&self) -> bool {
        self.within.is_some() && self.kind.keeps_right()
    }
}

/// UNION ALL: the rows of every input, whose watermark is the least of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Union {
    /// The inputs are scans, at most filtered and projected, that are read one after another where none
    /// of them is read in order of event time: see [`turns`].
    pub in_turn: bool,
    /// Rows are held until the watermark has passed this column of theirs, and leave in order of (it,
    /// position where all rows carry one, content). Without, they leave as they come.
    pub time: Option<usize>,
}

/// Rows to the shard that owns their key. The key is the node's first `keys` expressions hashed by
/// [`crate::hash`]; columns pass through unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Number of this exchange, from 0, in order of stage.
    pub number: usize,
    /// What decides the owner, over the input's columns.
    pub keys: Vec<Expr>,
    /// What crosses, for EXPLAIN.
    pub kind: ExchangeKind,
    /// Receivers merge their senders' rows by ordinal (`--ordered`).
    pub ordered: bool,
    /// What is behind holds rows or windows until the watermark has passed them, so a receiver takes
    /// few rows of a sender that is ahead of the others, if the senders' inputs begin within this
    /// time of each other. Inputs that do not (a file a day) are read at once on purpose.
    pub held_within: Option<Time>,
    /// What rows carry besides their columns.
    pub needs: Needs,
}

/// What crosses an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// Partial states of an aggregation.
    PartialStates,
    /// Rows.
    Rows,
    /// Rows, each to every shard; there are no keys.
    Copies,
}

/// Where rows leave, and in what order output of several shards is put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Number of this sink, from 0.
    pub number: usize,
    /// Name of the table written to; `None` is the result of a SELECT.
    pub table: Option<String>,
    /// How many leading columns are output; the rest are hidden and only order rows.
    pub visible: usize,
    /// The order of the output.
    pub order: SinkOrder,
    /// PARTITIONED BY: the output columns that name folders, outermost first.
    pub partitioned_by: Vec<usize>,
    /// It takes changes, in this form.
    pub changelog: Option<changes::Net>,
}

/// What a sink's rows are ordered by; within one shard they already come in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkOrder {
    /// As it comes (EMIT CHANGES after an exchange).
    Arrival,
    /// By position in the input.
    Position,
    /// By ordinal (EMIT CHANGES under `--ordered`).
    Ordinal,
    /// By these columns; with `time_first` the first is a time that no later row goes back behind
    /// once a watermark has passed it. `then_position` breaks ties.
    Columns {
        /// What to order by.
        keys: Vec<SortKey>,
        /// The first key follows the watermark.
        time_first: bool,
        /// Ties break by position in the input.
        then_position: bool,
    },
}

impl Node {
    /// Physical shapes of the node's output columns.
    pub fn layout(&self) -> Vec<Physical> {
        self.schema.layout()
    }
}

impl Plan {
    /// The nodes that read `node`'s output.
    pub fn users(&self, node: NodeId) -> Vec<NodeId> {
        let reads = |user: &NodeId| self.nodes[*user].inputs.contains(&node);
        (node + 1..self.nodes.len()).filter(reads).collect()
    }

    /// How often changes leave by the clock, in microseconds; `None` where they do not go by it.
    pub fn every_us(&self) -> Option<i64> {
        self.nodes.iter().find_map(|node| match &node.operator {
            Operator::Sink(sink) => sink.changelog.as_ref()?.every_us,
            _ => None,
        })
    }

    /// Appends a node and returns its id.
    pub fn add(&mut self, operator: Operator, inputs: Vec<NodeId>, schema: Schema, span: Span) -> NodeId {
        debug_assert!(inputs.iter().all(|&input| input < self.nodes.len()));
        self.nodes.push(Node { operator, inputs, schema, span });
        self.nodes.len() - 1
    }
}
