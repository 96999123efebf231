//! Times, zones and windows that are left out, as users pass them, and as they are shown.

use std::sync::Arc;

use chrono::NaiveDateTime;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDateTime, PyString, PyTuple};
use rivers_core::error::Error;
use rivers_core::space::time::{
    Calendar, DAY, Declared, GivenTime, Grid, TimeFormat, Zone, iso, parse_time, to_datetime,
    to_seconds, wall_span,
};
use rivers_core::space::{Definition, Dimension, RangeEnd};

use crate::error::Raised;
use crate::key::PartitionKey;

pub(crate) const DAILY: (u32, &str) = (86_400, "%Y-%m-%d");
pub(crate) const HOURLY: (u32, &str) = (3_600, "%Y-%m-%dT%H:%M");
pub(crate) const WEEKLY: u32 = 7 * 86_400;
pub(crate) const SECONDS: &str = "%Y-%m-%dT%H:%M:%S";
pub(crate) const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

pub(crate) fn refused(reason: String) -> PyErr {
    Raised(Error::PartitionDefinition(reason)).into()
}

/// What every time definition takes, as the user gave it.
pub(crate) struct Given<'a, 'py> {
    pub(crate) start: &'a Bound<'py, PyAny>,
    pub(crate) end: Option<&'a Bound<'py, PyAny>>,
    pub(crate) fmt: &'a str,
    pub(crate) timezone: Option<&'a Bound<'py, PyAny>>,
    pub(crate) exclude: Option<&'a Bound<'py, PyAny>>,
}

impl Given<'_, '_> {
    /// Declares the calendar; `aligned` moves a start to the first start of the grid.
    pub(crate) fn declare(&self, grid: Grid, aligned: impl Fn(i64) -> i64) -> PyResult<Definition> {
        let zone = self.timezone.map(zone).transpose()?;
        let start = aligned(moment("start", self.start, self.fmt, zone.as_deref())?);
        let end = self
            .end
            .map(|end| moment("end", end, self.fmt, zone.as_deref()));
        let mut declared = Declared {
            zone,
            ..Declared::new(start, end.transpose()?, grid, self.fmt)
        };
        let calendar = Calendar::try_from(declared.clone()).map_err(Raised)?;
        let calendar = match self.exclude {
            None => calendar,
            Some(given) => {
                declared.exclude = excluded(given, &Arc::new(calendar))?;
                Calendar::try_from(declared).map_err(Raised)?
            }
        };
        Ok(Definition::Single(Dimension::Time(Arc::new(calendar))))
    }
}

/// The zone with a name, or of a `zoneinfo.ZoneInfo`.
fn zone(given: &Bound<'_, PyAny>) -> PyResult<Arc<Zone>> {
    let (name, bytes): (String, Vec<u8>) = given
        .py()
        .import("rivers.partitions.timezones")?
        .call_method1("zone_data", (given,))?
        .extract()?;
    Ok(Arc::new(Zone::from_tzif(&name, &bytes).map_err(Raised)?))
}

/// The time in UTC of an aware datetime, or of a naive one in UTC; rounded down to the second.
pub(crate) fn instant(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    if is_aware(given)? {
        let seconds: f64 = given.call_method0("timestamp")?.extract()?;
        return Ok(seconds.floor() as i64);
    }
    let naive: NaiveDateTime = given.extract()?;
    Ok(to_seconds(naive))
}

fn is_aware(given: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!given.call_method0("utcoffset")?.is_none())
}

/// The aware datetime of a time in the zone with this name; without a zone, naive UTC.
pub(crate) fn datetime<'py>(
    py: Python<'py>,
    time: i64,
    zone: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    match zone {
        None => Ok(to_datetime(time).into_pyobject(py)?.into_any()),
        Some(name) => py
            .import("rivers.partitions.timezones")?
            .call_method1("aware", (to_datetime(time), name)),
    }
}

/// Parses a time that a user gave, as a time of the zone's wall clock.
fn moment(
    argument: &str,
    given: &Bound<'_, PyAny>,
    fmt: &str,
    zone: Option<&Zone>,
) -> PyResult<i64> {
    if let Ok(text) = given.cast::<PyString>() {
        let own = TimeFormat::new(fmt).map_err(Raised)?;
        return Ok(parse_time(argument, &text.to_string(), Some(&own)).map_err(Raised)?);
    }
    if given.is_instance_of::<PyDateTime>() {
        let microsecond: u32 = given.getattr("microsecond")?.extract()?;
        if microsecond != 0 {
            return Err(refused(format!(
                "{argument}={given} has a fraction of a second; the grid has whole seconds"
            )));
        }
        if !is_aware(given)? {
            return Ok(to_seconds(given.extract()?));
        }
        let Some(zone) = zone else {
            return Err(refused(format!(
                "{argument}={given} has a time zone, and the definition has none, so that it is in UTC; \
                 pass timezone=, or {argument}.astimezone(UTC).replace(tzinfo=None)"
            )));
        };
        let time = instant(given)?;
        let wall = zone.wall(time);
        if zone.time_of(wall) != time {
            return Err(refused(format!(
                "{argument}={given} is the second of two times at which the clock of {} shows {}; pass \
                 an earlier or a later time",
                zone.name(),
                iso(wall)
            )));
        }
        return Ok(wall);
    }
    if given.is_instance_of::<PyDate>() {
        return day(given);
    }
    Err(PyTypeError::new_err(format!(
        "{argument} must be a datetime, a date or a str, got {given}"
    )))
}

/// Midnight at the start of a `date`.
fn day(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    let date: chrono::NaiveDate = given.extract()?;
    Ok(to_seconds(date.and_time(chrono::NaiveTime::MIN)))
}

/// The starts of the windows that `exclude` names.
fn excluded(given: &Bound<'_, PyAny>, calendar: &Arc<Calendar>) -> PyResult<Vec<i64>> {
    if given.is_instance_of::<PyString>() || given.is_instance_of::<PyTuple>() {
        return Err(PyTypeError::new_err(format!(
            "exclude must be a list of dates, keys or (from, to) windows, got {given}"
        )));
    }
    let mut starts = Vec::new();
    for item in given.try_iter()? {
        let (from, to) = excluded_span(&item?, calendar)?;
        starts.extend(calendar.starts_within(from, to).map_err(Raised)?);
    }
    starts.sort_unstable();
    starts.dedup();
    Ok(starts)
}

/// The span, in UTC, in which the windows start that one item of `exclude` names.
fn excluded_span(item: &Bound<'_, PyAny>, calendar: &Arc<Calendar>) -> PyResult<(i64, i64)> {
    let declared = calendar.declared();
    let on_clock = |(from, to): (i64, i64)| (declared.time_of(from), declared.time_of(to));
    if let Ok((from, to)) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
        && item.is_instance_of::<PyTuple>()
    {
        let at = |given| moment("exclude", given, &declared.fmt, declared.zone.as_deref());
        let span = on_clock((at(&from)?, at(&to)?));
        if span.1 <= span.0 {
            return Err(refused(format!("exclude={item} ends before it starts")));
        }
        return Ok(span);
    }
    let text = match item.cast::<PartitionKey>() {
        Ok(_) => Some(item.str()?.to_string()),
        Err(_) => item.cast::<PyString>().ok().map(|text| text.to_string()),
    };
    if let Some(text) = text {
        if let Some(start) = calendar.start_named(&text) {
            return Ok((start, start + 1));
        }
        return match wall_span(&text) {
            Some(span) => Ok(on_clock(span)),
            None => Err(refused(format!(
                "exclude names {text:?}, which is neither a key in the format {:?} nor a date such as \
                 \"2024-12-25\"",
                declared.fmt
            ))),
        };
    }
    if item.is_instance_of::<PyDateTime>() {
        let wall = moment("exclude", item, &declared.fmt, declared.zone.as_deref())?;
        return Ok(on_clock((wall, wall + 1)));
    }
    if item.is_instance_of::<PyDate>() {
        let midnight = day(item)?;
        return Ok(on_clock((midnight, midnight + DAY)));
    }
    Err(PyTypeError::new_err(format!(
        "exclude takes dates, keys and (from, to) windows, got {item}"
    )))
}

/// An end of a range: a key or a short form, `None`, a date or a datetime.
pub(crate) struct End(pub(crate) RangeEnd);

impl<'py> FromPyObject<'_, 'py> for End {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if given.is_none() {
            return Ok(Self(RangeEnd::Open));
        }
        if let Ok(text) = given.cast::<PyString>() {
            return Ok(Self(RangeEnd::Text(text.extract()?)));
        }
        let time = if !given.is_instance_of::<PyDateTime>() {
            GivenTime::Day(day(&given)?)
        } else if is_aware(&given)? {
            GivenTime::Utc(instant(&given)?)
        } else {
            GivenTime::Wall(to_seconds(given.extract()?))
        };
        Ok(Self(RangeEnd::Time(time)))
    }
}

/// The expression that evaluates to the definition of a calendar.
pub(crate) fn show_calendar(calendar: &Arc<Calendar>) -> String {
    const SHOWN: usize = 12;
    let declared = calendar.declared();
    let fmt = declared.fmt.as_str();
    let date = || iso(declared.start)[..10].to_owned();
    let (name, start, step, default) = match &declared.grid {
        Grid::Interval(DAY_SECONDS) if declared.zone.is_none() && fmt == DAILY.1 => {
            ("daily", iso(declared.start), String::new(), DAILY.1)
        }
        Grid::Interval(HOUR_SECONDS) if declared.zone.is_none() && fmt == HOURLY.1 => {
            ("hourly", iso(declared.start), String::new(), HOURLY.1)
        }
        Grid::WallClock(DAY_SECONDS) => ("daily", iso(declared.start), String::new(), DAILY.1),
        Grid::WallClock(WEEKLY) => {
            let weekday = WEEKDAYS[weekday(declared.start)];
            let first = match weekday {
                "monday" => String::new(),
                other => format!(", first_day={other:?}"),
            };
            ("weekly", date(), first, DAILY.1)
        }
        Grid::WallClock(_) => ("hourly", iso(declared.start), String::new(), HOURLY.1),
        Grid::Months { every, first_month } => {
            let (name, fmt) = months(*every);
            let first = match first_month {
                1 => String::new(),
                other => format!(", first_month={other}"),
            };
            (name, date(), first, fmt)
        }
        Grid::Interval(seconds) => (
            "time_window",
            iso(declared.start),
            format!(", interval_seconds={seconds}"),
            "",
        ),
        Grid::Cron(cron) => (
            "time_window",
            iso(declared.start),
            format!(", cron_schedule={cron:?}"),
            "",
        ),
    };
    let mut text = format!("PartitionsDefinition.{name}({start:?}{step}");
    if let Some(end) = declared.end {
        text.push_str(&format!(", end={:?}", iso(end)));
    }
    if fmt != default {
        text.push_str(&format!(", fmt={fmt:?}"));
    }
    if let Some(zone) = &declared.zone {
        text.push_str(&format!(", timezone={:?}", zone.name()));
    }
    if !declared.exclude.is_empty() {
        let times = declared.exclude.iter().take(SHOWN);
        let mut keys: Vec<String> = times
            .filter_map(|&time| Some(format!("{:?}", calendar.key_at(time)?)))
            .collect();
        if declared.exclude.len() > SHOWN {
            keys.push(format!("... {} in all", declared.exclude.len()));
        }
        text.push_str(&format!(", exclude=[{}]", keys.join(", ")));
    }
    text.push(')');
    text
}

const DAY_SECONDS: u32 = DAILY.0;
const HOUR_SECONDS: u32 = HOURLY.0;

/// The name and the default format of a grid of months.
pub(crate) fn months(every: u8) -> (&'static str, &'static str) {
    match every {
        1 => ("monthly", "%Y-%m"),
        3 => ("quarterly", "%Y-Q%q"),
        _ => ("yearly", "%Y"),
    }
}

/// Days since Monday of the day of a time.
pub(crate) fn weekday(time: i64) -> usize {
    // 1970-01-01 was a Thursday.
    (time.div_euclid(DAY) + 3).rem_euclid(7) as usize
}
