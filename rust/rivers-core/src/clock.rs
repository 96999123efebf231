//! The source of the current time. Code that needs the time takes a `Clock`, so that tests never
//! sleep.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// Microseconds since the Unix epoch, UTC.
pub type Micros = i64;

/// Microseconds in a second.
pub const SECOND: Micros = 1_000_000;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Micros;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        chrono::Utc::now().timestamp_micros()
    }
}

/// A clock that shows the machine's time when this process first used it, plus the time that has passed since.
/// It never jumps: durations and the times at which something is due stay right when the machine's clock is set.
/// Where it would be behind what others have recorded, it is set to that: what happens later has a later time.
#[derive(Debug, Default, Clone, Copy)]
pub struct SteadyClock;

/// How far the clock is ahead of the machine's because of what others had recorded.
static AHEAD: AtomicI64 = AtomicI64::new(0);

impl SteadyClock {
    /// Sets the clock to just after a recorded time, if that is later than what it shows.
    pub fn reach(recorded: Micros) {
        let behind = recorded + 1 - (*OFFSET + since_boot());
        AHEAD.fetch_max(behind, Ordering::Relaxed);
    }
}

/// What the machine's clock showed when it was started, as this process sees it.
static OFFSET: LazyLock<Micros> = LazyLock::new(|| SystemClock.now() - since_boot());

impl Clock for SteadyClock {
    fn now(&self) -> Micros {
        *OFFSET + since_boot() + AHEAD.load(Ordering::Relaxed)
    }
}

/// Time since the machine was started, also while it was suspended.
#[cfg(target_os = "linux")]
fn since_boot() -> Micros {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists since Linux 2.6.39, and `time` is a valid place for its time.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    time.tv_sec * SECOND + time.tv_nsec / 1_000
}

/// Time since this process first asked for it.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Micros {
    static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    START.elapsed().as_micros() as Micros
}

/// A clock for tests, which moves only when `advance` is called.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Creates a clock that returns `now`.
    pub fn new(now: Micros) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Moves the clock forward by `by` microseconds.
    pub fn advance(&self, by: Micros) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        self.0.load(Ordering::SeqCst)
    }
}
