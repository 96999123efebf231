//! Time windows: a naive wall-clock grid of half-open windows `[start, next start)`.
//!
//! A `Calendar` is what the user declared; a `TimeAxis` is a calendar resolved at one time, with a
//! definite number of windows. Times are naive seconds since 1970-01-01T00:00:00.

use std::sync::Arc;

use super::cron::{CronDays, CronGrid};
use super::format::{TimeFormat, iso, parse_time};
use super::seconds::{DAY, LAST_TIME};
use crate::error::{Error, Result};
use crate::space::labels::check_key;

/// Span after the start over which the format of a calendar without an end is checked, in seconds.
const CHECKED_SPAN: i64 = 40 * 366 * DAY;
/// Number of first windows, and of windows spread evenly, on which the format is checked.
const CHECKED_POINTS: u64 = 150;
/// Number of first windows that are checked if a key does not determine the start, so that two
/// windows could share a key.
const CHECKED_POINTS_COARSE: u64 = 2_000;

/// How a calendar steps from one window to the next.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Grid {
    /// Windows of this many seconds, counted from the start.
    Interval(u32),
    /// Windows that start at the times of a cron expression.
    Cron(String),
}

/// A grid of time windows as declared.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Declared", into = "Declared")]
pub struct Calendar {
    declared: Declared,
    cron: Option<CronGrid>,
    format: TimeFormat,
}

/// The declaration of a calendar; equal declarations are equal calendars.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Declared {
    /// Start of the grid.
    pub start: i64,
    /// Exclusive upper bound of the windows' starts; `None` is the present.
    pub end: Option<i64>,
    /// The steps between windows.
    pub grid: Grid,
    /// The strftime pattern of the keys.
    pub fmt: String,
}

impl TryFrom<Declared> for Calendar {
    type Error = Error;

    /// Checks the bounds, the schedule, and that the format distinguishes all windows.
    fn try_from(declared: Declared) -> Result<Self> {
        let refused = |reason: String| Err(Error::PartitionDefinition(reason));
        let format = TimeFormat::new(&declared.fmt)?;
        let cron = match &declared.grid {
            Grid::Interval(0) => {
                return refused("interval_seconds must be at least 1, got 0".into());
            }
            Grid::Interval(_) => None,
            Grid::Cron(expression) => Some(CronGrid::parse(expression)?),
        };
        let bounds = [Some(declared.start), declared.end];
        if bounds
            .into_iter()
            .flatten()
            .any(|time| !(-LAST_TIME..=LAST_TIME).contains(&time))
        {
            return refused("a calendar may not reach beyond the year 9999".into());
        }
        if declared.end.is_some_and(|end| end <= declared.start) {
            return refused(format!(
                "the end {} is not after the start {}",
                iso(declared.end.unwrap_or_default()),
                iso(declared.start)
            ));
        }
        let calendar = Self {
            declared,
            cron,
            format,
        };
        calendar.check_format()?;
        Ok(calendar)
    }
}

impl From<Calendar> for Declared {
    fn from(calendar: Calendar) -> Self {
        calendar.declared
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.declared == other.declared
    }
}

impl Eq for Calendar {}

impl Calendar {
    /// The declaration.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// Resolves the calendar at the time `now`: up to its end, or to the window that contains `now`.
    ///
    /// # Errors
    /// `PartitionDefinition` when there are more windows than a dimension may have.
    pub fn at(self: &Arc<Self>, now: i64) -> Result<TimeAxis> {
        let bound = self
            .declared
            .end
            .unwrap_or_else(|| now.saturating_add(1).min(LAST_TIME));
        self.until(bound)
    }

    /// Whether `key` is the key of a window, present or future.
    pub fn names(self: &Arc<Self>, key: &str) -> bool {
        let Some(time) = self.format.parse(key) else {
            return false;
        };
        let bound = time.saturating_add(1).min(LAST_TIME);
        self.until(self.declared.end.unwrap_or(bound))
            .is_ok_and(|axis| axis.position(key).is_ok())
    }

    fn until(self: &Arc<Self>, bound: i64) -> Result<TimeAxis> {
        let start = self.declared.start;
        let days = match &self.cron {
            Some(cron) => Some(CronDays::new(cron, start, bound.max(start))?),
            None => None,
        };
        let mut axis = TimeAxis {
            calendar: Arc::clone(self),
            days,
            len: 0,
        };
        let windows = axis.rank(bound);
        axis.len = u32::try_from(windows).map_err(|_| {
            Error::PartitionDefinition(format!(
                "a dimension may have at most {} partitions, this calendar has {windows} windows \
                 from {} to {}; use a coarser grid or a later start",
                u32::MAX,
                iso(start),
                iso(bound)
            ))
        })?;
        Ok(axis)
    }

    /// Refuses a format under which a window's key does not parse back to the window.
    fn check_format(&self) -> Result<()> {
        let start = self.declared.start;
        let far = start.saturating_add(CHECKED_SPAN).min(LAST_TIME);
        let bound = self.declared.end.unwrap_or(far);
        let axis = Arc::new(self.clone()).until(bound)?;
        let len = u64::from(axis.len);
        // An odd step reaches all hours; an even one could always hit midnight.
        let spread = (len / CHECKED_POINTS) | 1;
        let points = |most: u64| {
            let rest = (0..CHECKED_POINTS).map(move |n| n * spread);
            (0..most)
                .chain(rest)
                .chain(len.checked_sub(1))
                .filter(move |&n| n < len)
        };
        let exact = points(CHECKED_POINTS)
            .all(|n| self.format.parse(&axis.label(n as u32)) == Some(axis.start_of(n as u32)));
        for n in points(if exact {
            CHECKED_POINTS
        } else {
            CHECKED_POINTS_COARSE
        }) {
            let key = axis.label(n as u32);
            check_key(&key)?;
            if axis.position(&key) != Ok(n as u32) {
                return Err(Error::PartitionDefinition(format!(
                    "the fmt {:?} cannot tell the windows apart: the one that starts at {} gets the key {key:?}, \
                     which does not lead back to it; use a finer format, such as \"%Y-%m-%dT%H:%M:%S\"",
                    self.declared.fmt,
                    iso(axis.start_of(n as u32)),
                )));
            }
        }
        Ok(())
    }
}

/// The reason why a text is not a key of a time axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAWindow {
    /// The text does not match the format.
    Format,
    /// The time is before the first window.
    BeforeStart,
    /// The time is after the last window.
    AfterEnd,
    /// The time is within the grid, but no window starts then.
    OffGrid,
}

/// A calendar resolved at one time.
#[derive(Debug, Clone)]
pub struct TimeAxis {
    calendar: Arc<Calendar>,
    days: Option<CronDays>,
    len: u32,
}

impl TimeAxis {
    /// The calendar of this axis.
    pub fn calendar(&self) -> &Arc<Calendar> {
        &self.calendar
    }

    /// Resolves a calendar to exactly `len` windows.
    ///
    /// # Errors
    /// `PartitionDefinition` when the calendar cannot have that many.
    pub fn with_len(calendar: Arc<Calendar>, len: u32) -> Result<Self> {
        let start = calendar.declared.start;
        if let Grid::Interval(step) = calendar.declared.grid {
            let last = i64::from(len.saturating_sub(1))
                .checked_mul(i64::from(step))
                .and_then(|s| s.checked_add(start));
            return match last {
                Some(last) if last <= LAST_TIME => Ok(Self {
                    calendar,
                    days: None,
                    len,
                }),
                _ => Err(too_long(len)),
            };
        }
        let days = match &calendar.cron {
            Some(cron) => Some(CronDays::holding(cron, start, len)?),
            None => None,
        };
        let axis = Self {
            calendar,
            days,
            len,
        };
        if len > 0 && axis.start_of(len - 1) > LAST_TIME {
            return Err(too_long(len));
        }
        Ok(axis)
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
    pub fn start_of(&self, n: u32) -> i64 {
        match (
            &self.calendar.declared.grid,
            &self.calendar.cron,
            &self.days,
        ) {
            (_, Some(cron), Some(days)) => days.nth(cron, u64::from(n)),
            (Grid::Interval(step), ..) => {
                self.calendar.declared.start + i64::from(n) * i64::from(*step)
            }
            _ => unreachable!("a cron grid has its days"),
        }
    }

    /// Start and end of the `n`-th window, half-open.
    pub fn window(&self, n: u32) -> (i64, i64) {
        (self.start_of(n), self.start_of(n + 1))
    }

    /// Number of windows that start before a time, not limited to `len`.
    pub fn rank(&self, time: i64) -> u64 {
        match (
            &self.calendar.declared.grid,
            &self.calendar.cron,
            &self.days,
        ) {
            (_, Some(cron), Some(days)) => days.rank(cron, time),
            (Grid::Interval(step), ..) => {
                let since = time.saturating_sub(self.calendar.declared.start);
                let since = since.max(0) as u64;
                since.div_ceil(u64::from(*step))
            }
            _ => unreachable!("a cron grid has its days"),
        }
    }

    /// The key of the `n`-th window.
    pub fn label(&self, n: u32) -> String {
        self.calendar.format.format(self.start_of(n))
    }

    /// The position of the window that `key` names.
    ///
    /// # Errors
    /// The reason why `key` names no window.
    pub fn position(&self, key: &str) -> Result<u32, NotAWindow> {
        let time = self.calendar.format.parse(key).ok_or(NotAWindow::Format)?;
        let (n, len) = (self.rank(time), u64::from(self.len));
        let declared = &self.calendar.declared;
        if len == 0 || n > len || declared.end.is_some_and(|end| time >= end) {
            return Err(NotAWindow::AfterEnd);
        }
        let own = self.label(n as u32);
        if own == key && n < len {
            return Ok(n as u32);
        }
        if self.calendar.format.parse(&own) == Some(time) {
            // Parsing is lenient ("2024-1-1"), which shows in the key of the parsed time.
            return Err(if n < len {
                NotAWindow::Format
            } else {
                NotAWindow::AfterEnd
            });
        }
        Err(if time < declared.start {
            NotAWindow::BeforeStart
        } else {
            NotAWindow::OffGrid
        })
    }

    /// Up to two keys next to a text that parses as a time but is not a key.
    pub fn nearest(&self, key: &str) -> Vec<String> {
        let fallback = self.calendar.format.parse(key);
        let common = || parse_time("key", key, None).ok();
        let Some(time) = fallback.or_else(common) else {
            return [0, self.len.saturating_sub(1)]
                .into_iter()
                .take(self.len.min(2) as usize)
                .map(|n| self.label(n))
                .collect();
        };
        let after = self.rank(time).min(u64::from(self.len)) as u32;
        let exact = after < self.len
            && (self.start_of(after) == time
                || self.calendar.format.parse(&self.label(after)) == fallback);
        let range = if exact {
            after..after + 1
        } else {
            after.saturating_sub(1)..(after + 1).min(self.len)
        };
        range.map(|n| self.label(n)).collect()
    }
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
