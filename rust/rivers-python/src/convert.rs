//! Values that cross the boundary in one piece: Python objects as structs with the same fields.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rivers_core::backfill::{self, Control, FailurePolicy, Kind, Request, RequestedAsset};
use rivers_core::clock::Micros;
use rivers_core::engine::{self, Placement};
use rivers_core::queue::TagLimit;

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

/// `rivers.planning.request.Submission`, with the same fields.
#[derive(FromPyObject)]
pub(crate) struct Submission {
    manual: bool,
    assets: Vec<(String, Option<String>, bool)>,
    stop_on_failure: bool,
    max_concurrency: u32,
    priority: i64,
    tags: Vec<(String, String)>,
    config: Option<String>,
    retry: Option<String>,
    max_failures: Option<MaxFailures>,
    max_starts_per_second: Option<f64>,
    refuse_overlap: bool,
    canary: Option<u32>,
}

impl Submission {
    /// The request of a new backfill.
    pub(crate) fn into_request(self, created_at: Micros) -> Request {
        let assets = self
            .assets
            .into_iter()
            .map(|(name, code_version, partitioned)| RequestedAsset {
                name,
                code_version,
                partitioned,
            });
        Request {
            id: engine::new_id(),
            kind: if self.manual {
                Kind::Manual
            } else {
                Kind::Backfill
            },
            assets: assets.collect(),
            failure_policy: if self.stop_on_failure {
                FailurePolicy::StopOnFailure
            } else {
                FailurePolicy::Continue
            },
            max_concurrency: self.max_concurrency,
            priority: self.priority,
            tags: self.tags,
            config: self.config,
            retry: self.retry,
            created_at,
            control: Control {
                max_failures: self.max_failures.map(Into::into),
                max_starts_per_second: self.max_starts_per_second,
                refuse_overlap: self.refuse_overlap,
                canary: self.canary,
            },
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
