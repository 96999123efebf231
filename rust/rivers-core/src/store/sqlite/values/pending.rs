//! Values that were put and are not in the database yet.

use std::ops::Range;
use std::sync::Arc;

use crate::backfill::Request;
use crate::plan::Plan;
use crate::space::{Selection, Space};

/// What is stored for some partitions.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// A pickled value.
    Inline(Box<[u8]>),
    /// The name of the file that has it.
    File(String),
    /// A value that cannot be stored: an earlier one exists no longer.
    Lost,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A backfill or a manual run.
    Request(Arc<Request>),
    /// The id of a run; empty if it was stored by hand.
    Run(String),
}

impl Source {
    /// The id of the backfill.
    pub(super) fn backfill(&self) -> &str {
        match self {
            Self::Request(request) => &request.id,
            Self::Run(id) => id.rsplit_once('.').map_or(id.as_str(), |(id, _)| id),
        }
    }
}

/// The partitions that a value belongs to.
#[derive(Debug, Clone)]
pub(super) enum Partitions {
    One(Arc<Space>, u64),
    Several(Selection),
}

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) asset: Arc<str>,
    pub(super) source: Source,
    pub(super) partitions: Partitions,
    pub(super) body: Body,
}

/// Runs of one plan in which an asset returned `None`, before any entry of that asset.
#[derive(Debug, Clone)]
pub(super) struct Nones {
    pub(super) asset: Arc<str>,
    pub(super) plan: Arc<Plan>,
    runs: Vec<Range<u64>>,
}

/// Number of ranges that are looked at to find the one that a run continues: one for each thread that executes runs.
const RECENT: usize = 8;

impl Nones {
    fn add(&mut self, run: u64) {
        let mut recent = self.runs.iter_mut().rev().take(RECENT);
        match recent.find(|range| range.end == run) {
            Some(range) => range.end += 1,
            None => self.runs.push(run..run + 1),
        }
    }

    /// The runs, in no order; one that was noted twice may occur twice.
    pub(super) fn runs(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs.iter().cloned().flatten()
    }
}

/// All of them, in the order in which they were put.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) entries: Vec<Entry>,
    pub(super) nones: Vec<Nones>,
    pub(super) bytes: usize,
    /// The assets of `entries`.
    assets: Vec<Arc<str>>,
}

/// The pickled form of `None`.
pub(super) const NONE: &[u8] = b"\x80\x04N.";

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.nones.is_empty()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if let Body::Inline(bytes) = &entry.body {
            self.bytes += bytes.len();
        }
        if !self.has_entry_of(&entry.asset) {
            self.assets.push(Arc::clone(&entry.asset));
        }
        self.entries.push(entry);
    }

    fn has_entry_of(&self, asset: &Arc<str>) -> bool {
        let mut assets = self.assets.iter().rev();
        assets.any(|known| Arc::ptr_eq(known, asset) || known == asset)
    }

    /// Notes that an asset returned `None` in a run.
    pub(super) fn note_none(&mut self, asset: &Arc<str>, plan: &Arc<Plan>, run: u64) {
        if self.has_entry_of(asset) {
            self.push(Entry {
                asset: Arc::clone(asset),
                source: Source::Run(String::new()),
                partitions: Partitions::Several(plan.run(run)),
                body: Body::Inline(NONE.into()),
            });
            return;
        }
        if let Some(last) = self.nones.last_mut()
            && Arc::ptr_eq(&last.asset, asset)
            && Arc::ptr_eq(&last.plan, plan)
        {
            last.add(run);
            return;
        }
        let known = self.nones.iter_mut();
        let mut same =
            known.filter(|nones| nones.asset == *asset && Arc::ptr_eq(&nones.plan, plan));
        if let Some(nones) = same.next() {
            nones.add(run);
            return;
        }
        let mut nones = Nones {
            asset: Arc::clone(asset),
            plan: Arc::clone(plan),
            runs: Vec::new(),
        };
        nones.add(run);
        self.nones.push(nones);
    }

    /// Puts back, in front, what could not be written.
    pub(super) fn put_back(&mut self, mut failed: Self) {
        for asset in self.assets.drain(..) {
            if !failed.has_entry_of(&asset) {
                failed.assets.push(asset);
            }
        }
        // What was put later goes after the entries that could not be written, also where it is `None`.
        for nones in self.nones.drain(..) {
            if failed.has_entry_of(&nones.asset) {
                for run in nones.runs() {
                    failed.note_none(&nones.asset, &nones.plan, run);
                }
            } else {
                failed.nones.push(nones);
            }
        }
        failed.entries.append(&mut self.entries);
        failed.bytes += self.bytes;
        *self = failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Strategy;
    use crate::space::Space;

    #[test]
    fn runs_that_threads_note_in_turn_are_few_ranges() {
        let mut nones = Nones {
            asset: "asset".into(),
            plan: Arc::new(
                Plan::new(Selection::all(Space::unpartitioned()), Strategy::SingleRun)
                    .expect("there is one run"),
            ),
            runs: Vec::new(),
        };
        for run in 0..1_000 {
            for first in [0, 2_000, 5_000, 7_000] {
                nones.add(first + run);
            }
        }
        assert_eq!(
            nones.runs,
            [0..1_000, 2_000..3_000, 5_000..6_000, 7_000..8_000]
        );
        nones.add(3);
        assert_eq!(nones.runs().filter(|&run| run == 3).count(), 2);
    }

    #[test]
    fn a_later_none_goes_after_an_entry_that_could_not_be_written() {
        let whole = Selection::all(Space::unpartitioned());
        let plan = Plan::new(whole.clone(), Strategy::SingleRun).expect("there is one run");
        let asset: Arc<str> = "asset".into();
        let mut failed = Pending::default();
        failed.push(Entry {
            asset: Arc::clone(&asset),
            source: Source::Run("before".to_owned()),
            partitions: Partitions::Several(whole),
            body: Body::Inline(b"5"[..].into()),
        });
        let mut pending = Pending::default();
        pending.note_none(&asset, &Arc::new(plan), 0);
        pending.put_back(failed);
        assert!(pending.nones.is_empty());
        let bodies: Vec<_> = { pending.entries.iter() }.map(|own| &own.body).collect();
        assert!(
            matches!(bodies[..], [Body::Inline(first), Body::Inline(last)]
            if **first == *b"5" && **last == *NONE)
        );
    }
}
