//! A cron schedule as a product: the days that match, and the times within each of them.
//!
//! On a naive wall clock, a cron expression is a product of days (year, month, day of month, day of
//! week) and seconds of a day (hour, minute, second). The n-th occurrence, and the position of an
//! occurrence, therefore take a division and two binary searches, at any distance.

use chrono::{Datelike, NaiveDate};
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Weekday};

use super::units::{DAY, EPOCH_DAYS_FROM_CE, LAST_TIME, Nanos, SECOND, divide};
use crate::error::{Error, Result};

/// Number of years to search for the next match; all rules of days, weekdays and leap years recur
/// within it.
const HORIZON_YEARS: i32 = 41;
/// Number of kinds of years, by their first weekday and whether they are leap years.
const YEAR_KINDS: usize = 14;

/// Names for schedules in common use.
const SHORTHANDS: [(&str, &str); 8] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 1,4,7,10 *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const WEEKDAYS: [Weekday; 7] = [
    Weekday::Sunday,
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
];

/// A parsed 5- or 6-field cron expression.
#[derive(Debug, Clone)]
pub(super) struct CronGrid {
    cron: Cron,
    /// Seconds of the day at which it fires, ascending.
    pub(super) times: Vec<u32>,
}

impl CronGrid {
    /// Parses a cron expression.
    ///
    /// # Errors
    /// `PartitionDefinition` with the reason.
    pub(super) fn parse(expression: &str) -> Result<Self> {
        let refused = |reason: String| {
            Error::PartitionDefinition(format!(
                "the cron schedule {expression:?} is not valid: {reason}; it takes 5 fields \
                 (minute hour day month weekday), 6 (with seconds first), or one of {}",
                SHORTHANDS.map(|(name, _)| name).join(", ")
            ))
        };
        let expression = SHORTHANDS
            .iter()
            .find(|(name, _)| expression.trim().eq_ignore_ascii_case(name))
            .map_or(expression, |(_, fields)| fields);
        let fields = expression.split_whitespace().count();
        if !(5..=6).contains(&fields) {
            return Err(refused(format!("it has {fields} fields")));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(expression)
            .map_err(|e| refused(e.to_string()))?;
        let pattern = &cron.pattern;
        let hits = |limit: u32, matches: &dyn Fn(u32) -> bool| -> Vec<u32> {
            (0..limit).filter(|&value| matches(value)).collect()
        };
        let hours = hits(24, &|hour| pattern.hour_match(hour).unwrap_or(false));
        let minutes = hits(60, &|minute| pattern.minute_match(minute).unwrap_or(false));
        let seconds = hits(60, &|second| pattern.second_match(second).unwrap_or(false));
        let mut times = Vec::with_capacity(hours.len() * minutes.len() * seconds.len());
        for hour in &hours {
            for minute in &minutes {
                times.extend(
                    seconds
                        .iter()
                        .map(|second| hour * 3600 + minute * 60 + second),
                );
            }
        }
        if times.is_empty() {
            return Err(refused("it never fires".into()));
        }
        Ok(Self { cron, times })
    }

    /// The matching days (days since 1970) from `from` on. Stops after a day for which `enough(number
    /// of earlier days, day)` returns true.
    ///
    /// # Errors
    /// `PartitionDefinition` when no day matches.
    pub(super) fn days(&self, from: i32, enough: impl Fn(usize, i32) -> bool) -> Result<Vec<i32>> {
        let mut kinds: [Option<Vec<u16>>; YEAR_KINDS] = Default::default();
        let mut days = Vec::new();
        let first = NaiveDate::from_num_days_from_ce_opt(from.saturating_add(EPOCH_DAYS_FROM_CE));
        let Some(first_year) = first.map(|date| date.year()) else {
            return Ok(days);
        };
        let mut fruitful = first_year;
        for year in first_year.. {
            let Some(new_year) = NaiveDate::from_yo_opt(year, 1) else {
                break;
            };
            if year - fruitful > HORIZON_YEARS {
                break;
            }
            let kind = new_year.weekday().num_days_from_monday() as usize * 2
                + usize::from(new_year.leap_year());
            let matching = kinds[kind].get_or_insert_with(|| self.days_of_year(new_year));
            let start = new_year.num_days_from_ce() - EPOCH_DAYS_FROM_CE;
            for day in matching.iter().map(|&day| start + i32::from(day)) {
                if day < from {
                    continue;
                }
                fruitful = year;
                days.push(day);
                if enough(days.len() - 1, day) {
                    return Ok(days);
                }
            }
        }
        if days.is_empty() {
            return Err(Error::PartitionDefinition(format!(
                "the cron schedule {:?} never fires: no day matches it",
                self.cron.as_str()
            )));
        }
        Ok(days)
    }

    /// The matching days of the year that begins at `new_year`, counted from 0. They depend only on
    /// its first weekday and its length.
    fn days_of_year(&self, new_year: NaiveDate) -> Vec<u16> {
        let days = new_year.iter_days().zip(0_u16..);
        days.take_while(|(date, _)| date.year() == new_year.year())
            .filter(|(date, _)| self.matches(*date))
            .map(|(_, day)| day)
            .collect()
    }

    fn matches(&self, date: NaiveDate) -> bool {
        let weekday = WEEKDAYS[date.weekday().num_days_from_sunday() as usize];
        let pattern = &self.cron.pattern;
        pattern.month_match(date.month()).unwrap_or(false)
            && pattern
                .day_match(date.year(), date.month(), date.day(), weekday)
                .unwrap_or(false)
    }
}

/// The matching days of a resolved cron axis, and the occurrences of the first day that precede its
/// start.
#[derive(Debug, Clone)]
pub(super) struct CronDays {
    days: Vec<i32>,
    skipped: u64,
}

impl CronDays {
    /// The occurrences from `start` on, up to `bound` and one more.
    ///
    /// # Errors
    /// `PartitionDefinition` when the schedule never fires.
    pub(super) fn new(grid: &CronGrid, start: Nanos, bound: Nanos) -> Result<Self> {
        let until = bound.div_euclid(DAY) + 1;
        Self::from(grid, start, |_, day| Nanos::from(day) >= until)
    }

    /// At least `points + 1` occurrences from `start` on.
    ///
    /// # Errors
    /// `PartitionDefinition` when the schedule never fires.
    pub(super) fn holding(grid: &CronGrid, start: Nanos, points: u32) -> Result<Self> {
        let per_day = grid.times.len() as u64;
        // Part or all of the first day can precede the start.
        let enough = u64::from(points) / per_day + 2;
        Self::from(grid, start, |before, day| {
            before as u64 >= enough || Nanos::from(day) * DAY > LAST_TIME
        })
    }

    fn from(grid: &CronGrid, start: Nanos, enough: impl Fn(usize, i32) -> bool) -> Result<Self> {
        let days = grid.days(start.div_euclid(DAY) as i32, enough)?;
        let mut this = Self { days, skipped: 0 };
        this.skipped = this.rank(grid, start);
        Ok(this)
    }

    /// The `n`-th occurrence.
    pub(super) fn nth(&self, grid: &CronGrid, n: u64) -> Nanos {
        let per_day = grid.times.len() as u64;
        let at = n + self.skipped;
        let day = self.days[((at / per_day) as usize).min(self.days.len() - 1)];
        Nanos::from(day) * DAY + Nanos::from(grid.times[(at % per_day) as usize]) * SECOND
    }

    /// The last occurrence that is listed.
    pub(super) fn last(&self, grid: &CronGrid) -> Nanos {
        let day = self.days.last().copied().unwrap_or_default();
        Nanos::from(day) * DAY + Nanos::from(grid.times[grid.times.len() - 1]) * SECOND
    }

    /// Number of occurrences before a time.
    pub(super) fn rank(&self, grid: &CronGrid, time: Nanos) -> u64 {
        let (day, of_day) = divide(time, DAY);
        let (second, after) = divide(of_day, SECOND);
        // A time within a second comes after what fires at its start.
        let second = second as u32 + u32::from(after != 0);
        let before = self.days.partition_point(|&d| Nanos::from(d) < day);
        let mut points = before as u64 * grid.times.len() as u64;
        if self
            .days
            .get(before)
            .is_some_and(|&d| Nanos::from(d) == day)
        {
            points += grid.times.partition_point(|&t| t < second) as u64;
        }
        points.saturating_sub(self.skipped)
    }
}
