//! Encodes plans as bytes that can be decoded without the current definitions: space, members,
//! strategy.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Link, Plan, Strategy};
use crate::error::{Error, Result};
use crate::space::{Members, Nesting, Selection, Space};

/// First byte of an encoded space, and of a plan with one layer; an unknown first byte is refused.
const VERSION: u8 = 1;
/// First byte of a plan over a product whose order differs from the definition's.
const ARRANGED: u8 = 2;
/// First byte of a plan with several layers.
const LAYERS: u8 = 3;
/// First byte of a plan whose assets are already materialized for some partitions; the plan without that
/// follows as bytes.
const MATERIALIZED: u8 = 4;

/// The stored form of what is already materialized: the partitions by asset, and the plan.
type StoredMaterialized<'a> = (Vec<(u32, Members)>, Cow<'a, [u8]>);

/// The stored form of a layer: its space (omitted for the first), members, order, strategy and
/// assets.
type StoredLayer = (Option<Space>, Members, Option<Nesting>, Strategy, Vec<u32>);

/// Encodes a space.
///
/// # Errors
/// `Execution` when it cannot be encoded.
pub fn encode_space(space: &Space) -> Result<Vec<u8>> {
    encode(VERSION, space)
}

/// Decodes a space.
///
/// # Errors
/// `Execution` when the bytes are damaged or of a newer version.
pub fn decode_space(bytes: &[u8]) -> Result<Arc<Space>> {
    decode::<Space>(VERSION, bytes).map(Arc::new)
}

/// Encodes a plan without the space of its first layer, which backfills of one definition share.
///
/// # Errors
/// `Execution` when it cannot be encoded.
pub fn encode_plan(plan: &Plan) -> Result<Vec<u8>> {
    let bytes = encode_runs(plan)?;
    if !plan.has_materialized() {
        return Ok(bytes);
    }
    let members = |(asset, done): &(u32, Selection)| (*asset, done.members().clone());
    let materialized = plan.materialized.iter().map(members).collect();
    let stored: StoredMaterialized<'_> = (materialized, Cow::Owned(bytes));
    encode(MATERIALIZED, &stored)
}

fn encode_runs(plan: &Plan) -> Result<Vec<u8>> {
    let nesting = |selection: &Selection| selection.is_arranged().then(|| selection.nesting());
    if plan.assets.is_empty() {
        let (members, strategy) = (plan.selection().members(), plan.strategy());
        return match nesting(plan.selection()) {
            Some(nesting) => encode(ARRANGED, &(members, strategy, nesting)),
            None => encode(VERSION, &(members, strategy)),
        };
    }
    let first = plan.selection().space();
    let layers = plan.layers.iter().zip(&plan.assets).map(|(layer, assets)| {
        let selection = layer.selection();
        let own = (selection.space() != first).then(|| Space::clone(selection.space()));
        (
            own,
            selection.members().clone(),
            nesting(selection),
            layer.strategy().clone(),
            assets.clone(),
        )
    });
    let layers: Vec<StoredLayer> = layers.collect();
    encode(LAYERS, &(layers, &plan.links))
}

/// Decodes a plan, given the space of its first layer.
///
/// # Errors
/// `Execution` when the bytes are damaged, of a newer version, or belong to another space.
pub fn decode_plan(space: Arc<Space>, bytes: &[u8]) -> Result<Plan> {
    match bytes.first() {
        Some(&MATERIALIZED) => decode_materialized(&space, bytes),
        Some(&LAYERS) => decode_layers(&space, bytes),
        Some(&ARRANGED) => {
            let (members, strategy, nesting) = decode(ARRANGED, bytes)?;
            Plan::new(fitting(space, members, Some(nesting))?, strategy)
        }
        _ => {
            let (members, strategy) = decode(VERSION, bytes)?;
            Plan::new(fitting(space, members, None)?, strategy)
        }
    }
}

fn decode_materialized(space: &Arc<Space>, bytes: &[u8]) -> Result<Plan> {
    let (materialized, runs): StoredMaterialized<'_> = decode(MATERIALIZED, bytes)?;
    if runs.first() == Some(&MATERIALIZED) {
        return Err(damaged("it says twice what is materialized"));
    }
    let plan = decode_plan(Arc::clone(space), &runs)?;
    let selection = |(asset, members)| {
        let layer = plan.layer_with(asset);
        let space = plan.layers[layer].selection().space();
        Ok((asset, fitting(Arc::clone(space), members, None)?))
    };
    let materialized: Vec<_> = materialized
        .into_iter()
        .map(selection)
        .collect::<Result<_>>()?;
    Ok(plan.with_materialized(materialized))
}

fn decode_layers(space: &Arc<Space>, bytes: &[u8]) -> Result<Plan> {
    let (layers, links): (Vec<StoredLayer>, Vec<Link>) = decode(LAYERS, bytes)?;
    let linked = |link: &Link| {
        link.up <= link.down
            && link.down < layers.len()
            && layers[link.up].4.contains(&link.asset)
            && link.mapping.clone().checked().is_ok()
    };
    if layers.is_empty() || !links.iter().all(linked) {
        return Err(damaged("its layers do not belong together"));
    }
    let read = |(own, members, nesting, strategy, assets): StoredLayer| {
        let own = own.map_or_else(|| Arc::clone(space), Arc::new);
        Ok((fitting(own, members, nesting)?, strategy, assets))
    };
    let layers: Vec<_> = layers.into_iter().map(read).collect::<Result<_>>()?;
    Plan::in_layers(layers, links)
}

/// Builds a selection, if the space has these members and the order has the space's dimensions.
fn fitting(space: Arc<Space>, members: Members, nesting: Option<Nesting>) -> Result<Selection> {
    if !fits(&members, &space) {
        return Err(damaged("it has partitions that its space does not have"));
    }
    let arranges = |nesting: &Nesting| {
        matches!(members, Members::Product(_)) && nesting.fits(space.dims().len())
    };
    if nesting.as_ref().is_some_and(|nesting| !arranges(nesting)) {
        return Err(damaged("it has an order of other dimensions"));
    }
    let selection = Selection::new(space, members);
    match nesting {
        Some(nesting) => selection.arranged(&nesting),
        None => Ok(selection),
    }
}

/// Whether all members are within the space.
fn fits(members: &Members, space: &Space) -> bool {
    match members {
        Members::Product(sets) => {
            sets.len() == space.dims().len()
                && sets
                    .iter()
                    .zip(space.dims())
                    .all(|(set, dim)| set.is_empty() || set.nth(set.len() - 1) < dim.axis.len())
        }
        Members::Explicit(set) => set.set().max().is_none_or(|last| last < space.len()),
        Members::One(one) => *one < space.len(),
    }
}

fn encode<T: serde::Serialize>(version: u8, value: &T) -> Result<Vec<u8>> {
    postcard::to_extend(value, vec![version]).map_err(|error| damaged(&error.to_string()))
}

fn decode<T: serde::de::DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&own, body)) if own == version => {
            postcard::from_bytes(body).map_err(|error| damaged(&error.to_string()))
        }
        Some((other, _)) => Err(damaged(&format!(
            "it has version {other}, this rivers reads version {version}"
        ))),
        None => Err(damaged("it is empty")),
    }
}

fn damaged(reason: &str) -> Error {
    Error::Execution(format!(
        "the stored plan of a backfill cannot be read: {reason}"
    ))
}
