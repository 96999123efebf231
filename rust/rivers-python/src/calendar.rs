//! Weeks, months, quarters and years of `PartitionsDefinition`.

use pyo3::prelude::*;
use rivers_core::space::time::{DAY, Grid};

use crate::definition::PartitionsDefinition;
use crate::time::{DAILY, Given, WEEKDAYS, WEEKLY, months, refused, weekday};

fn monthly_grid(
    given: &Given<'_, '_>,
    every: u8,
    first_month: i64,
) -> PyResult<PartitionsDefinition> {
    let first_month = u8::try_from(first_month).unwrap_or_default();
    Ok(given
        .declare(Grid::Months { every, first_month }, |start| start)?
        .into())
}

#[pymethods]
impl PartitionsDefinition {
    /// Declares one partition per week that starts at or after `start`.
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, first_day="monday", timezone=None, exclude=None))]
    fn weekly(
        start: &Bound<'_, PyAny>,
        end: Option<&Bound<'_, PyAny>>,
        fmt: Option<&str>,
        first_day: &str,
        timezone: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
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
        let weeks = given.declare(Grid::WallClock(WEEKLY), |start| {
            let midnight = (start + DAY - 1).div_euclid(DAY) * DAY;
            midnight + ((7 + first - weekday(midnight)) % 7) as i64 * DAY
        })?;
        Ok(weeks.into())
    }

    /// Declares one partition per month that starts at or after `start`.
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, timezone=None, exclude=None))]
    fn monthly(
        start: &Bound<'_, PyAny>,
        end: Option<&Bound<'_, PyAny>>,
        fmt: Option<&str>,
        timezone: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
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
    fn quarterly(
        start: &Bound<'_, PyAny>,
        end: Option<&Bound<'_, PyAny>>,
        fmt: Option<&str>,
        first_month: i64,
        timezone: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
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
    fn yearly(
        start: &Bound<'_, PyAny>,
        end: Option<&Bound<'_, PyAny>>,
        fmt: Option<&str>,
        first_month: i64,
        timezone: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
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
