//! Random numbers by place: row `n` of a stream has its own, whatever was generated before it.

/// A stream of random numbers addressed by counter: SplitMix64 (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", OOPSLA 2014) with the counter as its state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    base: u64,
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Stream {
    /// Stream `number` of `seed`.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Stream { base: mix(seed ^ mix(number.wrapping_mul(STEP))) }
    }

    /// Number `place` of the stream.
    #[inline]
    pub(super) fn at(&self, place: u64) -> u64 {
        mix(self.base.wrapping_add(place.wrapping_mul(STEP)))
    }
}

#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// A number below `bound` made of 32 random bits (Lemire's multiplication, without rejection: the
/// bias is below `bound / 2^32`).
#[inline]
pub(super) fn below(bits: u32, bound: u32) -> u32 {
    ((u64::from(bits) * u64::from(bound)) >> 32) as u32
}

/// Ranks from 0 by Zipf's law with exponent 1, looked up by 16 random bits.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    ranks: Vec<u32>,
}

impl Zipf {
    /// Over `count` ranks.
    pub(super) fn new(count: u32) -> Self {
        let total: f64 = (1..=count).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut ranks = Vec::with_capacity(1 << 16);
        let (mut rank, mut reached) = (0, 1.0 / total);
        for place in 0..1u32 << 16 {
            while f64::from(place) / 65536.0 >= reached && rank + 1 < count {
                rank += 1;
                reached += 1.0 / (f64::from(rank + 1) * total);
            }
            ranks.push(rank);
        }
        Zipf { ranks }
    }

    #[inline]
    pub(super) fn rank(&self, bits: u16) -> u32 {
        self.ranks[usize::from(bits)]
    }
}
