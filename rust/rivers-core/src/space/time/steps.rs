//! The starts of a grid's windows on a wall clock without changes, numbered in both directions.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate};

use super::cron::{CronDays, CronGrid};
use super::declared::Grid;
use super::units::{DAY, EPOCH_DAYS_FROM_CE, Nanos, SECOND, divide};
use crate::error::Result;

/// The starts of windows, in order, each with a number.
#[derive(Debug, Clone)]
pub(super) enum Steps {
    /// A start every `step` nanoseconds; number 0 is at `start`.
    Every { start: Nanos, step: Nanos },
    /// The times of a cron schedule; number 0 is the first one that was asked for.
    Cron(Arc<CronSteps>),
    /// The first day of every `every`-th month; number 0 is the first after 1970 that is `phase` months
    /// from January 1970.
    Months { every: i64, phase: i64 },
}

/// A cron schedule and its days.
#[derive(Debug)]
pub(super) struct CronSteps {
    cron: Arc<CronGrid>,
    days: CronDays,
}

impl CronSteps {
    /// The last time that is listed.
    pub(super) fn last(&self) -> Nanos {
        self.days.last(&self.cron)
    }
}

/// The part of the steps that must be known in advance: only cron schedules list their days.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach {
    /// All starts up to this time, and one more.
    Until(Nanos),
    /// This number of starts, and one more.
    Count(u32),
}

impl Steps {
    /// The steps of a grid from `start` on.
    ///
    /// # Errors
    /// `PartitionDefinition` when a schedule never fires.
    pub(super) fn new(
        grid: &Grid,
        cron: Option<&Arc<CronGrid>>,
        start: Nanos,
        reach: Reach,
    ) -> Result<Self> {
        Ok(match (grid, cron) {
            (_, Some(cron)) => Self::Cron(Arc::new(CronSteps {
                days: match reach {
                    Reach::Until(bound) => CronDays::new(cron, start, bound.max(start))?,
                    Reach::Count(count) => CronDays::holding(cron, start, count)?,
                },
                cron: Arc::clone(cron),
            })),
            (Grid::Months { every, first_month }, _) => Self::Months {
                every: i64::from(*every),
                phase: i64::from(*first_month) - 1,
            },
            (Grid::Interval(step), _) => Self::Every {
                start,
                step: Nanos::from(*step),
            },
            (Grid::WallClock(seconds), _) => Self::Every {
                start,
                step: Nanos::from(*seconds) * SECOND,
            },
            (Grid::Cron(_), None) => unreachable!("a calendar parses its schedule"),
        })
    }

    /// The start with a number.
    pub(super) fn nth(&self, n: i64) -> Nanos {
        match self {
            Self::Every { start, step } => {
                // The product of 64 bits and 64 bits without a sign fits.
                Nanos::from(n).wrapping_mul(*step).saturating_add(*start)
            }
            Self::Cron(steps) => steps.days.nth(&steps.cron, n.max(0) as u64),
            Self::Months { every, phase } => {
                month_start(n.saturating_mul(*every).saturating_add(*phase))
            }
        }
    }

    /// The number of the first start that is not before a time.
    pub(super) fn rank(&self, time: Nanos) -> i64 {
        match self {
            Self::Every { start, step } => {
                let since = time.saturating_sub(*start);
                let (number, after) = divide(since, *step);
                let number = number + Nanos::from(after != 0);
                // No start has a number as large as the bounds.
                number.clamp((i64::MIN / 4).into(), (i64::MAX / 4).into()) as i64
            }
            Self::Cron(steps) => steps.days.rank(&steps.cron, time) as i64,
            Self::Months { every, phase } => {
                let n = (month_of(time) - phase).div_euclid(*every);
                n + i64::from(self.nth(n) < time)
            }
        }
    }

    /// The length of the shortest window.
    pub(super) fn shortest(&self) -> Nanos {
        match self {
            Self::Every { step, .. } => *step,
            Self::Cron(steps) => {
                let times = &steps.cron.times;
                let between = times.windows(2).map(|pair| pair[1] - pair[0]);
                let over_night = 86_400 - (times[times.len() - 1] - times[0]);
                let shortest = between.chain([over_night]).min();
                shortest.map_or(DAY, |seconds| Nanos::from(seconds) * SECOND)
            }
            Self::Months { every, .. } => Nanos::from(*every) * 28 * DAY,
        }
    }
}

/// The month of a time, counted from January 1970.
pub(super) fn month_of(time: Nanos) -> i64 {
    let date = super::format::to_datetime(time);
    (i64::from(date.year()) - 1970) * 12 + i64::from(date.month0())
}

/// The start of a month that is counted from January 1970.
pub(super) fn month_start(month: i64) -> Nanos {
    let year = i32::try_from(1970 + month.div_euclid(12)).ok();
    let date =
        year.and_then(|year| NaiveDate::from_ymd_opt(year, month.rem_euclid(12) as u32 + 1, 1));
    let beyond = if month < 0 {
        Nanos::MIN / 4
    } else {
        Nanos::MAX / 4
    };
    date.map_or(beyond, |date| {
        Nanos::from(date.num_days_from_ce() - EPOCH_DAYS_FROM_CE) * DAY
    })
}
