//! The runs that a worker in another process has in its hands: four words in a file that both map, so
//! that either can claim from them, and the death of one leaves the other with what it was at.

use std::fs::OpenOptions;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::clock::Micros;
use crate::error::{Error, Result};

/// Number of the first run.
const FIRST: usize = 0;
/// How many are claimed (upper half) and how many there are (lower half), counted from the first.
const TAKEN: usize = 1;
/// When the run claimed last began.
const SINCE: usize = 2;
/// The step that it is at.
const STEP: usize = 3;
const WORDS: usize = 4;
const BYTES: usize = WORDS * size_of::<u64>();

/// Runs that two processes share.
#[derive(Debug)]
pub struct SharedRuns {
    map: MmapRaw,
}

impl SharedRuns {
    /// Maps the file, making it if it is missing.
    ///
    /// # Errors
    /// `Storage` when it cannot be made or mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            if file.metadata()?.len() < BYTES as u64 {
                file.set_len(BYTES as u64)?;
            }
            MmapOptions::new().len(BYTES).map_raw(&file)
        };
        match open() {
            Ok(map) => Ok(Self { map }),
            Err(error) => Err(Error::Storage {
                path: path.display().to_string(),
                message: error.to_string(),
            }),
        }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at < WORDS);
        // SAFETY: the mapping is `WORDS` words long, begins at a page and lives as long as `self`; all
        // access to it, in either process, is through atomics.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(at)) }
    }

    /// Puts runs in; nobody works on it.
    pub(super) fn fill(&self, runs: &Range<u64>, now: Micros) {
        self.word(FIRST).store(runs.start, Ordering::Release);
        self.word(SINCE)
            .store(now.cast_unsigned(), Ordering::Release);
        self.word(STEP).store(0, Ordering::Release);
        self.word(TAKEN)
            .store(pack(0, runs.end - runs.start), Ordering::Release);
    }

    /// Begins the next run.
    pub(super) fn claim(&self, now: Micros) -> Option<u64> {
        self.word(SINCE)
            .store(now.cast_unsigned(), Ordering::Release);
        let next = |word| {
            let (claimed, all) = unpack(word);
            (claimed < all).then(|| pack(claimed + 1, all))
        };
        let before = self
            .word(TAKEN)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
            .ok()?;
        Some(self.word(FIRST).load(Ordering::Acquire) + unpack(before).0)
    }

    /// Takes what nobody has begun.
    pub(super) fn give_up(&self) -> Range<u64> {
        let cut = |word| {
            let (claimed, _) = unpack(word);
            Some(pack(claimed, claimed))
        };
        let before = self
            .word(TAKEN)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, cut);
        let (claimed, all) = unpack(before.unwrap_or_else(|same| same));
        let first = self.word(FIRST).load(Ordering::Acquire);
        first + claimed..first + all
    }

    /// How many have been begun, and how many have not.
    pub(super) fn counts(&self) -> (u64, u64) {
        let (claimed, all) = unpack(self.word(TAKEN).load(Ordering::Acquire));
        (claimed, all - claimed)
    }

    /// The run begun last, or the first, and since when.
    pub(super) fn current(&self) -> (u64, Micros) {
        let (claimed, _) = self.counts();
        let since = self.word(SINCE).load(Ordering::Acquire).cast_signed();
        (
            self.word(FIRST).load(Ordering::Acquire) + claimed.saturating_sub(1),
            since,
        )
    }

    /// Says which step of the current run begins.
    pub fn set_step(&self, step: u32) {
        self.word(STEP).store(u64::from(step), Ordering::Release);
    }

    /// The step that the current run is at.
    pub fn step(&self) -> u32 {
        self.word(STEP).load(Ordering::Acquire) as u32
    }
}

fn pack(claimed: u64, all: u64) -> u64 {
    claimed << 32 | all
}

fn unpack(word: u64) -> (u64, u64) {
    (word >> 32, word & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_claimed_or_given_up_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runs");
        let (here, there) = (SharedRuns::open(&path), SharedRuns::open(&path));
        let (here, there) = (here.expect("maps"), there.expect("maps"));
        here.fill(&(10..14), 5);
        assert_eq!(there.claim(6), Some(10));
        assert_eq!(there.claim(7), Some(11));
        assert_eq!((here.current(), here.counts()), ((11, 7), (2, 2)));
        assert_eq!(here.give_up(), 12..14);
        assert_eq!(there.claim(8), None);
        assert_eq!(here.give_up(), 12..12);
    }
}
