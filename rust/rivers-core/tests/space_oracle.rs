//! Compares selections, which are arithmetic, with explicit products and lists.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use rivers_core::space::labels::Labels;
use rivers_core::space::product::{Dim, MAX_PARTITIONS};
use rivers_core::space::{
    Axis, DimRange, IndexSet, Members, PositionSet, RangeSpec, Selection, Space,
};

fn label(dim: usize, position: usize) -> String {
    format!("d{dim}k{position}")
}

fn space(lens: &[usize]) -> Arc<Space> {
    let dims = lens.iter().enumerate().map(|(at, &len)| Dim {
        name: format!("dim{at}"),
        axis: Axis::Labels(Arc::new(
            Labels::new((0..len).map(|position| label(at, position))).unwrap(),
        )),
    });
    Arc::new(Space::try_from(dims.collect::<Vec<_>>()).unwrap())
}

/// What a user can select in one dimension.
#[derive(Debug, Clone)]
enum Part {
    All,
    Range(Index, Index),
    Keys(Vec<Index>),
}

fn parts() -> impl Strategy<Value = Vec<(usize, Part)>> {
    let part = prop_oneof![
        Just(Part::All),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Part::Range(a, b)),
        prop::collection::vec(any::<Index>(), 1..8).prop_map(Part::Keys),
    ];
    prop::collection::vec((1..7_usize, part), 1..5)
}

/// A range as the user writes it, and the positions that it selects in each dimension.
fn said(parts: &[(usize, Part)]) -> (RangeSpec, Vec<Vec<u64>>) {
    let (mut ranges, mut positions) = (Vec::new(), Vec::new());
    for (at, (len, part)) in parts.iter().enumerate() {
        let named = |range| (format!("dim{at}"), range);
        match part {
            Part::All => positions.push((0..*len as u64).collect()),
            Part::Range(a, b) => {
                let (a, b) = (a.index(*len), b.index(*len));
                let (from, to) = (a.min(b), a.max(b));
                ranges.push(named(DimRange::Range(
                    label(at, from).into(),
                    label(at, to).into(),
                )));
                positions.push((from as u64..=to as u64).collect());
            }
            Part::Keys(keys) => {
                let keys: Vec<usize> = keys.iter().map(|key| key.index(*len)).collect();
                let texts = keys.iter().map(|&key| label(at, key).into()).collect();
                ranges.push(named(DimRange::Keys(texts)));
                let distinct: BTreeSet<u64> = keys.into_iter().map(|key| key as u64).collect();
                positions.push(distinct.into_iter().collect());
            }
        }
    }
    (RangeSpec::Multi(ranges), positions)
}

/// Lists a product, the first dimension slowest.
fn product(lens: &[usize], positions: &[Vec<u64>]) -> Vec<u64> {
    lens.iter()
        .zip(positions)
        .fold(vec![0], |rows, (&len, at)| {
            let next = |row: u64| at.iter().map(move |position| row * len as u64 + position);
            rows.into_iter().flat_map(next).collect()
        })
}

fn agrees(selection: &Selection, expected: &[u64]) {
    assert_eq!(selection.len(), expected.len() as u64);
    assert_eq!(selection.is_empty(), expected.is_empty());
    assert_eq!(selection.iter().collect::<Vec<_>>(), expected);
    let ascending: Vec<u64> = BTreeSet::from_iter(expected).into_iter().copied().collect();
    assert_eq!(selection.sorted().iter().collect::<Vec<_>>(), ascending);
    assert_eq!(selection.to_treemap().iter().collect::<Vec<_>>(), ascending);
    for n in 0..=expected.len() {
        let rest: Vec<u64> = selection.iter_from(n as u64).collect();
        assert_eq!(rest, expected[n..]);
    }
    for (n, &partition) in expected.iter().enumerate() {
        assert_eq!(selection.nth(n as u64), partition);
    }
    for partition in 0..selection.space().len() + 3 {
        let rank = ascending.binary_search(&partition).ok();
        assert_eq!(selection.contains(partition), rank.is_some());
        assert_eq!(selection.rank(partition), rank.map(|rank| rank as u64));
    }
}

fn keys(space: &Arc<Space>, given: &[Index]) -> (Selection, Vec<u64>) {
    let given: Vec<u64> = given
        .iter()
        .map(|index| index.index(space.len() as usize) as u64)
        .collect();
    let mut seen = HashSet::new();
    let distinct = given.iter().copied().filter(|p| seen.insert(*p)).collect();
    let members = Members::Explicit(PositionSet::in_order(given));
    (Selection::new(Arc::clone(space), members), distinct)
}

proptest! {
    #[test]
    fn a_range_selects_the_product_of_what_it_says(parts in parts()) {
        let lens: Vec<usize> = parts.iter().map(|(len, _)| *len).collect();
        let (range, positions) = said(&parts);
        agrees(&range.select(&space(&lens)).unwrap(), &product(&lens, &positions));
    }

    #[test]
    fn single_keys_keep_the_order_given_and_the_first_of_duplicates(
        lens in prop::collection::vec(1..6_usize, 1..4),
        given in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let (selection, expected) = keys(&space(&lens), &given);
        agrees(&selection, &expected);
    }

    #[test]
    fn set_operations_are_those_of_sets_and_keep_the_order_of_the_first(
        pairs in parts(),
        others in prop::collection::vec(any::<Part2>(), 4),
        given in prop::collection::vec(any::<Index>(), 0..30),
    ) {
        let lens: Vec<usize> = pairs.iter().map(|(len, _)| *len).collect();
        let space = space(&lens);
        let (range, positions) = said(&pairs);
        let a = (range.select(&space).unwrap(), product(&lens, &positions));
        let second: Vec<(usize, Part)> =
            lens.iter().zip(others).map(|(&len, Part2(x, y))| (len, Part::Range(x, y))).collect();
        let (range, positions) = said(&second);
        let b = (range.select(&space).unwrap(), product(&lens, &positions));
        let c = keys(&space, &given);
        let one = Selection::new(Arc::clone(&space), Members::One(space.len() - 1));
        let d = (one, vec![space.len() - 1]);
        for (x, own) in [&a, &b, &c, &d] {
            for (y, others) in [&a, &b, &c, &d] {
                let both: Vec<u64> = own.iter().copied().filter(|p| others.contains(p)).collect();
                let left: Vec<u64> = own.iter().copied().filter(|p| !others.contains(p)).collect();
                let either: BTreeSet<u64> = own.iter().chain(others).copied().collect();
                agrees(&x.intersection(y), &both);
                agrees(&x.difference(&y.to_treemap()), &left);
                agrees(&x.union(y), &either.into_iter().collect::<Vec<_>>());
            }
        }
    }
}

/// Two ends of a range.
#[derive(Debug, Clone)]
struct Part2(Index, Index);

impl Arbitrary for Part2 {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        (any::<Index>(), any::<Index>())
            .prop_map(|(a, b)| Self(a, b))
            .boxed()
    }
}

/// Dimensions of two keys each.
fn binary(dims: usize) -> Vec<Dim> {
    let labels = Arc::new(Labels::new(["0", "1"]).unwrap());
    let dim = |at| Dim {
        name: format!("d{at}"),
        axis: Axis::Labels(Arc::clone(&labels)),
    };
    (0..dims).map(dim).collect()
}

#[test]
fn a_product_up_to_2_to_the_63_is_numbered_and_a_larger_one_refused_with_the_figure() {
    let largest = Arc::new(Space::try_from(binary(63)).unwrap());
    assert_eq!(largest.len(), MAX_PARTITIONS);
    let all = Selection::all(Arc::clone(&largest));
    assert_eq!(all.len(), MAX_PARTITIONS);
    assert_eq!(all.nth(MAX_PARTITIONS - 1), MAX_PARTITIONS - 1);
    assert_eq!(all.rank(1 << 62), Some(1 << 62));
    assert!(!all.contains(MAX_PARTITIONS));

    let told = Space::try_from(binary(64)).unwrap_err().to_string();
    assert!(told.contains("18446744073709551616"), "{told}");
    assert!(told.contains("9223372036854775808"), "{told}");
    let told = Space::try_from(binary(128)).unwrap_err().to_string();
    assert!(told.contains("more than 2^128"), "{told}");
}

#[test]
fn an_empty_dimension_makes_a_space_empty_however_large_the_others_are() {
    let none = Labels::new(Vec::<String>::new()).unwrap();
    let mut dims = binary(140);
    dims[70].axis = Axis::Labels(Arc::new(none));
    let space = Arc::new(Space::try_from(dims).unwrap());
    let all = Selection::all(space);
    assert_eq!((all.len(), all.contains(0)), (0, false));
    assert_eq!(all.iter().count(), 0);
    assert!(all.to_treemap().is_empty());
}

#[test]
fn a_huge_compressed_set_costs_what_it_stores_not_what_it_holds() {
    let mut set = roaring::RoaringTreemap::new();
    set.insert_range(5..2_000_000_005);
    set.insert_range(3_000_000_000..3_000_000_003);
    set.insert(1 << 40);
    let set = PositionSet::ascending(set);
    assert_eq!(set.len(), 2_000_000_004);
    assert_eq!(set.nth(1_999_999_999), 2_000_000_004);
    assert_eq!(set.nth(2_000_000_000), 3_000_000_000);
    let last: Vec<u64> = set.iter_from(2_000_000_002).collect();
    assert_eq!(last, [3_000_000_002, 1 << 40]);
    assert_eq!(IndexSet::one(u32::MAX - 1).len(), 1);
}
