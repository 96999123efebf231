//! Sets of partitions added and subtracted: products stay products where the result is one, so that the cost
//! does not depend on their size.

use std::sync::Arc;

use super::{IndexSet, Members, PositionSet, Selection};

impl Selection {
    /// The members that are not in `other`, which has the same space, in their present order; an order of
    /// dimensions is lost.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        match (self.members(), other.members()) {
            (Members::One(one), _) if other.contains(*one) => Self::empty(self.space()),
            (Members::One(_), _) => self.clone(),
            (Members::Product(own), Members::Product(others)) => {
                let both: Vec<IndexSet> = intersections(own, others);
                if both.iter().any(IndexSet::is_empty) {
                    return self.clone();
                }
                match differing(own, &both)[..] {
                    [] => Self::empty(self.space()),
                    [at] => self.with_set(own, at, own[at].difference(&both[at])),
                    _ => self.difference(&other.to_treemap()),
                }
            }
            (Members::Explicit(set), Members::Product(_) | Members::One(_))
                if !other.has_few_spans(set) =>
            {
                let left = set.filter(|partition| !other.contains(partition));
                Self::new(Arc::clone(self.space()), Members::Explicit(left))
            }
            _ => self.difference(&other.to_treemap()),
        }
    }

    /// The members of either selection; both have the same space. An order is lost.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.sorted();
        }
        if self.is_empty() {
            return other.sorted();
        }
        if let (Members::Product(own), Members::Product(others)) = (self.members(), other.members())
        {
            let both = intersections(own, others);
            match differing(own, others)[..] {
                [] => return self.sorted(),
                [at] => return self.with_set(own, at, own[at].union(&others[at])),
                _ if both == *others => return self.sorted(),
                _ if both == *own => return other.sorted(),
                _ => {}
            }
        }
        self.union(other)
    }

    /// The members in both selections, which have the same space, as compactly as possible; an order is lost.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return Self::empty(self.space());
        }
        match (self.members(), other.members()) {
            (Members::Explicit(own), Members::Explicit(others))
                if own.len().min(others.len()) > FEW =>
            {
                let both = PositionSet::ascending(own.set() & others.set());
                Self::new(Arc::clone(self.space()), Members::Explicit(both))
            }
            (Members::Explicit(set), Members::Product(_)) if other.has_few_spans(set) => {
                let both = PositionSet::ascending(set.set() & other.to_treemap());
                Self::new(Arc::clone(self.space()), Members::Explicit(both))
            }
            (Members::Product(_), Members::Explicit(set)) if self.has_few_spans(set) => {
                other.common(self)
            }
            (_, Members::One(_)) => other.intersection(self),
            (Members::Product(_), Members::Explicit(_)) => other.intersection(self).sorted(),
            _ => self.intersection(other).sorted(),
        }
    }

    /// Whether this product is made of so few spans of consecutive members that merging them with a set is
    /// faster than looking each member of the set up.
    fn has_few_spans(&self, set: &PositionSet) -> bool {
        match self.members() {
            Members::Product(sets) => self.len() / self.width(sets).max(1) <= set.len() / 4,
            Members::Explicit(_) | Members::One(_) => false,
        }
    }

    /// The same product with another set in one dimension.
    fn with_set(&self, sets: &[IndexSet], at: usize, set: IndexSet) -> Self {
        if set.is_empty() {
            return Self::empty(self.space());
        }
        let mut sets = sets.to_vec();
        sets[at] = set;
        Self::new(Arc::clone(self.space()), Members::Product(sets))
    }
}

/// Number of members up to which looking each up is faster than merging two sets.
const FEW: u64 = 64;

fn intersections(own: &[IndexSet], others: &[IndexSet]) -> Vec<IndexSet> {
    own.iter()
        .zip(others)
        .map(|(own, other)| own.intersection(other))
        .collect()
}

/// The dimensions in which two products differ.
fn differing(own: &[IndexSet], others: &[IndexSet]) -> Vec<usize> {
    let sets = own.iter().zip(others).enumerate();
    sets.filter(|(_, (own, other))| own != other)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::labels::Labels;
    use crate::space::{Axis, Dim, Space};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn space() -> Arc<Space> {
        let dim = |name: &str, len: usize| Dim {
            name: name.into(),
            axis: Axis::Labels(Arc::new(
                Labels::new((0..len).map(|n| format!("k{n}"))).expect("distinct keys"),
            )),
        };
        let dims = vec![dim("a", 4), dim("b", 3), dim("c", 5)];
        Arc::new(Space::try_from(dims).expect("a small space"))
    }

    fn any_selection() -> impl Strategy<Value = Selection> {
        let set = |len: u32| proptest::collection::btree_set(0..len, 0..=len as usize);
        prop_oneof![
            (set(4), set(3), set(5)).prop_map(|(a, b, c)| {
                let sets = [a, b, c].map(IndexSet::from_positions);
                Selection::new(space(), Members::Product(sets.to_vec()))
            }),
            proptest::collection::vec(0..60_u64, 0..40).prop_map(|own| {
                Selection::new(space(), Members::Explicit(PositionSet::in_order(own)))
            }),
            (0..60_u64).prop_map(|one| Selection::new(space(), Members::One(one))),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_sets_of_numbers(a in any_selection(), b in any_selection()) {
            let set = |of: &Selection| of.iter().collect::<BTreeSet<u64>>();
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(set(&a.minus(&b)), x.difference(&y).copied().collect());
            prop_assert_eq!(set(&a.plus(&b)), x.union(&y).copied().collect());
            prop_assert_eq!(set(&a.common(&b)), x.intersection(&y).copied().collect());
        }
    }

    #[test]
    fn a_product_stays_a_product_where_one_dimension_differs() {
        let product = |c| {
            let sets = vec![
                IndexSet::Range(0..4),
                IndexSet::Range(0..3),
                IndexSet::Range(c),
            ];
            Selection::new(space(), Members::Product(sets))
        };
        let all = product(0..5);
        assert_eq!(all.minus(&product(1..5)), product(0..1));
        assert_eq!(product(0..2).plus(&product(2..5)), all);
    }
}
