//! Fuzz targets without a fuzzer: the kept corpus, and seeded changes of it.

use std::path::Path;

/// Runs `target` over every file of `corpus` and over `changes` changed ones.
///
/// # Panics
/// When the target does.
pub fn replay(corpus: &Path, changes: u64, target: fn(&[u8])) {
    let mut names: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let inputs: Vec<Vec<u8>> = names.iter().map(|name| std::fs::read(name).unwrap()).collect();
    assert!(inputs.len() >= 3, "{} has only {} files", corpus.display(), inputs.len());
    inputs.iter().for_each(|input| target(input));
    for seed in 0..changes {
        let input = changed(&inputs, seed);
        // The input stands in the message of a panic's thread only if it is said before.
        let said = Said(&input, seed);
        target(&input);
        std::mem::forget(said);
    }
}

/// Tells the input when it is dropped, which only a panic does.
struct Said<'i>(&'i [u8], u64);

impl Drop for Said<'_> {
    fn drop(&mut self) {
        eprintln!("the input of seed {}: {}", self.1, self.0.escape_ascii());
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % bound.max(1) as u64) as usize
    }
}

/// One of `inputs` with a few changes: bytes flipped, taken out, doubled, replaced, or parts of another.
fn changed(inputs: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = inputs[random.below(inputs.len())].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() + 1);
        let length = random.below(9).min(bytes.len() - at);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let part = bytes[at..at + length].to_vec();
                bytes.splice(at..at, part);
            }
            3 if at < bytes.len() => bytes[at] = [0, 0xff, b'\n', b'"', b',', b'(', b'9', b'-'][random.below(8)],
            4 => {
                let other = &inputs[random.below(inputs.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(40)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => bytes.insert(at, random.below(256) as u8),
        }
    }
    bytes
}
