//! A set of positions within one dimension: a range, or a compressed set if it has gaps.

use std::ops::Range;

use roaring::RoaringBitmap;

/// Positions of one dimension, ascending. The form is canonical: a set without gaps is a `Range`.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexSet {
    /// All positions from the start up to, but not including, the end.
    Range(Range<u32>),
    /// Any other set.
    Sparse(RoaringBitmap),
}

impl IndexSet {
    /// The set of one position.
    pub fn one(position: u32) -> Self {
        Self::Range(position..position + 1)
    }

    /// Converts a bitmap to the canonical form.
    pub fn from_bitmap(mut bitmap: RoaringBitmap) -> Self {
        match (bitmap.min(), bitmap.max()) {
            (Some(min), Some(max))
                if u64::from(max - min) + 1 == bitmap.len() && max < u32::MAX =>
            {
                Self::Range(min..max + 1)
            }
            (None, _) | (_, None) => Self::Range(0..0),
            _ => {
                bitmap.optimize();
                Self::Sparse(bitmap)
            }
        }
    }

    /// Collects positions in any order; duplicates are dropped.
    pub fn from_positions(positions: impl IntoIterator<Item = u32>) -> Self {
        Self::from_bitmap(positions.into_iter().collect())
    }

    /// Number of positions.
    pub fn len(&self) -> u64 {
        match self {
            Self::Range(range) => range.len() as u64,
            Self::Sparse(bitmap) => bitmap.len(),
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the position is in the set.
    pub fn contains(&self, position: u32) -> bool {
        match self {
            Self::Range(range) => range.contains(&position),
            Self::Sparse(bitmap) => bitmap.contains(position),
        }
    }

    /// The n-th position, counted from 0; `n` must be below `len`.
    pub fn nth(&self, n: u64) -> u32 {
        match self {
            Self::Range(range) => range.start + n as u32,
            Self::Sparse(bitmap) => bitmap.select(n as u32).unwrap_or_default(),
        }
    }

    /// Number of positions in the set that are less than this one.
    pub fn rank(&self, position: u32) -> u64 {
        match self {
            Self::Range(range) => u64::from(position.clamp(range.start, range.end) - range.start),
            Self::Sparse(bitmap) => position.checked_sub(1).map_or(0, |last| bitmap.rank(last)),
        }
    }

    /// All positions, ascending.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::Range(range) => Box::new(range.clone()),
            Self::Sparse(bitmap) => Box::new(bitmap.iter()),
        }
    }

    /// The set as a bitmap.
    pub fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::Range(range) => {
                let mut bitmap = RoaringBitmap::new();
                bitmap.insert_range(range.clone());
                bitmap
            }
            Self::Sparse(bitmap) => bitmap.clone(),
        }
    }

    /// The positions in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Range(a), Self::Range(b)) => {
                let both = a.start.max(b.start)..a.end.min(b.end);
                Self::Range(if both.is_empty() { 0..0 } else { both })
            }
            _ => Self::from_bitmap(self.to_bitmap() & other.to_bitmap()),
        }
    }

    /// The positions that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if let (Self::Range(own), Self::Range(other)) = (self, other) {
            if other.start <= own.start && other.end > own.start {
                let left = other.end.min(own.end)..own.end;
                return Self::Range(if left.is_empty() { 0..0 } else { left });
            }
            if other.end >= own.end && other.start < own.end {
                return Self::Range(own.start..other.start);
            }
        }
        Self::from_bitmap(self.to_bitmap() - other.to_bitmap())
    }

    /// The positions in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if let (Self::Range(a), Self::Range(b)) = (self, other)
            && a.start <= b.end
            && b.start <= a.end
            && !a.is_empty()
            && !b.is_empty()
        {
            return Self::Range(a.start.min(b.start)..a.end.max(b.end));
        }
        Self::from_bitmap(self.to_bitmap() | other.to_bitmap())
    }
}

/// The stored form: a range as two numbers, anything else in roaring's portable format.
#[derive(serde::Serialize, serde::Deserialize)]
enum Stored {
    Range(u32, u32),
    Sparse(Vec<u8>),
}

impl serde::Serialize for IndexSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Range(range) => Stored::Range(range.start, range.end),
            Self::Sparse(bitmap) => {
                let mut bytes = Vec::with_capacity(bitmap.serialized_size());
                bitmap
                    .serialize_into(&mut bytes)
                    .map_err(serde::ser::Error::custom)?;
                Stored::Sparse(bytes)
            }
        }
        .serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for IndexSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::Range(start, end) if start < end => Self::Range(start..end),
            Stored::Range(0, 0) => Self::Range(0..0),
            Stored::Range(..) => {
                return Err(serde::de::Error::custom("a range ends before it starts"));
            }
            Stored::Sparse(bytes) => Self::from_bitmap(
                RoaringBitmap::deserialize_from(&bytes[..]).map_err(serde::de::Error::custom)?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_sorted_set(a: Vec<u8>, b: Vec<u8>) {
            let sets = [&a, &b].map(|v| v.iter().map(|&x| u32::from(x)).collect::<std::collections::BTreeSet<_>>());
            let [x, y] = [&sets[0], &sets[1]].map(|s| IndexSet::from_positions(s.iter().copied()));
            let list = |set: &IndexSet| set.iter().collect::<Vec<_>>();
            prop_assert_eq!(list(&x.union(&y)), sets[0].union(&sets[1]).copied().collect::<Vec<_>>());
            prop_assert_eq!(list(&x.intersection(&y)), sets[0].intersection(&sets[1]).copied().collect::<Vec<_>>());
            prop_assert_eq!(list(&x.difference(&y)), sets[0].difference(&sets[1]).copied().collect::<Vec<_>>());
            for (n, &position) in sets[0].iter().enumerate() {
                prop_assert_eq!(x.nth(n as u64), position);
                prop_assert_eq!(x.rank(position), n as u64);
            }
        }
    }
}
