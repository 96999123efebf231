//! The state of an asset: for which partitions it is materialized, and which of them are out of date.

use std::sync::Arc;

use pyo3::prelude::*;
use rivers_core::space::Mapping;
use rivers_core::store;
use rivers_core::store::queries::asset_state::{self, Upstream};
use rivers_core::table::cells::states_of_asset;

use crate::asset_cells::AssetCells;
use crate::error::Result;
use crate::mapping::PartitionMapping;
use crate::selection::Selection;

/// For which partitions of a space an asset is materialized, by what and since when.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct AssetState {
    pub(crate) state: asset_state::AssetState,
    store: Arc<dyn store::Store>,
}

/// The partitions of an asset that are out of date, by reason.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Staleness {
    pub(crate) stale: asset_state::Staleness,
}

#[pymethods]
impl Staleness {
    /// Those whose run started before their window's end.
    #[getter]
    fn early(&self) -> Selection {
        self.stale.early.clone().into()
    }

    /// All of them.
    fn all(&self, py: Python<'_>) -> Selection {
        py.detach(|| self.stale.all()).into()
    }
}

impl AssetState {
    pub(crate) fn new(state: asset_state::AssetState, store: &Arc<dyn store::Store>) -> Self {
        let store = Arc::clone(store);
        Self { state, store }
    }
}

#[pymethods]
impl AssetState {
    /// The partitions that are materialized or skipped, and whose values are not gone.
    fn materialized(&self, py: Python<'_>) -> Selection {
        py.detach(|| self.state.materialized()).into()
    }

    /// The partitions that runs materialized and whose values are not gone.
    fn stored(&self, py: Python<'_>) -> Selection {
        py.detach(|| self.state.stored()).into()
    }

    /// The partitions whose values are gone.
    fn gone(&self, py: Python<'_>) -> Selection {
        py.detach(|| self.state.gone()).into()
    }

    /// The partitions that were skipped last.
    fn skipped(&self, py: Python<'_>) -> Selection {
        py.detach(|| self.state.skipped()).into()
    }

    /// The map of the asset with this name, whose state this is.
    fn cells(&self, py: Python<'_>, asset: &str, stale: &Staleness) -> Result<AssetCells> {
        let space = Arc::clone(self.state.space());
        let states = py.detach(|| {
            let stale = stale.stale.all();
            states_of_asset(&*self.store, asset, &self.state, &stale)
        })?;
        Ok(AssetCells { space, states })
    }

    /// The partitions that are out of date.
    fn stale(
        &self,
        py: Python<'_>,
        code_version: Option<String>,
        upstreams: Vec<(Bound<'_, Self>, Option<Bound<'_, PartitionMapping>>)>,
    ) -> Result<Staleness> {
        let needed: Vec<Upstream<'_>> = upstreams
            .iter()
            .map(|(upstream, mapping)| Upstream {
                state: &upstream.get().state,
                mapping: match mapping {
                    Some(given) => given.get().mapping.clone(),
                    None => Mapping::AllPartitions,
                },
            })
            .collect();
        let stale = py.detach(|| {
            asset_state::stale(&*self.store, &self.state, code_version.as_deref(), &needed)
        })?;
        Ok(Staleness { stale })
    }
}
