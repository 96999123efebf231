//! The outcomes of a remote worker's runs as bytes: a handful for each run that simply succeeded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backfill::RunEnd;
use crate::clock::{Micros, SECOND};
use crate::error::{Error, Result};

/// Number of bytes of texts after which a worker reports, so that a report stays a small message.
const MAX_TEXT_BYTES: usize = 32_768;
/// Clocks that differ by more than this are of different machines: a report never takes as long.
const MAX_CLOCK_DIFFERENCE: Micros = SECOND;

#[derive(Serialize, Deserialize)]
enum End {
    /// A run that succeeded, with nothing else to say.
    Plain {
        /// Its number, after the one that is expected behind the run before it.
        ahead: i64,
        /// When it began, after the end of the run before it.
        gap: Micros,
        duration: Micros,
        partitions: u64,
    },
    Other(RunEnd),
}

/// What a worker has to report: its outcomes are encoded as they come, and not kept.
pub(super) struct Report {
    /// The outcomes, one after another.
    ends: postcard::Result<Vec<u8>>,
    num_ends: usize,
    /// The number that is expected next, and when the last run ended.
    last: (u64, Micros),
    text_bytes: usize,
}

impl Report {
    /// A report of nothing.
    pub(super) fn new() -> Self {
        Self {
            ends: Ok(Vec::new()),
            num_ends: 0,
            last: (0, 0),
            text_bytes: 0,
        }
    }

    /// Adds an outcome.
    pub(super) fn add(&mut self, end: RunEnd) {
        let (expected, since) = std::mem::replace(&mut self.last, (end.run + 1, end.ended_at));
        let is_plain = end.failed == 0
            && end.failures.is_empty()
            && end.skips.is_empty()
            && end.retry.is_none()
            && end.metadata.is_empty();
        let end = if is_plain {
            End::Plain {
                ahead: end.run.wrapping_sub(expected).cast_signed(),
                gap: end.started_at - since,
                duration: end.ended_at - end.started_at,
                partitions: end.partitions,
            }
        } else {
            self.text_bytes += text_bytes(&end);
            End::Other(end)
        };
        let ends = std::mem::replace(&mut self.ends, Ok(Vec::new()));
        self.ends = ends.and_then(|ends| postcard::to_extend(&end, ends));
        self.num_ends += 1;
    }

    /// Whether its texts are so long that it should be sent.
    pub(super) fn is_large(&self) -> bool {
        self.text_bytes > MAX_TEXT_BYTES
    }

    /// Its bytes, at `now` by the worker's clock.
    ///
    /// # Errors
    /// `Execution` if an outcome could not be encoded.
    pub(super) fn encode(&self, now: Micros) -> Result<Vec<u8>> {
        let ends = self
            .ends
            .as_ref()
            .map_err(|error| unreadable(error.clone()))?;
        let head = postcard::to_stdvec(&(now, self.num_ends)).map_err(unreadable)?;
        Ok([&head, &ends[..]].concat())
    }
}

/// Decodes outcomes on the engine's side. Times of a machine whose clock differs are translated.
pub(super) fn decode(report: &[u8], now: Micros) -> Result<Vec<RunEnd>> {
    let ((reported_at, num_ends), mut rest): ((Micros, usize), _) =
        postcard::take_from_bytes(report).map_err(unreadable)?;
    let difference = now - reported_at;
    let shift = if difference.abs() > MAX_CLOCK_DIFFERENCE {
        difference
    } else {
        0
    };
    let (mut expected, mut since): (u64, Micros) = (0, 0);
    // An outcome takes at least four bytes: a number that was damaged allocates nothing large.
    let mut ends = Vec::with_capacity(num_ends.min(rest.len() / 4));
    for _ in 0..num_ends {
        let (end, after) = postcard::take_from_bytes(rest).map_err(unreadable)?;
        rest = after;
        let mut end = match end {
            End::Other(end) => end,
            End::Plain {
                ahead,
                gap,
                duration,
                partitions,
            } => {
                let started_at = since + gap;
                let run = expected.wrapping_add_signed(ahead);
                RunEnd::plain(run, started_at, started_at + duration, partitions)
            }
        };
        (expected, since) = (end.run + 1, end.ended_at);
        end.started_at += shift;
        end.ended_at += shift;
        if let Some(retry) = &mut end.retry {
            retry.due_at += shift;
            if let Some(left) = &mut retry.left {
                let left = Arc::make_mut(left);
                left.started_at += shift;
                left.ended_at += shift;
            }
        }
        ends.push(end);
    }
    Ok(ends)
}

/// Number of bytes of the texts of an outcome.
fn text_bytes(end: &RunEnd) -> usize {
    let causes = end
        .failures
        .iter()
        .filter_map(|failure| failure.cause.as_ref());
    let skips = end.skips.iter().map(|skip| &skip.reason);
    let retried = end.retry.iter().flat_map(|retry| &retry.causes);
    let texts = causes
        .chain(skips)
        .chain(retried.map(|(_, cause)| cause))
        .map(|cause| cause.message.len() + cause.traceback.as_ref().map_or(0, String::len));
    let facts = end.metadata.iter().map(|facts| facts.body.len());
    texts.chain(facts).sum()
}

/// The engine and a worker cannot read each other's messages.
pub(super) fn unreadable(error: postcard::Error) -> Error {
    Error::Execution(format!(
        "a worker process and its parent do not understand each other: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(run: u64, started_at: Micros) -> RunEnd {
        RunEnd::plain(run, started_at, started_at + 3, 1)
    }

    fn encode(ends: &[RunEnd], now: Micros) -> Vec<u8> {
        let mut report = Report::new();
        for end in ends {
            report.add(end.clone());
        }
        report.encode(now).expect("encodes")
    }

    #[test]
    fn outcomes_survive_and_are_small() {
        let now = 1_700_000_000_000_000;
        let mut ends: Vec<RunEnd> = (0..8_192_u64)
            .map(|n| end(n + 5, now + n.cast_signed()))
            .collect();
        ends[7].failed = 1;
        let report = encode(&ends, now + 9_000);
        assert!(report.len() < 50_000, "{} bytes", report.len());
        assert_eq!(decode(&report, now + 9_500).expect("decodes"), ends);
    }

    #[test]
    fn the_times_of_a_machine_with_another_clock_are_translated() {
        let report = encode(&[end(1, 100)], 110);
        let decoded = decode(&report, 110 + 60 * SECOND).expect("decodes");
        assert_eq!(decoded[0].started_at, 100 + 60 * SECOND);
    }
}
