//! Runs that the engine shares with a worker process: six words in a file that both map.
//!
//! Whoever touches a mapped page of a file that was truncated gets a `SIGBUS`. On Linux the file is therefore one in
//! memory that is sealed against that, and the path is a link to it among the engine's open files.
//!
//! Either side can claim runs from it, and if one process dies, the other sees what it was doing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::remote_runs::{Claimable, RemoteRuns};
use crate::clock::Micros;
use crate::error::{Error, Result};

/// Number of the first run.
const FIRST: usize = 0;
/// Number of runs that were claimed (upper half) and number of all runs (lower half).
const CLAIMED: usize = 1;
/// When the run that was claimed last began.
const SINCE: usize = 2;
/// Index of the step that the current run is at.
const STEP: usize = 3;
/// Number of claimed runs that have ended.
const ENDED: usize = 4;
/// Until when the present call of a function may take, by the worker's clock; 0: for ever.
const DEADLINE: usize = 5;
const WORDS: usize = 6;
const BYTES: usize = WORDS * size_of::<u64>();

/// Runs that this process and a worker process share.
#[derive(Debug)]
pub struct SharedRuns {
    map: MmapRaw,
    /// Keeps a file in memory reachable for the worker.
    _file: File,
}

impl SharedRuns {
    /// Creates a file at `path` and maps it, on the engine's side.
    ///
    /// # Errors
    /// `Storage` when there is a file, or it cannot be created or mapped.
    pub fn create(path: &Path) -> Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = sealed::create(path, &[0; BYTES]) {
            return Self::map(Ok(file), path);
        }
        let create = || {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)?;
            // Written, not only extended: on a full disk a page that was never written is a `SIGBUS`
            // when it is first touched.
            file.write_all(&[0; BYTES])?;
            Ok(file)
        };
        Self::map(create(), path)
    }

    /// Maps the file at `path`, on the worker's side.
    ///
    /// # Errors
    /// `Storage` when the file is missing or cannot be mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            #[cfg(target_os = "linux")]
            sealed::check(&file, path)?;
            // Behind the end of a file the mapping could not be touched either.
            if file.metadata()?.len() < BYTES as u64 {
                return Err(std::io::Error::other("the file is too short"));
            }
            Ok(file)
        };
        Self::map(open(), path)
    }

    fn map(file: std::io::Result<File>, path: &Path) -> Result<Self> {
        let map = file.and_then(|file| {
            let map = MmapOptions::new().len(BYTES).map_raw(&file)?;
            Ok(Self { map, _file: file })
        });
        map.map_err(|error| Error::Storage {
            path: path.display().to_string(),
            message: error.to_string(),
        })
    }

    /// Whether the worker has claimed a run that it has not ended.
    pub fn is_running(&self) -> bool {
        self.counts().0 > self.word(ENDED).load(Ordering::Acquire)
    }

    /// When the run that was claimed last began; before that, when the runs were shared.
    pub(super) fn since(&self) -> Micros {
        self.word(SINCE).load(Ordering::Acquire).cast_signed()
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < WORDS);
        // SAFETY: the mapping is `WORDS` words long, begins at a page and lives as long as `self`; all
        // access to it, in either process, is through atomics.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(index)) }
    }

    /// Replaces the runs; the worker must have ended or died.
    pub(super) fn fill(&self, runs: &Range<u64>, now: Micros) {
        self.word(FIRST).store(runs.start, Ordering::Release);
        self.word(SINCE)
            .store(now.cast_unsigned(), Ordering::Release);
        self.word(STEP).store(0, Ordering::Release);
        self.word(ENDED).store(0, Ordering::Release);
        self.word(DEADLINE).store(0, Ordering::Release);
        self.word(CLAIMED)
            .store(pack(0, runs.end - runs.start), Ordering::Release);
    }

    /// Records which step of the current run begins.
    pub fn set_current_step(&self, step: u32) {
        self.set_step(step);
    }

    /// Records until when the present call of a function may take; 0: for ever, or there is none.
    pub fn set_deadline(&self, deadline: u64) {
        self.word(DEADLINE).store(deadline, Ordering::Release);
    }

    /// Until when the present call may take; 0: for ever, or there is none.
    pub fn deadline(&self) -> u64 {
        self.word(DEADLINE).load(Ordering::Acquire)
    }

    /// The step that the current run is at.
    pub fn step(&self) -> u32 {
        self.word(STEP).load(Ordering::Acquire) as u32
    }
}

/// Files in memory whose size cannot change.
#[cfg(target_os = "linux")]
mod sealed {
    use std::ffi::CString;
    use std::fs::File;
    use std::io::{Error, Write};
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    /// The longest name that the system takes is not much longer.
    const MAX_NAME: usize = 200;

    /// Makes a file, with a link at `path` through which other processes of this user open it; `None` if the system
    /// has no such files, or the others could not open it.
    pub(super) fn create(path: &Path, content: &[u8]) -> Option<File> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name ends with a zero byte; what is returned is a new file, which nothing else closes.
        let mut file = unsafe {
            // The open files of other processes can be opened only then.
            if libc::prctl(libc::PR_GET_DUMPABLE) != 1 {
                return None;
            }
            let number = libc::memfd_create(name(path).as_ptr(), flags);
            (number >= 0).then(|| File::from_raw_fd(number))?
        };
        file.write_all(content).ok()?;
        // SAFETY: the arguments are those of the command.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) } != 0 {
            return None;
        }
        let target = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        if !Path::new(&target).exists() {
            return None;
        }
        std::os::unix::fs::symlink(target, path).ok()?;
        Some(file)
    }

    /// Whether a file that was opened through a link is the one that the link was made for: other code may have
    /// closed that one, and its number may be another file's by now.
    pub(super) fn check(file: &File, path: &Path) -> std::io::Result<()> {
        if !path.is_symlink() {
            return Ok(());
        }
        let found = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let mut expected = b"/memfd:".to_vec();
        expected.extend_from_slice(name(path).as_bytes());
        if found.as_os_str().as_bytes().starts_with(&expected) {
            return Ok(());
        }
        Err(Error::other("its number is that of another file by now"))
    }

    fn name(path: &Path) -> CString {
        let path = path.as_os_str().as_bytes();
        let start = path.len().saturating_sub(MAX_NAME);
        CString::new(&path[start..]).unwrap_or_default()
    }
}

impl Claimable for SharedRuns {
    fn claim(&self, now: Micros) -> Option<u64> {
        self.word(SINCE)
            .store(now.cast_unsigned(), Ordering::Release);
        let next = |word| {
            let (claimed, all) = unpack(word);
            (claimed < all).then(|| pack(claimed + 1, all))
        };
        let before = self
            .word(CLAIMED)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
            .ok()?;
        Some(self.word(FIRST).load(Ordering::Acquire) + unpack(before).0)
    }

    fn end(&self) {
        self.word(ENDED).fetch_add(1, Ordering::AcqRel);
    }

    fn set_step(&self, step: u32) {
        self.word(STEP).store(u64::from(step), Ordering::Release);
    }
}

impl RemoteRuns for SharedRuns {
    fn yield_unclaimed(&self) -> Range<u64> {
        let cut = |word| {
            let (claimed, _) = unpack(word);
            Some(pack(claimed, claimed))
        };
        let before = self
            .word(CLAIMED)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, cut);
        let (claimed, all) = unpack(before.unwrap_or_else(|unchanged| unchanged));
        let first = self.word(FIRST).load(Ordering::Acquire);
        first + claimed..first + all
    }

    fn counts(&self) -> (u64, u64) {
        let (claimed, all) = unpack(self.word(CLAIMED).load(Ordering::Acquire));
        (claimed, all - claimed)
    }

    fn current(&self) -> (u64, Micros) {
        let (claimed, _) = self.counts();
        let first = self.word(FIRST).load(Ordering::Acquire);
        (first + claimed.saturating_sub(1), self.since())
    }

    fn settle(&self, _num_ended: u64, _now: Micros) -> Option<(Range<u64>, bool)> {
        Some((self.yield_unclaimed(), false))
    }

    fn reclaim(&self) -> (Range<u64>, Option<u64>) {
        let unclaimed = self.yield_unclaimed();
        let num_ended = self.word(ENDED).load(Ordering::Acquire);
        let first = self.word(FIRST).load(Ordering::Acquire);
        (first..unclaimed.end, Some(num_ended))
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
    fn each_run_is_claimed_or_yielded_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runs");
        let (here, there) = (SharedRuns::create(&path), SharedRuns::open(&path));
        let (here, there) = (here.expect("maps"), there.expect("maps"));
        here.fill(&(10..14), 5);
        assert!(!here.is_running());
        assert_eq!(there.claim(6), Some(10));
        there.end();
        assert!(!here.is_running());
        assert_eq!(there.claim(7), Some(11));
        assert!(here.is_running());
        assert_eq!((here.current(), here.counts()), ((11, 7), (2, 2)));
        assert_eq!(here.yield_unclaimed(), 12..14);
        assert_eq!(there.claim(8), None);
        assert_eq!(here.yield_unclaimed(), 12..12);
        assert_eq!(here.reclaim(), (10..12, Some(1)));
    }

    #[test]
    fn a_file_that_is_gone_or_too_short_is_not_mapped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runs");
        assert!(SharedRuns::open(&path).is_err());
        std::fs::write(&path, [0; 8]).expect("writes");
        assert!(SharedRuns::open(&path).is_err());
        assert!(SharedRuns::create(&path).is_err());
    }

    #[test]
    fn a_new_file_occupies_its_space_before_it_is_mapped() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let path = folder.as_ref().expect("a folder").path().join("runs");
        let _shared = SharedRuns::create(&path).expect("maps");
        assert!(std::fs::metadata(&path).expect("exists").blocks() > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_cannot_be_truncated() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runs");
        let here = SharedRuns::create(&path).expect("maps");
        let there = SharedRuns::open(&path).expect("maps");
        let opened = OpenOptions::new().write(true).open(&path).expect("opens");
        assert!(opened.set_len(0).is_err());
        assert!(
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(&path)
                .is_err()
        );
        here.fill(&(1..3), 5);
        assert_eq!(there.claim(6), Some(1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_that_another_file_has_by_now_is_not_mapped() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = std::fs::File::create_new(folder.path().join("other")).expect("a file");
        std::io::Write::write_all(&mut &other, &[7; 4096]).expect("writes");
        let number = std::os::fd::AsRawFd::as_raw_fd(&other);
        let path = folder.path().join("runs");
        std::os::unix::fs::symlink(format!("/proc/self/fd/{number}"), &path).expect("a link");
        assert!(SharedRuns::open(&path).is_err());
    }
}
