//! Time windows as declared: a grid of half-open windows `[start, next start)`.
//!
//! A `Calendar` is what the user declared; a `TimeAxis` is a calendar resolved at one time, with a
//! definite number of windows. The grid's own times are those of the wall clock of its zone, in
//! seconds since 1970-01-01T00:00:00; without a zone, the wall clock is UTC.

use std::sync::Arc;

use super::axis::TimeAxis;
use super::cron::{CronDays, CronGrid};
use super::format::{TimeFormat, iso};
use super::seconds::{DAY, LAST_TIME};
use super::starts::Starts;
use super::steps::{month_of, month_start};
use super::stored::Stored;
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::space::labels::check_key;

/// Span after the start over which the format of a calendar without an end is checked, in seconds.
const CHECKED_SPAN: i64 = 40 * 366 * DAY;
/// Number of first windows, and of windows spread evenly, on which the format is checked.
const CHECKED_POINTS: u64 = 150;
/// Number of changes of the zone's clock around which the format is checked.
const CHECKED_CHANGES: usize = 30;
/// Maximum number of starts that are tried for one whose wall-clock time is that of no other.
const MAX_TRIES: usize = 10_000;
/// Maximum number of times that a search for a schedule's last time doubles its distance of a day.
const MAX_DOUBLINGS: u32 = 15;
/// Maximum number of windows that are left out.
const MAX_EXCLUDED: usize = 1_000_000;
/// Number of first windows that are checked if a key does not determine the start, so that two
/// windows could share a key.
const CHECKED_POINTS_COARSE: u64 = 2_000;

/// How a calendar steps from one window to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grid {
    /// Windows of this many seconds of elapsed time, counted from the start.
    Interval(u32),
    /// Windows that start at the times of a cron expression, on the wall clock.
    Cron(String),
    /// Windows of this many seconds on the wall clock: days, weeks and hours.
    WallClock(u32),
    /// Windows of whole months, on the wall clock.
    Months {
        /// Number of months in a window, which divides a year.
        every: u8,
        /// The month, from 1, in which the year's first window starts.
        first_month: u8,
    },
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
#[serde(try_from = "Stored", into = "Stored")]
pub struct Declared {
    /// Start of the grid.
    pub start: i64,
    /// Exclusive upper bound of the windows' starts; `None` is the present.
    pub end: Option<i64>,
    /// The steps between windows.
    pub grid: Grid,
    /// The strftime pattern of the keys.
    pub fmt: String,
    /// The zone whose wall clock the windows follow; `None` is UTC.
    pub zone: Option<Arc<Zone>>,
    /// Times (UTC) at which a window of the grid starts that is left out; ascending.
    pub exclude: Vec<i64>,
}

impl Declared {
    /// A grid in UTC.
    pub fn new(start: i64, end: Option<i64>, grid: Grid, fmt: &str) -> Self {
        Self {
            start,
            end,
            grid,
            fmt: fmt.to_owned(),
            zone: None,
            exclude: Vec::new(),
        }
    }

    /// The time at which the wall clock shows `wall`, in UTC.
    pub fn time_of(&self, wall: i64) -> i64 {
        self.zone.as_ref().map_or(wall, |zone| zone.time_of(wall))
    }

    /// What the wall clock shows at a time.
    pub fn wall(&self, time: i64) -> i64 {
        self.zone.as_ref().map_or(time, |zone| zone.wall(time))
    }
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
            Grid::WallClock(step) if !matches!(step, 3_600 | 86_400 | 604_800) => {
                return refused(format!(
                    "a wall-clock grid has no windows of {step} seconds"
                ));
            }
            Grid::Months { every, first_month }
                if !matches!(every, 1 | 3 | 12) || !(1..=12).contains(first_month) =>
            {
                return refused(format!("first_month must be 1 to 12, got {first_month}"));
            }
            Grid::WallClock(_) | Grid::Months { .. } => None,
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
        if !declared.exclude.is_sorted_by(|a, b| a < b) || declared.exclude.len() > MAX_EXCLUDED {
            return refused(format!("exclude has more than {MAX_EXCLUDED} windows"));
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

    /// The schedule, if the grid has one.
    pub(super) fn cron(&self) -> Option<&CronGrid> {
        self.cron.as_ref()
    }

    /// Resolves the calendar at the time `now` (UTC): up to its end, or to the window that contains
    /// `now`.
    ///
    /// # Errors
    /// `PartitionDefinition` when there are more windows than a dimension may have.
    pub fn at(self: &Arc<Self>, now: i64) -> Result<TimeAxis> {
        let bound = match self.declared.end {
            Some(end) => self.declared.time_of(end),
            None => now.saturating_add(1).min(LAST_TIME),
        };
        Ok(TimeAxis::until(self, bound)?.seen_at(now))
    }

    /// Whether `key` is the key of a window, present or future.
    pub fn names(self: &Arc<Self>, key: &str) -> bool {
        let Some((wall, _)) = self.parse(key) else {
            return false;
        };
        // A window starts after the time that its key means by less than a zone's changes.
        let bound = self.declared.end.unwrap_or(wall).min(LAST_TIME - DAY) + DAY;
        TimeAxis::until(self, self.declared.time_of(bound))
            .is_ok_and(|axis| axis.position(key).is_ok())
    }

    /// This grid without an end, begun early enough to have the window that contains `time`. The same
    /// if it is.
    pub(super) fn begun_before(&self, time: i64) -> Option<Self> {
        let mut calendar = self.clone();
        calendar.declared.end = None;
        let declared = &mut calendar.declared;
        let wall = declared.wall(time);
        let behind = declared.start - wall;
        if behind <= -DAY {
            return Some(calendar);
        }
        let begin = match &declared.grid {
            Grid::WallClock(step) => {
                let step = i64::from(*step);
                declared.start - (behind + DAY + step).div_euclid(step) * step
            }
            Grid::Interval(step) => {
                let (step, first) = (i64::from(*step), declared.time_of(declared.start));
                let steps = (behind + DAY + step).div_euclid(step);
                // A wall-clock time that occurs twice stands for its first occurrence.
                let times = (steps..).map(|steps| first - steps * step);
                let unique = |time: &i64| declared.time_of(declared.wall(*time)) == *time;
                declared.wall(times.take(MAX_TRIES).find(unique)?)
            }
            Grid::Months { every, .. } => {
                month_start(month_of(wall.min(declared.start)) - 2 * i64::from(*every))
            }
            Grid::Cron(_) => {
                // The schedule's last time before the window is searched for in growing steps.
                let cron = self.cron.as_ref()?;
                let from = wall.min(declared.start) - DAY;
                let begins = (0..=MAX_DOUBLINGS).map(|n| from - (DAY << n));
                let fires = |begin: &i64| {
                    CronDays::new(cron, *begin, from).is_ok_and(|days| days.rank(cron, from) > 0)
                };
                begins.filter(|begin| *begin > -LAST_TIME).find(fires)?
            }
        };
        declared.start = begin.max(-LAST_TIME);
        Some(calendar)
    }

    /// The starts (UTC) of the windows that start in `[from, to)`, for `exclude`.
    ///
    /// # Errors
    /// `PartitionDefinition` when there are more windows than a dimension may have.
    pub fn starts_within(self: &Arc<Self>, from: i64, to: i64) -> Result<Vec<i64>> {
        let axis = TimeAxis::until(self, to.min(LAST_TIME))?;
        let (first, beyond) = (axis.rank(from), axis.rank(to));
        if beyond.saturating_sub(first) > MAX_EXCLUDED as u64 {
            return Err(Error::PartitionDefinition(format!(
                "exclude has more than {MAX_EXCLUDED} windows"
            )));
        }
        Ok((first..beyond).map(|n| axis.start_of(n as u32)).collect())
    }

    /// The start (UTC) of the window that `key` names, present or future.
    pub fn start_named(self: &Arc<Self>, key: &str) -> Option<i64> {
        let (wall, _) = self.parse(key)?;
        let bound = self
            .declared
            .time_of(wall.min(LAST_TIME - 2 * DAY) + 2 * DAY);
        let axis = TimeAxis::until(self, bound).ok()?;
        let n = axis.position(key).ok()?;
        Some(axis.start_of(n))
    }

    /// The key of the window of the grid that starts at a time, also if it is left out.
    pub fn key_at(&self, time: i64) -> Option<String> {
        let starts = Starts::until(self, time.saturating_add(1)).ok()?;
        let n = u32::try_from(starts.rank(time)).ok()?;
        let start = starts.nth(n);
        (start.time == time).then(|| self.format(start.wall, start.offset))
    }

    /// The key of the window whose step is at `wall`.
    pub(super) fn format(&self, wall: i64, offset: Option<i64>) -> String {
        let mut key = self.format.format(self.to_business_year(wall));
        if let Some(offset) = offset {
            key.push_str(&offset_text(offset));
        }
        key
    }

    /// The wall-clock time that a key means, and its offset from UTC if it has one.
    pub(super) fn parse(&self, key: &str) -> Option<(i64, Option<i64>)> {
        if let Some(wall) = self.format.parse(key) {
            return Some((self.from_business_year(wall), None));
        }
        self.declared.zone.as_ref()?;
        let (text, offset) = split_offset(key)?;
        let wall = self.from_business_year(self.format.parse(text)?);
        Some((wall, Some(offset)))
    }

    /// Months by which a key with a quarter is ahead of the calendar's year.
    fn business_months(&self) -> i64 {
        match self.declared.grid {
            Grid::Months { first_month, .. } if self.declared.fmt.contains("%q") => {
                i64::from(first_month) - 1
            }
            _ => 0,
        }
    }

    fn to_business_year(&self, wall: i64) -> i64 {
        match self.business_months() {
            0 => wall,
            months => month_start(month_of(wall) - months),
        }
    }

    fn from_business_year(&self, wall: i64) -> i64 {
        match self.business_months() {
            0 => wall,
            months => month_start(month_of(wall) + months),
        }
    }

    /// Refuses a format under which a window's key does not parse back to the window.
    fn check_format(&self) -> Result<()> {
        let start = self.declared.start;
        let far = start.saturating_add(CHECKED_SPAN).min(LAST_TIME);
        let bound = self.declared.time_of(self.declared.end.unwrap_or(far));
        let axis = TimeAxis::until(&Arc::new(self.clone()), bound)?;
        let len = u64::from(axis.len());
        // An odd step reaches all hours; an even one could always hit midnight.
        let spread = (len / CHECKED_POINTS) | 1;
        let points = |most: u64| {
            let rest = (0..CHECKED_POINTS).map(move |n| n * spread);
            (0..most)
                .chain(rest)
                .chain(len.checked_sub(1))
                .filter(move |&n| n < len)
        };
        let exact = points(CHECKED_POINTS).all(|n| {
            let means = self.parse(&axis.label(n as u32));
            means.is_some_and(|(wall, _)| wall == axis.step_of(n as u32))
        });
        let changes = axis.around_changes(CHECKED_CHANGES);
        let spread_points = points(if exact {
            CHECKED_POINTS
        } else {
            CHECKED_POINTS_COARSE
        });
        for n in spread_points.chain(changes) {
            let key = axis.label(n as u32);
            check_key(&key)?;
            if axis.position(&key) != Ok(n as u32) {
                return Err(Error::PartitionDefinition(format!(
                    "the fmt {:?} cannot tell the windows apart: the one that starts at {} gets the key {key:?}, \
                     which does not lead back to it; use a finer format, such as \"%Y-%m-%dT%H:%M:%S\"",
                    self.declared.fmt,
                    iso(axis.step_of(n as u32)),
                )));
            }
        }
        Ok(())
    }
}

/// An offset from UTC as the end of a key: `-04:00`, or `-04:56:02`.
fn offset_text(offset: i64) -> String {
    let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 != 0 {
        text.push_str(&format!(":{:02}", seconds % 60));
    }
    text
}

/// Splits the offset from the end of a key.
fn split_offset(key: &str) -> Option<(&str, i64)> {
    let at = key.rfind(['+', '-'])?;
    let (text, offset) = key.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let mut seconds = 0;
    let mut parts = offset[1..].split(':');
    for unit in [3600, 60, 1] {
        let Some(part) = parts.next() else { break };
        seconds += part.parse::<u32>().ok().map(i64::from)? * unit;
    }
    // Only the canonical text of an offset is one.
    (offset_text(sign * seconds) == offset).then_some((text, sign * seconds))
}
