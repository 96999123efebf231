//! A plan as bytes that can be read without today's definitions: the space, the members, the strategy.

use std::sync::Arc;

use super::{Plan, Strategy};
use crate::error::{Error, Result};
use crate::space::{Members, Nesting, Selection, Space};

/// First byte of every encoded space and plan; a reader refuses what it does not know.
const VERSION: u8 = 1;
/// First byte of a plan whose product is gone through in another order than the definition's.
const ARRANGED: u8 = 2;

/// A space as bytes.
///
/// # Errors
/// `Execution` when it cannot be encoded.
pub fn encode_space(space: &Space) -> Result<Vec<u8>> {
    encode(space)
}

/// A space from bytes.
///
/// # Errors
/// `Execution` when the bytes are damaged or of a newer version.
pub fn decode_space(bytes: &[u8]) -> Result<Arc<Space>> {
    decode::<Space>(bytes).map(Arc::new)
}

/// A plan's members and strategy as bytes; its space is encoded apart, so that backfills of one
/// definition share it.
///
/// # Errors
/// `Execution` when it cannot be encoded.
pub fn encode_plan(plan: &Plan) -> Result<Vec<u8>> {
    let (members, strategy) = (plan.selection.members(), &plan.strategy);
    if plan.selection.is_arranged() {
        return encode_as(ARRANGED, &(members, strategy, plan.selection.nesting()));
    }
    encode(&(members, strategy))
}

/// A plan from bytes, over its space.
///
/// # Errors
/// `Execution` when the bytes are damaged, of a newer version, or of another space.
pub fn decode_plan(space: Arc<Space>, bytes: &[u8]) -> Result<Plan> {
    let (members, strategy, nesting): (Members, Strategy, Option<Nesting>) = match bytes.first() {
        Some(&ARRANGED) => {
            let (members, strategy, nesting): (_, _, Nesting) = decode_as(ARRANGED, bytes)?;
            let fits = matches!(members, Members::Product(_)) && nesting.fits(space.dims().len());
            if !fits {
                return Err(damaged("it has an order of other dimensions"));
            }
            (members, strategy, Some(nesting))
        }
        _ => {
            let (members, strategy) = decode(bytes)?;
            (members, strategy, None)
        }
    };
    let fits = match &members {
        Members::Product(sets) => {
            sets.len() == space.dims().len()
                && sets
                    .iter()
                    .zip(space.dims())
                    .all(|(set, dim)| set.is_empty() || set.nth(set.len() - 1) < dim.axis.len())
        }
        Members::Explicit(set) => set.set().max().is_none_or(|last| last < space.len()),
        Members::One(one) => *one < space.len(),
    };
    if !fits {
        return Err(damaged("it has partitions that its space does not have"));
    }
    let selection = Selection::new(space, members);
    match nesting {
        Some(nesting) => Plan::new(selection.arranged(&nesting)?, strategy),
        None => Plan::new(selection, strategy),
    }
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    encode_as(VERSION, value)
}

fn encode_as<T: serde::Serialize>(version: u8, value: &T) -> Result<Vec<u8>> {
    postcard::to_extend(value, vec![version]).map_err(|error| damaged(&error.to_string()))
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    decode_as(VERSION, bytes)
}

fn decode_as<T: serde::de::DeserializeOwned>(wanted: u8, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&version, body)) if version == wanted => {
            postcard::from_bytes(body).map_err(|error| damaged(&error.to_string()))
        }
        Some((version, _)) => Err(damaged(&format!(
            "it has version {version}, this rivers reads version {VERSION}"
        ))),
        None => Err(damaged("it is empty")),
    }
}

fn damaged(reason: &str) -> Error {
    Error::Execution(format!(
        "the stored plan of a backfill cannot be read: {reason}"
    ))
}
