//! How values are stored, in each database alike: requests, plans, runs in flight and statuses.

use super::queries::scope::Scopes;
use crate::backfill::{Left, Report, ReportKind, Request, Status};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::plan::{Plan, Strategy, codec};
use crate::space::Selection;

/// A request and its plan as they are stored. They are encoded before the transaction begins.
pub(super) struct EncodedBackfill {
    /// JSON text.
    pub(super) request: String,
    /// The plan's space, which backfills of the same partitions share.
    pub(super) space: Vec<u8>,
    pub(super) plan: Vec<u8>,
    /// What it may overrule when it has ended.
    pub(super) scopes: Scopes,
}

impl EncodedBackfill {
    pub(super) fn new(request: &Request, plan: &Plan) -> Result<Self> {
        let space = codec::encode_space(plan.selection().space())?;
        let encoded = codec::encode_plan(plan)?;
        Ok(Self {
            request: encode_request(request)?,
            scopes: Scopes::new(plan, &space, &encoded),
            space,
            plan: encoded,
        })
    }
}

/// The partitions of a report as they are stored: a plan of one run.
pub(super) struct EncodedReport {
    pub(super) space: Vec<u8>,
    pub(super) partitions: Vec<u8>,
}

impl EncodedReport {
    pub(super) fn new(report: &Report) -> Result<Self> {
        let plan = Plan::new(report.selection.clone(), Strategy::SingleRun)?;
        Ok(Self {
            space: codec::encode_space(report.selection.space())?,
            partitions: codec::encode_plan(&plan)?,
        })
    }
}

/// The version of what `encode_left` writes, in its first byte.
const LEFT_VERSION: u8 = 1;

/// What an attempt of a run leaves to the next, as it is stored.
pub(super) fn encode_left(left: &Left) -> Result<Vec<u8>> {
    postcard::to_extend(left, vec![LEFT_VERSION])
        .map_err(|error| Error::Execution(format!("an attempt cannot be stored: {error}")))
}

pub(super) fn decode_left(bytes: &[u8]) -> Result<Left> {
    let damaged =
        |why: &str| Error::Execution(format!("the record of an attempt is damaged: {why}"));
    match bytes.split_first() {
        Some((&LEFT_VERSION, body)) => {
            postcard::from_bytes(body).map_err(|error| damaged(&error.to_string()))
        }
        _ => Err(damaged("its version is unknown")),
    }
}

pub(super) fn decode_selection(space: &[u8], partitions: &[u8]) -> Result<Selection> {
    let plan = decode_plan(space, partitions)?;
    Ok(Selection::clone(plan.selection()))
}

/// The number of a kind of report in the storage.
pub(super) fn report_kind_code(kind: ReportKind) -> i64 {
    match kind {
        ReportKind::Materialized => 0,
        ReportKind::Forgotten => 1,
    }
}

/// The kind of report with this number.
pub(super) fn report_kind(code: i64) -> Result<ReportKind> {
    match code {
        0 => Ok(ReportKind::Materialized),
        1 => Ok(ReportKind::Forgotten),
        _ => Err(Error::Execution(format!(
            "a stored report is damaged: there is no kind {code}"
        ))),
    }
}

pub(super) fn encode_request(request: &Request) -> Result<String> {
    request.to_json()
}

pub(super) fn decode_request(text: &str) -> Result<Request> {
    serde_json::from_str(text)
        .map_err(|error| Error::Execution(format!("the stored request is damaged: {error}")))
}

pub(super) fn decode_plan(space: &[u8], plan: &[u8]) -> Result<Plan> {
    codec::decode_plan(codec::decode_space(space)?, plan)
}

pub(super) fn encode_in_flight(runs: &[(u64, Micros)]) -> Result<Vec<u8>> {
    postcard::to_stdvec(runs)
        .map_err(|error| Error::Execution(format!("the runs in flight cannot be stored: {error}")))
}

pub(super) fn decode_in_flight(bytes: &[u8]) -> Result<Vec<(u64, Micros)>> {
    postcard::from_bytes(bytes).map_err(|error| {
        Error::Execution(format!("the stored runs in flight are damaged: {error}"))
    })
}

/// The number of a status in the storage.
pub(super) fn status_code(status: Status) -> i64 {
    match status {
        Status::InProgress => 0,
        Status::Completed => 1,
        Status::Failed => 2,
        Status::Canceled => 3,
    }
}

/// The status with this number.
pub(super) fn status_from(code: i64) -> Option<Status> {
    [
        Status::InProgress,
        Status::Completed,
        Status::Failed,
        Status::Canceled,
    ]
    .into_iter()
    .find(|&status| status_code(status) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_read_from_its_number() {
        for status in [
            Status::InProgress,
            Status::Completed,
            Status::Failed,
            Status::Canceled,
        ] {
            assert_eq!(status_from(status_code(status)), Some(status));
        }
        assert_eq!(status_from(4), None);
    }
}
