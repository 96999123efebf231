//! What a user asked for: the request of a backfill, and the ids of its runs.

use super::progress::Counts;
use super::requested_asset::RequestedAsset;
use super::session::{Session, session_at};
use super::stop_rules::{Control, MaxFailures, Stop};
use crate::clock::Micros;
use crate::error::{Error, Result};

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// A backfill.
    Backfill,
    /// A single run, started by hand.
    Manual,
}

/// What a failed partition means for the rest of the backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FailurePolicy {
    /// Go on.
    Continue,
    /// Start no further runs.
    StopOnFailure,
}

/// What a user requested, fixed at submission. The plan holds the partitions.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// The backfill's id: unique, and sorted by time.
    pub id: String,
    /// The kind of the request.
    pub kind: Kind,
    /// The assets, in the order in which a run executes them.
    pub assets: Vec<RequestedAsset>,
    /// What to do after a failure.
    pub failure_policy: FailurePolicy,
    /// Maximum number of runs in flight.
    pub max_concurrency: u32,
    /// Priority in the queue: higher goes first.
    pub priority: i64,
    /// The tags of each run.
    pub tags: Vec<(String, String)>,
    /// The configuration of the assets, as JSON.
    pub config: Option<String>,
    /// The retry policy as JSON, if the request has one of its own.
    #[serde(default)]
    pub retry: Option<String>,
    /// What only the caller reads, as JSON: the module of the assets, and whom to notify of the end.
    #[serde(default)]
    pub launch: Option<String>,
    /// Who is notified of its end, by names that the caller gives. Recorded beside the request, in the same
    /// transaction, since each is removed when it was notified.
    #[serde(default)]
    pub notified: Vec<String>,
    /// When it was submitted.
    pub created_at: Micros,
    /// Limits beyond concurrency and failure policy.
    #[serde(default)]
    pub control: Control,
    /// Which processes ran it, in order of time.
    #[serde(default)]
    pub sessions: Vec<Session>,
}

/// The name under which the dynamic keys of a storage hold what is still to be notified.
pub const NOTIFICATIONS: &str = "rivers/notifications";

/// The tag that holds the priority.
pub const PRIORITY_TAG: &str = "rivers/priority";

/// What can be changed while a request is executed; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Maximum number of runs in flight.
    pub max_concurrency: Option<u32>,
    /// Priority in the queue.
    pub priority: Option<i64>,
    /// The failures at which the backfill stops.
    pub max_failures: Option<MaxFailures>,
    /// A process that continues it.
    pub session: Option<Session>,
}

impl Request {
    /// Reads a request from JSON that has every field but `id` and `created_at`.
    pub fn from_json(text: &str, id: String, created_at: Micros) -> Result<Self> {
        let refused = |error| Error::Execution(format!("the request cannot be submitted: {error}"));
        let mut fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(refused)?;
        fields.insert("id".to_owned(), id.into());
        fields.insert("created_at".to_owned(), created_at.into());
        serde_json::from_value(fields.into()).map_err(refused)
    }

    /// The request as it is stored: JSON with every field, without whom to notify.
    pub fn to_json(&self) -> Result<String> {
        let stored = Self {
            notified: Vec::new(),
            ..self.clone()
        };
        serde_json::to_string(&stored)
            .map_err(|error| Error::Execution(format!("the request cannot be stored: {error}")))
    }

    /// Applies a change; a tag that holds the priority changes with it.
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
        self.sessions.extend(change.session.clone());
    }

    /// The session in which a run started; `None` if an earlier version recorded the request.
    pub fn session_of(&self, started_at: Micros) -> Option<&Session> {
        self.sessions.get(session_at(&self.sessions, started_at))
    }

    /// An asset as it was declared in a session.
    pub fn asset_in<'a>(&'a self, session: Option<&'a Session>, asset: u32) -> &'a RequestedAsset {
        let then = session.and_then(|session| session.assets.get(asset as usize));
        then.unwrap_or(&self.assets[asset as usize])
    }

    /// Why no further runs start when `counts` have ended; `None`: they do.
    pub fn stop_at(&self, counts: &Counts) -> Option<Stop> {
        stop_at(self.failure_policy, &self.control, counts)
    }

    /// The index of an asset by name, if it has the request's partitions.
    pub fn partitioned_asset(&self, name: &str) -> Option<u32> {
        self.asset_index(name, true)
    }

    /// The index of an asset by name, if it has the request's partitions (`partitioned`) or has none.
    pub fn asset_index(&self, name: &str, partitioned: bool) -> Option<u32> {
        let fits = |asset: &RequestedAsset| asset.name == name && asset.partitioned == partitioned;
        let place = self.assets.iter().position(fits)?;
        Some(place as u32)
    }

    /// The dynamic keys, under [`NOTIFICATIONS`], that say who is to be notified of its end.
    pub fn notification_keys(&self) -> Vec<String> {
        let key = |receiver: &String| format!("{}#{receiver}", self.id);
        self.notified.iter().map(key).collect()
    }

    /// The id of a run. It follows from the backfill's id and is stored nowhere.
    pub fn run_id(&self, run: u64) -> String {
        run_id(&self.id, run)
    }
}

/// Why failures stop a backfill; `None`: they do not.
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

/// The backfill's id and the run's number in the id of a run.
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
