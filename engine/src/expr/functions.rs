//! The table of scalar functions: one entry per function, with its typing, its kernel, a line of
//! documentation and an example that a test runs.
//!
//! Operators stand in it under their symbol (`+`, `||`) and, for the sign, `negate`. A function is
//! picked once, when the query is bound; evaluation calls its kernel with whole columns.

mod angles;
mod array;
mod digest;
mod format;
mod json;
mod made;
mod map;
mod math;
mod pattern;
mod row;
mod text;
mod time;
pub(crate) mod typing;
mod whole;
mod words;

pub(crate) use time::unit_micros;

use super::{Expr, ExprKind};
use crate::batch::{Nulls, Vector};
use crate::error::{Code, Error, Result};
use crate::types::{DataType, Value};
use bumpalo::Bump;

/// Which function of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionId(pub u16);

/// A function picked for its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which.
    pub function: FunctionId,
    /// Types the arguments are cast to.
    pub arguments: Vec<DataType>,
    /// Type of the result.
    pub returns: DataType,
}

/// What a function makes of argument types: the types they are cast to, and its own. `None` when
/// they do not fit. Literal arguments come with their value.
pub(crate) type Typing = fn(&[DataType], &[Option<&Value>]) -> Option<(Vec<DataType>, DataType)>;

/// Computes a column from columns.
pub(crate) type Kernel = for<'c, 'a> fn(&Call<'c, 'a>) -> Result<Vector<'a>>;

/// One row of the table.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// Accepted arguments, as shown in errors.
    pub(crate) signature: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) typing: Typing,
    pub(crate) kernel: Kernel,
    /// A call and what it gives, as text.
    pub(crate) example: (&'static str, &'static str),
}

/// One use of a kernel: its columns, all of `rows` rows.
pub(crate) struct Call<'c, 'a> {
    pub(crate) expressions: &'c [Expr],
    pub(crate) arguments: &'c [Vector<'a>],
    pub(crate) returns: DataType,
    pub(crate) rows: usize,
    /// Where any argument is NULL.
    pub(crate) nulls: Nulls<'a>,
    pub(crate) scratch: &'a Bump,
}

impl Call<'_, '_> {
    /// Type of argument `index`.
    pub(crate) fn data_type(&self, index: usize) -> DataType {
        self.expressions[index].data_type
    }

    /// Argument `index` where it is a text literal.
    pub(crate) fn text_literal(&self, index: usize) -> Option<&str> {
        match &self.expressions.get(index)?.kind {
            ExprKind::Literal(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl Function {
    /// Computes a column; an error says whose it is.
    pub(crate) fn run<'a>(&self, call: &Call<'_, 'a>) -> Result<Vector<'a>> {
        (self.kernel)(call).map_err(|error| match self.name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            true => error.note(format!("in `{}`", self.name)),
            false => error,
        })
    }
}

const FAMILIES: [&[Function]; 13] = [
    math::FUNCTIONS,
    whole::FUNCTIONS,
    angles::FUNCTIONS,
    text::FUNCTIONS,
    words::FUNCTIONS,
    pattern::FUNCTIONS,
    digest::FUNCTIONS,
    time::FUNCTIONS,
    made::FUNCTIONS,
    json::FUNCTIONS,
    array::FUNCTIONS,
    map::FUNCTIONS,
    row::FUNCTIONS,
];

fn table() -> impl Iterator<Item = &'static Function> {
    FAMILIES.into_iter().flatten()
}

pub(crate) fn get(function: FunctionId) -> &'static Function {
    let mut index = usize::from(function.0);
    for family in FAMILIES {
        match family.get(index) {
            Some(function) => return function,
            None => index -= family.len(),
        }
    }
    panic!("a function id comes from the table")
}

/// Every name, aliases included.
pub fn names() -> impl Iterator<Item = &'static str> {
    table().flat_map(|function| std::iter::once(function.name).chain(function.aliases.iter().copied()))
}

/// Name of a function.
pub fn name(function: FunctionId) -> &'static str {
    get(function).name
}

/// What documentation says of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it takes, in words.
    pub signature: &'static str,
    /// One line on what it does.
    pub doc: &'static str,
    /// A call, and its result as text.
    pub example: Option<(&'static str, &'static str)>,
}

/// Every function, in order of the table.
pub fn describe() -> impl Iterator<Item = Description> {
    table().map(|&Function { name, aliases, signature, doc, example, .. }| Description {
        name,
        aliases,
        signature,
        doc,
        example: Some(example),
    })
}

/// Picks the function called `name`, without regard to case, for arguments of these types;
/// `literals` holds the value of those that are constants (it may be shorter than `arguments`).
pub fn resolve(name: &str, arguments: &[DataType], literals: &[Option<&Value>]) -> Result<Resolved> {
    let named = |function: &&Function| {
        function.name.eq_ignore_ascii_case(name)
            || function.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    };
    let Some((index, function)) = table().enumerate().find(|(_, function)| named(function)) else {
        return Err(Error::new(Code::UnknownFunction, format!("function `{name}` not found")));
    };
    let literals: Vec<_> = (0..arguments.len()).map(|index| literals.get(index).copied().flatten()).collect();
    // A bare NULL takes whatever type makes the call fit.
    let stand_ins = arguments.iter().copied().filter(|data_type| *data_type != DataType::Null);
    let usual = [DataType::BigInt, DataType::Text, DataType::Double, typing::TIMESTAMP, DataType::Interval];
    let stand_ins = stand_ins.chain(usual).chain([DataType::Null]);
    let fitted = stand_ins.map(|stand_in| {
        let given = arguments.iter().map(|&given| if given == DataType::Null { stand_in } else { given });
        (function.typing)(&given.collect::<Vec<_>>(), &literals)
    });
    match fitted.flatten().next() {
        Some((arguments, returns)) => Ok(Resolved { function: FunctionId(index as u16), arguments, returns }),
        None => {
            let given: Vec<_> = arguments.iter().map(DataType::to_string).collect();
            let message = format!("`{}` does not take ({})", function.name, given.join(", "));
            Err(Error::new(Code::Type, message).help(format!("it takes {}", function.signature)))
        }
    }
}
