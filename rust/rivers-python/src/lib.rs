//! The binding `rivers._rivers`: it converts, detaches from the interpreter and translates errors.
//! No logic, no SQL.

mod arrow;
mod asset_cells;
mod asset_state;
mod batch;
mod calendar;
mod calendar_text;
mod calls;
mod cell_counts;
mod cells;
mod context;
mod convert;
mod definition;
mod definition_kind;
mod engine;
mod error;
mod key;
mod mapping;
mod plan;
mod range;
mod records;
mod run;
mod selection;
mod store;
mod table;
mod values;
mod vectorcall;
mod worker;

/// The Rust core of rivers. Its objects are immutable or have locks of their own, so that it does not need the
/// interpreter's.
#[pyo3::pymodule(gil_used = false)]
mod _rivers {
    #[pymodule_export]
    use crate::arrow::ArrowTable;
    #[pymodule_export]
    use crate::asset_cells::AssetCells;
    #[pymodule_export]
    use crate::asset_state::{AssetState, Staleness};
    #[pymodule_export]
    use crate::batch::{Batch, BatchWatch};
    #[pymodule_export]
    use crate::calls::{Calls, DirectCalls};
    #[pymodule_export]
    use crate::cell_counts::CellCounts;
    #[pymodule_export]
    use crate::cells::BackfillCells;
    #[pymodule_export]
    use crate::context::CallContext;
    #[pymodule_export]
    use crate::definition::{decode_definition, mapping_refusal};
    #[pymodule_export]
    use crate::definition_kind::PartitionsDefinition;
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::key::PartitionKey;
    #[pymodule_export]
    use crate::mapping::{PartitionMapping, decode_mapping};
    #[pymodule_export]
    use crate::plan::{Plan, StoredStrategy, check_per_dimension};
    #[pymodule_export]
    use crate::run::{PyJobSpec, Run};
    #[pymodule_export]
    use crate::selection::{Selection, Space, decode_selection, decode_space};
    #[pymodule_export]
    use crate::store::{Store, now, process_id};

    #[pymodule_export]
    use crate::table::{backfill_partitions, backfill_runs, backfills, partition_status};
    #[pymodule_export]
    use crate::values::{NoneRecorder, ValueLoader, ValueRecorder, ValueStore};
    #[pymodule_export]
    use crate::worker::{SharedRuns, WorkerBatch, WorkerLock};

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::prelude::*;
        // Whether this is a debug build: the package warns about its speed.
        module.add("DEBUG_BUILD", cfg!(debug_assertions))?;
        crate::key::nest(module)?;
        crate::definition_kind::nest(module)?;
        crate::mapping::nest(module)
    }
}
