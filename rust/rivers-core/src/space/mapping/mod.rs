//! Partition mappings: which partitions of an upstream a partition needs, as a relation between two
//! spaces.
//!
//! A mapping relates one dimension at a time (`Link`). Unless one dimension determines several, the image
//! of a product is therefore a product, and costs at most one look at each key of each dimension;
//! between time grids it is arithmetic.
//! Only explicit keys are mapped one by one.

mod dimension_link;
mod image;
mod key_image;
mod kind;
mod names;
mod same_keys;
mod same_keys_check;
mod selector;
mod several;
mod stored;
mod time_image;

use std::sync::Arc;

pub use kind::Mapping;
pub use names::Names;
pub use selector::{Selector, Selectors};

use super::definition::{Definition, Dimension};
use super::product::Space;
use super::selection::Selection;
use crate::error::{Error, Result};
use dimension_link::{Link, Shape};

impl Mapping {
    /// The partitions of `upstream` that the partitions of a downstream need: the union of what each
    /// needs, limited to what the upstream has. Ascending, except under `Identity`.
    ///
    /// # Errors
    /// `PartitionValidation` where `check` would have refused the mapping, or where the upstream
    /// lacks a key under `Identity`.
    pub fn upstream(&self, of: &Selection, upstream: &Arc<Space>) -> Result<Selection> {
        if of.is_empty() {
            return Ok(Selection::empty(upstream));
        }
        if *self == Self::Identity {
            return of.upstream(upstream);
        }
        if let Self::ForKeys(selectors) = self {
            return Ok(match selectors.name_any_of(of) {
                true => Selection::all(Arc::clone(upstream)),
                false => Selection::empty(upstream),
            });
        }
        let links = self.links_of(of.space(), upstream)?;
        image::image(&links, of, upstream)
    }

    /// The partitions of `downstream` that need at least one of these upstream partitions, ascending.
    ///
    /// # Errors
    /// `PartitionValidation` where `check` would have refused the mapping.
    pub fn downstream(&self, of: &Selection, downstream: &Arc<Space>) -> Result<Selection> {
        if let Self::ForKeys(selectors) = self {
            return Ok(match of.is_empty() {
                true => Selection::empty(downstream),
                false => selectors.select(downstream),
            });
        }
        let links = self.links_of(downstream, of.space())?;
        image::preimage(&links, of, downstream)
    }

    /// Checks that the mapping can relate two definitions; `None` is an asset without partitions.
    ///
    /// # Errors
    /// The reason for the refusal, as the end of a sentence; it calls the assets by these names.
    pub fn check(
        &self,
        downstream: Option<&Definition>,
        upstream: Option<&Definition>,
        names: Names<'_>,
    ) -> Result<(), String> {
        fn dimensions(definition: Option<&Definition>) -> Vec<(&str, &Dimension)> {
            definition.map_or_else(Vec::new, Definition::dimensions)
        }
        if let Self::ForKeys(selectors) = self {
            return match (downstream, upstream) {
                (_, Some(_)) => Err(format!(
                    "for_keys relates an upstream without partitions to some partitions, and {} has \
                     partitions; use static_ or subset",
                    names.up
                )),
                (None, None) => Err(format!(
                    "for_keys chooses partitions of {}, which has none",
                    names.down
                )),
                (Some(downstream), None) => selectors.check(downstream),
            };
        }
        let (down, up) = (dimensions(downstream), dimensions(upstream));
        let shape = |dims: &[(&str, &Dimension)]| -> Vec<Shape> {
            let shape = |(name, dim): &(&str, &Dimension)| Shape {
                name: (*name).to_owned(),
                time: matches!(dim, Dimension::Time(_)),
            };
            dims.iter().map(shape).collect()
        };
        let links = dimension_link::links(self, &shape(&down), &shape(&up), names)?;
        for link in &links {
            let own = link.down.map(|at| down[at].1);
            link.check(own, up[link.up].1, up[link.up].0)?;
        }
        Ok(())
    }

    fn links_of(&self, down: &Space, up: &Space) -> Result<Vec<Link<'_>>> {
        let shape = |space: &Space| -> Vec<Shape> { space.dims().iter().map(Shape::of).collect() };
        let names = Names {
            down: "the downstream",
            up: "the upstream",
        };
        dimension_link::links(self, &shape(down), &shape(up), names)
            .map_err(Error::PartitionValidation)
    }
}
