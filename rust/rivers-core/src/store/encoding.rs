//! How values are stored, in each database alike: requests, plans, runs in flight and statuses.

use crate::backfill::{Request, Status};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::plan::{Plan, codec};

/// A request and its plan as they are stored. They are encoded before the transaction begins.
pub(super) struct EncodedBackfill {
    /// JSON text.
    pub(super) request: String,
    /// The plan's space, which backfills of the same partitions share.
    pub(super) space: Vec<u8>,
    pub(super) plan: Vec<u8>,
}

impl EncodedBackfill {
    pub(super) fn new(request: &Request, plan: &Plan) -> Result<Self> {
        Ok(Self {
            request: encode_request(request)?,
            space: codec::encode_space(plan.selection().space())?,
            plan: codec::encode_plan(plan)?,
        })
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
