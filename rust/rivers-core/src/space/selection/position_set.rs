//! A set of partitions that is not a product: compressed numbers, with the order that the user gave.

use roaring::RoaringTreemap;

/// Maximum number of members between landmarks, which make `nth` independent of the size of the set.
const STRIDE: u64 = 1024;

/// Distinct partition numbers, in ascending order or in the order given.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionSet {
    set: RoaringTreemap,
    order: Order,
}

#[derive(Debug, Clone, PartialEq)]
enum Order {
    /// Ascending order, with landmarks by rank.
    Ascending(Vec<Landmark>),
    /// Descending order, with landmarks by ascending rank.
    Descending(Vec<Landmark>),
    /// The order given, as a list.
    Given(Vec<u64>),
}

/// A span of consecutive members. A span of `STRIDE` or more members has a landmark of its own, so
/// that the number of landmarks grows with the compressed size, not with the members of a span.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Landmark {
    rank: u64,
    first: u64,
    len: u64,
}

fn landmarks(set: &RoaringTreemap) -> Vec<Landmark> {
    let mut marks = Vec::new();
    let (mut rank, mut due) = (0, 0);
    for (high, bitmap) in set.bitmaps() {
        let mut spans = bitmap.iter();
        while let Some(span) = spans.next_range() {
            let first = (u64::from(high) << 32) | u64::from(*span.start());
            let len = u64::from(span.end() - span.start()) + 1;
            if rank >= due || len >= STRIDE {
                marks.push(Landmark { rank, first, len });
                due = rank + len.max(STRIDE);
            }
            rank += len;
        }
    }
    marks
}

impl PositionSet {
    /// A set in ascending order.
    pub fn ascending(set: RoaringTreemap) -> Self {
        let order = Order::Ascending(landmarks(&set));
        Self { set, order }
    }

    fn descending(set: RoaringTreemap) -> Self {
        let order = Order::Descending(landmarks(&set));
        Self { set, order }
    }

    /// A set in the order given; the first of several duplicates is kept.
    pub fn in_order(positions: impl IntoIterator<Item = u64>) -> Self {
        let mut order: Vec<u64> = positions.into_iter().collect();
        if order.is_sorted_by(|a, b| a < b) {
            return Self::ascending(from_ascending(&order));
        }
        if order.is_sorted_by(|a, b| a > b) {
            order.reverse();
            return Self::descending(from_ascending(&order));
        }
        // Sorting and then building is several times as fast as inserting one by one.
        let mut sorted = order.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let set = from_ascending(&sorted);
        if sorted.len() < order.len() {
            let mut seen = RoaringTreemap::new();
            order.retain(|&position| seen.insert(position));
            if order.is_sorted() {
                return Self::ascending(set);
            }
            if order.is_sorted_by(|a, b| a > b) {
                return Self::descending(set);
            }
        }
        Self {
            set,
            order: Order::Given(order),
        }
    }

    /// The members, without their order.
    pub fn set(&self) -> &RoaringTreemap {
        &self.set
    }

    /// Whether the order is neither ascending nor descending, and therefore stored as a list.
    pub fn is_listed(&self) -> bool {
        matches!(self.order, Order::Given(_))
    }

    /// The position of a member in the order, counted from 0; a listed order is searched.
    pub fn position(&self, member: u64) -> Option<u64> {
        let rank = self.set.contains(member).then(|| self.set.rank(member))?;
        match &self.order {
            Order::Ascending(_) => Some(rank - 1),
            Order::Descending(_) => Some(self.len() - rank),
            Order::Given(order) => {
                let position = order.iter().position(|&other| other == member)?;
                Some(position as u64)
            }
        }
    }

    /// Number of members.
    pub fn len(&self) -> u64 {
        self.set.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The `n`-th member in order, counted from 0; `n` must be less than `len`.
    pub fn nth(&self, n: u64) -> u64 {
        match &self.order {
            Order::Given(order) => order[n as usize],
            Order::Ascending(marks) => self.nth_ascending(marks, n),
            Order::Descending(marks) => self.nth_ascending(marks, self.len() - 1 - n),
        }
    }

    fn nth_ascending(&self, marks: &[Landmark], n: u64) -> u64 {
        let near = marks[marks.partition_point(|mark| mark.rank <= n) - 1];
        let beyond = n - near.rank;
        if beyond < near.len {
            return near.first + beyond;
        }
        let mut rest = self.set.iter();
        rest.advance_to(near.first);
        rest.nth(beyond as usize).unwrap_or_default()
    }

    /// All members from the `n`-th on, in order.
    pub fn iter_from(&self, n: u64) -> Box<dyn Iterator<Item = u64> + '_> {
        if n >= self.len() {
            return Box::new(std::iter::empty());
        }
        match &self.order {
            Order::Given(order) => Box::new(order[n as usize..].iter().copied()),
            Order::Ascending(_) => {
                let mut rest = self.set.iter();
                rest.advance_to(self.nth(n));
                Box::new(rest)
            }
            Order::Descending(_) => {
                let mut rest = self.set.iter();
                rest.advance_back_to(self.nth(n));
                Box::new(rest.rev())
            }
        }
    }

    /// The members in ascending order.
    #[must_use]
    pub fn sorted(&self) -> Self {
        match self.order {
            Order::Ascending(_) => self.clone(),
            Order::Descending(_) | Order::Given(_) => Self::ascending(self.set.clone()),
        }
    }

    /// The members in reverse order.
    #[must_use]
    pub fn reversed(&self) -> Self {
        match &self.order {
            Order::Ascending(_) => Self::descending(self.set.clone()),
            Order::Descending(_) => Self::ascending(self.set.clone()),
            Order::Given(order) => Self::in_order(order.iter().rev().copied()),
        }
    }

    /// The members for which `keep` returns true, in order.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(u64) -> bool) -> Self {
        let kept = self.iter_from(0).filter(|&position| keep(position));
        match self.order {
            Order::Ascending(_) => Self::ascending(kept.collect()),
            Order::Descending(_) => Self::descending(kept.collect()),
            Order::Given(_) => Self::in_order(kept),
        }
    }

    /// The members that are not in `other`, in order.
    #[must_use]
    pub fn without(&self, other: &RoaringTreemap) -> Self {
        match self.order {
            Order::Ascending(_) => Self::ascending(&self.set - other),
            Order::Descending(_) => Self::descending(&self.set - other),
            Order::Given(_) => self.filter(|position| !other.contains(position)),
        }
    }
}

/// Collects distinct numbers, which must be ascending.
fn from_ascending(positions: &[u64]) -> RoaringTreemap {
    RoaringTreemap::from_sorted_iter(positions.iter().copied())
        .unwrap_or_else(|_| positions.iter().copied().collect())
}

/// The stored form: a list where the order is listed, otherwise the compressed set.
#[derive(serde::Serialize, serde::Deserialize)]
enum Stored {
    Ascending(Vec<u8>),
    Given(Vec<u64>),
    Descending(Vec<u8>),
}

impl serde::Serialize for PositionSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.order {
            Order::Given(order) => Stored::Given(order.clone()),
            Order::Ascending(_) | Order::Descending(_) => {
                let mut bytes = Vec::with_capacity(self.set.serialized_size());
                self.set
                    .serialize_into(&mut bytes)
                    .map_err(serde::ser::Error::custom)?;
                match self.order {
                    Order::Descending(_) => Stored::Descending(bytes),
                    Order::Ascending(_) | Order::Given(_) => Stored::Ascending(bytes),
                }
            }
        }
        .serialize(serializer)
    }
}

fn from_bytes<E: serde::de::Error>(bytes: &[u8]) -> Result<RoaringTreemap, E> {
    RoaringTreemap::deserialize_from(bytes).map_err(E::custom)
}

impl<'de> serde::Deserialize<'de> for PositionSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::Given(order) => Self::in_order(order),
            Stored::Ascending(bytes) => Self::ascending(from_bytes(&bytes)?),
            Stored::Descending(bytes) => Self::descending(from_bytes(&bytes)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_and_duplicates(given in proptest::collection::vec(0..5_000_u64, 0..4_000), sort: bool, down: bool) {
            let mut given = given;
            if sort { given.sort_unstable(); }
            if down { given.reverse(); }
            let set = PositionSet::in_order(given.iter().copied());
            let mut seen = std::collections::HashSet::new();
            let expected: Vec<u64> = given.into_iter().filter(|p| seen.insert(*p)).collect();
            prop_assert_eq!(set.len(), expected.len() as u64);
            prop_assert_eq!(set.iter_from(0).collect::<Vec<_>>(), expected.clone());
            let turned: Vec<u64> = expected.iter().rev().copied().collect();
            prop_assert_eq!(set.reversed().iter_from(0).collect::<Vec<_>>(), turned);
            prop_assert_eq!(&set.reversed().reversed(), &set);
            for n in (0..expected.len()).step_by(97) {
                prop_assert_eq!(set.reversed().nth(n as u64), expected[expected.len() - 1 - n]);
                prop_assert_eq!(set.nth(n as u64), expected[n]);
                prop_assert_eq!(set.position(expected[n]), Some(n as u64));
                prop_assert_eq!(set.iter_from(n as u64).next(), Some(expected[n]));
            }
        }
    }
}
