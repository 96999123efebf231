//! Equal keys in two spaces: whether the other space has them, and the upstream partitions that they
//! name.

use std::sync::Arc;

use super::kind::Mapping;
use crate::error::{Error, Result};
use crate::space::product::Space;
use crate::space::selection::{IndexSet, Members, PositionSet, Selection};

impl Selection {
    /// Checks that another space has all keys of this selection; a product is checked by dimension.
    ///
    /// # Errors
    /// `PartitionValidation` naming `asset` and the first key that it does not define.
    pub fn check_in(&self, other: &Space, asset: &str) -> Result<()> {
        let here = self.space();
        if **here == *other || self.is_empty() {
            return Ok(());
        }
        let dim_named = |name: &str| other.dims().iter().position(|dim| dim.name == name);
        let dim_indices: Option<Vec<usize>> =
            here.dims().iter().map(|dim| dim_named(&dim.name)).collect();
        let missing = match (
            self.members(),
            dim_indices.filter(|_| here.dims().len() == other.dims().len()),
        ) {
            (_, None) => Some(self.nth(0)),
            (Members::Product(sets), Some(dim_indices)) => {
                let first: Vec<u32> = sets.iter().map(|set| set.nth(0)).collect();
                let missing_in = |(at, there): (usize, usize)| {
                    let (axis, other) = (&here.dims()[at].axis, &other.dims()[there].axis);
                    let index = sets[at]
                        .iter()
                        .find(|&index| axis.translate(other, index).is_none())?;
                    let mut key = first.clone();
                    key[at] = index;
                    Some(here.partition(&key))
                };
                dim_indices
                    .into_iter()
                    .enumerate()
                    .filter_map(missing_in)
                    .min()
            }
            (Members::Explicit(_) | Members::One(_), Some(_)) => self
                .iter()
                .find(|&partition| here.translate(other, partition).is_none()),
        };
        match missing {
            None => Ok(()),
            Some(partition) => Err(Error::PartitionValidation(format!(
                "the partition {:?} is not defined for the asset {asset:?}; every selected partition must be \
                 one of each selected asset's",
                here.text(partition)
            ))),
        }
    }

    /// Number of keys that another selection also has; its space can differ.
    ///
    /// # Errors
    /// Those of the mapping between spaces with different dimensions.
    pub fn shared_with(&self, other: &Self) -> Result<u64> {
        let (here, there) = (self.space(), other.space());
        if **here == **there {
            return Ok(self.intersection(other).len());
        }
        let has = |name: &str| there.dims().iter().any(|dim| dim.name == name);
        let same =
            here.dims().len() == there.dims().len() && here.dims().iter().all(|dim| has(&dim.name));
        if !same {
            return Ok(0);
        }
        let theirs = Mapping::Subset.upstream(other, here)?;
        Ok(self.intersection(&theirs).len())
    }

    /// The partitions whose keys another space also has, in order, and the number of those that it
    /// lacks.
    pub fn only_in(&self, other: &Space) -> (Self, u64) {
        let here = self.space();
        let kept = self
            .iter()
            .filter(|&partition| here.translate(other, partition).is_some());
        let set = PositionSet::in_order(kept);
        let gone = self.len() - set.len();
        (Self::new(Arc::clone(here), Members::Explicit(set)), gone)
    }

    /// The upstream partitions with equal keys in dimensions of the same name; a dimension that only
    /// the upstream has is taken whole.
    ///
    /// # Errors
    /// `PartitionValidation` naming the first key that the upstream lacks.
    pub fn upstream(&self, upstream: &Arc<Space>) -> Result<Self> {
        let here = self.space();
        if **here == **upstream {
            return Ok(Self::new(Arc::clone(upstream), self.members().clone()));
        }
        let dim_named = |name: &str| here.dims().iter().position(|dim| dim.name == name);
        let dim_indices: Vec<Option<usize>> = upstream
            .dims()
            .iter()
            .map(|dim| dim_named(&dim.name))
            .collect();
        let translate = |there: usize, here_at: usize, index: u32| {
            let axis = &here.dims()[here_at].axis;
            axis.translate(&upstream.dims()[there].axis, index)
                .ok_or_else(|| {
                    Error::PartitionValidation(format!(
                        "the upstream has no partition {:?}{}",
                        axis.label(index),
                        if here.is_multi() {
                            format!(" in the dimension {:?}", here.dims()[here_at].name)
                        } else {
                            String::new()
                        }
                    ))
                })
        };
        let set = |there: usize,
                   dim_index: Option<usize>,
                   indices: &mut dyn Iterator<Item = u32>|
         -> Result<IndexSet> {
            match dim_index {
                None => Ok(IndexSet::Range(0..upstream.dims()[there].axis.len())),
                Some(at) => {
                    let found: Result<Vec<u32>> =
                        indices.map(|index| translate(there, at, index)).collect();
                    Ok(IndexSet::from_positions(found?))
                }
            }
        };
        match self.members() {
            Members::Product(sets) => {
                let product: Result<Vec<IndexSet>> = dim_indices
                    .iter()
                    .enumerate()
                    .map(|(there, &dim_index)| match dim_index {
                        Some(at) => set(there, dim_index, &mut sets[at].iter()),
                        None => set(there, None, &mut std::iter::empty()),
                    })
                    .collect();
                Ok(Self::new(Arc::clone(upstream), Members::Product(product?)))
            }
            Members::One(one) => {
                let product: Result<Vec<IndexSet>> = dim_indices
                    .iter()
                    .enumerate()
                    .map(|(there, &dim_index)| {
                        let index = dim_index.map(|at| here.index(*one, at));
                        set(there, dim_index, &mut index.into_iter())
                    })
                    .collect();
                Ok(Self::new(Arc::clone(upstream), Members::Product(product?)))
            }
            Members::Explicit(_) => {
                let mut numbers = Vec::new();
                for partition in self.iter() {
                    let one = Self::new(Arc::clone(here), Members::One(partition));
                    numbers.extend(one.upstream(upstream)?.iter());
                }
                Ok(Self::new(
                    Arc::clone(upstream),
                    Members::Explicit(PositionSet::in_order(numbers)),
                ))
            }
        }
    }
}
