//! A run while its functions are executed.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rivers_core::backfill::{Cause, Request};
use rivers_core::engine::{self, JobSpec};
use rivers_core::plan::codec;

use crate::error::{Raised, Result};
use crate::key::expect_key;
use crate::selection::{Selection, Space};

/// One run.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Run {
    pub(crate) run: Arc<engine::Run>,
}

#[pymethods]
impl Run {
    #[getter]
    fn number(&self) -> u64 {
        self.run.number()
    }

    #[getter]
    fn layer(&self) -> usize {
        self.run.layer()
    }

    #[getter]
    fn id(&self) -> String {
        self.run.request().run_id(self.run.number())
    }

    #[getter]
    fn tags(&self) -> Vec<(String, String)> {
        self.run.request().tags.clone()
    }

    #[getter]
    fn partitions(&self) -> Selection {
        self.run.partitions().clone().into()
    }

    #[getter]
    fn has_no_failures(&self) -> bool {
        self.run.has_no_failures()
    }

    #[pyo3(signature = (asset, error_type, message, traceback=None))]
    fn fail(&self, asset: u32, error_type: String, message: String, traceback: Option<String>) {
        self.run.fail(
            asset,
            Cause {
                error_type,
                message,
                traceback,
            },
        );
    }

    #[pyo3(signature = (assets, error_type, message, traceback, seconds, repeated))]
    fn retry(
        &self,
        assets: Vec<u32>,
        error_type: String,
        message: String,
        traceback: Option<String>,
        seconds: f64,
        repeated: Vec<u32>,
    ) {
        let cause = Cause {
            error_type,
            message,
            traceback,
        };
        // The cast saturates: a delay that does not fit becomes the longest that does.
        self.run
            .retry(&assets, cause, (seconds * 1e6) as i64, &repeated);
    }

    fn keep_yielded(&self, asset: u32, partitions: &Selection) -> PyResult<()> {
        let partitions: Vec<u64> = partitions.selection.iter().collect();
        Ok(self.run.keep_yielded(asset, &partitions).map_err(Raised)?)
    }

    fn executes(&self, asset: u32) -> bool {
        self.run.executes(asset)
    }

    fn failed_attempts(&self, asset: u32) -> u32 {
        self.run.failed_attempts(asset)
    }

    fn defer(&self, assets: Vec<u32>, needs: Vec<u32>) -> bool {
        self.run.defer(&assets, &needs)
    }

    fn skip(&self, asset: u32) {
        self.run.skip(asset);
    }

    fn failed_or_skipped(&self, asset: u32) -> bool {
        self.run.failed_or_skipped(asset)
    }

    /// Marks each partition of the key as failed.
    #[pyo3(signature = (asset, key, error_type, message, traceback=None))]
    fn mark_failed(
        &self,
        asset: u32,
        key: &Bound<'_, PyAny>,
        error_type: String,
        message: String,
        traceback: Option<String>,
    ) -> PyResult<()> {
        let partitions = self.located(key)?;
        let cause = Cause {
            error_type,
            message,
            traceback,
        };
        self.run
            .mark_failed(asset, &partitions, &cause)
            .map_err(Raised)?;
        Ok(())
    }

    /// Records a JSON object about each partition of the key, or (`None`) about all others.
    fn add_metadata(&self, asset: u32, key: Option<&Bound<'_, PyAny>>, body: &str) -> PyResult<()> {
        let partitions = key.map(|key| self.located(key)).transpose()?;
        self.run
            .add_metadata(asset, partitions.as_deref(), body)
            .map_err(Raised)?;
        Ok(())
    }

    /// Skips each partition of the key, or (`None`) all that have not failed.
    #[pyo3(signature = (asset, key, reason))]
    fn mark_skipped(
        &self,
        asset: u32,
        key: Option<&Bound<'_, PyAny>>,
        reason: &str,
    ) -> PyResult<()> {
        let partitions = key.map(|key| self.located(key)).transpose()?;
        let reason = Arc::new(Cause::of_skip(reason));
        self.run
            .mark_skipped(asset, partitions.as_deref(), &reason)
            .map_err(Raised)?;
        Ok(())
    }

    /// Whether an asset failed for each partition of the key, or skipped it.
    fn leaves_out(&self, asset: u32, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let partitions = self.located(key)?;
        Ok(partitions
            .into_iter()
            .all(|partition| self.run.leaves_out(asset, partition)))
    }

    fn is_skipped(&self, asset: u32) -> bool {
        self.run.is_skipped(asset)
    }

    fn follow_skips(&self, asset: u32, upstreams: Vec<u32>) {
        self.run.follow_skips(asset, &upstreams);
    }

    fn skipped(&self, asset: u32) -> Option<Selection> {
        self.run.skipped(asset).map(Selection::from)
    }

    fn skipped_before(&self, asset: u32, needed: &Selection) -> Option<Selection> {
        let skipped = self.run.skipped_before(asset, &needed.selection);
        skipped.map(Selection::from)
    }

    fn check_defined(&self, asset: u32, space: &Space) {
        self.run.check_defined(asset, &space.space);
    }

    #[pyo3(signature = (asset, among=None))]
    fn survivors(&self, asset: u32, among: Option<&Selection>) -> Option<Selection> {
        let survivors = match among {
            None => self.run.survivors(asset),
            Some(some) => self.run.survivors_among(asset, &some.selection),
        };
        survivors.map(Selection::from)
    }

    fn enter(&self, asset: u32, needs: Vec<u32>) -> Option<Selection> {
        self.run.enter(asset, &needs).map(Selection::from)
    }
}

impl Run {
    /// The partitions of a key, as numbers in the run's space.
    fn located(&self, key: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
        let space = self.run.partitions().space();
        let located = expect_key(key)?.get().key().locate(space).map_err(Raised)?;
        Ok(rivers_core::space::product::product_in_order(space, &located).collect())
    }
}

/// The plan and the request of a backfill, which pickle for a worker process.
#[pyclass(frozen, name = "JobSpec", module = "rivers._rivers")]
pub(crate) struct PyJobSpec {
    pub(crate) spec: JobSpec,
}

#[pymethods]
impl PyJobSpec {
    #[new]
    fn new(space: &[u8], plan: &[u8], request: &[u8]) -> Result<Self> {
        Ok(Self {
            spec: decode_job_spec(space, plan, request)?,
        })
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, spec) = (slf.py(), &slf.get().spec);
        let space = codec::encode_space(spec.plan.selection().space()).map_err(Raised)?;
        let plan = codec::encode_plan(&spec.plan).map_err(Raised)?;
        let request = postcard::to_stdvec(&*spec.request)
            .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
        let parts = [space, plan, request].map(|part| PyBytes::new(py, &part));
        Ok((slf.get_type().into_any(), PyTuple::new(py, parts)?))
    }
}

/// Reads the plan and the request of a backfill.
fn decode_job_spec(space: &[u8], plan: &[u8], request: &[u8]) -> Result<JobSpec> {
    let damaged = |error: String| Raised(rivers_core::Error::Execution(error));
    let space = rivers_core::plan::codec::decode_space(space)?;
    let plan = rivers_core::plan::codec::decode_plan(space, plan)?;
    let request: Request =
        postcard::from_bytes(request).map_err(|error| damaged(error.to_string()))?;
    Ok(JobSpec {
        plan: Arc::new(plan),
        request: Arc::new(request),
    })
}
