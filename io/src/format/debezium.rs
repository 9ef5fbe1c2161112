//! Changes as Debezium writes them: an object a line, with the row before, the row after, and what became
//! of it (`c` created, `u` updated, `d` deleted). See the page "Data change events" of its documentation.
//!
//! The first column of the rows is the operation; a row that goes for another is followed by that one.

use corelane_engine::batch::{Chunk, Data};
use corelane_engine::types::{DataType, Field};

use super::buffer::Buffer;
use super::json::Json;

#[derive(Debug)]
pub(super) struct Debezium {
    row: Json,
}

impl Debezium {
    /// `fields`: the operation, then the columns of a row.
    pub(super) fn new(fields: &[Field]) -> Self {
        Debezium { row: Json::new(fields.get(1..).unwrap_or_default(), true) }
    }

    pub(super) fn rows(
        &mut self,
        types: &[DataType],
        chunk: &Chunk<'_>,
        out: &mut Buffer,
        mut ends: Option<&mut Vec<u32>>,
    ) {
        let Some((operations, columns)) = chunk.columns.split_first() else { return };
        let Data::Text(operations) = operations.data else { return };
        let types = types.get(1..).unwrap_or_default();
        let mut before = None;
        for (row, operation) in operations.iter().enumerate().take(chunk.rows) {
            let operation = match operation.as_bytes() {
                b"-U" => {
                    before = Some(row);
                    None
                }
                b"-D" => {
                    before = Some(row);
                    Some(b'd')
                }
                b"+U" => Some(b'u'),
                _ => Some(b'c'),
            };
            if let Some(operation) = operation {
                let after = (operation != b'd').then_some(row);
                for (key, there) in [(&b"{\"before\":"[..], before.take()), (b",\"after\":", after)] {
                    out.extend(key);
                    match there {
                        Some(row) => self.row.object(types, columns, row, out),
                        None => out.extend(b"null"),
                    }
                }
                out.extend(b",\"op\":\"");
                out.push(operation);
                out.extend(b"\"}\n");
            }
            if let Some(ends) = &mut ends {
                ends.push(out.len() as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Formatter};
    use super::*;
    use corelane_engine::batch::{Text, Vector};
    use corelane_engine::types::Schema;

    #[test]
    fn a_row_that_goes_for_another_is_one_object_with_it() {
        let field = |name: &str, data_type| Field { name: name.to_owned(), data_type };
        let fields = vec![field("op", DataType::Text), field("k", DataType::Text), field("n", DataType::BigInt)];
        let operations = ["+I", "-U", "+U", "-D"].map(|operation| Text::new(operation.as_bytes()));
        let keys = ["a", "a", "a", "b"].map(|key| Text::new(key.as_bytes()));
        let columns = [
            Vector::new(Data::Text(&operations)),
            Vector::new(Data::Text(&keys)),
            Vector { data: Data::I64(&[1, 1, 2, 0]), nulls: Some(&[8]) },
        ];
        let chunk = Chunk { rows: 4, columns: &columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        let mut formatter = Formatter::of_part(Format::Debezium, &Schema { fields }, 3);
        let mut out = Buffer::default();
        formatter.rows(&chunk, &mut out, None);
        let expected = concat!(
            r#"{"before":null,"after":{"k":"a","n":1},"op":"c"}"#,
            "\n",
            r#"{"before":{"k":"a","n":1},"after":{"k":"a","n":2},"op":"u"}"#,
            "\n",
            r#"{"before":{"k":"b","n":null},"after":null,"op":"d"}"#,
            "\n",
        );
        assert_eq!(String::from_utf8_lossy(out.bytes()), expected);
    }
}
