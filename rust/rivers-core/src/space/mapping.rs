//! Which partitions of an upstream a partition needs: a relation between two spaces, and its images.
//!
//! Whatever a mapping says, it says of one dimension at a time (`Link`). So the image of a product is
//! a product, and costs at most a look at each key of each dimension; between time grids it is
//! arithmetic. Only what names single partitions is gone through, once for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::axis::Axis;
use super::definition::{Definition, Dimension};
use super::image;
use super::index_set::IndexSet;
use super::link::{self, Link, Shape};
use super::position_set::PositionSet;
use super::product::{Dim, Space};
use super::selection::{Members, Selection};
use crate::error::{Error, Result};

/// How the partitions of an asset, the downstream, follow from those of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Mapping {
    /// The same keys, in dimensions of the same name; a dimension that only the upstream has is taken
    /// whole, and a key that the upstream does not have is an error.
    Identity,
    /// All partitions of the upstream.
    AllPartitions,
    /// For each downstream key those upstream keys; for one that is not named, none.
    Static(BTreeMap<String, BTreeSet<String>>),
    /// The upstream's windows that overlap the window which lies so many windows of the *downstream's*
    /// grid later or, below 0, earlier. From hours to days: the 24 hours of the day; from days to hours:
    /// the day that holds the hour. A grid of even steps goes on before its first and after its last
    /// window, so that an upstream that began earlier is reached; a cron grid does so where the
    /// upstream has the same schedule. In a product it is the one time dimension that is meant, and the
    /// others follow by name.
    TimeWindow {
        /// How many windows.
        offset: i64,
    },
    /// These partitions of the upstream, whatever the downstream's.
    SpecificPartitions(BTreeSet<String>),
    /// The same key for these downstream keys, nothing for others.
    ForKeys(BTreeSet<String>),
    /// The same keys, where the upstream has them; others are left out.
    Subset,
    /// For a downstream dimension, the upstream's dimension that follows from it, and how; those that
    /// are not named follow by name, else the upstream's are taken whole.
    Multi(BTreeMap<String, (String, Self)>),
    /// Between a product and a single dimension: the product's dimension that belongs to the single
    /// one. The product's other dimensions are taken whole, or do not matter.
    MultiToSingle {
        /// The dimension of the product.
        dim: String,
        /// How the two follow from each other.
        mapping: Box<Self>,
    },
}

impl Mapping {
    /// The partitions of `upstream` that those of a downstream need: the union over each of them. What
    /// lies outside the upstream is not among them. Ascending, but for `Identity`.
    ///
    /// # Errors
    /// `PartitionValidation` where `check` would have refused the mapping, or `Identity` meets a key
    /// that the upstream does not have.
    pub fn upstream(&self, of: &Selection, upstream: &Arc<Space>) -> Result<Selection> {
        if of.is_empty() {
            return Ok(none(upstream));
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

    /// Whether it leads from a partition to earlier ones only, in a time dimension, so that an asset
    /// may need its own partitions.
    pub fn goes_back(&self) -> bool {
        match self {
            Self::TimeWindow { offset } => *offset < 0,
            Self::Multi(named) => named
                .iter()
                .any(|(dim, (upstream, mapping))| dim == upstream && mapping.goes_back()),
            _ => false,
        }
    }

    /// Whether it leads to earlier positions of this dimension, from each of them.
    pub fn goes_back_in(&self, dim: &Dim) -> bool {
        match self {
            Self::TimeWindow { .. } => matches!(dim.axis, Axis::Time(_)) && self.goes_back(),
            Self::Multi(named) => named
                .get(&dim.name)
                .is_some_and(|(upstream, mapping)| *upstream == dim.name && mapping.goes_back()),
            _ => false,
        }
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
        let links = link::links(self, &shape(&down), &shape(&up))?;
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
        link::links(self, &shape(down), &shape(up)).map_err(Error::PartitionValidation)
    }
}

/// No partition of the space.
pub(super) fn none(space: &Arc<Space>) -> Selection {
    let members = if space.dims().is_empty() {
        Members::Explicit(PositionSet::in_order([]))
    } else {
        Members::Product(vec![IndexSet::Range(0..0); space.dims().len()])
    };
    Selection::new(Arc::clone(space), members)
}
