//! Arrays, maps and rows as JSON, in every format.

use bumpalo::Bump;
use corelane_engine::nested::{self, Leaf, Sink};
use corelane_engine::types::DataType;

use super::buffer::Buffer;
use super::json;
use super::value::{self, Dates};

/// JSON into a buffer, numbers and times as outside of it.
struct Out<'o> {
    dates: &'o mut Dates,
    out: &'o mut Buffer,
}

impl Sink for Out<'_> {
    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    fn string(&mut self, text: &[u8]) {
        json::string(text, self.out);
    }

    fn plain(&mut self, leaf: Leaf, data_type: DataType) {
        match leaf {
            Leaf::I64(value) => self.dates.i64(self.out, data_type, value),
            Leaf::I128(value) => value::wide_decimal(self.out, value, data_type.scale()),
            Leaf::F64(value) => value::double(self.out, value),
        }
    }
}

/// Writes a value that is nested, or JSON.
pub(super) fn write(dates: &mut Dates, data_type: DataType, value: &[u8], out: &mut Buffer) {
    nested::to_json(value, data_type, &mut Out { dates, out }, &Bump::new());
}
