//! Time windows of `PartitionsDefinition`: what users pass for times, zones and windows that are left
//! out.

use std::sync::Arc;

use chrono::{NaiveDateTime, TimeDelta};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDateTime, PyDict, PyString, PyTuple};
use rivers_core::error::Error;
use rivers_core::space::time::{
    Calendar, DAY, Declared, GivenTime, Grid, Nanos, SECOND, TimeFormat, Zone, iso, parse_time,
    to_nanos, wall_span,
};
use rivers_core::space::{Definition, Dimension, RangeEnd};

use crate::calendar_text::{DAILY, WEEKDAYS, WEEKLY, months, weekday};
use crate::definition_kind::{PartitionsDefinition, instance};
use crate::error::Raised;
use crate::key::PartitionKey;

fn refused(reason: String) -> PyErr {
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

impl<'py> Given<'_, 'py> {
    /// Declares the calendar; `aligned` moves a start to the first start of the grid.
    pub(crate) fn declare(
        &self,
        grid: Grid,
        aligned: impl Fn(Nanos) -> Nanos,
    ) -> PyResult<Bound<'py, PyAny>> {
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
        let definition = Definition::Single(Dimension::Time(Arc::new(calendar)));
        instance(self.start.py(), definition)
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

/// The time in UTC of an aware datetime, or of a naive one in UTC.
pub(crate) fn instant(given: &Bound<'_, PyAny>) -> PyResult<Nanos> {
    let offset = given.call_method0("utcoffset")?;
    if offset.is_none() {
        return Ok(to_nanos(given.extract()?));
    }
    let ahead: TimeDelta = offset.extract()?;
    let naive = given.call_method("replace", (), Some(&naive(given.py())?))?;
    let wall: NaiveDateTime = naive.extract()?;
    Ok(to_nanos(wall)
        - Nanos::from(ahead.num_seconds()) * SECOND
        - Nanos::from(ahead.subsec_nanos()))
}

/// What `datetime.replace` takes to remove a time zone.
fn naive(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("tzinfo", py.None())?;
    Ok(fields)
}

fn is_aware(given: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!given.call_method0("utcoffset")?.is_none())
}

/// A length in nanoseconds, of `interval_seconds`.
pub(crate) fn interval(given: &Bound<'_, PyAny>) -> PyResult<u64> {
    if given.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "interval_seconds must be an int or a float, got the str {given}"
        )));
    }
    let seconds: f64 = given.extract()?;
    if !(1e-9..=f64::from(u32::MAX)).contains(&seconds) {
        let max = u32::MAX;
        return Err(refused(format!(
            "interval_seconds must be between 1e-9, a nanosecond, and {max}, got {given}"
        )));
    }
    // Apart from each other, both parts are exact.
    let (whole, fraction) = (seconds.trunc(), seconds.fract());
    Ok(whole as u64 * SECOND as u64 + (fraction * SECOND as f64).round() as u64)
}

/// Parses a time that a user gave, as a time of the zone's wall clock.
fn moment(
    argument: &str,
    given: &Bound<'_, PyAny>,
    fmt: &str,
    zone: Option<&Zone>,
) -> PyResult<Nanos> {
    if let Ok(text) = given.cast::<PyString>() {
        let own = TimeFormat::new(fmt).map_err(Raised)?;
        return Ok(parse_time(argument, &text.to_string(), Some(&own)).map_err(Raised)?);
    }
    if given.is_instance_of::<PyDateTime>() {
        if !is_aware(given)? {
            return Ok(to_nanos(given.extract()?));
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
fn day(given: &Bound<'_, PyAny>) -> PyResult<Nanos> {
    let date: chrono::NaiveDate = given.extract()?;
    Ok(to_nanos(date.and_time(chrono::NaiveTime::MIN)))
}

/// The starts of the windows that `exclude` names.
fn excluded(given: &Bound<'_, PyAny>, calendar: &Arc<Calendar>) -> PyResult<Vec<Nanos>> {
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
fn excluded_span(item: &Bound<'_, PyAny>, calendar: &Arc<Calendar>) -> PyResult<(Nanos, Nanos)> {
    let declared = calendar.declared();
    let on_clock = |(from, to): (Nanos, Nanos)| (declared.time_of(from), declared.time_of(to));
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
            GivenTime::Wall(to_nanos(given.extract()?))
        };
        Ok(Self(RangeEnd::Time(time)))
    }
}

fn monthly_grid<'py>(
    given: &Given<'_, 'py>,
    every: u8,
    first_month: i64,
) -> PyResult<Bound<'py, PyAny>> {
    let first_month = u8::try_from(first_month).unwrap_or_default();
    given.declare(Grid::Months { every, first_month }, |start| start)
}

#[pymethods]
impl PartitionsDefinition {
    /// Declares one partition per week that starts at or after `start`.
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, first_day="monday", timezone=None, exclude=None))]
    fn weekly<'py>(
        start: &Bound<'py, PyAny>,
        end: Option<&Bound<'py, PyAny>>,
        fmt: Option<&str>,
        first_day: &str,
        timezone: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(first) = WEEKDAYS.iter().position(|day| *day == first_day) else {
            return Err(refused(format!(
                "first_day={first_day:?} is not a day of the week; the days are {}{}",
                WEEKDAYS.join(", "),
                rivers_core::error::did_you_mean(first_day, WEEKDAYS.into_iter())
            )));
        };
        let fmt = fmt.unwrap_or(DAILY.1);
        let given = Given {
            start,
            end,
            fmt,
            timezone,
            exclude,
        };
        given.declare(Grid::WallClock(WEEKLY), |start| {
            let midnight = (start + DAY - 1).div_euclid(DAY) * DAY;
            midnight + ((7 + first - weekday(midnight)) % 7) as Nanos * DAY
        })
    }

    /// Declares one partition per month that starts at or after `start`.
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, timezone=None, exclude=None))]
    fn monthly<'py>(
        start: &Bound<'py, PyAny>,
        end: Option<&Bound<'py, PyAny>>,
        fmt: Option<&str>,
        timezone: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fmt = fmt.unwrap_or(months(1).1);
        monthly_grid(
            &Given {
                start,
                end,
                fmt,
                timezone,
                exclude,
            },
            1,
            1,
        )
    }

    /// Declares one partition per quarter of a business year that starts at or after `start`.
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, first_month=1, timezone=None, exclude=None))]
    fn quarterly<'py>(
        start: &Bound<'py, PyAny>,
        end: Option<&Bound<'py, PyAny>>,
        fmt: Option<&str>,
        first_month: i64,
        timezone: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fmt = fmt.unwrap_or(months(3).1);
        monthly_grid(
            &Given {
                start,
                end,
                fmt,
                timezone,
                exclude,
            },
            3,
            first_month,
        )
    }

    /// Declares one partition per business year that starts at or after `start`.
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, first_month=1, timezone=None, exclude=None))]
    fn yearly<'py>(
        start: &Bound<'py, PyAny>,
        end: Option<&Bound<'py, PyAny>>,
        fmt: Option<&str>,
        first_month: i64,
        timezone: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fmt = fmt.unwrap_or(months(12).1);
        monthly_grid(
            &Given {
                start,
                end,
                fmt,
                timezone,
                exclude,
            },
            12,
            first_month,
        )
    }
}
