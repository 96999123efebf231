//! A set of partitions of one space, with an order: a product of index sets, a compressed set of
//! numbers, or a single partition.

mod algebra;
mod arrange;
mod covering_key;
mod index_set;
mod nesting;
mod open_windows;
mod position_set;
mod same_partitions;
mod time_window;

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringTreemap;

pub use index_set::IndexSet;
pub use nesting::{Level, Nesting};
pub use position_set::PositionSet;

use super::product::Space;
use crate::error::{Error, Result};

/// The members of a selection, in the most compact form.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Members {
    /// One set per dimension; the members are their product, the first dimension slowest.
    Product(Vec<IndexSet>),
    /// Partitions that are not a product.
    Explicit(PositionSet),
    /// A single partition.
    One(u64),
}

/// A set of partitions of a space, with an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    space: Arc<Space>,
    members: Members,
    /// The order of a product; `None` is the definition's order.
    nesting: Option<Arc<Nesting>>,
}

impl Selection {
    /// A selection with these members.
    pub fn new(space: Arc<Space>, members: Members) -> Self {
        Self {
            space,
            members,
            nesting: None,
        }
    }

    /// Replaces the order of a product; `None` is the definition's order.
    fn with_nesting(mut self, nesting: Option<Arc<Nesting>>) -> Self {
        let definition = Nesting::definition(self.space.dims().len());
        self.nesting = nesting.filter(|nesting| **nesting != definition);
        self
    }

    /// Whether this is a product whose order differs from the definition's.
    pub fn is_arranged(&self) -> bool {
        self.nesting.is_some()
    }

    /// The order of a product.
    pub fn nesting(&self) -> Nesting {
        match &self.nesting {
            Some(nesting) => Nesting::clone(nesting),
            None => Nesting::definition(self.space.dims().len()),
        }
    }

    /// All partitions of the space.
    pub fn all(space: Arc<Space>) -> Self {
        let sets = space
            .dims()
            .iter()
            .map(|dim| IndexSet::Range(0..dim.axis.len()))
            .collect();
        Self::new(space, Members::Product(sets))
    }

    /// A selection without partitions.
    pub fn empty(space: &Arc<Space>) -> Self {
        let members = if space.dims().is_empty() {
            Members::Explicit(PositionSet::in_order([]))
        } else {
            Members::Product(vec![IndexSet::Range(0..0); space.dims().len()])
        };
        Self::new(Arc::clone(space), members)
    }

    /// The space that contains the partitions.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// The members.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Number of partitions.
    pub fn len(&self) -> u64 {
        match &self.members {
            // One empty set makes the product empty, even if the product of the others would
            // overflow.
            Members::Product(sets) if sets.iter().any(IndexSet::is_empty) => 0,
            Members::Product(sets) => sets.iter().map(IndexSet::len).product(),
            Members::Explicit(set) => set.len(),
            Members::One(_) => 1,
        }
    }

    /// Whether the selection is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the partition is a member.
    pub fn contains(&self, partition: u64) -> bool {
        match &self.members {
            Members::Product(sets) => {
                partition < self.space.len()
                    && sets
                        .iter()
                        .enumerate()
                        .all(|(dim, set)| set.contains(self.space.index(partition, dim)))
            }
            Members::Explicit(set) => set.set().contains(partition),
            Members::One(one) => *one == partition,
        }
    }

    /// The n-th partition in order, counted from 0; `n` must be below `len`.
    pub fn nth(&self, n: u64) -> u64 {
        match &self.members {
            Members::Product(sets) => self.nth_of(sets, n),
            Members::Explicit(set) => set.nth(n),
            Members::One(one) => *one,
        }
    }

    /// Whether the product has all partitions of the space.
    fn is_all_in(&self, sets: &[IndexSet]) -> bool {
        let dims = self.space.dims().iter();
        dims.zip(sets).all(|(dim, set)| match set {
            IndexSet::Range(range) => range.len() as u64 == u64::from(dim.axis.len()),
            IndexSet::Sparse(_) => false,
        })
    }

    fn nth_of(&self, sets: &[IndexSet], n: u64) -> u64 {
        let (mut rest, mut partition) = (n, 0);
        let mut step = |Level { dim, descending }| {
            let len = sets[dim].len();
            let at = rest % len;
            let at = if descending { len - 1 - at } else { at };
            partition += u64::from(sets[dim].nth(at)) * self.space.stride(dim);
            rest /= len;
        };
        match &self.nesting {
            Some(nesting) => nesting.levels().iter().rev().copied().for_each(step),
            None if self.is_all_in(sets) => return n,
            None => (0..sets.len()).rev().for_each(|dim| {
                step(Level {
                    dim,
                    descending: false,
                });
            }),
        }
        partition
    }

    /// Number of members that are less than this one; `None` for a partition that is not a member.
    pub fn rank(&self, partition: u64) -> Option<u64> {
        if !self.contains(partition) {
            return None;
        }
        Some(match &self.members {
            Members::Product(sets) => sets.iter().enumerate().fold(0, |rank, (dim, set)| {
                rank * set.len() + set.rank(self.space.index(partition, dim))
            }),
            Members::Explicit(set) => set.set().rank(partition) - 1,
            Members::One(_) => 0,
        })
    }

    /// All partitions from the `n`-th on, in order.
    pub fn iter_from(&self, n: u64) -> Box<dyn Iterator<Item = u64> + '_> {
        match &self.members {
            Members::Product(_) => Box::new((n..self.len()).map(|n| self.nth(n))),
            Members::Explicit(set) => set.iter_from(n),
            Members::One(one) => Box::new((n == 0).then_some(*one).into_iter()),
        }
    }

    /// All partitions, in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        self.iter_from(0)
    }

    /// The partitions in ascending order.
    #[must_use]
    pub fn sorted(&self) -> Self {
        let members = match &self.members {
            Members::Explicit(set) => Members::Explicit(set.sorted()),
            Members::Product(_) | Members::One(_) => self.members.clone(),
        };
        Self::new(Arc::clone(&self.space), members)
    }

    /// The partitions at these positions of the order, ascending; the range must lie within `len`.
    ///
    /// The cost depends on the number of partitions returned, not on the size of the selection.
    #[must_use]
    pub fn span(&self, positions: Range<u64>) -> Self {
        let len = positions.end.saturating_sub(positions.start);
        if len == self.len() {
            return self.sorted();
        }
        let members = match &self.members {
            _ if len == 1 => Members::One(self.nth(positions.start)),
            Members::Product(sets) if self.nesting.is_none() => {
                let (width, mut part) = (self.width(sets), RoaringTreemap::new());
                let mut position = positions.start;
                while position < positions.end {
                    let rest = (width - position % width).min(positions.end - position);
                    let first = self.nth(position);
                    part.insert_range(first..first + rest);
                    position += rest;
                }
                Members::Explicit(PositionSet::ascending(part))
            }
            Members::Product(_) | Members::Explicit(_) | Members::One(_) => {
                let part = self.iter_from(positions.start).take(len as usize).collect();
                Members::Explicit(PositionSet::ascending(part))
            }
        };
        Self::new(Arc::clone(&self.space), members)
    }

    /// The partitions of another space with equal keys, in this selection's order.
    ///
    /// # Errors
    /// `PartitionValidation` naming `asset` and the first key that is not defined there.
    pub fn translate(&self, other: &Arc<Space>, asset: &str) -> Result<Self> {
        let undefined = |partition: u64| {
            Error::PartitionValidation(format!(
                "the partition {:?} is not defined for the asset {asset:?}; every selected partition must be \
                 one of each selected asset's",
                self.space.text(partition)
            ))
        };
        if *self.space == **other {
            let same = Self::new(Arc::clone(other), self.members.clone());
            return Ok(same.with_nesting(self.nesting.clone()));
        }
        if self.is_empty() {
            let none = Members::Explicit(PositionSet::in_order([]));
            return Ok(Self::new(Arc::clone(other), none));
        }
        if self.space.dims().len() != other.dims().len() {
            return Err(undefined(self.nth(0)));
        }
        let mut sets = Vec::with_capacity(other.dims().len());
        let mut missing: Option<u64> = None;
        if let Members::Product(own) = &self.members {
            for (at, dim) in self.space.dims().iter().enumerate() {
                // A product keeps its order only if the dimensions are in the same order.
                let there = other
                    .dims()
                    .get(at)
                    .filter(|candidate| candidate.name == dim.name);
                let Some(there) = there else { break };
                if dim.axis == there.axis {
                    sets.push(own[at].clone());
                    continue;
                }
                let mut indices = Vec::with_capacity(own[at].len() as usize);
                for index in own[at].iter() {
                    match dim.axis.translate(&there.axis, index) {
                        Some(index) => indices.push(index),
                        None => {
                            let mut first: Vec<u32> = own.iter().map(|set| set.nth(0)).collect();
                            first[at] = index;
                            let first = self.space.partition(&first);
                            missing = Some(missing.map_or(first, |other| other.min(first)));
                            break;
                        }
                    }
                }
                if !indices.is_sorted() {
                    break;
                }
                sets.push(IndexSet::from_positions(indices));
            }
        }
        if sets.len() == other.dims().len() && !sets.is_empty() {
            if let Some(first) = missing {
                return Err(undefined(first));
            }
            let same = Self::new(Arc::clone(other), Members::Product(sets));
            return Ok(same.with_nesting(self.nesting.clone()));
        }
        let positions: Result<Vec<u64>> = self
            .iter()
            .map(|partition| {
                self.space
                    .translate(other, partition)
                    .ok_or_else(|| undefined(partition))
            })
            .collect();
        let set = PositionSet::in_order(positions?);
        Ok(Self::new(Arc::clone(other), Members::Explicit(set)))
    }

    /// The members as a compressed set; the cost grows with the number of spans of members.
    pub fn to_treemap(&self) -> RoaringTreemap {
        match &self.members {
            Members::Explicit(set) => set.set().clone(),
            Members::One(one) => std::iter::once(*one).collect(),
            Members::Product(sets) => {
                let mut treemap = RoaringTreemap::new();
                if self.is_empty() {
                    return treemap;
                }
                let (ascending, len, width) = (self.sorted(), self.len(), self.width(sets));
                for row in 0..len / width {
                    let start = ascending.nth(row * width);
                    treemap.insert_range(start..start + width);
                }
                treemap
            }
        }
    }

    /// Minimum length of a span of consecutive members of a product: the fastest dimensions that are
    /// selected whole, and a span of the next.
    fn width(&self, sets: &[IndexSet]) -> u64 {
        let mut width = 1;
        for (set, dim) in sets.iter().zip(self.space.dims()).rev() {
            let IndexSet::Range(_) = set else { break };
            width *= set.len();
            if set.len() < u64::from(dim.axis.len()) {
                break;
            }
        }
        width
    }

    /// The members that are also in `other`, which has the same space; an order of dimensions is
    /// lost.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let members = match (&self.members, &other.members) {
            (Members::Product(a), Members::Product(b)) => {
                Members::Product(a.iter().zip(b).map(|(a, b)| a.intersection(b)).collect())
            }
            (&Members::One(one), _) if other.contains(one) => Members::One(one),
            (Members::One(_), _) => return Self::empty(&self.space),
            (Members::Explicit(set), _) => Members::Explicit(set.filter(|p| other.contains(p))),
            (_, Members::Explicit(set)) if set.len() <= self.len() => {
                Members::Explicit(set.sorted().filter(|p| self.contains(p)))
            }
            _ => Members::Explicit(PositionSet::ascending(
                self.to_treemap() & other.to_treemap(),
            )),
        };
        Self::new(Arc::clone(&self.space), members)
    }

    /// The members that are not in `other`, in their present order; an order of dimensions is lost.
    #[must_use]
    pub fn difference(&self, other: &RoaringTreemap) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        let set = match &self.members {
            Members::Explicit(set) => set.without(other),
            Members::Product(_) | Members::One(_) => {
                PositionSet::ascending(self.to_treemap() - other)
            }
        };
        Self::new(Arc::clone(&self.space), Members::Explicit(set))
    }

    /// The members of either selection, ascending; both have the same space.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let set = PositionSet::ascending(self.to_treemap() | other.to_treemap());
        Self::new(Arc::clone(&self.space), Members::Explicit(set))
    }
}
