//! The stored form of a declared calendar.
//!
//! It begins as the first version's did, which had intervals and cron schedules only: whatever else a
//! calendar has is nested in later variants of its grid.

use std::sync::Arc;

use super::calendar::{Declared, Grid};
use super::zone::Zone;
use crate::error::{Error, Result};

#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Stored {
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
}

impl From<Declared> for Stored {
    fn from(declared: Declared) -> Self {
        let mut grid = match declared.grid {
            Grid::Interval(step) => StoredGrid::Interval(step),
            Grid::Cron(expression) => StoredGrid::Cron(expression),
            Grid::WallClock(step) => StoredGrid::WallClock(step),
            Grid::Months { every, first_month } => StoredGrid::Months(every, first_month),
        };
        if !declared.exclude.is_empty() {
            grid = StoredGrid::Except(declared.exclude, Box::new(grid));
        }
        if let Some(zone) = declared.zone {
            grid = StoredGrid::Zoned(zone, Box::new(grid));
        }
        Self {
            start: declared.start,
            end: declared.end,
            grid,
            fmt: declared.fmt,
        }
    }
}

impl TryFrom<Stored> for Declared {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let (zone, rest) = match stored.grid {
            StoredGrid::Zoned(zone, rest) => (Some(zone), *rest),
            rest => (None, rest),
        };
        let (exclude, rest) = match rest {
            StoredGrid::Except(exclude, rest) => (exclude, *rest),
            rest => (Vec::new(), rest),
        };
        let grid = match rest {
            StoredGrid::Interval(step) => Grid::Interval(step),
            StoredGrid::Cron(expression) => Grid::Cron(expression),
            StoredGrid::WallClock(step) => Grid::WallClock(step),
            StoredGrid::Months(every, first_month) => Grid::Months { every, first_month },
            StoredGrid::Zoned(..) | StoredGrid::Except(..) => {
                return Err(Error::PartitionDefinition(
                    "the stored calendar is not valid: its grid is nested twice".into(),
                ));
            }
        };
        Ok(Self {
            start: stored.start,
            end: stored.end,
            grid,
            fmt: stored.fmt,
            zone,
            exclude,
        })
    }
}
