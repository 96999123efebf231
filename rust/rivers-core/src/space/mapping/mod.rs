//! Which partitions of an upstream a partition needs: a relation between two spaces, and its images.
//!
//! Whatever a mapping says, it says of one dimension at a time (`Link`). So the image of a product is
//! a product, and costs at most a look at each key of each dimension; between time grids it is
//! arithmetic. Only what names single partitions is gone through, once for each.

mod dimension_link;
mod image;
mod key_image;
mod kind;
mod same_keys;
mod time_image;

use std::sync::Arc;

pub use kind::Mapping;

use super::definition::{Definition, Dimension};
use super::product::Space;
use super::selection::Selection;
use crate::error::{Error, Result};
use dimension_link::{Link, Shape};

impl Mapping {
    /// The partitions of `upstream` that those of a downstream need: the union over each of them. What
    /// lies outside the upstream is not among them. Ascending, but for `Identity`.
    ///
    /// # Errors
    /// `PartitionValidation` where `check` would have refused the mapping, or `Identity` meets a key
    /// that the upstream does not have.
    pub fn upstream(&self, of: &Selection, upstream: &Arc<Space>) -> Result<Selection> {
        if of.is_empty() {
            return Ok(Selection::empty(upstream));
        }
        if *self == Self::Identity {
            return of.upstream(upstream);
        }
        let links = self.links_of(of.space(), upstream)?;
        image::image(&links, of, upstream)
    }

    /// The partitions of `downstream` that need at least one of these of an upstream. Ascending.
    ///
    /// # Errors
    /// `PartitionValidation` where `check` would have refused the mapping.
    pub fn downstream(&self, of: &Selection, downstream: &Arc<Space>) -> Result<Selection> {
        let links = self.links_of(downstream, of.space())?;
        image::preimage(&links, of, downstream)
    }

    /// Whether it can relate the two definitions; `None` is that of something unpartitioned.
    ///
    /// # Errors
    /// The reason, as the end of a sentence.
    pub fn check(
        &self,
        downstream: Option<&Definition>,
        upstream: Option<&Definition>,
    ) -> Result<(), String> {
        fn dimensions(definition: Option<&Definition>) -> Vec<(&str, &Dimension)> {
            definition.map_or_else(Vec::new, Definition::dimensions)
        }
        let (down, up) = (dimensions(downstream), dimensions(upstream));
        let shape = |dims: &[(&str, &Dimension)]| -> Vec<Shape> {
            let shape = |(name, dim): &(&str, &Dimension)| Shape {
                name: (*name).to_owned(),
                time: matches!(dim, Dimension::Time(_)),
            };
            dims.iter().map(shape).collect()
        };
        let links = dimension_link::links(self, &shape(&down), &shape(&up))?;
        let named = matches!(downstream, Some(Definition::Multi(_)))
            && matches!(upstream, Some(Definition::Multi(_)));
        for link in &links {
            let own = link.down.map(|at| down[at].1);
            link.check(own, up[link.up].1, named)?;
        }
        Ok(())
    }

    fn links_of(&self, down: &Space, up: &Space) -> Result<Vec<Link<'_>>> {
        let shape = |space: &Space| -> Vec<Shape> { space.dims().iter().map(Shape::of).collect() };
        dimension_link::links(self, &shape(down), &shape(up)).map_err(Error::PartitionValidation)
    }
}
