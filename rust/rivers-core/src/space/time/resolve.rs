//! Questions about a calendar that its windows answer: resolving it, and whether its format fits.

use std::sync::Arc;

use super::axis::TimeAxis;
use super::calendar::{Calendar, MAX_EXCLUDED};
use super::declared::{Declared, Grid};
use super::format::iso;
use super::starts::Starts;
use super::units::{DAY, LAST_TIME, Nanos, SECOND};
use crate::error::{Error, Result};
use crate::space::labels::check_key;

/// Span after the start over which the format of a calendar without an end is checked.
const CHECKED_SPAN: Nanos = 40 * 366 * DAY;
/// Number of first windows, and of windows spread evenly, on which the format is checked.
const CHECKED_POINTS: u64 = 150;
/// Number of changes of the zone's clock around which the format is checked.
const CHECKED_CHANGES: usize = 30;
/// Number of first windows that are checked if a key does not determine the start, so that two
/// windows could share a key.
const CHECKED_POINTS_COARSE: u64 = 2_000;

impl TryFrom<Declared> for Calendar {
    type Error = Error;

    /// Checks the bounds, the schedule, and that the format distinguishes all windows.
    fn try_from(declared: Declared) -> Result<Self> {
        let calendar = Self::with_format_unchecked(declared)?;
        calendar.check_format()?;
        Ok(calendar)
    }
}

impl Calendar {
    /// Resolves the calendar at the time `now` (UTC): up to its end, or to the window that contains
    /// `now`.
    ///
    /// # Errors
    /// `PartitionDefinition` when there are more windows than a dimension may have.
    pub fn at(self: &Arc<Self>, now: Nanos) -> Result<TimeAxis> {
        let bound = match self.declared().end {
            Some(end) => self.declared().time_of(end),
            None => now.saturating_add(1).clamp(-LAST_TIME, LAST_TIME),
        };
        Ok(TimeAxis::until(self, bound)?.seen_at(now))
    }

    /// Whether `key` is the key of a window, present or future.
    pub fn names(self: &Arc<Self>, key: &str) -> bool {
        let Some((wall, _)) = self.parse(key) else {
            return false;
        };
        // A window starts after the time that its key means by less than a zone's changes.
        let bound = self.declared().end.unwrap_or(wall).min(LAST_TIME - DAY) + DAY;
        TimeAxis::until(self, self.declared().time_of(bound))
            .is_ok_and(|axis| axis.position(key).is_ok())
    }

    /// The starts (UTC) of the windows that start in `[from, to)`, for `exclude`.
    ///
    /// # Errors
    /// `PartitionDefinition` when there are more windows than a dimension may have.
    pub fn starts_within(self: &Arc<Self>, from: Nanos, to: Nanos) -> Result<Vec<Nanos>> {
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
    pub fn start_named(self: &Arc<Self>, key: &str) -> Option<Nanos> {
        let (wall, _) = self.parse(key)?;
        let bound = self
            .declared()
            .time_of(wall.min(LAST_TIME - 2 * DAY) + 2 * DAY);
        let axis = TimeAxis::until(self, bound).ok()?;
        let n = axis.position(key).ok()?;
        Some(axis.start_of(n))
    }

    /// The key of the window of the grid that starts at a time, also if it is left out.
    pub fn key_at(&self, time: Nanos) -> Option<String> {
        let starts = Starts::until(self, time.saturating_add(1)).ok()?;
        let n = u32::try_from(starts.rank(time)).ok()?;
        let start = starts.nth(n);
        (start.time == time).then(|| self.format(start.wall, start.offset, start.is_repeated))
    }

    /// The time that is `span` after the start, or earlier if a dimension could not have all windows
    /// up to then.
    pub fn after_start(&self, span: Nanos) -> Nanos {
        let longest = match self.declared().grid {
            Grid::Interval(step) => Nanos::from(step) * Nanos::from(u32::MAX / 2),
            Grid::Cron(_) | Grid::WallClock(_) | Grid::Months { .. } => span,
        };
        let start = self.declared().start;
        start.saturating_add(span.min(longest)).min(LAST_TIME)
    }

    /// A format that shows the start of every window.
    fn finest_format(&self) -> &'static str {
        let declared = self.declared();
        let step = match declared.grid {
            Grid::Interval(step) => Nanos::from(step),
            Grid::Cron(_) | Grid::WallClock(_) | Grid::Months { .. } => SECOND,
        };
        match |unit: Nanos| declared.start % unit == 0 && step % unit == 0 {
            divides if divides(SECOND) => "%Y-%m-%dT%H:%M:%S",
            divides if divides(1_000_000) => "%Y-%m-%dT%H:%M:%S%.3f",
            divides if divides(1_000) => "%Y-%m-%dT%H:%M:%S%.6f",
            _ => "%Y-%m-%dT%H:%M:%S%.9f",
        }
    }

    /// Refuses a format under which a window's key does not parse back to the window.
    fn check_format(&self) -> Result<()> {
        let far = self.after_start(CHECKED_SPAN);
        let bound = self.declared().time_of(self.declared().end.unwrap_or(far));
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
            if key.is_empty() {
                return Err(Error::PartitionDefinition(format!(
                    "the fmt {:?} gives windows an empty key; it can show their date and time, the \
                     quarter, the week and the offset from UTC, but not the name of a zone",
                    self.declared().fmt,
                )));
            }
            check_key(&key)?;
            if axis.position(&key) != Ok(n as u32) {
                return Err(Error::PartitionDefinition(format!(
                    "the fmt {:?} cannot tell the windows apart: the one that starts at {} gets the key {key:?}, \
                     which does not lead back to it; use a finer format, such as {:?}",
                    self.declared().fmt,
                    iso(axis.step_of(n as u32)),
                    self.finest_format(),
                )));
            }
        }
        Ok(())
    }
}
