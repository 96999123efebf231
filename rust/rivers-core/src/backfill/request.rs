//! What a user asked for: the request of a backfill, and the ids of its runs.

use super::progress::Counts;
use super::stop_rules::{Control, MaxFailures, Stop};
use crate::clock::Micros;

/// Who asked for the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// `CodeRepository.backfill()` and its kin.
    Backfill,
    /// `CodeRepository.materialize()`: one run.
    Manual,
}

/// What a failed partition means for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FailurePolicy {
    /// Go on.
    Continue,
    /// Start nothing more.
    StopOnFailure,
}

/// One asset of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RequestedAsset {
    /// Its name.
    pub name: String,
    /// The version of its code, where it declares one.
    pub code_version: Option<String>,
    /// Whether it has the request's partitions (only `materialize()` runs assets that have none).
    pub partitioned: bool,
}

/// What a user asked for, fixed at submission; the partitions stand in the plan.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// Unique, and sorted by time.
    pub id: String,
    /// Who asked.
    pub kind: Kind,
    /// In the order in which a run executes them.
    pub assets: Vec<RequestedAsset>,
    /// What to do after a failure.
    pub failure_policy: FailurePolicy,
    /// Most runs in flight.
    pub max_concurrency: u32,
    /// Place in the queue: higher goes first.
    pub priority: i64,
    /// Attached to each run.
    pub tags: Vec<(String, String)>,
    /// The configuration of the assets, as JSON text.
    pub config: Option<String>,
    /// How failures are tried again, as JSON text, where the request says so itself.
    #[serde(default)]
    pub retry: Option<String>,
    /// When it was submitted.
    pub created_at: Micros,
    /// What holds it in check.
    #[serde(default)]
    pub control: Control,
}

/// The tag that says the priority.
pub const PRIORITY_TAG: &str = "rivers/priority";

/// What can be changed of a request while it is executed; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Change {
    /// Most runs in flight.
    pub max_concurrency: Option<u32>,
    /// Place in the queue.
    pub priority: Option<i64>,
    /// It stops when so many have failed.
    pub max_failures: Option<MaxFailures>,
}

impl Request {
    /// Changes what is to be changed; a tag that says the priority goes with it.
    pub fn change(&mut self, change: &Change) {
        if let Some(most) = change.max_concurrency {
            self.max_concurrency = most;
        }
        if let Some(priority) = change.priority {
            self.priority = priority;
            let named = self.tags.iter_mut().filter(|tag| tag.0 == PRIORITY_TAG);
            named.for_each(|tag| tag.1 = priority.to_string());
        }
        if change.max_failures.is_some() {
            self.control.max_failures = change.max_failures;
        }
    }

    /// Why it is to start nothing more when so many have ended as `counts` says; `None`: it goes on.
    pub fn stop_at(&self, counts: &Counts) -> Option<Stop> {
        stop_at(self.failure_policy, &self.control, counts)
    }

    /// The place of an asset that has the request's partitions.
    pub fn partitioned_asset(&self, name: &str) -> Option<u32> {
        let place = self
            .assets
            .iter()
            .position(|asset| asset.name == name && asset.partitioned)?;
        Some(place as u32)
    }

    /// The id of a run: it follows from the backfill's and is stored nowhere.
    pub fn run_id(&self, run: u64) -> String {
        run_id(&self.id, run)
    }
}

/// Why failures have a backfill stop; `None`: it goes on.
pub(super) fn stop_at(policy: FailurePolicy, control: &Control, counts: &Counts) -> Option<Stop> {
    if policy == FailurePolicy::StopOnFailure && counts.failed > 0 {
        return Some(Stop::Failure);
    }
    let reached = control
        .max_failures
        .is_some_and(|most| most.reached(counts));
    reached.then_some(Stop::MaxFailures)
}

/// The id of a run of a backfill.
pub fn run_id(backfill: &str, run: u64) -> String {
    format!("{backfill}.{run}")
}

/// The backfill and the number in a run's id.
pub fn parse_run_id(id: &str) -> Option<(&str, u64)> {
    let (backfill, run) = id.rsplit_once('.')?;
    Some((
        backfill,
        run.parse()
            .ok()
            .filter(|number: &u64| number.to_string() == run)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_leads_back_to_its_backfill_and_number() {
        assert_eq!(parse_run_id(&run_id("a.b", 17)), Some(("a.b", 17)));
        assert_eq!(parse_run_id("a.017"), None);
        assert_eq!(parse_run_id("a"), None);
    }
}
