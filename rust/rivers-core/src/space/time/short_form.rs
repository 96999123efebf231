//! Short forms of times: a text such as `2024-01`, `today` or `-7d` for the windows of that time.

use chrono::{Duration, NaiveDate, NaiveDateTime, Weekday};

use super::axis::{NotAWindow, TimeAxis};
use super::format::to_nanos;
use super::units::{DAY, Nanos, SECOND, split};

/// A time as a user names it where a range starts or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub enum GivenTime {
    /// A day: midnight at its start, on the wall clock.
    Day(Nanos),
    /// A time of the wall clock.
    Wall(Nanos),
    /// A time in UTC.
    Utc(Nanos),
}

/// The stored form: whole seconds and, in later variants, nanoseconds after them.
#[derive(serde::Serialize, serde::Deserialize)]
enum Stored {
    Day(i64),
    Wall(i64),
    Utc(i64),
    WallFraction(i64, u32),
    UtcFraction(i64, u32),
}

impl From<GivenTime> for Stored {
    fn from(given: GivenTime) -> Self {
        match given {
            GivenTime::Day(time) => Self::Day(split(time).0),
            GivenTime::Wall(time) => match split(time) {
                (seconds, 0) => Self::Wall(seconds),
                (seconds, fraction) => Self::WallFraction(seconds, fraction),
            },
            GivenTime::Utc(time) => match split(time) {
                (seconds, 0) => Self::Utc(seconds),
                (seconds, fraction) => Self::UtcFraction(seconds, fraction),
            },
        }
    }
}

impl From<Stored> for GivenTime {
    fn from(stored: Stored) -> Self {
        let time =
            |seconds: i64, fraction: u32| Nanos::from(seconds) * SECOND + Nanos::from(fraction);
        match stored {
            Stored::Day(seconds) => Self::Day(time(seconds, 0)),
            Stored::Wall(seconds) => Self::Wall(time(seconds, 0)),
            Stored::Utc(seconds) => Self::Utc(time(seconds, 0)),
            Stored::WallFraction(seconds, fraction) => Self::Wall(time(seconds, fraction)),
            Stored::UtcFraction(seconds, fraction) => Self::Utc(time(seconds, fraction)),
        }
    }
}

/// A span of time, and how strictly it stands for windows.
struct Span {
    /// Wall-clock times, half-open.
    from: Nanos,
    to: Nanos,
    /// Whether windows must start in it; otherwise, the window that contains it will do.
    strict: bool,
}

impl TimeAxis {
    /// The first or the last of the windows for which a text stands: a key, a short form of a time, or
    /// a time relative to when the axis was resolved.
    ///
    /// # Errors
    /// The reason why it stands for no window.
    pub fn end_of_range(&self, text: &str, last: bool) -> Result<u32, NotAWindow> {
        let reason = match self.position(text) {
            Ok(position) => return Ok(position),
            Err(reason) => reason,
        };
        if reason == NotAWindow::Repeated
            && let Some(times) = self.repeated(text)
        {
            return Ok(if last { times.1 } else { times.0 });
        }
        if reason != NotAWindow::Format {
            return Err(reason);
        }
        let now = self.now().map(|now| self.calendar().declared().wall(now));
        let Some(span) = absolute(text).or_else(|| relative(text, now?)) else {
            return Err(reason);
        };
        self.end_of_span(&span, last)
    }

    /// The first or the last of the windows for which a time stands: those that start on a day, or the
    /// one that contains the time.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn end_of_time(&self, given: GivenTime, last: bool) -> Result<u32, NotAWindow> {
        let (from, to) = match given {
            GivenTime::Day(day) => (day, day + DAY),
            GivenTime::Wall(wall) => (wall, wall + 1),
            GivenTime::Utc(time) => return self.end_within(time, time + 1, false, last),
        };
        self.end_of_span(
            &Span {
                from,
                to,
                strict: false,
            },
            last,
        )
    }

    fn end_of_span(&self, span: &Span, last: bool) -> Result<u32, NotAWindow> {
        let declared = self.calendar().declared();
        let (from, to) = (declared.time_of(span.from), declared.time_of(span.to));
        self.end_within(from, to, span.strict, last)
    }

    fn end_within(
        &self,
        from: Nanos,
        to: Nanos,
        strict: bool,
        last: bool,
    ) -> Result<u32, NotAWindow> {
        let len = u64::from(self.len());
        let (first, beyond) = (self.rank(from), self.rank(to));
        if len == 0 || (first >= len && (strict || !last && !self.is_within(len - 1, from))) {
            return Err(NotAWindow::AfterEnd);
        }
        if to <= self.start_of(0) && (strict || last) {
            return Err(NotAWindow::BeforeStart);
        }
        if first < beyond.min(len) {
            return Ok(if last { beyond.min(len) - 1 } else { first } as u32);
        }
        if strict {
            return Err(NotAWindow::Format);
        }
        // No window starts in the span.
        let contains = first > 0 && self.is_within(first - 1, from);
        match (last, contains) {
            (true, _) | (false, true) => Ok((first.min(len)).saturating_sub(1) as u32),
            (false, false) => Ok(first as u32),
        }
    }

    fn is_within(&self, n: u64, time: Nanos) -> bool {
        let (start, end) = self.window(n as u32);
        (start..end).contains(&time)
    }

    /// The positions of the two windows that start at the wall-clock time of a text.
    fn repeated(&self, text: &str) -> Option<(u32, u32)> {
        let (wall, _) = self.calendar().parse(text)?;
        let declared = self.calendar().declared();
        let first = declared.time_of(wall);
        let second = declared.zone.as_ref()?.other_time_of(first)?;
        let last = u64::from(self.len().checked_sub(1)?);
        let at = |time: Nanos| self.rank(time).min(last) as u32;
        Some((at(first), at(second)))
    }
}

/// The wall-clock span of a text such as `2024`, `2024-Q1`, `2024-01`, `2024-W05` or `2024-01-31`;
/// half-open.
pub fn wall_span(text: &str) -> Option<(Nanos, Nanos)> {
    absolute(text).map(|span| (span.from, span.to))
}

fn absolute(text: &str) -> Option<Span> {
    let digits = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = text.get(range)?;
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let year = i32::try_from(digits(0..4)?).ok()?;
    let date = |year, month, day| NaiveDate::from_ymd_opt(year, month, day);
    let month_after = |month: u32| match month {
        13.. => date(year + 1, month - 12, 1),
        _ => date(year, month, 1),
    };
    let rest = text.get(4..)?;
    let (from, to) = match text.len() {
        4 => (date(year, 1, 1)?, date(year + 1, 1, 1)?),
        7 if rest.starts_with("-Q") => {
            let quarter = digits(6..7).filter(|quarter| (1..=4).contains(quarter))?;
            (
                date(year, quarter * 3 - 2, 1)?,
                month_after(quarter * 3 + 1)?,
            )
        }
        7 if rest.starts_with('-') => {
            let month = digits(5..7)?;
            (date(year, month, 1)?, month_after(month + 1)?)
        }
        8 if rest.starts_with("-W") => {
            let monday = NaiveDate::from_isoywd_opt(year, digits(6..8)?, Weekday::Mon)?;
            (monday, monday + Duration::days(7))
        }
        10 if rest.starts_with('-') && rest.get(3..4) == Some("-") => {
            let day = date(year, digits(5..7)?, digits(8..10)?)?;
            (day, day + Duration::days(1))
        }
        _ => return None,
    };
    Some(span(from, to))
}

fn span(from: NaiveDate, to: NaiveDate) -> Span {
    let midnight = |date: NaiveDate| to_nanos(NaiveDateTime::from(date));
    Span {
        from: midnight(from),
        to: midnight(to),
        strict: true,
    }
}

/// `today`, `yesterday`, `-7d`, `-2w`, `-3h`: the day, or the hour, at this distance from now.
fn relative(text: &str, now: Nanos) -> Option<Span> {
    let (number, unit) = match text {
        "today" => (0, 'd'),
        "yesterday" => (1, 'd'),
        _ => {
            let unit = text.chars().last()?;
            let number = text.strip_prefix('-')?.strip_suffix(unit)?;
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            (number.parse::<u32>().ok().filter(|_| is_number)?, unit)
        }
    };
    let (length, step) = match unit {
        'h' => (3600 * SECOND, 3600 * SECOND),
        'd' => (DAY, DAY),
        'w' => (DAY, 7 * DAY),
        _ => return None,
    };
    let from = now.div_euclid(length) * length - Nanos::from(number) * step;
    Some(Span {
        from,
        to: from + length,
        strict: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::time::iso;

    #[test]
    fn a_short_form_stands_for_its_time() {
        for (text, from, to) in [
            ("2024", "2024-01-01", "2025-01-01"),
            ("2024-Q4", "2024-10-01", "2025-01-01"),
            ("2024-02", "2024-02-01", "2024-03-01"),
            ("2024-12", "2024-12-01", "2025-01-01"),
            ("2020-W53", "2020-12-28", "2021-01-04"),
            ("2024-02-29", "2024-02-29", "2024-03-01"),
        ] {
            let (first, beyond) = wall_span(text).expect(text);
            assert_eq!(iso(first), format!("{from}T00:00:00"));
            assert_eq!(iso(beyond), format!("{to}T00:00:00"));
        }
        for text in [
            "24",
            "2024-13",
            "2024-Q5",
            "2024-1-1",
            "2023-02-29",
            "2024-W54",
            "",
            "2024-01-01x",
            "2024-01-01T",
            "2024-01-01T06",
        ] {
            assert_eq!(wall_span(text), None, "{text}");
        }
    }

    #[test]
    fn a_relative_time_counts_from_now() {
        let now = 19_723 * DAY + (5 * 3600 + 7) * SECOND;
        for (text, from) in [
            ("today", "2024-01-01T00:00:00"),
            ("yesterday", "2023-12-31T00:00:00"),
            ("-7d", "2023-12-25T00:00:00"),
            ("-2w", "2023-12-18T00:00:00"),
            ("-3h", "2024-01-01T02:00:00"),
        ] {
            assert_eq!(iso(relative(text, now).expect(text).from), from);
        }
        for text in [
            "-d",
            "7d",
            "-7",
            "-7m",
            "--7d",
            "-+7d",
            "-99999999999999999d",
            "Today",
        ] {
            assert!(relative(text, now).is_none(), "{text}");
        }
    }
}
