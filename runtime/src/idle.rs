//! What a shard does when a round found nothing to do: look again for a while, then sleep.

/// Empty rounds before a shard sleeps; a polled hop costs 50..300 ns, a sleep tens of microseconds.
pub const SPIN_ROUNDS: u32 = 2_000;
/// The same for who waits for another shard, and not for input that may never come: long enough for that
/// shard to work through what it was sent, a few hundred microseconds.
const PEER_SPINS: u32 = 10;

/// How long a shard without work keeps looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdlePolicy {
    /// Empty rounds before it sleeps.
    pub spin_rounds: u32,
    /// Never sleep.
    pub busy_poll: bool,
}

impl IdlePolicy {
    /// The policy for `shards` where `cpus` can run at a time (a quota counts as CPUs). Spinning
    /// with more shards than that would take the CPU from the one that has work. On a schedule
    /// (`paced`) a shard mostly waits: if it sleeps meanwhile, the writer and the kernel take the CPU
    /// then and not when a row is due (S3b at 100,000 rows/s: p99.9 8 -> 3 ms, p50 9 -> 50 us).
    pub fn new(shards: usize, cpus: f64, paced: bool, busy_poll: bool) -> Self {
        IdlePolicy { spin_rounds: if paced || shards as f64 > cpus { 0 } else { SPIN_ROUNDS }, busy_poll }
    }

    /// Whether the shard sleeps after this many empty rounds in a row; `for_peer` says that it waits for
    /// another shard.
    #[inline]
    pub fn sleeps_after(&self, empty_rounds: u32, for_peer: bool) -> bool {
        let most = if for_peer { self.spin_rounds.saturating_mul(PEER_SPINS) } else { self.spin_rounds };
        !self.busy_poll && empty_rounds > most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spins_only_with_a_cpu_for_each_shard() {
        assert_eq!(IdlePolicy::new(2, 2.0, false, false).spin_rounds, SPIN_ROUNDS);
        assert_eq!(IdlePolicy::new(2, 1.5, false, false).spin_rounds, 0);
        assert!(IdlePolicy::new(3, 2.0, false, false).sleeps_after(1, true));
        assert!(IdlePolicy::new(1, 2.0, true, false).sleeps_after(1, false));
        let spinning = IdlePolicy::new(2, 2.0, false, false);
        assert!(!spinning.sleeps_after(SPIN_ROUNDS, false) && spinning.sleeps_after(SPIN_ROUNDS + 1, false));
        assert!(
            !spinning.sleeps_after(SPIN_ROUNDS + 1, true) && spinning.sleeps_after(PEER_SPINS * SPIN_ROUNDS + 1, true)
        );
        assert!(!IdlePolicy::new(9, 2.0, true, true).sleeps_after(u32::MAX, true));
    }
}
