//! Angles, in radians, and what belongs to them.

use super::math::{function, real};
use super::typing::{self, Fit};
use super::{Call, Function};
use crate::batch::{Data, Vector};
use crate::error::Result;
use crate::types::{DataType, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function!("sin", [], "an angle", "Sine.", typing::double_1, |call| real(call, "sine", |x, _| x.sin()), "sin(0)" => "0"),
    function!("cos", [], "an angle", "Cosine.", typing::double_1, |call| real(call, "cosine", |x, _| x.cos()), "cos(0)" => "1"),
    function!("tan", [], "an angle", "Tangent.", typing::double_1, |call| real(call, "tangent", |x, _| x.tan()), "tan(0)" => "0"),
    function!("cot", [], "an angle", "Cotangent.", typing::double_1, |call| real(call, "cotangent", |x, _| x.tan().recip()), "cot(1)" => "0.6420926159343306"),
    function!("asin", [], "a number from -1 to 1", "The angle of that sine.", typing::double_1, |call| real(call, "arc sine", |x, _| x.asin()), "asin(0)" => "0"),
    function!("acos", [], "a number from -1 to 1", "The angle of that cosine.", typing::double_1, |call| real(call, "arc cosine", |x, _| x.acos()), "acos(1)" => "0"),
    function!("atan", [], "a number", "The angle of that tangent.", typing::double_1, |call| real(call, "arc tangent", |x, _| x.atan()), "atan(0)" => "0"),
    function!("atan2", [], "y, and x", "The angle of the point (x, y).", typing::double_2, |call| real(call, "arc tangent", f64::atan2), "atan2(0, 1)" => "0"),
    function!("sinh", [], "a number", "Hyperbolic sine.", typing::double_1, |call| real(call, "hyperbolic sine", |x, _| x.sinh()), "sinh(0)" => "0"),
    function!("cosh", [], "a number", "Hyperbolic cosine.", typing::double_1, |call| real(call, "hyperbolic cosine", |x, _| x.cosh()), "cosh(0)" => "1"),
    function!("tanh", [], "a number", "Hyperbolic tangent.", typing::double_1, |call| real(call, "hyperbolic tangent", |x, _| x.tanh()), "tanh(0)" => "0"),
    function!("asinh", [], "a number", "The number of that hyperbolic sine.", typing::double_1, |call| real(call, "area sine", |x, _| x.asinh()), "asinh(0)" => "0"),
    function!("acosh", [], "a number from 1", "The number of that hyperbolic cosine.", typing::double_1, |call| real(call, "area cosine", |x, _| x.acosh()), "acosh(1)" => "0"),
    function!("atanh", [], "a number between -1 and 1", "The number of that hyperbolic tangent.", typing::double_1, |call| real(call, "area tangent", |x, _| x.atanh()), "atanh(0)" => "0"),
    function!("degrees", [], "an angle", "The angle in degrees.", typing::double_1, |call| real(call, "degrees", |x, _| x.to_degrees()), "degrees(0)" => "0"),
    function!("radians", [], "an angle in degrees", "The angle.", typing::double_1, |call| real(call, "radians", |x, _| x.to_radians()), "radians(0)" => "0"),
    function!("pi", [], "nothing", "The number pi.", none, pi, "pi()" => "3.141592653589793"),
];

fn none(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    types.is_empty().then(|| (Vec::new(), DataType::Double))
}

fn pi<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    Ok(Vector::new(Data::F64(call.scratch.alloc_slice_fill_copy(call.rows, std::f64::consts::PI))))
}
