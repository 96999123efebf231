//! Values that cross the boundary in one piece: Python objects as structs with the same fields.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rivers_core::backfill;
use rivers_core::engine::Placement;
use rivers_core::queue::TagLimit;
use rivers_core::space::time::{Nanos, to_datetime};

/// What executes the runs of a backfill: an object of the package that batches pass on to workers.
pub(crate) type PyProgram = Py<PyAny>;

/// `rivers.TagConcurrencyLimit`, with the same fields.
#[derive(FromPyObject)]
pub(crate) struct PyTagLimit {
    key: String,
    value: Option<String>,
    limit: u32,
    per_unique_value: bool,
}

impl From<PyTagLimit> for TagLimit {
    fn from(limit: PyTagLimit) -> Self {
        Self {
            key: limit.key,
            value: limit.value,
            limit: limit.limit,
            per_unique_value: limit.per_unique_value,
        }
    }
}

/// What the engine needs to know of a `rivers.Executor`.
#[derive(FromPyObject)]
pub(crate) struct PyExecutor {
    pub(crate) capacity: Option<u32>,
    isolation: String,
}

impl PyExecutor {
    pub(crate) fn placement(&self) -> PyResult<Placement> {
        match self.isolation.as_str() {
            "none" => Ok(Placement::Local),
            "process" | "machine" => Ok(Placement::REMOTE),
            other => Err(PyValueError::new_err(format!(
                "the isolation of an executor must be \"none\", \"process\" or \"machine\", got {other:?}"
            ))),
        }
    }
}

/// `max_failures`: an `int` or a `float` of Python.
#[derive(FromPyObject, IntoPyObject)]
pub(crate) enum MaxFailures {
    Count(u64),
    Share(f64),
}

impl From<MaxFailures> for backfill::MaxFailures {
    fn from(max: MaxFailures) -> Self {
        match max {
            MaxFailures::Count(max) => Self::Count(max),
            MaxFailures::Share(max) => Self::Share(max),
        }
    }
}

impl From<backfill::MaxFailures> for MaxFailures {
    fn from(max: backfill::MaxFailures) -> Self {
        match max {
            backfill::MaxFailures::Count(max) => Self::Count(max),
            backfill::MaxFailures::Share(max) => Self::Share(max),
        }
    }
}

/// A timeout in seconds; what is no duration, such as a negative number, is zero.
pub(crate) fn timeout(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// The aware datetime of a time in the zone with this name; without a zone, naive UTC.
pub(crate) fn datetime<'py>(
    py: Python<'py>,
    time: Nanos,
    zone: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    match zone {
        None => Ok(to_datetime(time).into_pyobject(py)?.into_any()),
        Some(name) => py
            .import("rivers.partitions.timezones")?
            .call_method1("aware", (to_datetime(time), name)),
    }
}
