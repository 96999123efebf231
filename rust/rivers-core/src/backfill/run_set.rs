//! A set of run numbers as ranges: one range while runs start in order.

use std::collections::BTreeMap;
use std::ops::Range;

/// Run numbers, ascending, in as few ranges as possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunSet {
    /// The end of each range, by its start.
    ranges: BTreeMap<u64, u64>,
    len: u64,
}

impl RunSet {
    /// All runs of a plan.
    pub fn all(num_runs: u64) -> Self {
        let mut set = Self::default();
        set.insert(0..num_runs);
        set
    }

    /// All runs of a plan except `ended`, which are ascending.
    pub fn all_but(num_runs: u64, ended: impl IntoIterator<Item = u64>) -> Self {
        let mut set = Self::default();
        let mut next = 0;
        for run in ended {
            set.insert(next..run);
            next = run + 1;
        }
        set.insert(next..num_runs);
        set
    }

    /// Number of runs.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a run is in the set.
    pub fn contains(&self, run: u64) -> bool {
        let before = self.ranges.range(..=run).next_back();
        before.is_some_and(|(_, &end)| run < end)
    }

    /// The lowest run.
    pub fn first(&self) -> Option<u64> {
        self.ranges.first_key_value().map(|(&start, _)| start)
    }

    /// All ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// The highest run of `range` that is not in the set.
    pub fn last_absent(&self, range: Range<u64>) -> Option<u64> {
        let last = range
            .end
            .checked_sub(1)
            .filter(|last| range.contains(last))?;
        match self.ranges.range(..=last).next_back() {
            Some((&start, &end)) if end > last => {
                start.checked_sub(1).filter(|before| range.contains(before))
            }
            _ => Some(last),
        }
    }

    /// Removes up to `max` runs from the lowest range and returns them.
    pub fn take(&mut self, most: u64) -> Option<Range<u64>> {
        let (start, end) = self.ranges.pop_first()?;
        let taken = start..end.min(start.saturating_add(most));
        if taken.end < end {
            self.ranges.insert(taken.end, end);
        }
        self.len -= taken.end - taken.start;
        Some(taken)
    }

    /// Removes one run. Returns `false` if it is not in the set.
    pub fn remove(&mut self, run: u64) -> bool {
        let Some((&start, &end)) = self.ranges.range(..=run).next_back() else {
            return false;
        };
        if end <= run {
            return false;
        }
        self.ranges.remove(&start);
        self.len -= end - start;
        self.insert(start..run);
        self.insert(run + 1..end);
        true
    }

    /// Adds runs that are not in the set.
    pub fn insert(&mut self, runs: Range<u64>) {
        if runs.is_empty() {
            return;
        }
        self.len += runs.end - runs.start;
        let end = self.ranges.remove(&runs.end).unwrap_or(runs.end);
        match self.ranges.range_mut(..runs.start).next_back() {
            Some((_, before)) if *before == runs.start => *before = end,
            _ => {
                self.ranges.insert(runs.start, end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_in_order_and_joins_what_comes_back() {
        let mut set = RunSet::all(10);
        assert_eq!(set.take(3), Some(0..3));
        assert_eq!(set.take(3), Some(3..6));
        set.insert(1..3);
        assert_eq!(set.len(), 6);
        assert_eq!(set.take(10), Some(1..3));
        set.insert(3..6);
        assert_eq!(set.take(10), Some(3..10));
        assert_eq!(set.take(10), None);
    }

    #[test]
    fn one_is_taken_out() {
        let mut set = RunSet::all(4);
        assert!(set.remove(1) && set.remove(3) && set.remove(0));
        assert!(!set.remove(1) && !set.remove(9));
        assert_eq!(
            [0, 1, 2, 3, 9].map(|run| set.contains(run)),
            [false, false, true, false, false]
        );
        assert_eq!((set.len(), set.take(9)), (1, Some(2..3)));
    }

    #[test]
    fn what_has_ended_is_left_out() {
        let set = RunSet::all_but(6, [0, 2, 3]);
        assert!(set.ranges().eq([1..2, 4..6]));
        assert_eq!(set.len(), 3);
    }

    #[test]
    fn the_last_that_is_missing_is_found_behind_what_is_there() {
        let mut set = RunSet::default();
        set.insert(2..5);
        set.insert(7..9);
        let missing = [
            (0..10, Some(9)),
            (0..9, Some(6)),
            (2..5, None),
            (1..5, Some(1)),
            (3..3, None),
        ];
        for (range, expected) in missing {
            assert_eq!(set.last_absent(range.clone()), expected, "{range:?}");
        }
    }
}
