//! Threads, waits and timeouts of the engine, which a test can replace.
//!
//! The engine waits in no other way than through a [`Signal`] or [`Threads::sleep`], and starts no thread but
//! through [`Threads::spawn`]. With a [`Scheduler`] these decide nothing themselves: a simulation says which thread
//! goes on next and how much time has passed, so that it can repeat an execution exactly.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Decides which thread goes on next, and how much time has passed.
pub trait Scheduler: Send + Sync {
    /// The time since some fixed moment; it never jumps.
    fn now(&self) -> Duration;

    /// Starts a thread. The result waits until it has ended.
    fn spawn(&self, run: Box<dyn FnOnce() + Send>) -> Box<dyn FnOnce() + Send>;

    /// A new queue of threads that wait.
    fn new_queue(&self) -> usize;

    /// Lets other threads go on until this one is woken in the queue, or the timeout is over.
    fn wait(&self, queue: usize, timeout: Option<Duration>);

    /// Wakes one thread of the queue, or all.
    fn wake(&self, queue: usize, all: bool);
}

/// The source of an engine's threads and signals.
pub(super) struct Threads {
    scheduler: Option<Arc<dyn Scheduler>>,
    started: Instant,
}

/// What waits for the end of a thread.
pub(super) enum Thread {
    System(JoinHandle<()>),
    Scheduled(Box<dyn FnOnce() + Send>),
}

impl Thread {
    /// Waits for the end. A thread that panicked has ended, too.
    pub(super) fn join(self) {
        match self {
            Self::System(handle) => drop(handle.join()),
            Self::Scheduled(join) => join(),
        }
    }
}

impl Threads {
    pub(super) fn new(scheduler: Option<Arc<dyn Scheduler>>) -> Self {
        Self {
            scheduler,
            started: Instant::now(),
        }
    }

    /// The time since the engine was made; it never jumps.
    pub(super) fn now(&self) -> Duration {
        match &self.scheduler {
            None => self.started.elapsed(),
            Some(scheduler) => scheduler.now(),
        }
    }

    pub(super) fn sleep(&self, duration: Duration) {
        match &self.scheduler {
            None => std::thread::sleep(duration),
            Some(scheduler) => scheduler.wait(scheduler.new_queue(), Some(duration)),
        }
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// `Execution` if the system has no room for one more.
    pub(super) fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<Thread> {
        let Some(scheduler) = &self.scheduler else {
            let builder = std::thread::Builder::new().name(name.to_owned());
            return builder.spawn(run).map(Thread::System).map_err(|error| {
                Error::Execution(format!(
                    "no thread could be started ({error}): this process or this machine has reached a limit; what \
                     had been recorded can be resumed"
                ))
            });
        };
        Ok(Thread::Scheduled(scheduler.spawn(Box::new(run))))
    }

    pub(super) fn signal(&self) -> Signal {
        let scheduler = self.scheduler.as_ref();
        Signal {
            condvar: Condvar::new(),
            queue: scheduler.map(|scheduler| (Arc::clone(scheduler), scheduler.new_queue())),
        }
    }
}

/// A condition variable.
pub(super) struct Signal {
    condvar: Condvar,
    queue: Option<(Arc<dyn Scheduler>, usize)>,
}

impl Signal {
    pub(super) fn notify_one(&self) {
        match &self.queue {
            None => self.condvar.notify_one(),
            Some((scheduler, queue)) => scheduler.wake(*queue, false),
        }
    }

    pub(super) fn notify_all(&self) {
        match &self.queue {
            None => self.condvar.notify_all(),
            Some((scheduler, queue)) => scheduler.wake(*queue, true),
        }
    }

    /// Leaves the lock until there is a signal, or `timeout` is over; `None` waits for a signal alone.
    pub(super) fn wait<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        match (&self.queue, timeout) {
            (None, None) => self
                .condvar
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner),
            (None, Some(timeout)) => {
                let waited = self.condvar.wait_timeout(guard, timeout);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            (Some((scheduler, queue)), timeout) => {
                drop(guard);
                scheduler.wait(*queue, timeout);
                mutex.lock().unwrap_or_else(PoisonError::into_inner)
            }
        }
    }
}
