//! What an aggregation keeps per group, worked out once from its calls.
//!
//! Calls are broken down into *accumulators*, which calls share: AVG(x) is SUM(x) over COUNT(x), and
//! COUNT(x) is the rows less the NULLs of x, of which nothing is booked while a chunk has none.
//! Accumulators see the rows of their *lane*: a FILTER condition, or DISTINCT, or simply all rows.

use super::key::{KEY_COLUMNS_MAX, KeyLayout, width};
use super::list::{LIST_WORDS, Share};
use super::pair::{Beside, MOMENT_WORDS};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind, functions};
use crate::plan::{Aggregate, AggregateCall, AggregateFunction};
use crate::types::{DataType, Physical, Value};

/// What one accumulator computes, and so its words and their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows of the lane: one word.
    Rows,
    /// Rows of the lane whose argument is NULL: a counter apart from the row, in [`super::nulls`].
    Nulls,
    /// Exact sum as `i128`, for arguments that cannot leave it: two words.
    Sum,
    /// Exact sum in 192 bits: three words.
    WideSum,
    /// Sum of squares in 192 bits: three words.
    WideSquares,
    /// Sum of doubles: one word per source shard.
    FloatSum,
    /// Count, mean and sum of squared distances from the mean, as doubles: three words per source shard.
    Moments,
    /// Least value; doubles in order-preserving form, text as a view.
    Min(Physical),
    /// Greatest value.
    Max(Physical),
    /// Position (first word) and value of the first row with a value.
    First(Physical),
    /// Position + 1 (first word) and value of the last row with a value.
    Last(Physical),
    /// Moments of pairs of doubles: six words per source shard.
    CoMoments,
    /// The value beside an extreme.
    Beside(Beside),
    /// Every value, in [`super::list::Lists`].
    List,
}

/// One accumulator in a group's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accumulator {
    pub(crate) kind: Kind,
    pub(crate) lane: usize,
    /// `None` only for [`Kind::Rows`].
    pub(crate) argument: Option<usize>,
    /// First word in the row; of a counter of NULLs its place among [`super::nulls`].
    pub(crate) offset: usize,
}

/// What accumulators are fed.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) expression: Expr,
    /// Two `i64` columns whose exact product the argument is.
    pub(crate) factors: Option<(Expr, Expr)>,
    /// The second argument of a call that takes pairs.
    pub(crate) second: Option<Expr>,
}

/// Which rows accumulators see.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) filter: Option<Expr>,
    /// The argument of whose values only the first of each kind counts.
    pub(crate) distinct: Option<usize>,
}

/// How one call's result is made of accumulators (numbers in [`Shape::accumulators`]).
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) function: AggregateFunction,
    pub(crate) data_type: DataType,
    pub(crate) argument_type: DataType,
    pub(crate) span: Span,
    pub(crate) rows: usize,
    pub(crate) nulls: Option<usize>,
    pub(crate) value: Option<usize>,
    pub(crate) squares: Option<usize>,
    /// The share of a percentile.
    pub(crate) share: Option<Share>,
    /// What stands between the texts of STRING_AGG.
    pub(crate) separator: String,
    /// Values that TOPK gives, at most.
    pub(crate) most: Option<usize>,
}

/// The whole layout.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) keys: Vec<Expr>,
    pub(crate) key: KeyLayout,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) lanes: Vec<Lane>,
    /// Those of one (lane, argument) stand together.
    pub(crate) accumulators: Vec<Accumulator>,
    pub(crate) answers: Vec<Answer>,
    /// Words of a group's row.
    pub(crate) stride: usize,
    /// Counters of NULLs of a group.
    pub(crate) null_counters: usize,
    /// A new group's words behind its key.
    pub(crate) initial: Vec<u64>,
    /// Doubles are summed apart per source shard, for so many of them.
    pub(crate) sources: usize,
}

impl Kind {
    pub(crate) fn words(self, sources: usize) -> usize {
        match self {
            Kind::Nulls => 0,
            Kind::Rows => 1,
            Kind::Sum => 2,
            Kind::WideSum | Kind::WideSquares => 3,
            Kind::FloatSum => sources,
            Kind::Moments => 3 * sources,
            Kind::Min(physical) | Kind::Max(physical) => width(physical),
            Kind::First(physical) | Kind::Last(physical) => 1 + width(physical),
            Kind::CoMoments => MOMENT_WORDS * sources,
            Kind::Beside(beside) => beside.words(),
            Kind::List => LIST_WORDS,
        }
    }

    /// Which of one argument's words come first.
    fn rank(self) -> usize {
        match self {
            Kind::Sum => 0,
            Kind::Min(_) => 1,
            Kind::Max(_) => 2,
            _ => 3,
        }
    }

    fn initial(self, words: &mut [u64]) {
        const SIGN: u64 = 1 << 63;
        match self {
            Kind::Min(Physical::I64 | Physical::F64) => words[0] = !SIGN,
            Kind::Max(Physical::I64 | Physical::F64) => words[0] = SIGN,
            Kind::Min(Physical::I128) => words.copy_from_slice(&[u64::MAX, !SIGN]),
            Kind::Max(Physical::I128) => words.copy_from_slice(&[0, SIGN]),
            Kind::Min(Physical::Text) | Kind::Max(Physical::Text) => words[0] = super::texts::UNSET,
            Kind::First(physical) | Kind::Last(physical) => {
                words[0] = if matches!(self, Kind::First(_)) { u64::MAX } else { 0 };
                words[1] = if physical == Physical::Text { super::texts::UNSET } else { 0 };
            }
            Kind::Beside(beside) => beside.initial(words),
            _ => {}
        }
    }

    /// The result depends on the order in which rows are added.
    pub(crate) fn by_source(self) -> bool {
        matches!(self, Kind::FloatSum | Kind::Moments | Kind::CoMoments)
    }
}

impl Shape {
    /// The layout of `aggregate`; doubles are kept apart for `sources` source shards.
    pub(crate) fn new(aggregate: &Aggregate, sources: usize) -> Result<Shape> {
        if aggregate.keys.len() > KEY_COLUMNS_MAX {
            let message = format!("GROUP BY with more than {KEY_COLUMNS_MAX} columns is not supported");
            return Err(Error::new(Code::Unsupported, message).help("combine columns with CONCAT"));
        }
        let physicals: Vec<Physical> = aggregate.keys.iter().map(|key| key.data_type.physical()).collect();
        let mut shape = Shape {
            keys: aggregate.keys.clone(),
            key: KeyLayout::new(&physicals),
            arguments: Vec::new(),
            lanes: vec![Lane { filter: None, distinct: None }],
            accumulators: Vec::new(),
            answers: Vec::new(),
            stride: 0,
            null_counters: 0,
            initial: Vec::new(),
            sources,
        };
        for call in &aggregate.calls {
            let answer = shape.answer(call).map_err(|error| error.at(call.span))?;
            shape.answers.push(answer);
        }
        shape.lay_out();
        Ok(shape)
    }

    fn answer(&mut self, call: &AggregateCall) -> Result<Answer> {
        use AggregateFunction as F;
        let second = call.arguments.get(1).filter(|_| call.function.is_of_pairs());
        let argument = call.arguments.first().map(|argument| self.argument(argument, second));
        let lane = self.lane(call.filter.as_ref(), argument.filter(|_| call.distinct));
        let rows = self.accumulator(Kind::Rows, lane, None);
        let mut answer = Answer {
            function: call.function,
            data_type: call.data_type,
            argument_type: call.arguments.first().map_or(DataType::Null, |argument| argument.data_type),
            span: call.span,
            rows,
            nulls: None,
            value: None,
            squares: None,
            share: None,
            separator: String::new(),
            most: None,
        };
        if let Some(Expr { kind: ExprKind::Literal(value), data_type, .. }) = call.arguments.get(1) {
            answer.share = Share::of(value, data_type.scale());
            match (call.function, value) {
                (F::StringAgg, Value::Text(separator)) => answer.separator.clone_from(separator),
                (F::TopK, &Value::I64(most)) => answer.most = usize::try_from(most).ok(),
                _ => {}
            }
        }
        let Some(argument) = argument else {
            if call.function != F::Count {
                return Err(Error::new(Code::Internal, "an aggregate other than COUNT has no argument"));
            }
            return Ok(answer);
        };
        let physical = answer.argument_type.physical();
        if call.function.is_of_pairs() {
            let second = second.ok_or_else(|| Error::new(Code::Internal, "a call of pairs has one argument"))?;
            let least = call.function == F::ArgMin;
            let kind = match call.function {
                F::ArgMin | F::ArgMax => {
                    Kind::Beside(Beside { least, by: second.data_type.physical(), value: physical })
                }
                _ => Kind::CoMoments,
            };
            answer.nulls = Some(self.accumulator(Kind::Nulls, lane, Some(argument)));
            answer.value = Some(self.accumulator(kind, lane, Some(argument)));
            return Ok(answer);
        }
        let sum = match physical {
            _ if call.function.keeps_values() => Kind::List,
            Physical::F64 => Kind::FloatSum,
            Physical::I64 => Kind::Sum,
            Physical::I128 => match answer.argument_type {
                // 10^28 times the rows of any input stays within `i128`.
                DataType::Decimal { precision: ..=28, .. } => Kind::Sum,
                _ => Kind::WideSum,
            },
            Physical::Text if matches!(call.function, F::Count | F::Min | F::Max | F::First | F::Last) => Kind::Rows,
            Physical::Text => {
                return Err(Error::new(Code::Type, "this aggregate does not take a STRING")
                    .help("convert it with CAST(.. AS DOUBLE)"));
            }
        };
        answer.nulls = Some(self.accumulator(Kind::Nulls, lane, Some(argument)));
        let (value, squares) = match call.function {
            F::Count => (None, None),
            F::Sum | F::Avg => (Some(sum), None),
            F::Min | F::BoolAnd => (Some(Kind::Min(physical)), None),
            F::Max | F::BoolOr => (Some(Kind::Max(physical)), None),
            F::First => (Some(Kind::First(physical)), None),
            F::Last => (Some(Kind::Last(physical)), None),
            F::PercentileCont
            | F::PercentileDisc
            | F::StringAgg
            | F::ArrayAgg
            | F::ArrayAggDistinct
            | F::MapAgg
            | F::TopK => (Some(Kind::List), None),
            F::Corr
            | F::CovarPop
            | F::CovarSamp
            | F::RegrSlope
            | F::RegrIntercept
            | F::RegrR2
            | F::ArgMin
            | F::ArgMax => {
                unreachable!("answered above")
            }
            F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp => match physical {
                Physical::I64 => (Some(Kind::Sum), Some(Kind::WideSquares)),
                _ => (Some(Kind::Moments), None),
            },
        };
        answer.value = value.map(|kind| self.accumulator(kind, lane, Some(argument)));
        answer.squares = squares.map(|kind| self.accumulator(kind, lane, Some(argument)));
        Ok(answer)
    }

    fn argument(&mut self, expression: &Expr, second: Option<&Expr>) -> usize {
        let same = |known: &Argument| {
            without_spans(&known.expression) == without_spans(expression)
                && known.second.as_ref().map(without_spans) == second.map(without_spans)
        };
        self.arguments.iter().position(same).unwrap_or_else(|| {
            let factors = factors(expression).filter(|_| second.is_none());
            self.arguments.push(Argument { expression: expression.clone(), factors, second: second.cloned() });
            self.arguments.len() - 1
        })
    }

    fn lane(&mut self, filter: Option<&Expr>, distinct: Option<usize>) -> usize {
        let same = |lane: &Lane| {
            lane.distinct == distinct && lane.filter.as_ref().map(without_spans) == filter.map(without_spans)
        };
        self.lanes.iter().position(same).unwrap_or_else(|| {
            self.lanes.push(Lane { filter: filter.cloned(), distinct });
            self.lanes.len() - 1
        })
    }

    fn accumulator(&mut self, kind: Kind, lane: usize, argument: Option<usize>) -> usize {
        let same = |known: &Accumulator| (known.kind, known.lane, known.argument) == (kind, lane, argument);
        self.accumulators.iter().position(same).unwrap_or_else(|| {
            self.accumulators.push(Accumulator { kind, lane, argument, offset: 0 });
            self.accumulators.len() - 1
        })
    }

    /// Sorts the accumulators by (lane, argument) and gives them their words: those touched for
    /// every row right behind the key, in the order in which [`super::fused`] wants those of one
    /// argument.
    fn lay_out(&mut self) {
        let mut order: Vec<usize> = (0..self.accumulators.len()).collect();
        order.sort_by_key(|&number| (self.accumulators[number].lane, self.accumulators[number].argument));
        let moved_to = |number: &mut usize| *number = order.iter().position(|at| at == number).expect("all are there");
        for answer in &mut self.answers {
            moved_to(&mut answer.rows);
            [&mut answer.nulls, &mut answer.value, &mut answer.squares].into_iter().flatten().for_each(moved_to);
        }
        self.accumulators = order.iter().map(|&number| self.accumulators[number]).collect();
        let mut places: Vec<&mut Accumulator> = self.accumulators.iter_mut().collect();
        places.sort_by_key(|known| (known.lane, known.argument, known.kind.rank()));
        let mut offset = self.key.words();
        for accumulator in places {
            if accumulator.kind == Kind::Nulls {
                accumulator.offset = self.null_counters;
                self.null_counters += 1;
                continue;
            }
            accumulator.offset = offset;
            let words = accumulator.kind.words(self.sources);
            offset += words;
            self.initial.resize(offset - self.key.words(), 0);
            let start = accumulator.offset - self.key.words();
            accumulator.kind.initial(&mut self.initial[start..start + words]);
        }
        self.stride = offset;
    }

    /// Some accumulator keeps every value.
    pub(crate) fn has_lists(&self) -> bool {
        self.accumulators.iter().any(|accumulator| accumulator.kind == Kind::List)
    }

    /// Shape of an argument's values.
    pub(crate) fn physical(&self, accumulator: &Accumulator) -> Physical {
        let argument = accumulator.argument.map(|argument| &self.arguments[argument]);
        argument.map_or(Physical::I64, |argument| argument.expression.data_type.physical())
    }
}

/// The expression with all its places forgotten, to be compared.
pub(crate) fn without_spans(expression: &Expr) -> Expr {
    fn forget(expression: &mut Expr) {
        expression.span = Span::NONE;
        expression.children_mut().into_iter().for_each(forget);
    }
    let mut expression = expression.clone();
    forget(&mut expression);
    expression
}

/// The two `i64` factors of an argument that is their exact product, so that SUM(a * b) need not
/// make a column of it.
fn factors(expression: &Expr) -> Option<(Expr, Expr)> {
    let ExprKind::Call { function, arguments } = &expression.kind else { return None };
    let [left, right] = &arguments[..] else { return None };
    let exact = |factor: &Expr| factor.data_type.is_integer() || matches!(factor.data_type, DataType::Decimal { .. });
    let whole =
        exact(left) && exact(right) && expression.data_type.scale() == left.data_type.scale() + right.data_type.scale();
    if functions::name(*function) != "*" || !whole || expression.data_type.physical() != Physical::I128 {
        return None;
    }
    let (left, right) = (unwidened(left), unwidened(right));
    let fits = |factor: &Expr| factor.data_type.physical() == Physical::I64;
    (fits(left) && fits(right)).then(|| (left.clone(), right.clone()))
}

/// The expression under casts that only allow more digits.
fn unwidened(expression: &Expr) -> &Expr {
    let ExprKind::Cast { input, .. } = &expression.kind else { return expression };
    let digits = |data_type: DataType| match data_type {
        DataType::Int => Some(10),
        DataType::BigInt => Some(19),
        DataType::Decimal { precision, .. } => Some(precision),
        _ => None,
    };
    let same_scale = input.data_type.scale() == expression.data_type.scale();
    match (digits(input.data_type), digits(expression.data_type)) {
        (Some(from), Some(to)) if from <= to && same_scale => unwidened(input),
        _ => expression,
    }
}
