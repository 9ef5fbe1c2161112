//! The table's examples, and evaluation against plain scalar models.

use super::functions::{self, resolve};
use super::*;
use crate::batch::{Chunk, Data, Vector};
use crate::error::{Code, Result};
use crate::operator::Context;
use crate::stage::Ledger;
use bumpalo::Bump;
use proptest::prelude::*;

const D92: DataType = DataType::Decimal { precision: 9, scale: 2 };

fn call(name: &str, arguments: Vec<Expr>) -> Result<Expr> {
    let types: Vec<_> = arguments.iter().map(|argument| argument.data_type).collect();
    let literals = arguments.iter().map(|argument| match &argument.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    });
    let resolved = resolve(name, &types, &literals.collect::<Vec<_>>())?;
    let arguments = arguments.into_iter().zip(resolved.arguments).map(|(argument, to)| argument.cast(to)).collect();
    Ok(Expr {
        kind: ExprKind::Call { function: resolved.function, arguments },
        data_type: resolved.returns,
        span: Span { start: 3, end: 7 },
    })
}

fn literal(text: &str) -> Expr {
    let text = text.trim();
    let of_text = |text: &str| Expr::literal(Value::Text(text.trim_matches('\'').to_owned()), DataType::Text);
    if let Some(time) = text.strip_prefix("TIMESTAMP ") {
        return of_text(time).cast(functions::typing::TIMESTAMP);
    }
    if let Some(span) = text.strip_prefix("INTERVAL ") {
        return of_text(span).cast(DataType::Interval);
    }
    if text.starts_with('\'') {
        return of_text(text);
    }
    if text.eq_ignore_ascii_case("null") {
        return Expr::literal(Value::Null, DataType::Null);
    }
    let number_or_text = if text.contains(['\'', '"']) { DataType::Text } else { DataType::BigInt };
    let nested = match text.as_bytes() {
        [b'[', b'[', ..] => Some(DataType::array(DataType::array(number_or_text))),
        [b'[', ..] => Some(DataType::array(number_or_text)),
        [b'{', ..] => Some(DataType::row([("a", DataType::BigInt)])),
        [b'M', b'A', b'P', ..] => Some(DataType::map(DataType::Text, DataType::BigInt)),
        _ => None,
    };
    if let Some(data_type) = nested {
        return of_text(&text.trim_start_matches("MAP ").replace('\'', "\"")).cast(data_type);
    }
    if let Some((name, rest)) = text.split_once('(') {
        return call(name, split_arguments(rest.strip_suffix(')').unwrap())).unwrap();
    }
    match text.split_once('.') {
        None => Expr::literal(Value::I64(text.parse().unwrap()), DataType::BigInt),
        Some((_, fraction)) => {
            let scale = fraction.len() as u8;
            let data_type = DataType::Decimal { precision: 9, scale };
            Expr::literal(Value::I64(text.replace('.', "").parse().unwrap()), data_type)
        }
    }
}

/// Commas outside quotes and brackets.
fn split_arguments(text: &str) -> Vec<Expr> {
    let (mut quoted, mut depth) = (false, 0);
    let parts = text.split(|c: char| {
        quoted ^= c == '\'';
        depth += match c {
            '[' | '(' | '{' if !quoted => 1,
            ']' | ')' | '}' if !quoted => -1,
            _ => 0,
        };
        c == ',' && !quoted && depth == 0
    });
    parts.filter(|part| !part.is_empty()).map(literal).collect()
}

fn show(expr: Expr) -> String {
    let folded = fold(expr.clone()).unwrap_or_else(|error| panic!("{expr:?}: {error}"));
    let ExprKind::Literal(value) = folded.kind else { panic!("not folded: {folded:?}") };
    let mut out = String::new();
    write_value(&mut out, &value, folded.data_type);
    out
}

#[test]
fn every_example_gives_what_it_says() {
    for function in functions::describe() {
        let (name, (example, wanted)) = (function.name, function.example.unwrap());
        let arguments = match example.split_once('(') {
            Some((called, rest)) if functions::names().any(|known| known == called) => {
                split_arguments(rest.strip_suffix(')').unwrap())
            }
            _ => example.split(&format!(" {name} ")).map(literal).collect(),
        };
        assert_eq!(show(call(name, arguments).unwrap()), wanted, "{example}");
    }
}

#[test]
fn names_are_unique_and_resolve_without_case() {
    let mut seen = std::collections::HashSet::new();
    assert!(functions::names().all(|name| seen.insert(name)));
    assert_eq!(functions::name(resolve("UCase", &[DataType::Text], &[]).unwrap().function), "upper");
    assert_eq!(resolve("uper", &[DataType::Text], &[]).unwrap_err().code(), Code::UnknownFunction);
    assert_eq!(resolve("upper", &[DataType::Date], &[]).unwrap_err().code(), Code::Type);
}

fn with_chunk<T>(columns: &[Vector<'_>], work: impl FnOnce(&Chunk<'_>, &Context<'_>) -> T) -> T {
    let (scratch, ledger) = (Bump::new(), Ledger::idle());
    let rows = columns[0].len();
    let chunk = Chunk { rows, columns, positions: None, ordinals: None, floors: None, stamp: 0 };
    work(&chunk, &Context { scratch: &scratch, ledger: &ledger })
}

fn nulls_of<T>(values: &[Option<T>]) -> Vec<u64> {
    let mut words = vec![0; values.len().div_ceil(64).max(1)];
    for (row, _) in values.iter().enumerate().filter(|(_, value)| value.is_none()) {
        words[row / 64] |= 1 << (row % 64);
    }
    words
}

/// Evaluates over BIGINT columns and gives the rows back.
fn run(expr: &Expr, columns: [&[Option<i64>]; 2]) -> Result<Vec<Option<i64>>> {
    // What stands under a NULL must not matter: 0 would divide, MAX would overflow.
    let plain = columns.map(|column| column.iter().map(|value| value.unwrap_or(0)).collect::<Vec<_>>());
    let nulls = columns.map(nulls_of);
    let vectors = [0, 1].map(|i| Vector { data: Data::I64(&plain[i]), nulls: Some(&nulls[i]) });
    with_chunk(&vectors, |chunk, context| {
        let vector = evaluate(expr, chunk, context)?;
        Ok((0..chunk.rows).map(|row| (!vector.is_null(row)).then(|| vector.i64s()[row])).collect())
    })
}

fn compare(comparison: Comparison, left: Expr, right: Expr) -> Expr {
    let kind = ExprKind::Compare { comparison, left: Box::new(left), right: Box::new(right) };
    Expr { kind, data_type: DataType::Boolean, span: Span::NONE }
}

fn columns() -> (Expr, Expr) {
    (Expr::column(0, DataType::BigInt), Expr::column(1, DataType::BigInt))
}

fn cells() -> impl Strategy<Value = Vec<(Option<i64>, Option<i64>)>> {
    let cell = || prop_oneof![Just(None), (-3i64..4).prop_map(Some), Just(Some(i64::MAX)), Just(Some(i64::MIN))];
    prop::collection::vec((cell(), cell()), 1..200)
}

proptest! {
    #[test]
    fn arithmetic_agrees_with_checked_arithmetic(rows in cells()) {
        let (a, b): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        type Model = fn(i64, i64) -> Option<i64>;
        let operators: [(&str, Model); 5] = [
            ("+", i64::checked_add), ("-", i64::checked_sub), ("*", i64::checked_mul), ("/", i64::checked_div),
            ("%", |a, b| if b == 0 { None } else { Some(a.wrapping_rem(b)) }),
        ];
        for (name, model) in operators {
            let expr = call(name, vec![columns().0, columns().1]).unwrap();
            let wanted: Option<Vec<Option<i64>>> = a.iter().zip(&b).map(|pair| match pair {
                (&Some(a), &Some(b)) => model(a, b).map(Some),
                _ => Some(None),
            }).collect();
            match run(&expr, [&a, &b]) {
                Ok(rows) => prop_assert_eq!(Some(rows), wanted),
                Err(error) => {
                    prop_assert_eq!(wanted, None);
                    prop_assert!(matches!(error.code(), Code::Overflow | Code::DivisionByZero));
                    prop_assert_eq!(error.report().span, Span { start: 3, end: 7 });
                }
            }
        }
    }

    #[test]
    fn logic_guards_what_can_fail_and_knows_null(rows in cells()) {
        let (a, b): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let zero = || Expr::literal(Value::I64(0), DataType::BigInt);
        let small = || compare(Comparison::Less, columns().0, Expr::literal(Value::I64(9), DataType::BigInt));
        let ratio = || call("/", vec![columns().0, columns().1]).unwrap();
        let positive = compare(Comparison::Greater, ratio(), zero());
        let nonzero = compare(Comparison::NotEqual, columns().1, zero());
        let terms = vec![nonzero.clone(), small(), compare(Comparison::Greater, columns().0, Expr::literal(Value::I64(-9), DataType::BigInt)), positive];
        let and = Expr { kind: ExprKind::And(terms), data_type: DataType::Boolean, span: Span::NONE };
        let wanted: Vec<bool> = a.iter().zip(&b).map(|pair| match pair {
            (&Some(a), &Some(b)) => b != 0 && a < 9 && a > -9 && a / b > 0,
            _ => false,
        }).collect();
        let truth = run(&and, [&a, &b]).unwrap();
        prop_assert_eq!(truth.iter().map(|truth| *truth == Some(1)).collect::<Vec<_>>(), wanted.clone());
        for ((&a, &b), truth) in a.iter().zip(&b).zip(&truth) {
            let some_false = b == Some(0) || a.is_some_and(|a| !(-8..9).contains(&a));
            prop_assert_eq!(truth.is_none(), !some_false && (a.is_none() || b.is_none()));
        }
        let plain = [&a, &b].map(|column| column.iter().map(|value| value.unwrap_or(7)).collect::<Vec<_>>());
        let nulls = [nulls_of(&a), nulls_of(&b)];
        let vectors = [0, 1].map(|i| Vector { data: Data::I64(&plain[i]), nulls: Some(&nulls[i]) });
        let kept = with_chunk(&vectors, |chunk, context| {
            evaluate_predicate(&and, chunk, context).unwrap().map(<[u16]>::to_vec)
        });
        let rows: Vec<u16> = (0..a.len() as u16).filter(|&row| wanted[usize::from(row)]).collect();
        prop_assert_eq!(kept.unwrap_or_else(|| (0..a.len() as u16).collect()), rows);
        // CASE WHEN b <> 0 AND a < 9 THEN a / b ELSE -1 END
        let guard = Expr { kind: ExprKind::And(vec![nonzero, small(), compare(Comparison::Greater, columns().0, Expr::literal(Value::I64(-9), DataType::BigInt))]), data_type: DataType::Boolean, span: Span::NONE };
        let otherwise = Some(Box::new(Expr::literal(Value::I64(-1), DataType::BigInt)));
        let case = Expr { kind: ExprKind::Case { branches: vec![(guard, ratio())], otherwise }, data_type: DataType::BigInt, span: Span::NONE };
        let wanted: Vec<_> = a.iter().zip(&b).map(|pair| match pair {
            (&Some(a), &Some(b)) if b != 0 && a < 9 && a > -9 => Some(a / b),
            _ => Some(-1),
        }).collect();
        prop_assert_eq!(run(&case, [&a, &b]).unwrap(), wanted);
    }

    #[test]
    fn like_agrees_with_a_regular_expression(pattern in "[ab%_é]{0,6}", text in "[abé]{0,8}") {
        let like = pattern::Like::new(&pattern, None, false).unwrap();
        let regex = format!("(?s)^{}$", pattern.replace('%', ".*").replace('_', "."));
        prop_assert_eq!(like.matches(&text), regex::Regex::new(&regex).unwrap().is_match(&text), "{} {}", pattern, text);
    }
}

fn cast_text(text: &str, data_type: DataType, safe: bool) -> Result<String> {
    let input = Box::new(Expr::literal(Value::Text(text.to_owned()), DataType::Text));
    let expr = Expr { kind: ExprKind::Cast { input, safe }, data_type, span: Span { start: 1, end: 2 } };
    fold(expr).map(show)
}

#[test]
fn text_becomes_values_and_back() {
    let wide = DataType::Decimal { precision: 38, scale: 10 };
    for (text, data_type, shown) in [
        ("1.005", D92, Some("1.01")),
        ("-1.005", D92, Some("-1.01")),
        ("9999999.994", D92, Some("9999999.99")),
        ("9999999.995", D92, None),
        ("1e3", D92, Some("1000.00")),
        ("12e-1", D92, Some("1.20")),
        (".5", D92, Some("0.50")),
        ("1e-9", D92, Some("0.00")),
        (".", D92, None),
        ("1.2.3", D92, None),
        ("-", D92, None),
        ("", DataType::BigInt, None),
        ("9223372036854775807", DataType::BigInt, Some("9223372036854775807")),
        ("9223372036854775808", DataType::BigInt, None),
        ("2147483648", DataType::Int, None),
        ("1234567890123456789012345678.5", wide, Some("1234567890123456789012345678.5000000000")),
        (" yes ", DataType::Boolean, Some("TRUE")),
        ("2026-02-30", DataType::Date, None),
        ("2026-02-28", DataType::Date, Some("2026-02-28")),
        ("90 minutes", DataType::Interval, Some("01:30:00")),
        ("3 04:05:06.5", DataType::Interval, Some("3 04:05:06.500000")),
        ("2.5e0", DataType::Double, Some("2.5")),
    ] {
        let read = cast_text(text, data_type, false);
        assert_eq!(read.as_ref().ok().map(String::as_str), shown, "{text} as {data_type}");
        if let Err(error) = read {
            assert_eq!((error.code(), error.report().span), (Code::Cast, Span { start: 1, end: 2 }));
            assert_eq!(cast_text(text, data_type, true).unwrap(), "NULL");
        }
    }
}
