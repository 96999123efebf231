//! Time windows as declared: a grid of half-open windows `[start, next start)`, and the texts of its
//! keys.
//!
//! A `Calendar` is what the user declared; a `TimeAxis` is a calendar resolved at one time, with a
//! definite number of windows. The grid's own times are those of the wall clock of its zone, in
//! nanoseconds since 1970-01-01T00:00:00; without a zone, the wall clock is UTC.

use std::sync::Arc;

use super::cron::{CronDays, CronGrid};
use super::declared::{Declared, Grid};
use super::format::{TimeFormat, iso};
use super::steps::{month_of, month_start};
use super::units::{DAY, LAST_TIME, Nanos, SECOND};
use crate::error::{Error, Result};

/// Maximum number of starts that are tried for one whose wall-clock time is that of no other.
const MAX_TRIES: usize = 10_000;
/// Maximum number of windows that are left out.
pub(super) const MAX_EXCLUDED: usize = 1_000_000;
/// Maximum number of times that a search for a schedule's last time doubles its distance of a day.
const MAX_DOUBLINGS: u32 = 15;

/// A grid of time windows as declared.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Declared", into = "Declared")]
pub struct Calendar {
    declared: Declared,
    cron: Option<Arc<CronGrid>>,
    format: TimeFormat,
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
    /// Checks the bounds and the schedule, but not that the format distinguishes all windows.
    ///
    /// # Errors
    /// `PartitionDefinition` with the reason.
    pub(super) fn with_format_unchecked(declared: Declared) -> Result<Self> {
        let refused = |reason: String| Err(Error::PartitionDefinition(reason));
        let format = TimeFormat::new(&declared.fmt)?;
        let cron = match &declared.grid {
            Grid::Interval(0) => {
                return refused("interval_seconds must be at least 1e-9, got 0".into());
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
            Grid::Cron(expression) => Some(Arc::new(CronGrid::parse(expression)?)),
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
        Ok(Self {
            declared,
            cron,
            format,
        })
    }

    /// The declaration.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// The schedule, if the grid has one.
    pub(super) fn cron(&self) -> Option<&Arc<CronGrid>> {
        self.cron.as_ref()
    }

    /// This grid without an end, begun early enough to have the window that contains `time`. The same
    /// if it is.
    pub(super) fn begun_before(&self, time: Nanos) -> Option<Self> {
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
                let step = Nanos::from(*step) * SECOND;
                declared.start - (behind + DAY + step).div_euclid(step) * step
            }
            Grid::Interval(step) => {
                let (step, first) = (Nanos::from(*step), declared.time_of(declared.start));
                let steps = (behind + DAY + step).div_euclid(step);
                // A wall-clock time that occurs twice stands for its first occurrence.
                let times = (steps..).map(|steps| first - steps * step);
                let unique = |time: &Nanos| declared.time_of(declared.wall(*time)) == *time;
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
                let fires = |begin: &Nanos| {
                    CronDays::new(cron, *begin, from).is_ok_and(|days| days.rank(cron, from) > 0)
                };
                begins.filter(|begin| *begin > -LAST_TIME).find(fires)?
            }
        };
        declared.start = begin.max(-LAST_TIME);
        Some(calendar)
    }

    /// The key of the window whose step is at `wall`.
    ///
    /// `offset` is what the wall clock is ahead of UTC; unless the format shows it, only the keys of
    /// windows that start at a repeated time of the wall clock do.
    pub(super) fn format(&self, wall: Nanos, offset: Nanos, is_repeated: bool) -> String {
        let mut key = self.format.format(self.in_business_year(wall), offset);
        if is_repeated && !self.format.shows_offset() {
            key.push_str(&offset_text(offset));
        }
        key
    }

    /// The wall-clock time that a key means, and its offset from UTC if it has one.
    pub(super) fn parse(&self, key: &str) -> Option<(Nanos, Option<Nanos>)> {
        if let Some((wall, offset)) = self.format.parse_with_offset(key) {
            return Some((self.out_of_business_year(wall), offset));
        }
        self.declared.zone.as_ref()?;
        let (text, offset) = split_offset(key)?;
        let wall = self.out_of_business_year(self.format.parse(text)?);
        Some((wall, Some(offset)))
    }

    /// Months by which a key with a quarter is ahead of the calendar's year.
    fn business_months(&self) -> i64 {
        match self.declared.grid {
            Grid::Months { first_month, .. } if self.declared.fmt.contains("%q") => {
                i64::from(first_month) - 1
            }
            Grid::Months { .. } | Grid::Interval(_) | Grid::Cron(_) | Grid::WallClock(_) => 0,
        }
    }

    fn in_business_year(&self, wall: Nanos) -> Nanos {
        match self.business_months() {
            0 => wall,
            months => month_start(month_of(wall) - months),
        }
    }

    fn out_of_business_year(&self, wall: Nanos) -> Nanos {
        match self.business_months() {
            0 => wall,
            months => month_start(month_of(wall) + months),
        }
    }
}

/// An offset from UTC as the end of a key: `-04:00`, or `-04:56:02`.
fn offset_text(offset: Nanos) -> String {
    let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.abs() / SECOND);
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 != 0 {
        text.push_str(&format!(":{:02}", seconds % 60));
    }
    text
}

/// Splits the offset from the end of a key.
fn split_offset(key: &str) -> Option<(&str, Nanos)> {
    let at = key.rfind(['+', '-'])?;
    let (text, offset) = key.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let mut size = 0;
    let mut parts = offset[1..].split(':');
    for unit in [3600, 60, 1] {
        let Some(part) = parts.next() else { break };
        size += part.parse::<u32>().ok().map(Nanos::from)? * unit * SECOND;
    }
    // Only the canonical text of an offset is one.
    (offset_text(sign * size) == offset).then_some((text, sign * size))
}
