//! The text form of wall-clock times: formatting and parsing with one strftime pattern.

use chrono::format::{Fixed, Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, Weekday};

use super::units::{Nanos, SECOND, split};

use crate::error::{Error, Result};

/// Forms in which a time can be given besides the definition's own format.
const COMMON_FORMS: [&str; 6] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d-%H:%M",
    "%Y-%m-%d",
];

/// A checked strftime pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat {
    pattern: String,
    items: Vec<Item<'static>>,
    shows_offset: bool,
}

impl TimeFormat {
    /// Parses a strftime pattern.
    ///
    /// # Errors
    /// `PartitionDefinition` for a pattern with an unknown directive.
    pub fn new(pattern: &str) -> Result<Self> {
        let items = StrftimeItems::new(pattern).parse_to_owned().map_err(|_| {
            Error::PartitionDefinition(format!(
                "the fmt {pattern:?} is not a valid strftime pattern; for example \"%Y-%m-%d\" or \"%Y-%m-%dT%H:%M\""
            ))
        })?;
        Ok(Self {
            pattern: pattern.to_owned(),
            shows_offset: items.iter().any(is_offset),
            items,
        })
    }

    /// The pattern as given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the texts have the offset from UTC, such as `%z`.
    pub(super) fn shows_offset(&self) -> bool {
        self.shows_offset
    }

    /// Formats a time of a wall clock that is ahead of UTC by `offset`.
    pub(super) fn format(&self, wall: Nanos, offset: Nanos) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(16);
        let items = self.items.iter();
        let east = || FixedOffset::east_opt((offset / SECOND) as i32);
        let written = match self.shows_offset.then(east).flatten() {
            Some(east) => {
                let utc = to_datetime(wall.saturating_sub(offset));
                let time = DateTime::<FixedOffset>::from_naive_utc_and_offset(utc, east);
                write!(text, "{}", time.format_with_items(items))
            }
            None => write!(text, "{}", to_datetime(wall).format_with_items(items)),
        };
        // A pattern that cannot print the time (such as one with a zone's name) yields a text that
        // does not parse back; the calendar's round-trip check refuses it.
        if written.is_err() {
            text.clear();
        }
        text
    }

    /// Parses a text as the earliest time that it can mean: missing parts take their lowest value.
    /// `None` when the text does not match the pattern.
    pub fn parse(&self, text: &str) -> Option<Nanos> {
        self.parse_with_offset(text).map(|(wall, _)| wall)
    }

    /// What `parse` returns, and the offset from UTC if the pattern has one.
    pub(super) fn parse_with_offset(&self, text: &str) -> Option<(Nanos, Option<Nanos>)> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        let offset = parsed.offset().filter(|_| self.shows_offset);
        let offset = offset.map(|seconds| Nanos::from(seconds) * SECOND);
        Some((to_nanos(complete(parsed)?), offset))
    }
}

fn is_offset(item: &Item<'_>) -> bool {
    let Item::Fixed(fixed) = item else {
        return false;
    };
    matches!(
        fixed,
        Fixed::TimezoneOffset
            | Fixed::TimezoneOffsetColon
            | Fixed::TimezoneOffsetDoubleColon
            | Fixed::TimezoneOffsetZ
            | Fixed::TimezoneOffsetColonZ
            | Fixed::RFC2822
            | Fixed::RFC3339
    )
}

/// Sets missing parts to their lowest values.
fn complete(mut parsed: Parsed) -> Option<NaiveDateTime> {
    if let Some(seconds) = parsed.timestamp() {
        let fraction = parsed.nanosecond().unwrap_or_default();
        return DateTime::from_timestamp(seconds, fraction).map(|time| time.naive_utc());
    }
    let by_week = parsed.isoweek().is_some()
        || parsed.week_from_sun().is_some()
        || parsed.week_from_mon().is_some();
    if by_week && parsed.weekday().is_none() {
        let first = if parsed.week_from_sun().is_some() {
            Weekday::Sun
        } else {
            Weekday::Mon
        };
        parsed.set_weekday(first).ok()?;
    } else if !by_week && parsed.ordinal().is_none() {
        if parsed.month().is_none() {
            let quarter = parsed.quarter().unwrap_or(1);
            parsed.set_month(i64::from(quarter) * 3 - 2).ok()?;
        }
        if parsed.day().is_none() {
            parsed.set_day(1).ok()?;
        }
    }
    if parsed.hour_mod_12().is_none() {
        parsed.set_hour(0).ok()?;
    } else if parsed.hour_div_12().is_none() {
        parsed.set_ampm(false).ok()?;
    }
    if parsed.minute().is_none() {
        parsed.set_minute(0).ok()?;
    }
    Some(
        parsed
            .to_naive_date()
            .ok()?
            .and_time(parsed.to_naive_time().ok()?),
    )
}

/// Parses a time that a user gave: in the definition's own format, or in a common ISO form.
///
/// # Errors
/// `PartitionDefinition` naming `argument`.
pub fn parse_time(argument: &str, text: &str, own: Option<&TimeFormat>) -> Result<Nanos> {
    let own_form = own.and_then(|format| format.parse(text));
    let time = own_form.or_else(|| {
        COMMON_FORMS.iter().find_map(|form| {
            NaiveDateTime::parse_from_str(text, form)
                .ok()
                .or_else(|| {
                    NaiveDate::parse_from_str(text, form)
                        .ok()?
                        .and_hms_opt(0, 0, 0)
                })
                .map(to_nanos)
        })
    });
    time.ok_or_else(|| {
        Error::PartitionDefinition(format!(
            "{argument}={text:?} is not a date or a time; give a datetime, or a text like \"2024-01-31\" or \"2024-01-31T06:00\""
        ))
    })
}

/// Converts a time to chrono's type.
pub fn to_datetime(time: Nanos) -> NaiveDateTime {
    let (seconds, fraction) = split(time);
    DateTime::from_timestamp(seconds, fraction)
        .unwrap_or_default()
        .naive_utc()
}

/// Converts chrono's type to a time.
pub fn to_nanos(time: NaiveDateTime) -> Nanos {
    let time = time.and_utc();
    Nanos::from(time.timestamp()) * SECOND + Nanos::from(time.timestamp_subsec_nanos())
}

/// Formats a time for a message.
pub fn iso(time: Nanos) -> String {
    to_datetime(time).format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_take_their_lowest_value() {
        for (pattern, text, iso) in [
            ("%Y", "2024", "2024-01-01T00:00:00"),
            ("%Y-%m", "2024-03", "2024-03-01T00:00:00"),
            ("%Y-%j", "2024-060", "2024-02-29T00:00:00"),
            ("%Y-Q%q", "2024-Q3", "2024-07-01T00:00:00"),
            ("%G-W%V", "2024-W02", "2024-01-08T00:00:00"),
            ("%d.%m.%Y %H", "31.12.2024 05", "2024-12-31T05:00:00"),
        ] {
            let format = TimeFormat::new(pattern).expect("valid");
            let time = format.parse(text).expect("parses");
            assert_eq!(
                to_datetime(time).format("%Y-%m-%dT%H:%M:%S").to_string(),
                iso
            );
            assert_eq!(format.format(time, 0), text);
        }
    }

    #[test]
    fn a_pattern_with_an_unknown_directive_is_refused() {
        assert!(TimeFormat::new("%Y-%Q!").is_err());
    }
}
