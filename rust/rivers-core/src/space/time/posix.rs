//! The rule at the end of a time zone's data: how its offset changes in every later year.
//!
//! The text is that of the POSIX variable TZ, as in `EST5EDT,M3.2.0,M11.1.0`, with the extensions of
//! TZif: hours of a change from -167 to 167.

use chrono::{Datelike, NaiveDate};

use super::units::{EPOCH_DAYS_FROM_CE, Nanos, SECOND};

/// Seconds in a day.
const DAY: i64 = 86_400;

const HOUR: i32 = 3600;
/// Maximum distance of a change from midnight of its day, in hours.
const MAX_HOUR: i32 = 167;

/// Standard time, and daylight saving time where the zone has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PosixRule {
    /// Seconds east of UTC in standard time.
    standard: i32,
    daylight: Option<Daylight>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Daylight {
    offset: i32,
    start: Change,
    end: Change,
}

/// The day of a change, and the wall-clock seconds from its midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    day: Day,
    second: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Day {
    /// Day of the year from 1; 29 February is never counted.
    NoLeap(u32),
    /// Day of the year from 0; 29 February is counted.
    Ordinal(u32),
    /// The weekday (from Sunday, 0) of a week of a month; week 5 is the last.
    Weekday { month: u32, week: u32, day: u32 },
}

impl PosixRule {
    /// Parses a rule; `None` if it is not valid.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = Cursor(text);
        rest.name()?;
        let standard = -rest.seconds(24)?;
        if rest.0.is_empty() {
            return Some(Self {
                standard,
                daylight: None,
            });
        }
        rest.name()?;
        let offset = if rest.0.starts_with(',') {
            standard + HOUR
        } else {
            -rest.seconds(24)?
        };
        let start = rest.change()?;
        let end = rest.change()?;
        let daylight = Some(Daylight { offset, start, end });
        rest.0.is_empty().then_some(Self { standard, daylight })
    }

    /// The changes of a year: each time (seconds since 1970, UTC) and the offset after it, ascending.
    pub(super) fn changes(&self, year: i32) -> Vec<(i64, i32)> {
        let Some(daylight) = &self.daylight else {
            return Vec::new();
        };
        let at = |change: &Change, offset: i32| {
            Some(change.day.in_year(year)? * DAY + i64::from(change.second) - i64::from(offset))
        };
        let (Some(start), Some(end)) = (
            at(&daylight.start, self.standard),
            at(&daylight.end, daylight.offset),
        ) else {
            return Vec::new();
        };
        let mut both = vec![(start, daylight.offset), (end, self.standard)];
        both.sort_by_key(|&(at, _)| at);
        both
    }

    /// The offset at a time, in seconds east of UTC.
    pub(super) fn offset_at(&self, time: i64) -> i32 {
        let year = year_of(time);
        let changes = (year - 1..=year + 1).flat_map(|year| self.changes(year));
        changes
            .take_while(|&(at, _)| at <= time)
            .last()
            .map_or(self.standard, |(_, offset)| offset)
    }
}

/// The year of a time in UTC.
pub(super) fn year_of(time: i64) -> i32 {
    super::format::to_datetime(Nanos::from(time) * SECOND).year()
}

impl Day {
    /// Days from 1970 to this day of a year.
    fn in_year(&self, year: i32) -> Option<i64> {
        let date = match *self {
            Self::NoLeap(day) => {
                let leap = NaiveDate::from_yo_opt(year, 366).is_some();
                NaiveDate::from_yo_opt(year, day + u32::from(leap && day >= 60))?
            }
            Self::Ordinal(day) => {
                return Some(days(NaiveDate::from_yo_opt(year, 1)?) + i64::from(day));
            }
            Self::Weekday { month, week, day } => {
                let first = NaiveDate::from_ymd_opt(year, month, 1)?;
                let ahead = (7 + day - first.weekday().num_days_from_sunday()) % 7;
                let nth = (1..=week)
                    .rev()
                    .find_map(|week| first.with_day(1 + ahead + 7 * (week - 1)));
                nth?
            }
        };
        Some(days(date))
    }
}

fn days(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce() - EPOCH_DAYS_FROM_CE)
}

/// The part of a rule that is not parsed yet.
struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    fn skip(&mut self, prefix: char) -> Option<()> {
        self.0 = self.0.strip_prefix(prefix)?;
        Some(())
    }

    /// The abbreviation of an offset: letters, or anything in angle brackets.
    fn name(&mut self) -> Option<()> {
        if let Some(rest) = self.0.strip_prefix('<') {
            self.0 = rest.split_once('>')?.1;
            return Some(());
        }
        let rest = self.0.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        (rest.len() < self.0.len()).then(|| self.0 = rest)
    }

    fn number(&mut self, max: u32) -> Option<u32> {
        let rest = self.0.trim_start_matches(|c: char| c.is_ascii_digit());
        let number: u32 = self.0[..self.0.len() - rest.len()].parse().ok()?;
        self.0 = rest;
        (number <= max).then_some(number)
    }

    /// `[+-]hh[:mm[:ss]]`.
    fn seconds(&mut self, max_hours: i32) -> Option<i32> {
        let sign = if self.skip('-').is_some() { -1 } else { 1 };
        let _ = self.skip('+');
        let mut seconds = self.number(max_hours.unsigned_abs())? as i32 * HOUR;
        for unit in [60, 1] {
            if self.skip(':').is_none() {
                break;
            }
            seconds += self.number(59)? as i32 * unit;
        }
        Some(sign * seconds)
    }

    /// `,day[/time]`.
    fn change(&mut self) -> Option<Change> {
        self.skip(',')?;
        let day = if self.skip('J').is_some() {
            Day::NoLeap(self.number(365).filter(|&day| day > 0)?)
        } else if self.skip('M').is_some() {
            let month = self.number(12).filter(|&month| month > 0)?;
            self.skip('.')?;
            let week = self.number(5).filter(|&week| week > 0)?;
            self.skip('.')?;
            let day = self.number(6)?;
            Day::Weekday { month, week, day }
        } else {
            Day::Ordinal(self.number(365)?)
        };
        let second = match self.skip('/') {
            Some(()) => self.seconds(MAX_HOUR)?,
            None => 2 * HOUR,
        };
        Some(Change { day, second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::time::iso;

    #[test]
    fn the_changes_of_a_year_follow_the_rule() {
        for (rule, expected) in [
            (
                "EST5EDT,M3.2.0,M11.1.0",
                "2024-03-10T07:00:00 -14400, 2024-11-03T06:00:00 -18000",
            ),
            (
                "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
                "2024-03-31T01:00:00 -3600, 2024-10-27T01:00:00 -7200",
            ),
            (
                "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
                "2024-04-06T15:00:00 37800, 2024-10-05T15:30:00 39600",
            ),
            (
                "AAA0BBB,J60/0,59/0",
                "2024-02-28T23:00:00 0, 2024-03-01T00:00:00 3600",
            ),
            ("<+03>-3", ""),
        ] {
            let changes = PosixRule::parse(rule).expect(rule).changes(2024);
            let shown: Vec<String> = changes
                .iter()
                .map(|&(at, offset)| format!("{} {offset}", iso(Nanos::from(at) * SECOND)))
                .collect();
            assert_eq!(shown.join(", "), expected, "{rule}");
        }
    }

    #[test]
    fn a_text_that_is_no_rule_is_refused() {
        for text in [
            "",
            "5",
            "EST",
            "EST5EDT",
            "EST5EDT,M3.2.0",
            "EST5EDT,M13.1.0,M1.1.0",
            "EST5x",
            "<EST5",
        ] {
            assert_eq!(PosixRule::parse(text), None, "{text}");
        }
    }
}
