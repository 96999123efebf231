//! A calendar resolved at one time: its windows and their keys, by position.

use std::sync::Arc;

use super::calendar::Calendar;
use super::format::{iso, parse_time};
use super::starts::{Start, Starts};
use super::units::{LAST_TIME, Nanos};
use crate::error::{Error, Result};

/// The reason why a text is not a key of a time axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAWindow {
    /// The text does not match the format.
    Format,
    /// The time is before the first window.
    BeforeStart,
    /// The time is after the last window.
    AfterEnd,
    /// The time is within the grid, but no window starts then.
    OffGrid,
    /// The zone's clock never shows the time.
    Skipped,
    /// Two windows start at the time, and the text has no offset.
    Repeated,
    /// The window is left out.
    Excluded,
}

/// A calendar resolved at one time. Times are UTC.
#[derive(Debug, Clone)]
pub struct TimeAxis {
    calendar: Arc<Calendar>,
    starts: Starts,
    /// Numbers, on the grid, of the windows that are left out, ascending.
    excluded: Arc<[u32]>,
    len: u32,
    /// When it was resolved; `None` if it was stored.
    now: Option<Nanos>,
}

impl TimeAxis {
    /// Resolves a calendar to the windows that start before `bound`.
    ///
    /// # Errors
    /// `PartitionDefinition` when there are more windows than a dimension may have.
    pub(super) fn until(calendar: &Arc<Calendar>, bound: Nanos) -> Result<Self> {
        let starts = Starts::until(calendar, bound)?;
        let windows = starts.rank(bound);
        let windows = u32::try_from(windows).map_err(|_| {
            Error::PartitionDefinition(format!(
                "a dimension may have at most {} partitions, this calendar has {windows} windows \
                 from {} to {}; use a coarser grid or a later start",
                u32::MAX,
                iso(calendar.declared().start),
                iso(bound)
            ))
        })?;
        let excluded = excluded(calendar, &starts, windows);
        Ok(Self {
            calendar: Arc::clone(calendar),
            len: windows - excluded.len() as u32,
            starts,
            excluded,
            now: None,
        })
    }

    /// Resolves a calendar to exactly `len` windows.
    ///
    /// # Errors
    /// `PartitionDefinition` when the calendar cannot have that many.
    pub fn with_len(calendar: Arc<Calendar>, len: u32) -> Result<Self> {
        let mut windows = len;
        loop {
            let starts = Starts::holding(&calendar, windows)?;
            let excluded = excluded(&calendar, &starts, windows);
            let all = len.checked_add(excluded.len() as u32);
            let all = all.ok_or_else(|| too_long(len))?;
            if all > windows {
                windows = all;
                continue;
            }
            if len > 0 && starts.nth(windows - 1).time > LAST_TIME {
                return Err(too_long(len));
            }
            return Ok(Self {
                calendar,
                starts,
                excluded,
                len,
                now: None,
            });
        }
    }

    /// This axis, with the time at which it was resolved.
    pub(in crate::space) fn seen_at(self, now: Nanos) -> Self {
        let now = Some(now);
        Self { now, ..self }
    }

    /// The calendar of this axis.
    pub fn calendar(&self) -> &Arc<Calendar> {
        &self.calendar
    }

    /// The name of the zone of its windows; `None` without a zone.
    pub fn zone_name(&self) -> Option<&str> {
        let zone = self.calendar.declared().zone.as_ref();
        zone.map(|zone| zone.name())
    }

    /// The time at which it was resolved; `None` if it was stored.
    pub fn now(&self) -> Option<Nanos> {
        self.now
    }

    /// Number of windows.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are no windows, because none has begun yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Start of the `n`-th window.
    pub fn start_of(&self, n: u32) -> Nanos {
        self.starts.nth(self.on_grid(n)).time
    }

    /// The step of the grid, on the wall clock, at which the `n`-th window starts.
    pub(super) fn step_of(&self, n: u32) -> Nanos {
        self.starts.nth(self.on_grid(n)).wall
    }

    /// Start and end of the `n`-th window, half-open.
    pub fn window(&self, n: u32) -> (Nanos, Nanos) {
        let n = self.on_grid(n);
        (self.starts.nth(n).time, self.starts.nth(n + 1).time)
    }

    /// Whether windows of the grid are left out.
    pub fn has_gaps(&self) -> bool {
        !self.excluded.is_empty()
    }

    /// Start and end of the `n`-th window, also before the first and after the last, where that takes
    /// no search.
    pub fn window_beyond(&self, n: i64) -> Option<(Nanos, Nanos)> {
        self.starts.window_beyond(n).filter(|_| !self.has_gaps())
    }

    /// The windows of this grid from the one that contains `from` up to `to`, also before its start and
    /// after its end, and the position of its first window among them; at least its own windows. `None`
    /// if there are too many, or it has none.
    pub fn reaching(&self, from: Nanos, to: Nanos) -> Option<(Self, u32)> {
        let last = self.len.checked_sub(1)?;
        let to = to.max(self.window(last).1).min(LAST_TIME);
        let wider = Arc::new(self.calendar.begun_before(from)?);
        let wide = Self::until(&wider, to).ok()?;
        let first = u32::try_from(wide.rank(self.start_of(0))).ok()?;
        Some((wide, first))
    }

    /// Number of windows that start before a time, not limited to `len`.
    pub fn rank(&self, time: Nanos) -> u64 {
        let windows = self.starts.rank(time);
        let before = self.excluded.partition_point(|&n| u64::from(n) < windows);
        windows - before as u64
    }

    /// The windows that overlap the time from `start` to `end`, not empty.
    pub fn overlapping(&self, start: Nanos, end: Nanos) -> std::ops::Range<u32> {
        let first = self.starts.rank(start.saturating_add(1)).saturating_sub(1);
        let before = self.excluded.partition_point(|&n| u64::from(n) < first);
        let len = u64::from(self.len);
        let first = (first - before as u64).min(len);
        first as u32..self.rank(end).min(len) as u32
    }

    /// Divides a span of windows where windows between them are left out.
    pub fn contiguous(&self, span: std::ops::Range<u32>) -> Vec<std::ops::Range<u32>> {
        let mut spans = Vec::new();
        let mut from = span.start;
        // The number of the first window after each one that is left out.
        let mut gaps = self.excluded.iter().zip(0_u32..).map(|(&n, at)| n - at);
        while let Some(gap) = gaps.find(|&gap| gap > from && gap < span.end) {
            spans.push(from..gap);
            from = gap;
        }
        spans.push(from..span.end);
        spans
    }

    /// The number, on the grid, of the `n`-th window.
    fn on_grid(&self, n: u32) -> u32 {
        if self.excluded.is_empty() {
            return n;
        }
        let (mut low, mut high) = (0, self.excluded.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.excluded[middle] - middle as u32 <= n {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        n + low as u32
    }

    /// The key of the `n`-th window.
    pub fn label(&self, n: u32) -> String {
        self.key_of(self.starts.nth(self.on_grid(n)))
    }

    fn key_of(&self, start: Start) -> String {
        self.calendar
            .format(start.wall, start.offset, start.is_repeated)
    }

    /// The positions of the windows next to the first changes of the zone's clock.
    pub(super) fn around_changes(&self, max_changes: usize) -> Vec<u64> {
        let Some(zone) = &self.calendar.declared().zone else {
            return Vec::new();
        };
        if self.is_empty() {
            return Vec::new();
        }
        let spans = zone.spans(self.start_of(0), self.start_of(self.len - 1));
        let near = spans.iter().skip(1).take(max_changes).flat_map(|&(at, _)| {
            let n = self.rank(at);
            n.saturating_sub(2)..n + 2
        });
        near.filter(|&n| n < u64::from(self.len)).collect()
    }

    /// The position of the window that `key` names.
    ///
    /// # Errors
    /// The reason why `key` names no window.
    pub fn position(&self, key: &str) -> Result<u32, NotAWindow> {
        let (wall, offset) = self.calendar.parse(key).ok_or(NotAWindow::Format)?;
        let declared = self.calendar.declared();
        let Some(offset) = offset else {
            let time = declared.time_of(wall);
            let found = self.position_at(key, wall, None, time);
            // A window of elapsed time can start at the second of two times of the clock only.
            return found.or_else(|reason| {
                let second = declared
                    .zone
                    .as_ref()
                    .and_then(|zone| zone.other_time_of(time));
                second
                    .and_then(|second| self.position_at(key, wall, None, second).ok())
                    .ok_or(reason)
            });
        };
        let found = self.position_at(key, wall, Some(offset), wall.saturating_sub(offset));
        // The window of a step that the clock skips starts when the clock changes.
        found.or_else(|reason| {
            let skipped = declared.time_of(wall);
            let found = self.position_at(key, wall, Some(offset), skipped);
            found.map_err(|_| reason)
        })
    }

    /// The position of the window that `key` names, which starts at `time` or after it.
    fn position_at(
        &self,
        key: &str,
        wall: Nanos,
        offset: Option<Nanos>,
        time: Nanos,
    ) -> Result<u32, NotAWindow> {
        let declared = self.calendar.declared();
        let n = self.starts.rank(time);
        let end = self.on_grid(self.len);
        if self.len == 0 || n > u64::from(end) || declared.end.is_some_and(|end| wall >= end) {
            return Err(NotAWindow::AfterEnd);
        }
        let start = self.starts.nth(n as u32);
        let own = self.key_of(start);
        let is_there = n < u64::from(end);
        if own == key && is_there {
            let before = self.excluded.partition_point(|&other| u64::from(other) < n);
            return match self.excluded.get(before) {
                Some(&other) if u64::from(other) == n => Err(NotAWindow::Excluded),
                _ => Ok(n as u32 - before as u32),
            };
        }
        let same_time = self.calendar.parse(&own).map(|(wall, _)| wall) == Some(wall);
        if same_time && offset.is_none() && start.is_repeated {
            return Err(NotAWindow::Repeated);
        }
        if same_time && offset.is_none() {
            // Parsing is lenient ("2024-1-1"), which shows in the key of the parsed time.
            return Err(if is_there {
                NotAWindow::Format
            } else {
                NotAWindow::AfterEnd
            });
        }
        Err(if wall < declared.start {
            NotAWindow::BeforeStart
        } else if offset.is_none() && declared.wall(time) != wall {
            NotAWindow::Skipped
        } else {
            NotAWindow::OffGrid
        })
    }

    /// Up to two keys next to a text that parses as a time but is not a key.
    pub fn nearest(&self, key: &str) -> Vec<String> {
        let own = self.calendar.parse(key);
        let common = || parse_time("key", key, None).ok().map(|wall| (wall, None));
        let Some((wall, offset)) = own.or_else(common) else {
            return [0, self.len.saturating_sub(1)]
                .into_iter()
                .take(self.len.min(2) as usize)
                .map(|n| self.label(n))
                .collect();
        };
        let time = match offset {
            Some(offset) => wall.saturating_sub(offset),
            None => self.calendar.declared().time_of(wall),
        };
        let after = self.rank(time).min(u64::from(self.len)) as u32;
        let means = |n: u32| self.calendar.parse(&self.label(n)).map(|(wall, _)| wall);
        let exact = after < self.len
            && (self.start_of(after) == time || means(after) == own.map(|(wall, _)| wall));
        let range = if exact {
            // The two windows of a repeated time are not next to each other.
            let twice = (after + 1..self.len.min(after.saturating_add(MAX_REPEATED)))
                .take_while(|_| self.starts.nth(self.on_grid(after)).is_repeated)
                .find(|&n| means(n) == means(after));
            return [Some(after), twice]
                .into_iter()
                .flatten()
                .map(|n| self.label(n))
                .collect();
        } else {
            after.saturating_sub(1)..(after + 1).min(self.len)
        };
        range.map(|n| self.label(n)).collect()
    }
}

/// Maximum number of windows from one of a repeated time to the other that a message looks through.
const MAX_REPEATED: u32 = 200;

/// Numbers of the windows, among the first `windows` of the grid, that are left out.
fn excluded(calendar: &Calendar, starts: &Starts, windows: u32) -> Arc<[u32]> {
    let declared = calendar.declared();
    let numbers = declared
        .exclude
        .iter()
        .map(|&time| (starts.rank(time), time));
    numbers
        .take_while(|&(n, _)| n < u64::from(windows))
        .filter(|&(n, time)| starts.nth(n as u32).time == time)
        .map(|(n, _)| n as u32)
        .collect()
}

fn too_long(len: u32) -> Error {
    Error::PartitionDefinition(format!(
        "the calendar has no {len} windows before the year 10000"
    ))
}

impl PartialEq for TimeAxis {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.calendar == other.calendar
    }
}

impl Eq for TimeAxis {}
