//! Canary runs go first: the others start when all of them have succeeded.

use std::collections::BTreeSet;
use std::ops::Range;

use super::run_set::RunSet;

/// The canary runs that have not ended.
#[derive(Debug, Clone)]
pub struct Canary {
    open: BTreeSet<u64>,
}

impl Canary {
    /// Spreads `runs` canary runs over a plan and keeps those that are still to be executed. `None`: none
    /// is left.
    pub fn new(runs: u32, num_runs: u64, pending: &RunSet) -> Option<Self> {
        let runs = u64::from(runs).min(num_runs);
        // The middle of each of `runs` equal parts.
        let middle = |part: u64| {
            let twice = (2 * u128::from(part) + 1) * u128::from(num_runs);
            (twice / (2 * u128::from(runs))) as u64
        };
        let open: BTreeSet<u64> = (0..runs)
            .map(middle)
            .filter(|&run| pending.contains(run))
            .collect();
        (!open.is_empty()).then_some(Self { open })
    }

    fn next(&self, pending: &RunSet) -> Option<u64> {
        self.open.iter().copied().find(|&run| pending.contains(run))
    }

    /// Whether a canary run may start.
    pub fn can_start(&self, pending: &RunSet) -> bool {
        self.next(pending).is_some()
    }

    /// Takes the next canary run.
    pub fn take(&self, pending: &mut RunSet) -> Option<Range<u64>> {
        let run = self.next(pending)?;
        pending.remove(run);
        Some(run..run + 1)
    }

    /// Notes that a run has ended. Returns whether it was a canary run.
    pub fn end(&mut self, run: u64) -> bool {
        self.open.remove(&run)
    }

    /// Whether all canary runs have ended.
    pub fn is_over(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(runs: u32, num_runs: u64) -> Vec<u64> {
        let canary = Canary::new(runs, num_runs, &RunSet::all(num_runs));
        canary.map_or_else(Vec::new, |canary| canary.open.into_iter().collect())
    }

    #[test]
    fn they_are_spread_over_the_plan() {
        assert_eq!(chosen(1, 9), [4]);
        assert_eq!(chosen(3, 9), [1, 4, 7]);
        assert_eq!(chosen(2, 1_000_000), [250_000, 750_000]);
        assert_eq!(chosen(9, 3), [0, 1, 2]);
        assert_eq!(chosen(4, 0), [] as [u64; 0]);
        assert_eq!(chosen(2, 1 << 63), [1 << 61, 3 << 61]);
        for num_runs in 1..60 {
            for runs in 1..60 {
                assert_eq!(
                    chosen(runs, num_runs).len() as u64,
                    num_runs.min(u64::from(runs))
                );
            }
        }
    }

    #[test]
    fn what_has_ended_is_not_among_them() {
        let pending = RunSet::all_but(9, [1, 4]);
        let canary = Canary::new(3, 9, &pending).expect("one is left");
        assert_eq!(canary.open.iter().copied().collect::<Vec<_>>(), [7]);
        assert!(Canary::new(3, 9, &RunSet::all_but(9, [1, 4, 7])).is_none());
    }
}
