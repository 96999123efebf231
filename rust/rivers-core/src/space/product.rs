//! The space: a product of axes. A partition is numbered by its position in the product, in mixed
//! radix, the first dimension slowest.

use std::sync::Arc;

use super::axis::Axis;
use super::time::Nanos;
use crate::error::{Error, Result, did_you_mean, some_of};

/// Maximum number of partitions of a space, so that their numbers fit `u64` and SQLite's `i64`.
pub const MAX_PARTITIONS: u64 = 1 << 63;

/// A named axis.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dim {
    /// The dimension's name; empty in a single-dimension space.
    pub name: String,
    /// Its keys.
    pub axis: Axis,
}

/// All partitions of a definition, resolved at one time. A space without dimensions belongs to
/// something unpartitioned and has exactly one member.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<Dim>", into = "Vec<Dim>")]
pub struct Space {
    dims: Vec<Dim>,
    strides: Vec<u64>,
    len: u64,
}

impl TryFrom<Vec<Dim>> for Space {
    type Error = Error;

    fn try_from(dims: Vec<Dim>) -> Result<Self> {
        let lens = || dims.iter().map(|dim| u64::from(dim.axis.len()));
        let exact = if lens().any(|len| len == 0) {
            Some(0)
        } else {
            lens().try_fold(1_u128, |product, len| product.checked_mul(u128::from(len)))
        };
        let len = exact.filter(|&product| product <= u128::from(MAX_PARTITIONS)).ok_or_else(|| {
            let factors: Vec<String> = lens().map(|len| len.to_string()).collect();
            let product = exact.map_or_else(|| "more than 2^128".to_owned(), |p| p.to_string());
            Error::PartitionDefinition(format!(
                "the product {} has {product} partitions; at most 2^63 = {MAX_PARTITIONS} can be numbered",
                factors.join(" x ")
            ))
        })? as u64;
        let mut strides = vec![1_u64; dims.len()];
        for at in (1..dims.len()).rev() {
            // An empty axis makes the whole space empty, and its strides are never used.
            strides[at - 1] = strides[at].saturating_mul(u64::from(dims[at].axis.len()));
        }
        Ok(Self { dims, strides, len })
    }
}

impl From<Space> for Vec<Dim> {
    fn from(space: Space) -> Self {
        space.dims
    }
}

impl Space {
    /// The space of an asset without partitions.
    pub fn unpartitioned() -> Arc<Self> {
        Arc::new(Self {
            dims: Vec::new(),
            strides: Vec::new(),
            len: 1,
        })
    }

    /// These partitions, as a range is read that names them relative to a time, such as `today`: a space that
    /// was stored knows none.
    pub fn seen_at(&self, now: Nanos) -> Arc<Self> {
        let mut seen = self.clone();
        for dim in &mut seen.dims {
            if let Axis::Time(axis) = &dim.axis {
                dim.axis = Axis::Time(axis.clone().seen_at(now));
            }
        }
        Arc::new(seen)
    }

    /// The dimensions, the slowest first.
    pub fn dims(&self) -> &[Dim] {
        &self.dims
    }

    /// Number of partitions.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no partitions.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the dimensions have names.
    pub fn is_multi(&self) -> bool {
        self.dims.first().is_some_and(|dim| !dim.name.is_empty())
    }

    /// A partition's position within one dimension.
    pub fn index(&self, partition: u64, dim: usize) -> u32 {
        (partition / self.strides[dim] % u64::from(self.dims[dim].axis.len())) as u32
    }

    /// The difference between the numbers of two partitions that are neighbours in this dimension.
    pub fn stride(&self, dim: usize) -> u64 {
        self.strides[dim]
    }

    /// The partition with these positions, one per dimension.
    pub fn partition(&self, indices: &[u32]) -> u64 {
        indices
            .iter()
            .zip(&self.strides)
            .map(|(&index, stride)| u64::from(index) * stride)
            .sum()
    }

    /// The index of the dimension with this name.
    ///
    /// # Errors
    /// `PartitionValidation` naming the dimensions that exist.
    pub fn dimension(&self, name: &str) -> Result<usize> {
        self.dims
            .iter()
            .position(|dim| dim.name == name)
            .ok_or_else(|| {
                let names = || self.dims.iter().map(|dim| dim.name.as_str());
                Error::PartitionValidation(format!(
                    "there is no dimension {name:?}; the dimensions are {}{}",
                    some_of(names()),
                    did_you_mean(name, names())
                ))
            })
    }

    /// The key's text form: `us`, or `date=2024-01-01|region=us`; empty where nothing is partitioned.
    pub fn text(&self, partition: u64) -> String {
        // Texts of usual lengths need no second allocation.
        let mut text = String::with_capacity(48);
        let mut rest = partition;
        for (at, dim) in self.dims.iter().enumerate() {
            if at > 0 {
                text.push('|');
            }
            if !dim.name.is_empty() {
                text.push_str(&dim.name);
                text.push('=');
            }
            let stride = self.strides[at];
            text.push_str(&dim.axis.label((rest / stride) as u32));
            rest %= stride;
        }
        text
    }

    /// The partition of another space that has equal keys in dimensions of the same names.
    pub fn translate(&self, other: &Self, partition: u64) -> Option<u64> {
        self.found_in(other, partition, Axis::translate)
    }

    /// The same partition of another space: with equal keys in dimensions of the same names and, in time,
    /// equal windows. A grid of another width has other partitions, even if their keys look the same.
    pub fn same_partition(&self, other: &Self, partition: u64) -> Option<u64> {
        self.found_in(other, partition, Axis::same_position)
    }

    fn found_in(
        &self,
        other: &Self,
        partition: u64,
        position: impl Fn(&Axis, &Axis, u32) -> Option<u32>,
    ) -> Option<u64> {
        if self.dims.len() != other.dims.len() {
            return None;
        }
        let mut there = 0;
        for (at, dim) in self.dims.iter().enumerate() {
            let same = other
                .dims
                .iter()
                .position(|candidate| candidate.name == dim.name)?;
            let there_axis = &other.dims[same].axis;
            let index = position(&dim.axis, there_axis, self.index(partition, at))?;
            there += u64::from(index) * other.strides[same];
        }
        Some(there)
    }
}

/// The partitions of a product of positions, in the order of the lists, the first dimension slowest.
pub fn product_in_order<'a>(
    space: &'a Space,
    positions: &'a [Vec<u32>],
) -> impl Iterator<Item = u64> + 'a {
    let total: u64 = positions.iter().map(|list| list.len() as u64).product();
    (0..total).map(move |n| {
        let (mut rest, mut partition) = (n, 0);
        for (dim, list) in positions.iter().enumerate().rev() {
            let len = list.len() as u64;
            partition += u64::from(list[(rest % len) as usize]) * space.stride(dim);
            rest /= len;
        }
        partition
    })
}
