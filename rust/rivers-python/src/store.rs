//! The storage as the package uses it; `rivers.Storage` wraps it.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use rivers_core::backfill::{Cause, Report, ReportKind};
use rivers_core::clock::{Clock, SteadyClock};
use rivers_core::store::postgres::PostgresStore;
use rivers_core::store::queries::runs::RunStatus;
use rivers_core::store::queries::{
    asset_state, backfills, copy, error_groups, events, prune, rates, run_errors, runs,
};
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{self, BackfillRow};
use rivers_core::table::activity;

use crate::asset_state::AssetState;
use crate::error::{Raised, Result};
use crate::plan::Plan;
use crate::records::{
    ActivityRecord, BackfillRecord, ErrorGroupRecord, EventRecord, RunErrorRecord, RunRecord,
};
use crate::selection::{Selection, Space};
use crate::values::ValueStore;

/// The name of an asset, and the type and message of its error; `None`: it was only blocked.
type FailedAsset = (String, Option<(String, String)>);

/// Where everything is recorded.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Store {
    pub(crate) store: Arc<dyn store::Store>,
}

impl From<SqliteStore> for Store {
    fn from(store: SqliteStore) -> Self {
        Self {
            store: Arc::new(store),
        }
    }
}

impl Store {
    /// Applies a query to a backfill; the default if there is none with this id.
    fn of_backfill<T: Default + Send>(
        &self,
        py: Python<'_>,
        id: &str,
        query: impl FnOnce(&dyn store::Store, &BackfillRow) -> rivers_core::Result<T> + Send,
    ) -> Result<T> {
        Ok(py.detach(|| match self.store.find(id)? {
            Some(row) => query(&*self.store, &row),
            None => Ok(T::default()),
        })?)
    }
}

/// The name of this process, which no other one has.
#[pyfunction]
pub(crate) fn process_id() -> String {
    store::process_id()
}

/// The present time of the clock that times runs, in microseconds since 1970.
#[pyfunction]
pub(crate) fn now() -> i64 {
    SteadyClock.now()
}

fn selections(layers: Vec<rivers_core::space::Selection>) -> Vec<Selection> {
    layers.into_iter().map(Selection::from).collect()
}

#[pymethods]
impl Store {
    #[staticmethod]
    fn embedded(py: Python<'_>, path: PathBuf) -> Result<Self> {
        Ok(py.detach(|| SqliteStore::open(&path))?.into())
    }

    #[staticmethod]
    fn open_read_only(py: Python<'_>, path: PathBuf) -> Result<Self> {
        Ok(py.detach(|| SqliteStore::open_read_only(&path))?.into())
    }

    #[staticmethod]
    fn schema(py: Python<'_>, path: PathBuf) -> Result<(i64, i64)> {
        Ok(py.detach(|| SqliteStore::schema(&path))?)
    }

    #[staticmethod]
    fn memory() -> Result<Self> {
        Ok(SqliteStore::memory()?.into())
    }

    /// A schema of a server; owners on this machine lock files in the folder `locks`.
    #[staticmethod]
    fn postgres(py: Python<'_>, url: String, locks: PathBuf, read_only: bool) -> Result<Self> {
        let open = || match read_only {
            true => PostgresStore::open_read_only(&url, &locks),
            false => PostgresStore::open(&url, &locks),
        };
        Ok(Self {
            store: Arc::new(py.detach(open)?),
        })
    }

    #[staticmethod]
    fn postgres_schema(py: Python<'_>, url: String) -> Result<(i64, i64)> {
        Ok(py.detach(|| PostgresStore::schema(&url))?)
    }

    #[getter]
    fn path(&self) -> String {
        self.store.display_name()
    }

    /// Where the default handler keeps values; `None` if it keeps them in memory.
    #[getter]
    fn values(&self) -> Option<ValueStore> {
        let values = self.store.values().map(Arc::clone);
        values.map(|values| ValueStore { values })
    }

    fn backfill(&self, py: Python<'_>, id: &str) -> Result<Option<BackfillRecord>> {
        Ok(py.detach(|| self.store.find(id))?.map(BackfillRecord::from))
    }

    /// The request of a backfill or a manual run, as JSON.
    fn request(&self, py: Python<'_>, id: &str) -> Result<Option<String>> {
        py.detach(|| {
            let row = self.store.find(id)?;
            Ok(row.map(|row| row.request.to_json()).transpose()?)
        })
    }

    fn backfill_by_key(&self, py: Python<'_>, key: i64) -> Result<Option<BackfillRecord>> {
        Ok(py.detach(|| self.store.get(key))?.map(BackfillRecord::from))
    }

    #[pyo3(signature = (asset=None, limit=None))]
    fn backfills(
        &self,
        py: Python<'_>,
        asset: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Vec<BackfillRecord>> {
        let rows = py.detach(|| self.store.list(asset, limit))?;
        Ok(rows.into_iter().map(BackfillRecord::from).collect())
    }

    fn num_backfills(&self, py: Python<'_>) -> Result<u64> {
        Ok(py.detach(|| self.store.num_backfills())?)
    }

    fn interrupted(&self, py: Python<'_>) -> Result<Vec<String>> {
        Ok(py.detach(|| backfills::interrupted(&*self.store))?)
    }

    fn is_interrupted(&self, py: Python<'_>, id: &str) -> Result<bool> {
        Ok(py.detach(|| {
            let row = self.store.find(id)?;
            row.map_or(Ok(false), |row| {
                backfills::is_interrupted(&*self.store, &row)
            })
        })?)
    }

    fn rate(&self, py: Python<'_>, id: &str) -> Result<Option<f64>> {
        self.of_backfill(py, id, |store, row| rates::live_rate(store, row))
    }

    fn seconds_per_partition(&self, py: Python<'_>, assets: Vec<String>) -> Result<Option<f64>> {
        let names: Vec<&str> = assets.iter().map(String::as_str).collect();
        Ok(py.detach(|| rates::seconds_per_partition(&*self.store, &names))?)
    }

    fn check(&self, py: Python<'_>) -> Result<Vec<String>> {
        Ok(py.detach(|| self.store.check())?)
    }

    fn error(&self, py: Python<'_>, id: &str) -> Result<Option<String>> {
        self.of_backfill(py, id, |store, row| backfills::error_text(store, row))
    }

    fn last_error(&self, py: Python<'_>, id: &str) -> Result<Option<String>> {
        self.of_backfill(py, id, |store, row| backfills::last_error_text(store, row))
    }

    fn error_groups(&self, py: Python<'_>, id: &str) -> Result<Vec<ErrorGroupRecord>> {
        let groups =
            self.of_backfill(py, id, |store, row| error_groups::error_groups(store, row))?;
        Ok(groups.into_iter().map(ErrorGroupRecord::from).collect())
    }

    #[pyo3(signature = (id, error_type, message=None))]
    fn failed_with(
        &self,
        py: Python<'_>,
        id: &str,
        error_type: &str,
        message: Option<&str>,
    ) -> Result<Vec<Selection>> {
        self.of_backfill(py, id, |store, row| {
            error_groups::failed_with(store, row, error_type, message)
        })
        .map(selections)
    }

    fn run_errors(&self, py: Python<'_>, run_id: &str) -> Result<Vec<RunErrorRecord>> {
        let errors = py.detach(|| run_errors::of_run(&*self.store, run_id))?;
        Ok(errors.into_iter().map(RunErrorRecord::from).collect())
    }

    fn activity(
        &self,
        py: Python<'_>,
        id: &str,
        now: i64,
        num_bins: usize,
        max_lanes: usize,
    ) -> Result<ActivityRecord> {
        let found = self.of_backfill(py, id, |store, row| {
            activity::activity(store, row, now, num_bins, max_lanes)
        })?;
        Ok(found.into())
    }

    fn failed_assets(&self, py: Python<'_>, id: &str) -> Result<Vec<FailedAsset>> {
        let failed = self.of_backfill(py, id, |store, row| backfills::failed_assets(store, row))?;
        let error = |cause: Cause| (cause.error_type, cause.message);
        Ok(failed
            .into_iter()
            .map(|(asset, cause)| (asset, cause.map(error)))
            .collect())
    }

    fn plan(&self, py: Python<'_>, key: i64) -> Result<Plan> {
        Ok(Plan {
            plan: Arc::new(py.detach(|| self.store.plan(key))?),
        })
    }

    fn refuse_overlap(&self, py: Python<'_>, assets: Vec<String>, plan: &Plan) -> Result<()> {
        let assets: Vec<&str> = assets.iter().map(String::as_str).collect();
        match py.detach(|| self.store.overlap(&assets, &plan.plan))? {
            Some(found) => Err(found.refusal().into()),
            None => Ok(()),
        }
    }

    fn uncompleted(&self, py: Python<'_>, id: &str) -> Result<Vec<Selection>> {
        self.of_backfill(py, id, |store, row| backfills::uncompleted(store, row))
            .map(selections)
    }

    fn pending(&self, py: Python<'_>, id: &str) -> Result<Vec<Selection>> {
        self.of_backfill(py, id, |store, row| backfills::pending(store, row))
            .map(selections)
    }

    fn asset_state(&self, py: Python<'_>, asset: &str, space: &Space) -> Result<AssetState> {
        let state = py.detach(|| asset_state::asset_state(&*self.store, asset, &space.space))?;
        Ok(AssetState::new(state, &self.store))
    }

    fn skipped(&self, py: Python<'_>, asset: &str, space: &Space) -> Result<Option<Selection>> {
        let skipped = py.detach(|| {
            let store = &*self.store;
            if !store.has_skipped(asset)? {
                return Ok(None);
            }
            asset_state::asset_state(store, asset, &space.space).map(|state| Some(state.skipped()))
        });
        Ok(skipped?.map(Selection::from))
    }

    fn materialized_in(
        &self,
        py: Python<'_>,
        ids: Vec<String>,
        asset: &str,
        space: &Space,
    ) -> Result<Selection> {
        let (store, space) = (&*self.store, &space.space);
        Ok(py
            .detach(|| asset_state::materialized_in(store, &ids, asset, space))?
            .into())
    }

    fn left_by_attempts(&self, py: Python<'_>, id: &str) -> Result<Vec<(u32, Selection)>> {
        let left = py.detach(|| asset_state::done_by_attempts(&*self.store, id))?;
        let own = left.into_iter();
        Ok(own.map(|(asset, own)| (asset, own.into())).collect())
    }

    fn ever_materialized(&self, py: Python<'_>, asset: &str) -> Result<Vec<Selection>> {
        let spaces = py.detach(|| asset_state::ever_materialized(&*self.store, asset))?;
        Ok(selections(spaces))
    }

    fn run(&self, py: Python<'_>, id: &str) -> Result<Option<RunRecord>> {
        Ok(py
            .detach(|| runs::find(&*self.store, id))?
            .map(RunRecord::from))
    }

    #[pyo3(signature = (limit=None, status=None))]
    fn runs(
        &self,
        py: Python<'_>,
        limit: Option<usize>,
        status: Option<&str>,
    ) -> Result<Vec<RunRecord>> {
        let latest = py.detach(|| {
            let status = status.map(RunStatus::parse).transpose()?;
            runs::latest(&*self.store, limit, status)
        })?;
        Ok(latest.into_iter().map(RunRecord::from).collect())
    }

    fn events_of_run(&self, py: Python<'_>, id: &str) -> PyResult<Vec<EventRecord>> {
        let found = py
            .detach(|| events::of_run(&*self.store, id))
            .map_err(Raised)?;
        found
            .into_iter()
            .map(|event| EventRecord::new(py, event))
            .collect()
    }

    fn events_of_asset(
        &self,
        py: Python<'_>,
        asset: &str,
        limit: usize,
    ) -> PyResult<Vec<EventRecord>> {
        let found = py
            .detach(|| events::of_asset(&*self.store, asset, limit))
            .map_err(Raised)?;
        found
            .into_iter()
            .map(|event| EventRecord::new(py, event))
            .collect()
    }

    fn latest_materialization(
        &self,
        py: Python<'_>,
        asset: &str,
        partition: Option<&str>,
    ) -> PyResult<Option<EventRecord>> {
        let found = py
            .detach(|| events::latest_materialization(&*self.store, asset, partition))
            .map_err(Raised)?;
        found.map(|event| EventRecord::new(py, event)).transpose()
    }

    /// Records what a user says about partitions of an asset: that they are materialized or, without
    /// `materialized`, that they are missing.
    fn report(
        &self,
        py: Python<'_>,
        asset: String,
        selection: &Selection,
        materialized: bool,
        code_version: Option<String>,
        metadata: Option<String>,
    ) -> Result<()> {
        let kind = if materialized {
            ReportKind::Materialized
        } else {
            ReportKind::Forgotten
        };
        let selection = rivers_core::space::Selection::clone(&selection.selection);
        Ok(py.detach(|| {
            backfills::continue_clock(&*self.store)?;
            self.store.report(&Report {
                asset,
                kind,
                at: SteadyClock.now(),
                selection,
                code_version,
                metadata,
            })
        })?)
    }

    /// Removes the backfills that ended so many microseconds ago or earlier; without `remove`, counts them.
    fn prune(&self, py: Python<'_>, age: i64, remove: bool) -> Result<u64> {
        Ok(py.detach(|| {
            let before = self.store.now()?.after(age.saturating_neg());
            match remove {
                true => prune::prune(&*self.store, before),
                false => prune::count(&*self.store, before),
            }
        })?)
    }

    /// Copies what another storage does not have into it: how many backfills, of how many it had them, and runs.
    fn copy_to(&self, py: Python<'_>, target: &Self) -> Result<(u64, u64, u64)> {
        let copied = py.detach(|| copy::copy(&*self.store, &*target.store))?;
        Ok((copied.backfills, copied.known, copied.runs))
    }

    /// The pools that are set here: name, slots, how many are lent, and how many are waited for.
    fn pools(&self, py: Python<'_>) -> Result<Vec<(String, u32, u32, u32)>> {
        let pools = py.detach(|| self.store.pools())?;
        let parts = |pool: store::StoredPool| (pool.name, pool.slots, pool.lent, pool.waiting);
        Ok(pools.into_iter().map(parts).collect())
    }

    #[pyo3(signature = (name, slots))]
    fn set_pool(&self, py: Python<'_>, name: &str, slots: Option<u32>) -> Result<()> {
        Ok(py.detach(|| self.store.set_pool(name, slots))?)
    }

    fn run_progress(&self, py: Python<'_>, id: &str) -> Result<Option<(u64, u64)>> {
        Ok(py.detach(|| events::progress(&*self.store, id))?)
    }

    fn add_dynamic(&self, py: Python<'_>, name: &str, keys: Vec<String>) -> Result<()> {
        Ok(py.detach(|| self.store.add_dynamic(name, &keys))?)
    }

    fn delete_dynamic(&self, py: Python<'_>, name: &str, key: &str) -> Result<bool> {
        Ok(py.detach(|| self.store.delete_dynamic(name, key))?)
    }

    fn dynamic(&self, py: Python<'_>, name: &str) -> Result<Vec<String>> {
        let labels = py.detach(|| self.store.dynamic(name))?;
        Ok(labels.iter().map(str::to_owned).collect())
    }
}
