//! What a user declares of a grid of time windows, and its stored form.

use std::sync::Arc;

use super::units::{Nanos, SECOND, split};
use super::zone::Zone;
use crate::error::{Error, Result};

/// How a calendar steps from one window to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grid {
    /// Windows of this many nanoseconds of elapsed time, counted from the start.
    Interval(u64),
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

impl Grid {
    /// Windows of this many seconds of elapsed time.
    pub const fn seconds(seconds: u32) -> Self {
        Self::Interval(seconds as u64 * SECOND as u64)
    }
}

/// The declaration of a calendar; equal declarations are equal calendars.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Declared {
    /// Start of the grid.
    pub start: Nanos,
    /// Exclusive upper bound of the windows' starts; `None` is the present.
    pub end: Option<Nanos>,
    /// The steps between windows.
    pub grid: Grid,
    /// The strftime pattern of the keys.
    pub fmt: String,
    /// The zone whose wall clock the windows follow; `None` is UTC.
    pub zone: Option<Arc<Zone>>,
    /// Times (UTC) at which a window of the grid starts that is left out; ascending.
    pub exclude: Vec<Nanos>,
}

impl Declared {
    /// A grid in UTC.
    pub fn new(start: Nanos, end: Option<Nanos>, grid: Grid, fmt: &str) -> Self {
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
    pub fn time_of(&self, wall: Nanos) -> Nanos {
        self.zone.as_ref().map_or(wall, |zone| zone.time_of(wall))
    }

    /// What the wall clock shows at a time.
    pub fn wall(&self, time: Nanos) -> Nanos {
        self.zone.as_ref().map_or(time, |zone| zone.wall(time))
    }
}

/// The stored form. It begins as the first version's did, which had intervals and cron schedules of
/// whole seconds only: whatever else a calendar has is nested in later variants of its grid.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    start: i64,
    end: Option<i64>,
    grid: StoredGrid,
    fmt: String,
}

/// New variants go to the end: a variant is stored as its number.
#[derive(serde::Serialize, serde::Deserialize)]
enum StoredGrid {
    Interval(u32),
    Cron(String),
    WallClock(u32),
    Months(u8, u8),
    Zoned(Arc<Zone>, Box<Self>),
    Except(Vec<i64>, Box<Self>),
    /// An interval in nanoseconds that is not a whole number of seconds.
    Nanos(u64),
    /// The nanoseconds after the whole seconds of the start, the end and the excluded times.
    Fractions(Vec<u32>, Box<Self>),
}

impl From<Declared> for Stored {
    fn from(declared: Declared) -> Self {
        let mut grid = match declared.grid {
            Grid::Interval(step) => {
                whole_seconds(step).map_or(StoredGrid::Nanos(step), StoredGrid::Interval)
            }
            Grid::Cron(expression) => StoredGrid::Cron(expression),
            Grid::WallClock(step) => StoredGrid::WallClock(step),
            Grid::Months { every, first_month } => StoredGrid::Months(every, first_month),
        };
        let (start, end) = (split(declared.start), declared.end.map(split));
        let exclude: Vec<(i64, u32)> = declared.exclude.into_iter().map(split).collect();
        let times = [start]
            .into_iter()
            .chain(end)
            .chain(exclude.iter().copied());
        let fractions: Vec<u32> = times.map(|(_, fraction)| fraction).collect();
        if !exclude.is_empty() {
            let seconds = exclude.into_iter().map(|(seconds, _)| seconds);
            grid = StoredGrid::Except(seconds.collect(), Box::new(grid));
        }
        if let Some(zone) = declared.zone {
            grid = StoredGrid::Zoned(zone, Box::new(grid));
        }
        if fractions.iter().any(|&fraction| fraction != 0) {
            grid = StoredGrid::Fractions(fractions, Box::new(grid));
        }
        Self {
            start: start.0,
            end: end.map(|(seconds, _)| seconds),
            grid,
            fmt: declared.fmt,
        }
    }
}

/// An interval of nanoseconds in seconds, if it is a whole number of them.
fn whole_seconds(step: u64) -> Option<u32> {
    let seconds = u32::try_from(step / SECOND as u64).ok()?;
    step.is_multiple_of(SECOND as u64).then_some(seconds)
}

impl TryFrom<Stored> for Declared {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let (mut zone, mut exclude, mut rest) = (None, Vec::new(), stored.grid);
        let mut fractions = Vec::new();
        if let StoredGrid::Fractions(given, inner) = rest {
            (fractions, rest) = (given, *inner);
        }
        if let StoredGrid::Zoned(given, inner) = rest {
            (zone, rest) = (Some(given), *inner);
        }
        if let StoredGrid::Except(given, inner) = rest {
            (exclude, rest) = (given, *inner);
        }
        let grid = match rest {
            StoredGrid::Interval(step) => Grid::seconds(step),
            StoredGrid::Nanos(step) => Grid::Interval(step),
            StoredGrid::Cron(expression) => Grid::Cron(expression),
            StoredGrid::WallClock(step) => Grid::WallClock(step),
            StoredGrid::Months(every, first_month) => Grid::Months { every, first_month },
            StoredGrid::Zoned(..) | StoredGrid::Except(..) | StoredGrid::Fractions(..) => {
                return Err(Error::PartitionDefinition(
                    "the stored calendar is not valid: its grid is nested twice".into(),
                ));
            }
        };
        let mut fractions = fractions.into_iter();
        let mut exact = |seconds: i64| {
            let fraction = fractions.next().unwrap_or_default();
            Nanos::from(seconds) * SECOND + Nanos::from(fraction)
        };
        Ok(Self {
            start: exact(stored.start),
            end: stored.end.map(&mut exact),
            grid,
            fmt: stored.fmt,
            zone,
            exclude: exclude.into_iter().map(exact).collect(),
        })
    }
}
