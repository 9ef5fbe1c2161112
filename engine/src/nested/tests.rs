//! Random values of random types: through JSON and back, compared as bytes and as values.

use bumpalo::Bump;
use proptest::prelude::*;

use super::*;
use crate::batch::{Data, Text, Vector};
use crate::expr::write_value;
use crate::types::Value;

/// A value as a tree, to hold the bytes against.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Number(i64),
    Text(String),
    List(Vec<Tree>),
}

fn array_of(element: DataType, trees: &[Tree]) -> Vec<u8> {
    let mut writer = Writer::default();
    put_array(&mut writer, element, trees);
    writer.bytes().to_vec()
}

fn put_array(writer: &mut Writer, element: DataType, trees: &[Tree]) {
    let open = writer.open();
    for tree in trees {
        match tree {
            Tree::Null => writer.null(width(element)),
            Tree::Number(number) => writer.i64(*number),
            Tree::Text(text) => writer.text(text.as_bytes()),
            Tree::List(trees) => {
                writer.begin_value();
                let DataType::Array(inner) = element else { panic!("a list is of an array") };
                put_array(writer, *inner, trees);
            }
        }
        writer.end_part(open, width(element));
    }
    writer.close_list(open, width(element));
}

/// The order that the bytes are to have: a NULL last, a list before one that goes on.
fn compare(left: &Tree, right: &Tree) -> std::cmp::Ordering {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match (left, right) {
        (Tree::Null, Tree::Null) => Equal,
        (Tree::Null, _) => Greater,
        (_, Tree::Null) => Less,
        (Tree::Number(left), Tree::Number(right)) => left.cmp(right),
        (Tree::Text(left), Tree::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Tree::List(left), Tree::List(right)) => {
            let first = left.iter().zip(right).map(|(left, right)| compare(left, right)).find(|order| order.is_ne());
            first.unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        _ => panic!("trees of one type"),
    }
}

fn numbers() -> impl Strategy<Value = Tree> {
    prop_oneof![
        Just(Tree::Null),
        (-2i64..3).prop_map(Tree::Number),
        prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Tree::Number)
    ]
}

fn texts() -> impl Strategy<Value = Tree> {
    let letters = prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), Just('"'), Just('\u{fc}'), Just('\u{10ffff}')];
    let text = prop::collection::vec(letters, 0..4).prop_map(|letters| Tree::Text(letters.into_iter().collect()));
    prop_oneof![1 => Just(Tree::Null), 4 => text]
}

fn lists(of: impl Strategy<Value = Tree> + 'static) -> impl Strategy<Value = Vec<Tree>> {
    prop::collection::vec(of, 0..4)
}

fn shown(bytes: &[u8], data_type: DataType) -> String {
    let mut out = String::new();
    write_value(&mut out, &Value::Nested(bytes.to_vec()), data_type);
    out
}

fn hold(element: DataType, left: &[Tree], right: &[Tree]) {
    let array = DataType::array(element);
    let [first, second] = [left, right].map(|trees| array_of(element, trees));
    let order = compare(&Tree::List(left.to_vec()), &Tree::List(right.to_vec()));
    assert_eq!(first.cmp(&second), order, "{left:?} {right:?}");
    let list = List::new(&first, width(element));
    assert_eq!(list.len(), left.len());
    for (part, tree) in list.iter().zip(left) {
        assert_eq!(is_null(part), *tree == Tree::Null);
    }
    let (mut writer, scratch) = (Writer::default(), Bump::new());
    let json = shown(&first, array);
    assert_eq!(parse(&json, array, &mut writer, &scratch), Some(true), "{json}");
    assert_eq!(writer.bytes(), first, "{json}");
}

proptest! {
    #[test]
    fn arrays_are_in_order_and_are_read_back(
        numbers in (lists(numbers()), lists(numbers())),
        texts in (lists(texts()), lists(texts())),
        deep in (lists(lists(texts()).prop_map(Tree::List)), lists(lists(texts()).prop_map(Tree::List))),
    ) {
        hold(DataType::BigInt, &numbers.0, &numbers.1);
        hold(DataType::Text, &texts.0, &texts.1);
        hold(DataType::array(DataType::Text), &deep.0, &deep.1);
    }

    #[test]
    fn damaged_bytes_are_read_as_something(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let row = DataType::row([("a", DataType::Text), ("b", DataType::BigInt), ("c", DataType::array(DataType::Text))]);
        for data_type in [DataType::array(DataType::Text), DataType::array(DataType::Int), row, DataType::map(DataType::Int, row)] {
            shown(&bytes, data_type);
        }
    }
}

#[test]
fn members_are_found_and_columns_made_of_them() {
    let parts = [("a", DataType::Text), ("b", DataType::BigInt), ("c", DataType::Double), ("d", DataType::Text)];
    let row = DataType::row(parts);
    let DataType::Row(members) = row else { panic!("made as a row") };
    let (mut writer, scratch) = (Writer::default(), Bump::new());
    let json = r#"{"d": "x\u0000y", "c": "NaN", "A": null, "other": [1, 2], "b": "7"}"#;
    assert_eq!(parse(json, row, &mut writer, &scratch), Some(true));
    assert_eq!(shown(writer.bytes(), row), r#"{"a":null,"b":7,"c":"NaN","d":"x\u0000y"}"#);
    let bytes = writer.bytes();
    let of =
        |index: usize| column(members[index].data_type, 1, &scratch, |_| Some(Place::new(members, index).of(bytes)));
    assert!(of(0).is_null(0) && of(1).i64s() == [7] && of(2).f64s()[0].is_nan());
    assert_eq!(of(3).texts()[0].as_bytes(), b"x\0y");
}

#[test]
fn equal_values_have_equal_bytes() {
    let bytes = |value: f64| {
        let mut writer = Writer::default();
        writer.row_of(&Vector::new(Data::F64(&[value])), 0, DataType::Double);
        writer.bytes().to_vec()
    };
    assert_eq!(bytes(-0.0), bytes(0.0));
    assert_eq!(bytes(f64::NAN), bytes(-f64::NAN));
    assert!(bytes(f64::NEG_INFINITY) < bytes(-1.0) && bytes(f64::INFINITY) < bytes(f64::NAN));
    let map = DataType::map(DataType::Text, DataType::Int);
    let (mut writer, scratch) = (Writer::default(), Bump::new());
    assert_eq!(parse(r#"{"b": 1, "a": null}"#, map, &mut writer, &scratch), Some(true));
    assert_eq!(shown(writer.bytes(), map), r#"{"a":null,"b":1}"#);
    writer.clear();
    assert_eq!(parse(r#"{"b": 1, "b": 2}"#, map, &mut writer, &scratch), None);
}

#[test]
fn what_is_not_of_the_type_is_refused() {
    let (int, scratch) = (DataType::array(DataType::Int), Bump::new());
    for text in ["", "[1", "[1,]", "{}", "1", "[1.5e400]", "[[1]]", "[2147483648]", "[1] 2", "nul", r#"["x"]"#] {
        assert_eq!(parse(text, int, &mut Writer::default(), &scratch), None, "{text}");
    }
    assert_eq!(parse(" null ", int, &mut Writer::default(), &scratch), Some(false));
    let mut out = String::new();
    assert!(check_json(" { \"a b\" : [ 1 , \"x \\\" y\" ] } ", &mut out));
    assert_eq!(out, r#"{"a b":[1,"x \" y"]}"#);
    assert!(!check_json("{1}", &mut out));
    assert_eq!(depth(DataType::array(DataType::map(DataType::Int, int))), 3);
    assert!(Text::new(b"").is_empty());
}
