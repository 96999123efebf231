//! A run while the user's functions execute it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rivers_core::backfill::Cause;
use rivers_core::engine::{self, Worked};
use rivers_core::plan::codec;

use crate::batch::decode_worked;
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

    /// The layer of the plan that it belongs to.
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

    /// Whether nothing has failed so far.
    #[getter]
    fn is_sound(&self) -> bool {
        self.run.is_sound()
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

    /// The assets failed, and are tried again after so many seconds.
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
        // A cast takes what does not fit to the nearest that does.
        self.run
            .retry(&assets, cause, (seconds * 1e6) as i64, &repeated);
    }

    fn executes(&self, asset: u32) -> bool {
        self.run.executes(asset)
    }

    fn tries(&self, asset: u32) -> u32 {
        self.run.tries(asset)
    }

    fn defer(&self, assets: Vec<u32>, needs: Vec<u32>) -> bool {
        self.run.defer(&assets, &needs)
    }

    fn skip(&self, asset: u32) {
        self.run.skip(asset);
    }

    fn missed(&self, asset: u32) -> bool {
        self.run.missed(asset)
    }

    /// Marks each partition of the key as failed.
    fn mark_failed(
        &self,
        asset: u32,
        key: &Bound<'_, PyAny>,
        error_type: String,
        message: String,
    ) -> PyResult<()> {
        let space = self.run.partitions().space();
        let located = expect_key(key)?.get().key().locate(space).map_err(Raised)?;
        let cause = Cause {
            error_type,
            message,
            traceback: None,
        };
        let partitions: Vec<u64> =
            rivers_core::space::product::product_in_order(space, &located).collect();
        self.run
            .mark_failed(asset, &partitions, &cause)
            .map_err(Raised)?;
        Ok(())
    }

    /// Fails the partitions that are not in an asset's space of today.
    fn check_defined(&self, asset: u32, space: &Space) {
        self.run.check_defined(asset, &space.space);
    }

    /// What an asset's own marks leave over; `None`: all.
    fn survivors(&self, asset: u32) -> Option<Selection> {
        self.run.survivors(asset).map(Selection::from)
    }

    /// What failures of other assets leave over for an asset; `None`: all.
    fn enter(&self, asset: u32, needs: Vec<u32>) -> Option<Selection> {
        self.run.enter(asset, &needs).map(Selection::from)
    }
}

/// A plan and a request on their way to a worker process.
#[pyclass(frozen, name = "Worked", module = "rivers._rivers")]
pub(crate) struct PyWorked {
    pub(crate) worked: Worked,
}

#[pymethods]
impl PyWorked {
    /// From what `encode` wrote.
    #[new]
    fn new(space: &[u8], plan: &[u8], request: &[u8]) -> Result<Self> {
        Ok(Self {
            worked: decode_worked(space, plan, request)?,
        })
    }

    /// The three parts as bytes.
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, worked) = (slf.py(), &slf.get().worked);
        let space = codec::encode_space(worked.plan.selection().space()).map_err(Raised)?;
        let plan = codec::encode_plan(&worked.plan).map_err(Raised)?;
        let request = postcard::to_stdvec(&*worked.request)
            .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
        let parts = [space, plan, request].map(|part| PyBytes::new(py, &part));
        Ok((slf.get_type().into_any(), PyTuple::new(py, parts)?))
    }
}
