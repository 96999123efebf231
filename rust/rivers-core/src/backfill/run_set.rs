//! The runs that are still to be started, as stretches of numbers: one stretch while all goes in order.

use std::ops::Range;

/// Run numbers, ascending, in as few stretches as possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunSet {
    stretches: Vec<Range<u64>>,
    len: u64,
}

impl RunSet {
    /// All runs of a plan.
    pub fn all(num_runs: u64) -> Self {
        let mut set = Self::default();
        set.insert(0..num_runs);
        set
    }

    /// All runs of a plan but these, which come ascending.
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

    /// How many.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the lowest stretch, at most so many.
    pub fn take(&mut self, most: u64) -> Option<Range<u64>> {
        let first = self.stretches.first_mut()?;
        let end = first.end.min(first.start.saturating_add(most));
        let taken = first.start..end;
        first.start = end;
        if first.is_empty() {
            self.stretches.remove(0);
        }
        self.len -= taken.end - taken.start;
        Some(taken)
    }

    /// Takes one run out; `false`: it is not there.
    pub fn remove(&mut self, run: u64) -> bool {
        let at = self.stretches.partition_point(|stretch| stretch.end <= run);
        let Some(stretch) = self.stretches.get_mut(at).filter(|it| it.start <= run) else {
            return false;
        };
        let rest = run + 1..stretch.end;
        stretch.end = run;
        if stretch.is_empty() {
            self.stretches.remove(at);
        }
        self.len -= 1 + (rest.end - rest.start);
        self.insert(rest);
        true
    }

    /// Puts runs in; they must not be there already.
    pub fn insert(&mut self, runs: Range<u64>) {
        if runs.is_empty() {
            return;
        }
        self.len += runs.end - runs.start;
        let at = self
            .stretches
            .partition_point(|stretch| stretch.start < runs.start);
        let joins_before = at > 0 && self.stretches[at - 1].end == runs.start;
        let joins_after = self
            .stretches
            .get(at)
            .is_some_and(|next| next.start == runs.end);
        match (joins_before, joins_after) {
            (true, true) => {
                self.stretches[at - 1].end = self.stretches[at].end;
                self.stretches.remove(at);
            }
            (true, false) => self.stretches[at - 1].end = runs.end,
            (false, true) => self.stretches[at].start = runs.start,
            (false, false) => self.stretches.insert(at, runs),
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
        assert_eq!((set.len(), set.take(9)), (1, Some(2..3)));
    }

    #[test]
    fn what_has_ended_is_left_out() {
        let set = RunSet::all_but(6, [0, 2, 3]);
        assert_eq!(set.stretches, [1..2, 4..6]);
        assert_eq!(set.len(), 3);
    }
}
