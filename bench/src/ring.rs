//! Hops through the ring between two threads that look for each other's items without sleeping.

use std::time::Instant;

use anyhow::{Result, anyhow};

/// Sends `items` numbers through the real ring, checks their order and sum, and returns nanoseconds
/// an item.
pub fn hop(items: u64) -> Result<f64> {
    let began = Instant::now();
    corelane::ring::stress(items).map_err(|wrong| anyhow!("the ring is broken: {wrong}"))?;
    Ok(began.elapsed().as_nanos() as f64 / items.max(1) as f64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hop_takes_time() {
        assert!(super::hop(100_000).unwrap() > 0.0);
    }
}
