//! When the windows of a calendar start: the steps of its grid, seen through the changes of its zone.
//!
//! A grid on the wall clock has a window for each of its steps that the clock shows:
//!
//! * Where the clock is put forward, a step whose whole window is skipped has no window. A step that is
//!   skipped, but not its whole window, starts when the clock changes: a day whose midnight does not
//!   exist starts at its first hour.
//! * Where the clock is put back, a step that is shown twice starts two windows if the grid's shortest
//!   window is no longer than the repeated time; otherwise it starts one, the first time. So an hour
//!   occurs twice, and a day whose midnight occurs twice has 25 hours.
//!
//! Between two changes, a step's number differs from its window's number by a constant, so the n-th
//! window is found by a binary search over the changes.

use std::sync::Arc;

use super::calendar::Calendar;
use super::declared::Grid;

use super::steps::{Reach, Steps};
use super::units::{DAY, LAST_TIME, Nanos};
use super::zone::Zone;
use crate::error::Result;

/// A step that is shown twice is shown within this time; no offset is larger.
const MARGIN: Nanos = 3 * DAY;

/// A span between two changes of a zone's offset.
#[derive(Debug, Clone)]
struct Span {
    /// When it starts, UTC.
    at: Nanos,
    /// What the wall clock is ahead of UTC.
    offset: Nanos,
    /// Number of windows that start before it.
    before: i64,
    /// The skipped step whose window starts when this span does.
    entered: Option<Nanos>,
    /// Numbers of the steps whose windows start within it.
    steps: (i64, i64),
    /// Steps before this wall-clock time have been shown in the previous span.
    repeats_until: Nanos,
    /// Steps from this wall-clock time on are shown again in the next span.
    repeated_from: Nanos,
}

/// The start of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// When it is, UTC.
    pub(super) time: Nanos,
    /// The step of the grid, on the wall clock; it differs from what the clock shows at `time` if the
    /// clock skips it.
    pub(super) wall: Nanos,
    /// What the wall clock is ahead of UTC.
    pub(super) offset: Nanos,
    /// Whether another window starts at this time of the wall clock.
    pub(super) is_repeated: bool,
}

/// The starts of a calendar's windows, numbered from its first.
#[derive(Debug, Clone)]
pub(super) struct Starts {
    steps: Steps,
    /// The number of the first window's start among all starts.
    origin: i64,
    line: Line,
}

#[derive(Debug, Clone)]
enum Line {
    /// Without a zone: the wall clock is UTC.
    Utc,
    /// Elapsed time: steps are times, and only keys depend on the zone.
    Elapsed(Arc<Zone>),
    /// The steps are those of a zone's wall clock.
    Wall(Arc<[Span]>),
}

impl Starts {
    /// The starts up to a time, and one more.
    ///
    /// # Errors
    /// `PartitionDefinition` when a schedule never fires.
    pub(super) fn until(calendar: &Calendar, bound: Nanos) -> Result<Self> {
        Self::new(calendar, Reach::Until(bound))
    }

    /// At least `count + 1` starts.
    ///
    /// # Errors
    /// `PartitionDefinition` when a schedule never fires.
    pub(super) fn holding(calendar: &Calendar, count: u32) -> Result<Self> {
        if calendar.declared().zone.is_none() {
            return Self::new(calendar, Reach::Count(count));
        }
        // Changes of the clock skip some steps, of which there are few.
        let mut steps = count.saturating_add(64);
        loop {
            let starts = Self::new(calendar, Reach::Count(steps))?;
            let enough = starts.known() > i64::from(count);
            if enough || steps == u32::MAX || starts.nth(count).time > LAST_TIME {
                return Ok(starts);
            }
            steps = steps.saturating_mul(2);
        }
    }

    fn new(calendar: &Calendar, reach: Reach) -> Result<Self> {
        let declared = calendar.declared();
        let (grid, cron) = (&declared.grid, calendar.cron());
        let Some(zone) = &declared.zone else {
            let steps = Steps::new(grid, cron, declared.start, reach)?;
            let origin = steps.rank(declared.start);
            return Ok(Self {
                steps,
                origin,
                line: Line::Utc,
            });
        };
        let first = zone.time_of(declared.start);
        if let Grid::Interval(_) = grid {
            return Ok(Self {
                steps: Steps::new(grid, cron, first, reach)?,
                origin: 0,
                line: Line::Elapsed(Arc::clone(zone)),
            });
        }
        let reach = match reach {
            Reach::Until(bound) => Reach::Until(bound.saturating_add(MARGIN)),
            Reach::Count(count) => Reach::Count(count),
        };
        // Steps on the days before the start matter where the clock is put back.
        let before = match grid {
            Grid::Cron(_) => declared.start - MARGIN,
            Grid::Interval(_) | Grid::WallClock(_) | Grid::Months { .. } => declared.start,
        };
        let steps = Steps::new(grid, cron, before, reach)?;
        let last = match reach {
            Reach::Until(bound) => steps.nth(steps.rank(bound.max(first)) + 1),
            Reach::Count(count) => steps.nth(steps.rank(declared.start) + i64::from(count) + 1),
        };
        let last = last.min(LAST_TIME) + MARGIN;
        let spans = spans(&steps, zone, declared.start - MARGIN, last);
        let mut starts = Self {
            steps,
            origin: 0,
            line: Line::Wall(spans),
        };
        starts.origin = starts.rank_all(first);
        Ok(starts)
    }

    /// The number of starts that are known to be right.
    fn known(&self) -> i64 {
        match &self.line {
            Line::Utc | Line::Elapsed(_) => i64::MAX,
            Line::Wall(spans) => {
                let Steps::Cron(schedule) = &self.steps else {
                    return i64::MAX;
                };
                let last = schedule.last() - spans[spans.len() - 1].offset - MARGIN;
                self.rank_all(last) - self.origin
            }
        }
    }

    /// The start of the `n`-th window.
    pub(super) fn nth(&self, n: u32) -> Start {
        let n = i64::from(n) + self.origin;
        match &self.line {
            Line::Utc => {
                let time = self.steps.nth(n);
                Start {
                    time,
                    wall: time,
                    offset: 0,
                    is_repeated: false,
                }
            }
            Line::Elapsed(zone) => {
                let time = self.steps.nth(n);
                let on_grid = |time: Nanos| self.steps.nth(self.steps.rank(time)) == time;
                let other = zone.other_time_of(time).filter(|&other| on_grid(other));
                let offset = zone.offset_at(time);
                Start {
                    time,
                    wall: time + offset,
                    offset,
                    is_repeated: other.is_some(),
                }
            }
            Line::Wall(spans) => {
                let at = spans.partition_point(|span| span.before <= n).max(1) - 1;
                let span = &spans[at];
                let mut within = n - span.before;
                if let Some(wall) = span.entered {
                    if within == 0 {
                        return Start {
                            time: span.at,
                            wall,
                            offset: span.offset,
                            is_repeated: false,
                        };
                    }
                    within -= 1;
                }
                let wall = self.steps.nth(span.steps.0 + within);
                let twice = wall < span.repeats_until || wall >= span.repeated_from;
                Start {
                    time: wall - span.offset,
                    wall,
                    offset: span.offset,
                    is_repeated: twice,
                }
            }
        }
    }

    /// Start and end of the `n`-th window, also a negative one, if steps are times and need no list.
    pub(super) fn window_beyond(&self, n: i64) -> Option<(Nanos, Nanos)> {
        let n = n.saturating_add(self.origin);
        let is_arithmetic = !matches!(
            (&self.line, &self.steps),
            (Line::Wall(_), _) | (_, Steps::Cron(_))
        );
        is_arithmetic.then(|| (self.steps.nth(n), self.steps.nth(n.saturating_add(1))))
    }

    /// Number of windows that start before a time.
    pub(super) fn rank(&self, time: Nanos) -> u64 {
        (self.rank_all(time) - self.origin).max(0) as u64
    }

    fn rank_all(&self, time: Nanos) -> i64 {
        let Line::Wall(spans) = &self.line else {
            return self.steps.rank(time);
        };
        let at = spans.partition_point(|span| span.at <= time).max(1) - 1;
        let span = &spans[at];
        let entered = i64::from(span.entered.is_some() && time > span.at);
        let step = self.steps.rank(time.saturating_add(span.offset));
        span.before + entered + step.clamp(span.steps.0, span.steps.1) - span.steps.0
    }
}

/// The spans of a zone from one time to another, and which steps start windows in each.
fn spans(steps: &Steps, zone: &Zone, from: Nanos, to: Nanos) -> Arc<[Span]> {
    let offsets = zone.spans(from, to);
    let mut spans: Vec<Span> = Vec::with_capacity(offsets.len());
    let mut before = 0;
    // The time up to which the wall clock has shown all steps.
    let mut shown = from + offsets[0].1;
    for (n, &(at, offset)) in offsets.iter().enumerate() {
        let start = at + offset;
        let end = offsets.get(n + 1).map(|&(at, _)| at + offset);
        let mut entered = None;
        if start > shown {
            let next = steps.rank(start);
            if next > steps.rank(shown) && steps.nth(next) > start {
                entered = Some(steps.nth(next - 1));
            }
        }
        let repeats = start < shown && steps.shortest() <= shown - start;
        let first = if repeats { start } else { start.max(shown) };
        if repeats && let Some(previous) = spans.last_mut() {
            previous.repeated_from = start;
        }
        let first_step = steps.rank(first);
        let last_step = end.map_or(i64::MAX, |end| steps.rank(end.max(first)));
        spans.push(Span {
            at,
            offset,
            before,
            entered,
            steps: (first_step, last_step),
            repeats_until: if repeats { shown } else { Nanos::MIN },
            repeated_from: Nanos::MAX,
        });
        if let Some(end) = end {
            before += i64::from(entered.is_some()) + last_step - first_step;
            shown = if repeats { end } else { shown.max(end) };
        }
    }
    spans.into()
}
