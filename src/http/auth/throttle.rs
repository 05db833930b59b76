//! Limits failed credentials per address, by a token bucket each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Failures in a row that are not throttled: a client with a stale token tries a few times.
const BURST: u32 = 10;
/// From then on one failure per this many milliseconds, against guessing and log flooding.
const REFILL_MS: i64 = 6_000;
/// Addresses kept in memory. Beyond this, quiet addresses are removed; if there are none, new
/// addresses share one bucket.
const MAX_ADDRESSES: usize = 10_000;

/// Per address, when its bucket would be full again.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<Option<IpAddr>, i64>>);

impl Throttle {
    /// Records a failure at `now` (epoch milliseconds). `Some` is the number of seconds after which
    /// the address may try again.
    pub fn failed(&self, address: IpAddr, now: i64) -> Option<u32> {
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Some(address);
        if full_at.len() >= MAX_ADDRESSES && !full_at.contains_key(&key) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MAX_ADDRESSES {
                key = None;
            }
        }
        let at = full_at.entry(key).or_insert(now);
        let next = (*at).max(now) + REFILL_MS;
        let excess = next - now - i64::from(BURST) * REFILL_MS;
        if excess <= 0 {
            *at = next;
            return None;
        }
        Some(u32::try_from((excess + 999) / 1_000).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn failures_are_throttled_after_a_burst() {
        let throttle = Throttle::default();
        for _ in 0..BURST {
            assert_eq!(throttle.failed(address(1), 1_000), None);
        }
        assert_eq!(throttle.failed(address(1), 1_000), Some(6));
        assert_eq!(throttle.failed(address(2), 1_000), None, "another address");
        assert_eq!(throttle.failed(address(1), 1_000 + REFILL_MS), None);
        assert_eq!(throttle.failed(address(1), 1_000 + REFILL_MS), Some(6));
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        let addresses = u32::try_from(MAX_ADDRESSES).unwrap() + 500;
        for n in 0..addresses {
            throttle.failed(IpAddr::from(n.to_be_bytes()), 1_000);
        }
        assert!(throttle.0.lock().unwrap().len() <= MAX_ADDRESSES + 1);
    }
}
