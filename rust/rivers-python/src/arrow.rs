//! Tables over the Arrow PyCapsule interface, which Polars, pyarrow and duckdb read without a copy.

use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A table that Arrow libraries can read.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct ArrowTable {
    batch: RecordBatch,
}

impl From<RecordBatch> for ArrowTable {
    fn from(batch: RecordBatch) -> Self {
        Self { batch }
    }
}

#[pymethods]
impl ArrowTable {
    /// Returns an Arrow C stream. `requested_schema` is ignored, which the interface allows.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let schema = self.batch.schema();
        let batches = std::iter::once(Ok(self.batch.clone()));
        let stream = FFI_ArrowArrayStream::new(Box::new(RecordBatchIterator::new(
            batches,
            Arc::clone(&schema),
        )));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}
