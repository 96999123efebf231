//! Runs the threads of a simulation one at a time, in an order that follows from a seed, in virtual time.
//!
//! Each thread is a coroutine on the test's own thread. It goes on until it waits, sleeps or calls
//! [`yield_now`], as every operation of the simulated storage does; then the next one is drawn from the seed. Time passes
//! when all threads wait, and now and then in between.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rivers_core::engine::Scheduler;

/// More steps than any simulation needs: it would go on forever.
const MAX_STEPS: u64 = 400_000;
const STACK_BYTES: usize = 512 * 1024;
/// One of as many waits ends without a signal, as those of the operating system may.
const SPURIOUS: u64 = 400;

/// Pseudorandom numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Ready,
    Waiting(usize, Option<u64>),
    Done,
}

struct Task {
    process: usize,
    coroutine: Option<Coroutine<(), (), ()>>,
    yielder: *const Yielder<(), ()>,
    phase: Phase,
    /// Where others wait for its end.
    ended: usize,
}

struct State {
    random: Random,
    now: u64,
    tasks: Vec<Task>,
    current: usize,
    num_queues: usize,
    /// Until when a process is suspended.
    suspended: BTreeMap<usize, u64>,
    violation: Option<String>,
    trace: u64,
    steps: u64,
    is_logged: bool,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(|state| work(state.as_mut().expect("a simulation runs")))
}

/// A number below `bound`.
pub(crate) fn below(bound: u64) -> u64 {
    with(|state| state.random.next() % bound)
}

/// True once in `bound` times.
pub(crate) fn one_in(bound: u64) -> bool {
    below(bound) == 0
}

/// The present virtual time, in microseconds.
pub(crate) fn now() -> u64 {
    with(|state| state.now)
}

/// Notes the first thing that must not happen; the simulation ends there.
pub(crate) fn violation(text: String) {
    with(|state| {
        state.violation.get_or_insert(text);
    });
}

/// Prints what happens, if `SIMULATION_LOG` is set.
pub(crate) fn note(text: impl FnOnce() -> String) {
    if with(|state| state.is_logged) {
        let (now, thread) = with(|state| (state.now, state.current));
        eprintln!("{now} thread {thread}: {}", text());
    }
}

/// Lets other threads go on.
pub(crate) fn yield_now() {
    with(|state| {
        let current = state.current;
        state.tasks[current].phase = Phase::Ready;
    });
    leave();
}

/// Sleeps for this many microseconds.
pub(crate) fn sleep(micros: u64) {
    let queue = Virtual.new_queue();
    Virtual.wait(queue, Some(Duration::from_micros(micros)));
}

/// Suspends all threads of a process for this many microseconds.
pub(crate) fn suspend(process: usize, micros: u64) {
    with(|state| {
        let until = state.now + micros;
        state.suspended.insert(process, until);
    });
}

/// Ends all suspensions.
pub(crate) fn wake_all_processes() {
    with(|state| state.suspended.clear());
}

/// Starts a thread of a process.
pub(crate) fn spawn(process: usize, run: impl FnOnce() + 'static) -> usize {
    let stack = STACKS.with_borrow_mut(Vec::pop);
    let stack = stack.unwrap_or_else(|| DefaultStack::new(STACK_BYTES).expect("memory"));
    let id = with(|state| state.tasks.len());
    let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
        with(|state| state.tasks[id].yielder = yielder);
        run();
    });
    let ended = Virtual.new_queue();
    with(|state| {
        state.tasks.push(Task {
            process,
            coroutine: Some(coroutine),
            yielder: std::ptr::null(),
            phase: Phase::Ready,
            ended,
        });
    });
    id
}

/// Waits until a thread has ended.
pub(crate) fn join(id: usize) {
    while let Some(ended) = with(|state| {
        let task = &state.tasks[id];
        (task.phase != Phase::Done).then_some(task.ended)
    }) {
        Virtual.wait(ended, None);
    }
}

fn leave() {
    let yielder = with(|state| state.tasks[state.current].yielder);
    // SAFETY: the yielder lives as long as the coroutine that is executed at present, which is this one.
    unsafe { (*yielder).suspend(()) };
}

/// The scheduler as the engine sees it.
pub(crate) struct Virtual;

impl Scheduler for Virtual {
    fn now(&self) -> Duration {
        Duration::from_micros(now())
    }

    fn spawn(&self, run: Box<dyn FnOnce() + Send>) -> Box<dyn FnOnce() + Send> {
        let process = with(|state| state.tasks[state.current].process);
        let id = spawn(process, run);
        Box::new(move || join(id))
    }

    fn new_queue(&self) -> usize {
        with(|state| {
            state.num_queues += 1;
            state.num_queues
        })
    }

    fn wait(&self, queue: usize, timeout: Option<Duration>) {
        let spurious = one_in(SPURIOUS);
        with(|state| {
            let until = timeout.map(|timeout| {
                let micros = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
                state.now.saturating_add(micros)
            });
            let current = state.current;
            state.tasks[current].phase = if spurious {
                Phase::Ready
            } else {
                Phase::Waiting(queue, until)
            };
        });
        leave();
    }

    fn wake(&self, queue: usize, all: bool) {
        with(|state| {
            let waits = |task: &Task| matches!(task.phase, Phase::Waiting(own, _) if own == queue);
            let waiting: Vec<usize> = (0..state.tasks.len())
                .filter(|&id| waits(&state.tasks[id]))
                .collect();
            if waiting.is_empty() {
                return;
            }
            let chosen = state.random.next() as usize % waiting.len();
            for (at, id) in waiting.into_iter().enumerate() {
                if all || at == chosen {
                    state.tasks[id].phase = Phase::Ready;
                }
            }
        });
    }
}

impl State {
    /// The thread that goes on next. `None`: all have ended.
    fn choose(&mut self) -> Result<Option<usize>, String> {
        loop {
            let now = self.now;
            self.suspended.retain(|_, until| *until > now);
            for task in &mut self.tasks {
                if matches!(task.phase, Phase::Waiting(_, Some(until)) if until <= now) {
                    task.phase = Phase::Ready;
                }
            }
            let runs = |task: &Task| {
                task.phase == Phase::Ready && !self.suspended.contains_key(&task.process)
            };
            let ready: Vec<usize> = (0..self.tasks.len())
                .filter(|&id| runs(&self.tasks[id]))
                .collect();
            if !ready.is_empty() {
                if self.random.next().is_multiple_of(16) {
                    self.now += self.random.next() % 2_000;
                }
                let at = self.random.next() as usize % ready.len();
                return Ok(Some(ready[at]));
            }
            let due = self.tasks.iter().filter_map(|task| match task.phase {
                Phase::Waiting(_, until) => until,
                Phase::Ready | Phase::Done => None,
            });
            let next = due.chain(self.suspended.values().copied());
            match next.filter(|&at| at > now && at != u64::MAX).min() {
                Some(at) => self.now = at,
                None if self.tasks.iter().all(|task| task.phase == Phase::Done) => return Ok(None),
                None => {
                    return Err("all threads wait, and nothing will wake them".to_owned());
                }
            }
        }
    }
}

/// Runs `main`, and all threads that it starts, until they have ended. Returns a number that is equal for equal
/// executions, and the virtual time that passed in microseconds; or what must not happen and did.
pub(crate) fn run(seed: u64, main: impl FnOnce() + 'static) -> Result<(u64, u64), String> {
    STATE.set(Some(State {
        random: Random::new(seed),
        now: 1_000_000_000,
        tasks: Vec::new(),
        current: 0,
        num_queues: 0,
        suspended: BTreeMap::new(),
        violation: None,
        trace: 0,
        steps: 0,
        is_logged: std::env::var_os("SIMULATION_LOG").is_some(),
    }));
    spawn(0, main);
    let result = steps();
    let state = STATE.take().expect("it ran");
    let outcome = (state.trace, state.now - 1_000_000_000);
    if result.is_err() {
        // Its threads are in the middle of something, and would go on if they were dropped.
        std::mem::forget(state);
    }
    result.map(|()| outcome)
}

fn steps() -> Result<(), String> {
    while let Some(id) = with(State::choose)? {
        let mut coroutine = with(|state| {
            state.current = id;
            state.steps += 1;
            let mixed = (state.trace ^ id as u64).wrapping_mul(0x0100_0000_01B3);
            state.trace = (mixed ^ state.now).wrapping_mul(0x0100_0000_01B3);
            state.tasks[id].coroutine.take().expect("it is suspended")
        });
        let result = catch_unwind(AssertUnwindSafe(|| coroutine.resume(())));
        match result {
            Ok(CoroutineResult::Yield(())) => {
                with(|state| state.tasks[id].coroutine = Some(coroutine));
            }
            Ok(CoroutineResult::Return(())) => {
                STACKS.with_borrow_mut(|stacks| stacks.push(coroutine.into_stack()));
                let ended = with(|state| {
                    state.tasks[id].phase = Phase::Done;
                    state.tasks[id].ended
                });
                Virtual.wake(ended, true);
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
                return Err(format!("a thread panicked: {}", text.unwrap_or_default()));
            }
        }
        let (violation, steps) = with(|state| (state.violation.take(), state.steps));
        if let Some(violation) = violation {
            return Err(violation);
        }
        if steps > MAX_STEPS {
            return Err(format!("it did not end within {MAX_STEPS} steps"));
        }
    }
    Ok(())
}
