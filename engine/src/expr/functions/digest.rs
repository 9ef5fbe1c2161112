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
    function!("sha224", [], "text", "Its SHA-224 digest, in hexadecimal.", t, |call| digest::<sha2::Sha224>(call), "sha224('abc')" => "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
    function!("sha384", [], "text", "Its SHA-384 digest, in hexadecimal.", t, |call| digest::<sha2::Sha384>(call), "sha384('abc')" => "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"),
    function!("sha512", [], "text", "Its SHA-512 digest, in hexadecimal.", t, |call| digest::<sha2::Sha512>(call), "sha512('abc')" => "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"),
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
