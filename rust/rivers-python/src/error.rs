//! From the core's errors to the exceptions that `rivers.exceptions` defines.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use rivers_core::Error;

/// An error of the core on its way to Python.
pub(crate) struct Raised(pub(crate) Error);

/// What a pymethod that can fail returns.
pub(crate) type Result<T> = std::result::Result<T, Raised>;

impl From<Error> for Raised {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// The exception of each error; there is no catch-all, so that a new error needs its exception.
fn exception(error: &Error) -> &'static str {
    match error {
        Error::PartitionDefinition(_) => "PartitionDefinitionError",
        Error::PartitionValidation(_) => "PartitionValidationError",
        Error::MappingDefinition(_) => "MappingDefinitionError",
        Error::DynamicKeys(_) => "DynamicPartitionsError",
        Error::StrategyValidation(_) => "StrategyValidationError",
        Error::Configuration(_) => "ConfigurationError",
        Error::Execution(_) => "ExecutionError",
        Error::Refused { .. } => "ExecutionError",
        Error::BackfillNotFound(_) => "BackfillNotFoundError",
        Error::Storage { .. } => "StorageError",
        Error::OutdatedSchema { .. } => "StorageError",
    }
}

static EXCEPTIONS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

impl From<Raised> for PyErr {
    fn from(Raised(error): Raised) -> Self {
        Python::attach(|py| {
            let class = || -> PyResult<Bound<'_, PyType>> {
                let module = EXCEPTIONS.get_or_try_init(py, || {
                    PyModule::import(py, "rivers.exceptions").map(Bound::unbind)
                })?;
                Ok(module.bind(py).getattr(exception(&error))?.cast_into()?)
            };
            let raised = || -> PyResult<Self> {
                let raised = class()?.call1((error.to_string(),))?;
                if let Some(remedy) = error.remedy() {
                    raised.setattr("remedy", PyTuple::new(py, remedy.parts())?)?;
                }
                Ok(Self::from_value(raised))
            };
            raised().unwrap_or_else(|broken| broken)
        })
    }
}
