//! Checks the translation of a selection to another space: equal keys in the same order, or the first
//! missing key.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::{Axis, IndexSet, Members, PositionSet, Selection, Space};

fn space(dims: &[(&str, Vec<String>)]) -> Arc<Space> {
    let dims = dims.iter().map(|(name, keys)| Dim {
        name: (*name).to_owned(),
        axis: Axis::Labels(Arc::new(Labels::new(keys).unwrap())),
    });
    Arc::new(Space::try_from(dims.collect::<Vec<_>>()).unwrap())
}

/// A space of two dimensions with some of six keys each, in some order.
fn spaces() -> impl Strategy<Value = Arc<Space>> {
    let some = |dim: &'static str| {
        let all: Vec<String> = (0..6).map(|key| format!("{dim}{key}")).collect();
        (Just(all).prop_shuffle(), 3..7_usize).prop_map(|(keys, len)| keys[..len].to_vec())
    };
    (some("a"), some("b"), any::<bool>()).prop_map(|(a, b, swapped)| {
        if swapped {
            space(&[("b", b), ("a", a)])
        } else {
            space(&[("a", a), ("b", b)])
        }
    })
}

/// The key of a partition, independent of the order of its dimensions.
fn key(space: &Space, partition: u64) -> Vec<String> {
    let text = space.text(partition);
    let mut parts: Vec<String> = text.split('|').map(str::to_owned).collect();
    parts.sort();
    parts
}

fn holds(selection: &Selection, other: &Arc<Space>) {
    let here = selection.space();
    let find = |wanted: &[String]| (0..other.len()).find(|&there| key(other, there) == wanted);
    let expected: Vec<(u64, Option<u64>)> = selection
        .iter()
        .map(|partition| (partition, find(&key(here, partition))))
        .collect();
    for &(partition, there) in &expected {
        assert_eq!(here.translate(other, partition), there);
    }
    match selection.translate(other, "sales") {
        Ok(translated) => {
            let there: Option<Vec<u64>> = expected.into_iter().map(|(_, there)| there).collect();
            assert_eq!(Some(translated.iter().collect::<Vec<_>>()), there);
        }
        Err(error) => {
            let (first, _) = expected.iter().find(|(_, there)| there.is_none()).unwrap();
            let told = error.to_string();
            assert!(told.contains(&format!("{:?}", here.text(*first))), "{told}");
            assert!(told.contains("\"sales\""), "{told}");
        }
    }
}

proptest! {
    #[test]
    fn translation_keeps_keys_and_order_or_names_the_first_that_is_missing(
        from in spaces(),
        to in spaces(),
        picks in prop::collection::vec(any::<Index>(), 1..12),
    ) {
        let len = |dim: usize| from.dims()[dim].axis.len() as usize;
        let of = |dim: usize| picks.iter().map(move |pick| pick.index(len(dim)) as u32);
        let sets = vec![IndexSet::from_positions(of(0)), IndexSet::from_positions(of(1))];
        holds(&Selection::new(Arc::clone(&from), Members::Product(sets)), &to);
        let given = picks.iter().map(|pick| pick.index(from.len() as usize) as u64);
        let members = Members::Explicit(PositionSet::in_order(given));
        holds(&Selection::new(Arc::clone(&from), members), &to);
        let one = picks[0].index(from.len() as usize) as u64;
        holds(&Selection::new(Arc::clone(&from), Members::One(one)), &to);
    }
}

#[test]
fn a_space_with_other_dimensions_has_none_of_the_keys() {
    let keys = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let two = space(&[("a", keys(&["x"])), ("b", keys(&["y"]))]);
    for other in [
        space(&[("a", keys(&["x"]))]),
        space(&[("a", keys(&["x"])), ("c", keys(&["y"]))]),
    ] {
        let told = Selection::all(Arc::clone(&two)).translate(&other, "sales");
        let told = told.unwrap_err().to_string();
        assert!(told.contains("\"a=x|b=y\""), "{told}");
        let nothing = Members::Explicit(PositionSet::in_order([]));
        let nothing = Selection::new(Arc::clone(&two), nothing);
        assert!(nothing.translate(&other, "sales").unwrap().is_empty());
    }
}

#[test]
fn equal_dimensions_of_many_keys_are_compared_once() {
    let keys = || (0..20_000).map(|key| format!("k{key}")).collect::<Vec<_>>();
    let more = || (0..20_001).map(|key| format!("k{key}")).collect::<Vec<_>>();
    let from = space(&[("a", keys()), ("b", keys())]);
    let to = space(&[("a", keys()), ("b", more())]);
    let there = Selection::all(from).translate(&to, "sales").unwrap();
    assert_eq!(there.len(), 400_000_000);
    assert!(matches!(there.members(), Members::Product(_)));
}
