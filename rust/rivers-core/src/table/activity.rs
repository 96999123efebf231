//! What the runs of a backfill did over time: rates, failures, and which of its slots were busy.
//!
//! Runs are gone through once, in the order of their numbers. Consecutive runs of which each begins when the
//! one before has ended become one *stretch*: runs that take no time are a stretch for each batch. Stretches
//! are then placed into lanes, each into the first one that is free, so that a lane is what one slot of
//! `max_concurrency` did.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

use crate::backfill::{AttemptRow, RunRow, Status};
use crate::clock::Micros;
use crate::error::Result;
use crate::store::{BackfillRow, Records};

/// Number of runs that are read at once.
const CHUNK: u64 = 1 << 20;
/// Maximum number of stretches that are placed into lanes.
const MAX_STRETCHES: usize = 1 << 20;
/// Maximum time between two runs of a stretch, in microseconds: between two runs of a batch there is less.
const MAX_GAP: Micros = 50;
/// Number of longest runs, and of retries that are due, that are listed.
const MAX_LISTED: usize = 10;
/// Maximum number of attempts among which retries that are due are looked for.
const MAX_ATTEMPTS: usize = 1_000;

/// What happened in an interval of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bin {
    /// Number of runs that began.
    pub started: u64,
    /// Number of runs that ended.
    pub ended: u64,
    /// Number of runs that ended and of which partitions failed.
    pub failed: u64,
    /// Microseconds that runs took, added up over all slots.
    pub busy: u64,
}

/// What a slot did in an interval of time, as shares from 0 to 255.
pub type LaneBin = (u8, u8);

/// A run that waits for its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The run's number.
    pub run: u64,
    /// The number of the attempt that failed.
    pub attempt: u32,
    /// When the next attempt is due.
    pub due_at: Micros,
}

/// What the runs of a backfill did over time.
#[derive(Debug, Clone, Default)]
pub struct Activity {
    /// When the first interval begins: when the backfill was submitted.
    pub start: Micros,
    /// When the last interval ends: when the backfill ended, or now.
    pub end: Micros,
    /// The intervals.
    pub bins: Vec<Bin>,
    /// For each lane and interval, the share of the time in which a run was executed, and in which one was that
    /// failed; `None` if there is too much to place.
    pub lanes: Option<Vec<Vec<LaneBin>>>,
    /// Number of lanes, of which only the first may be in `lanes`.
    pub num_lanes: usize,
    /// The longest runs, the longest first.
    pub longest: Vec<RunRow>,
    /// The retries that are due, the earliest first.
    pub waiting: Vec<Waiting>,
}

/// Runs of which each begins when the one before has ended.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: Micros,
    end: Micros,
    /// Microseconds of its runs, and of those that failed.
    busy: u64,
    failed: u64,
}

/// Returns the activity of a backfill.
///
/// # Arguments
/// `num_bins` is the number of intervals, and `max_lanes` the maximum number of lanes that are returned.
///
/// # Errors
/// `Storage`; `Execution` if the records are damaged.
pub fn activity(
    store: &dyn Records,
    row: &BackfillRow,
    now: Micros,
    num_bins: usize,
    max_lanes: usize,
) -> Result<Activity> {
    let start = row.request.created_at;
    let end = row.ended_at.unwrap_or(now).max(start + 1);
    let mut gathered = Gathered::new(start, end, num_bins.max(1));
    let last = store
        .run_before(row.key, row.num_runs)?
        .map_or(0, |own| own.run + 1);
    let is_open = row.status == Status::InProgress;
    let mut in_flight: Vec<(u64, Micros)> = row.in_flight.clone();
    in_flight.retain(|_| is_open);
    in_flight.sort_unstable();
    let mut is_over = vec![false; in_flight.len()];
    let (mut next, mut flying) = (0, 0);
    while next < last {
        let chunk = next..last.min(next.saturating_add(CHUNK));
        next = chunk.end;
        for run in &store.ended_runs(row.key, chunk)? {
            let run = run?;
            gathered.add(&run);
            // What was in flight when the backfill was read may have ended since.
            while flying < in_flight.len() && in_flight[flying].0 <= run.run {
                is_over[flying] = in_flight[flying].0 == run.run;
                flying += 1;
            }
        }
    }
    gathered.close();
    for (&(_, since), _) in in_flight.iter().zip(is_over).filter(|(_, over)| !over) {
        gathered.add_running(since);
    }
    let (lanes, num_lanes) = gathered.lanes(max_lanes);
    let waiting = if is_open {
        waiting(store, row)?
    } else {
        Vec::new()
    };
    let mut longest = gathered.longest.into_vec();
    longest.sort_unstable_by_key(|Reverse((duration, own))| (Reverse(*duration), own.0));
    Ok(Activity {
        start,
        end,
        bins: gathered.bins,
        lanes,
        num_lanes,
        longest: longest
            .into_iter()
            .map(|Reverse((_, own))| row_of(own))
            .collect(),
        waiting,
    })
}

/// A run as it is compared: number, start, end, failed partitions.
type Compared = (u64, Micros, Micros, u64);

fn row_of((run, started_at, ended_at, failed): Compared) -> RunRow {
    RunRow {
        run,
        started_at,
        ended_at,
        failed,
    }
}

struct Gathered {
    start: Micros,
    end: Micros,
    /// Microseconds of an interval, and intervals of a microsecond.
    width: f64,
    per_micro: f64,
    bins: Vec<Bin>,
    longest: BinaryHeap<Reverse<(Micros, Compared)>>,
    open: Option<Stretch>,
    stretches: Vec<Stretch>,
    has_all: bool,
    /// Maximum time between two runs of a stretch.
    max_gap: Micros,
}

impl Gathered {
    fn new(start: Micros, end: Micros, num_bins: usize) -> Self {
        let width = (end - start) as f64 / num_bins as f64;
        Self {
            start,
            end,
            width,
            per_micro: 1.0 / width,
            bins: vec![Bin::default(); num_bins],
            longest: BinaryHeap::new(),
            open: None,
            stretches: Vec::new(),
            has_all: true,
            max_gap: MAX_GAP.min((width / 16.0) as Micros),
        }
    }

    /// The interval that a time belongs to.
    fn bin(&self, at: Micros) -> usize {
        let bin = (at - self.start).max(0) as f64 * self.per_micro;
        (bin as usize).min(self.bins.len() - 1)
    }

    fn add(&mut self, run: &RunRow) {
        let (first, last) = self.add_busy(run.started_at, run.ended_at);
        let duration = (run.ended_at - run.started_at).max(0);
        self.bins[first].started += 1;
        self.bins[last].ended += 1;
        self.bins[last].failed += u64::from(run.failed > 0);
        let shortest = self.longest.peek().map(|Reverse((shortest, _))| *shortest);
        if self.longest.len() < MAX_LISTED || shortest.is_some_and(|shortest| duration > shortest) {
            let own = (run.run, run.started_at, run.ended_at, run.failed);
            self.longest.push(Reverse((duration, own)));
            if self.longest.len() > MAX_LISTED {
                self.longest.pop();
            }
        }
        let failed = if run.failed > 0 {
            duration.cast_unsigned()
        } else {
            0
        };
        match &mut self.open {
            Some(open)
                if run.started_at >= open.end && run.started_at - open.end <= self.max_gap =>
            {
                open.end = run.ended_at.max(open.end);
                open.busy += duration.cast_unsigned();
                open.failed += failed;
            }
            _ => {
                self.close();
                self.open = Some(Stretch {
                    start: run.started_at,
                    end: run.ended_at.max(run.started_at),
                    busy: duration.cast_unsigned(),
                    failed,
                });
            }
        }
    }

    /// Ends the present stretch.
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.place(open);
        }
    }

    fn place(&mut self, stretch: Stretch) {
        if self.stretches.len() < MAX_STRETCHES {
            self.stretches.push(stretch);
        } else {
            self.has_all = false;
        }
    }

    /// Adds the time of a run to the intervals, of which the first and the last are returned.
    fn add_busy(&mut self, from: Micros, to: Micros) -> (usize, usize) {
        let (first, last) = (self.bin(from), self.bin(to));
        if first == last {
            self.bins[first].busy += (to - from).max(0).cast_unsigned();
        } else {
            for bin in first..=last {
                self.bins[bin].busy += self.overlap(bin, from, to) as u64;
            }
        }
        (first, last)
    }

    /// Adds a run in flight.
    fn add_running(&mut self, since: Micros) {
        let end = self.end.max(since);
        let (first, _) = self.add_busy(since, end);
        self.bins[first].started += 1;
        let busy = (end - since).cast_unsigned();
        self.place(Stretch {
            start: since,
            end,
            busy,
            failed: 0,
        });
    }

    /// Microseconds of an interval that lie between two times.
    fn overlap(&self, bin: usize, from: Micros, to: Micros) -> f64 {
        let start = self.start as f64 + bin as f64 * self.width;
        ((to as f64).min(start + self.width) - (from as f64).max(start)).max(0.0)
    }

    /// What each slot did, and the number of slots.
    fn lanes(&mut self, max_lanes: usize) -> (Option<Vec<Vec<LaneBin>>>, usize) {
        if !self.has_all {
            return (None, 0);
        }
        let mut stretches = std::mem::take(&mut self.stretches);
        stretches.sort_unstable_by_key(|own| (own.start, own.end));
        // The lowest lane that is free, of those whose last stretch has ended.
        let mut free: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
        let mut busy: BinaryHeap<Reverse<(Micros, usize)>> = BinaryHeap::new();
        let mut num_lanes = 0;
        let mut lanes: Vec<Vec<(f64, f64)>> = Vec::new();
        for own in stretches {
            while let Some(&Reverse((end, lane))) = busy.peek()
                && end <= own.start
            {
                busy.pop();
                free.push(Reverse(lane));
            }
            let lane = free.pop().map_or(num_lanes, |Reverse(lane)| lane);
            num_lanes = num_lanes.max(lane + 1);
            busy.push(Reverse((own.end, lane)));
            if lane >= max_lanes {
                continue;
            }
            while lanes.len() <= lane {
                lanes.push(vec![(0.0, 0.0); self.bins.len()]);
            }
            let length = (own.end - own.start).max(1) as f64;
            let shares = (own.busy as f64 / length, own.failed as f64 / length);
            let (first, last) = (self.bin(own.start), self.bin(own.end));
            for (at, (busy, failed)) in lanes[lane][first..=last].iter_mut().enumerate() {
                let part = self.overlap(first + at, own.start, own.end);
                *busy += part * shares.0;
                *failed += part * shares.1;
            }
        }
        let share = |part: f64| match (part / self.width * 255.0).clamp(0.0, 255.0) {
            // What happened is seen, however short it was.
            share if part > 0.0 => share.max(1.0) as u8,
            _ => 0,
        };
        let lane = |own: Vec<(f64, f64)>| {
            let own = own.into_iter();
            own.map(|(busy, failed)| (share(busy), share(failed)))
                .collect()
        };
        (Some(lanes.into_iter().map(lane).collect()), num_lanes)
    }
}

/// The retries of a backfill that are due, the earliest first.
fn waiting(store: &dyn Records, row: &BackfillRow) -> Result<Vec<Waiting>> {
    let mut latest: HashMap<u64, AttemptRow> = HashMap::new();
    for own in store.attempts(row.key)? {
        let known = latest.entry(own.run).or_insert(own);
        if own.attempt > known.attempt {
            *known = own;
        }
    }
    let mut candidates: Vec<AttemptRow> = latest.into_values().collect();
    // Those that are due last have ended least likely.
    candidates.sort_unstable_by_key(|own| (Reverse(own.due_at), own.run));
    candidates.truncate(MAX_ATTEMPTS);
    let mut found = Vec::new();
    for own in candidates {
        let is_in_flight = row.in_flight.iter().any(|(run, _)| *run == own.run);
        if !is_in_flight && store.runs(row.key, own.run..own.run + 1)?.is_empty() {
            found.push(Waiting {
                run: own.run,
                attempt: own.attempt,
                due_at: own.due_at,
            });
        }
    }
    found.reverse();
    found.truncate(MAX_LISTED);
    Ok(found)
}
