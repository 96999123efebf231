//! The outcomes of a remote worker's runs as bytes: a handful for each run that simply succeeded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backfill::RunEnd;
use crate::clock::{Micros, SECOND};
use crate::error::{Error, Result};

/// Number of bytes of texts after which a worker reports, so that a report stays a small message.
pub(super) const MAX_TEXT_BYTES: usize = 32_768;
/// Clocks that differ by more than this are of different machines: a report never takes as long.
const MAX_CLOCK_DIFFERENCE: Micros = SECOND;

#[derive(Serialize, Deserialize)]
struct Report {
    /// The worker's clock when it reported.
    now: Micros,
    ends: Vec<End>,
}

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

/// Encodes outcomes on the worker's side.
pub(super) fn encode(ends: &[RunEnd], now: Micros) -> Result<Vec<u8>> {
    let mut last = (0, 0);
    let ends = ends.iter().map(|end| {
        let (expected, since): (u64, Micros) =
            std::mem::replace(&mut last, (end.run + 1, end.ended_at));
        let is_plain = end.failed == 0
            && end.failures.is_empty()
            && end.skips.is_empty()
            && end.retry.is_none()
            && end.metadata.is_empty();
        if !is_plain {
            return End::Other(end.clone());
        }
        End::Plain {
            ahead: end.run.wrapping_sub(expected).cast_signed(),
            gap: end.started_at - since,
            duration: end.ended_at - end.started_at,
            partitions: end.partitions,
        }
    });
    let report = Report {
        now,
        ends: ends.collect(),
    };
    postcard::to_stdvec(&report).map_err(unreadable)
}

/// Decodes outcomes on the engine's side. Times of a machine whose clock differs are translated.
pub(super) fn decode(report: &[u8], now: Micros) -> Result<Vec<RunEnd>> {
    let report: Report = postcard::from_bytes(report).map_err(unreadable)?;
    let difference = now - report.now;
    let shift = if difference.abs() > MAX_CLOCK_DIFFERENCE {
        difference
    } else {
        0
    };
    let mut last = (0, 0);
    let ends = report.ends.into_iter().map(|end| {
        let (expected, since): (u64, Micros) = last;
        let end = match end {
            End::Other(end) => end,
            End::Plain {
                ahead,
                gap,
                duration,
                partitions,
            } => RunEnd {
                run: expected.wrapping_add_signed(ahead),
                started_at: since + gap,
                ended_at: since + gap + duration,
                partitions,
                failed: 0,
                failures: Vec::new(),
                skips: Vec::new(),
                retry: None,
                metadata: Vec::new(),
            },
        };
        last = (end.run + 1, end.ended_at);
        end
    });
    let mut ends: Vec<RunEnd> = ends.collect();
    for end in &mut ends {
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
    }
    Ok(ends)
}

/// Number of bytes of the texts of an outcome.
pub(super) fn text_bytes(end: &RunEnd) -> usize {
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
        RunEnd {
            run,
            started_at,
            ended_at: started_at + 3,
            partitions: 1,
            failed: 0,
            failures: Vec::new(),
            skips: Vec::new(),
            retry: None,
            metadata: Vec::new(),
        }
    }

    #[test]
    fn outcomes_survive_and_are_small() {
        let now = 1_700_000_000_000_000;
        let mut ends: Vec<RunEnd> = (0..8_192_u64)
            .map(|n| end(n + 5, now + n.cast_signed()))
            .collect();
        ends[7].failed = 1;
        let report = encode(&ends, now + 9_000).expect("encodes");
        assert!(report.len() < 50_000, "{} bytes", report.len());
        assert_eq!(decode(&report, now + 9_500).expect("decodes"), ends);
    }

    #[test]
    fn the_times_of_a_machine_with_another_clock_are_translated() {
        let report = encode(&[end(1, 100)], 110).expect("encodes");
        let decoded = decode(&report, 110 + 60 * SECOND).expect("decodes");
        assert_eq!(decoded[0].started_at, 100 + 60 * SECOND);
    }
}
