//! Digests of text, in hexadecimal.

use super::math::function;
use super::text::{at, compose, t};
use super::{Call, Function};
use crate::batch::Vector;
use crate::error::Result;
use sha2::Digest;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("md5", [], "text", "Its MD5 digest, in hexadecimal.", t, |call| digest::<md5::Md5>(call), "md5('abc')" => "900150983cd24fb0d6963f7d28e17f72"),
    function!("sha256", [], "text", "Its SHA-256 digest, in hexadecimal.", t, |call| digest::<sha2::Sha256>(call), "sha256('abc')" => "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
];

fn digest<'a, D: Digest>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    compose(call, |out, row| {
        for byte in D::digest(at(call, 0, row).as_bytes()) {
            out.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
        }
        Ok(())
    })
}
