//! A token bucket that limits how many runs start per second: each start takes one token.

use crate::clock::{Micros, SECOND};

/// The bucket holds the tokens of this fraction of a second, which can be taken at once. It holds at
/// least one token, and more only where tokens arrive faster than batches are dispatched.
const AT_ONCE: f64 = 0.02;

/// A bucket of tokens.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: f64,
    size: f64,
    tokens: f64,
    filled_at: Micros,
}

impl TokenBucket {
    /// A full bucket, refilled at `per_second` tokens per second.
    pub fn new(per_second: f64) -> Self {
        let size = (per_second * AT_ONCE).max(1.0);
        Self {
            per_second,
            size,
            tokens: size,
            filled_at: Micros::MIN,
        }
    }

    /// Adds the tokens that have accrued since the last call.
    pub fn fill(&mut self, now: Micros) {
        // A clock that was set back adds no tokens; later calls count from its new time.
        let passed = now.saturating_sub(self.filled_at).max(0) as f64;
        self.tokens = (self.tokens + passed * self.per_second / SECOND as f64).min(self.size);
        self.filled_at = now;
    }

    /// Number of tokens available at the last refill.
    pub fn available(&self) -> u64 {
        self.tokens as u64
    }

    /// Takes tokens for runs that will start; there must be enough available.
    pub fn take(&mut self, starts: u64) {
        self.tokens -= starts as f64;
    }

    /// Returns the tokens of runs that did not start.
    pub fn give_back(&mut self, starts: u64) {
        self.tokens = (self.tokens + starts as f64).min(self.size);
    }

    /// The time at which the next token is available.
    pub fn next_at(&self) -> Micros {
        let missing = (1.0 - self.tokens).max(0.0);
        let wait = (missing / self.per_second * SECOND as f64).ceil();
        self.filled_at.saturating_add(wait as Micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn they_start_one_by_one_where_they_are_few() {
        let mut bucket = TokenBucket::new(4.0);
        bucket.fill(1_000_000);
        assert_eq!(bucket.available(), 1);
        bucket.take(1);
        assert_eq!((bucket.available(), bucket.next_at()), (0, 1_250_000));
        bucket.fill(1_249_999);
        assert_eq!(bucket.available(), 0);
        bucket.fill(1_250_000);
        assert_eq!(bucket.available(), 1);
        // Unused tokens beyond the capacity are lost.
        bucket.fill(9_000_000);
        assert_eq!(bucket.available(), 1);
    }

    #[test]
    fn a_batch_may_start_where_they_are_many() {
        let mut bucket = TokenBucket::new(10_000.0);
        bucket.fill(0);
        assert_eq!(bucket.available(), 200);
        bucket.take(150);
        bucket.give_back(20);
        assert_eq!(bucket.available(), 70);
        bucket.give_back(500);
        assert_eq!(bucket.available(), 200);
    }

    #[test]
    fn the_slowest_waits_without_an_end() {
        let mut bucket = TokenBucket::new(f64::MIN_POSITIVE);
        bucket.fill(5);
        bucket.take(1);
        assert_eq!(bucket.next_at(), Micros::MAX);
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_starts_than_it_may(
            per_second in 0.1..100_000.0_f64,
            steps in prop::collection::vec((0..200_000_i64, 1..300_u64), 1..60),
        ) {
            let mut bucket = TokenBucket::new(per_second);
            let mut now = 0;
            let mut starts: Vec<(Micros, u64)> = Vec::new();
            for (passed, wanted) in steps {
                now += passed;
                bucket.fill(now);
                let taken = wanted.min(bucket.available());
                bucket.take(taken);
                starts.push((now, taken));
            }
            for (at, (from, _)) in starts.iter().enumerate() {
                let mut sum = 0;
                for (to, taken) in &starts[at..] {
                    sum += taken;
                    let most = (per_second * AT_ONCE).max(1.0)
                        + (to - from) as f64 * per_second / SECOND as f64;
                    prop_assert!(sum as f64 <= most + 1e-6, "{sum} in {} us", to - from);
                }
            }
            // At the announced time a token is available.
            bucket.fill(now.max(bucket.next_at()));
            bucket.fill(bucket.next_at());
            prop_assert!(bucket.available() >= 1);
        }
    }
}
