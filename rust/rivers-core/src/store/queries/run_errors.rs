//! Every error of one run, with its traceback: those of attempts that were retried, then those of the run.

use crate::backfill::Cause;
use crate::backfill::request::parse_run_id;
use crate::clock::Micros;
use crate::error::Result;
use crate::store::Records;

/// Maximum number of errors of a run that are read.
const MAX_ERRORS: usize = 100;

/// An error of a run.
#[derive(Debug, Clone)]
pub struct RunError {
    /// The asset's name.
    pub asset: String,
    /// The partition as text, if a single one of the run failed.
    pub partition: Option<String>,
    /// The number of the attempt, from 1, if another one follows.
    pub attempt: Option<u32>,
    /// When the attempt that follows is due.
    pub due_at: Option<Micros>,
    /// The error.
    pub cause: Cause,
}

/// The errors of a run, in the order in which they happened; none for an unknown run.
///
/// # Errors
/// `Storage`.
pub fn of_run(store: &dyn Records, id: &str) -> Result<Vec<RunError>> {
    let Some((backfill, run)) = parse_run_id(id) else {
        return Ok(Vec::new());
    };
    let row = store.find(backfill)?.filter(|row| run < row.num_runs);
    let Some(row) = row else {
        return Ok(Vec::new());
    };
    let plan = store.plan(row.key)?;
    let space = plan.layers()[plan.layer_of(run)].selection().space();
    let name = |asset: u32| {
        let asset = row.request.assets.get(asset as usize);
        asset.map_or_else(String::new, |asset| asset.name.clone())
    };
    let mut attempts = store.attempts(row.key)?;
    attempts.retain(|own| own.run == run);
    attempts.sort_by_key(|own| own.attempt);
    let retried = attempts.into_iter().map(|own| {
        let (attempt, due_at) = (Some(own.attempt), Some(own.due_at));
        (own.asset, None, attempt, due_at, own.cause)
    });
    let failures = store.failures(row.key, Some(run))?.into_iter();
    let failed = failures.filter_map(|own| {
        let partition = own.partition.map(|partition| space.text(partition));
        Some((own.asset, partition, None, None, own.cause?))
    });
    let mut errors = Vec::new();
    for (asset, partition, attempt, due_at, cause) in retried.chain(failed).take(MAX_ERRORS) {
        let Some((_, cause)) = store.errors(&[cause])?.pop() else {
            continue;
        };
        errors.push(RunError {
            asset: name(asset),
            partition,
            attempt,
            due_at,
            cause,
        });
    }
    Ok(errors)
}
