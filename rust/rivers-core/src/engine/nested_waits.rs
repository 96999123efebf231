//! Runs that wait for other backfills of the engine, as a graph.

use hashbrown::HashMap;

use crate::store::Key;

/// Which backfills wait for which, and how many of their runs do.
#[derive(Debug, Default)]
pub(super) struct NestedWaits {
    by_caller: HashMap<Key, HashMap<Key, u32>>,
}

impl NestedWaits {
    pub(super) fn begin(&mut self, caller: Key, target: Key) {
        *self
            .by_caller
            .entry(caller)
            .or_default()
            .entry(target)
            .or_default() += 1;
    }

    pub(super) fn end(&mut self, caller: Key, target: Key) {
        let Some(targets) = self.by_caller.get_mut(&caller) else {
            return;
        };
        if let Some(runs) = targets.get_mut(&target) {
            *runs -= 1;
            if *runs == 0 {
                targets.remove(&target);
            }
        }
        if targets.is_empty() {
            self.by_caller.remove(&caller);
        }
    }

    /// Whether a run of `from` waits for `to`, directly or through others.
    pub(super) fn leads_to(&self, from: Key, to: Key) -> bool {
        let mut seen = vec![from];
        let mut next = 0;
        while let Some(&key) = seen.get(next) {
            if key == to {
                return true;
            }
            next += 1;
            for &target in self.by_caller.get(&key).into_iter().flat_map(HashMap::keys) {
                if !seen.contains(&target) {
                    seen.push(target);
                }
            }
        }
        false
    }

    /// The backfills with runs that wait, and how many do.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Key, u32)> {
        let all = self.by_caller.iter();
        all.map(|(&key, targets)| (key, targets.values().sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_waits_is_found() {
        let mut waits = NestedWaits::default();
        waits.begin(1, 2);
        waits.begin(2, 3);
        assert!(waits.leads_to(1, 3) && waits.leads_to(1, 1) && !waits.leads_to(3, 1));
        waits.begin(1, 2);
        waits.end(1, 2);
        assert!(waits.leads_to(1, 3));
        waits.end(1, 2);
        assert!(!waits.leads_to(1, 3));
        assert_eq!(waits.waiting().collect::<Vec<_>>(), [(2, 1)]);
    }
}
