//! Compares orders of selections, which are arithmetic, with a sorted list.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::cmp::Ordering;
use std::sync::Arc;

use proptest::prelude::*;
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::{Axis, IndexSet, Members, Nesting, PositionSet, Selection, Space};

fn space(dims: &[(&str, u32)]) -> Arc<Space> {
    let dims = dims.iter().map(|&(name, len)| Dim {
        name: name.to_owned(),
        axis: Axis::Labels(Arc::new(
            Labels::new((0..len).map(|key| key.to_string())).unwrap(),
        )),
    });
    Arc::new(Space::try_from(dims.collect::<Vec<_>>()).unwrap())
}

fn nesting(space: &Space, given: &[&str]) -> Result<Nesting, String> {
    let given: Vec<String> = given.iter().map(|&name| name.to_owned()).collect();
    Nesting::by_dimensions(space, &given).map_err(|error| error.to_string())
}

/// Sorts by the given dimensions, then by the others in definition order.
fn sorted(selection: &Selection, by: &[(usize, bool)]) -> Vec<u64> {
    let space = selection.space();
    let mut listed: Vec<u64> = selection.sorted().iter().collect();
    listed.sort_by(|&a, &b| {
        let by_dim = |&(dim, descending): &(usize, bool)| {
            let order = space.index(a, dim).cmp(&space.index(b, dim));
            if descending { order.reverse() } else { order }
        };
        by.iter()
            .map(by_dim)
            .find(|order| *order != Ordering::Equal)
            .unwrap_or(a.cmp(&b))
    });
    listed
}

proptest! {
    #[test]
    fn an_order_by_dimensions_is_what_a_sort_gives(
        lens in (1..6_u32, 1..6_u32, 1..6_u32),
        masks: [u8; 3],
        given in prop::collection::vec(0..216_u64, 0..50),
        order in Just(vec![0, 1, 2_usize]).prop_shuffle(),
        down: [bool; 3],
        named in 0..4_usize,
        from in 0..60_u64,
    ) {
        let space = space(&[("a", lens.0), ("b", lens.1), ("c", lens.2)]);
        let set = |(dim, mask): (&Dim, u8)| {
            IndexSet::from_positions((0..dim.axis.len()).filter(|at| mask >> at & 1 == 1))
        };
        let product = Members::Product(space.dims().iter().zip(masks).map(set).collect());
        let listed = Members::Explicit(PositionSet::in_order(given.iter().map(|one| one % space.len())));
        let by: Vec<(usize, bool)> = order.iter().copied().zip(down).take(named).collect();
        let names: Vec<String> = by.iter().map(|&(dim, descending)| {
            format!("{}{}", if descending { "-" } else { "" }, ["a", "b", "c"][dim])
        }).collect();
        let nesting = Nesting::by_dimensions(&space, &names).unwrap();
        for members in [product, listed] {
            let selection = Selection::new(Arc::clone(&space), members);
            let arranged = selection.arranged(&nesting).unwrap();
            let expected = sorted(&selection, &by);
            prop_assert_eq!(arranged.iter().collect::<Vec<_>>(), expected.clone());
            let rest: Vec<u64> = expected.iter().copied().skip(from as usize).collect();
            prop_assert_eq!(arranged.iter_from(from).collect::<Vec<_>>(), rest);
            for (n, &partition) in expected.iter().enumerate() {
                prop_assert_eq!(arranged.nth(n as u64), partition);
            }
            prop_assert_eq!(arranged.to_treemap(), selection.to_treemap());
            prop_assert_eq!(arranged.sorted(), selection.sorted());
            let turned: Vec<u64> = expected.iter().rev().copied().collect();
            prop_assert_eq!(arranged.reversed().iter().collect::<Vec<_>>(), turned);

            // What a rerun does: without some of them, in the same order.
            let done: roaring::RoaringTreemap = selection.iter().step_by(3).collect();
            let left: Vec<u64> = expected.iter().copied().filter(|one| !done.contains(*one)).collect();
            let again = arranged.difference(&done).arranged_as(&arranged).unwrap();
            prop_assert_eq!(again.iter().collect::<Vec<_>>(), left);
        }
    }
}

#[test]
fn names_that_are_no_order_are_refused() {
    let two = space(&[("date", 3), ("-date", 2)]);
    let levels = |given: &[&str]| {
        let nesting = nesting(&two, given).unwrap();
        nesting
            .levels()
            .iter()
            .map(|level| (level.dim, level.descending))
            .collect::<Vec<_>>()
    };
    assert_eq!(levels(&["-date"]), [(1, false), (0, false)]);
    assert_eq!(levels(&["--date", "date"]), [(1, true), (0, false)]);
    let refused = nesting(&two, &["-dates"]).unwrap_err();
    assert!(
        refused.contains("no dimension \"dates\"") && refused.contains("did you mean"),
        "{refused}"
    );
    let refused = nesting(&two, &["date", "date"]).unwrap_err();
    assert!(refused.contains("named twice"), "{refused}");
    let refused = nesting(&space(&[("", 3)]), &["date"]).unwrap_err();
    assert!(refused.contains("single dimension"), "{refused}");
}

#[test]
fn a_product_of_a_thousand_million_is_arranged_by_arithmetic() {
    let huge = space(&[("a", 40_000), ("b", 40_000), ("c", 2)]);
    let all = Selection::all(Arc::clone(&huge));
    let arranged = all
        .arranged(&nesting(&huge, &["c", "-a"]).unwrap())
        .unwrap();
    assert_eq!(huge.text(arranged.nth(0)), "a=39999|b=0|c=0");
    assert_eq!(huge.text(arranged.nth(40_001)), "a=39998|b=1|c=0");
    assert_eq!(
        huge.text(arranged.nth(arranged.len() - 1)),
        "a=0|b=39999|c=1"
    );
    // This many explicit keys are compressed; they can be reversed, but not listed.
    let most = all.difference(&std::iter::once(7).collect());
    assert_eq!(most.reversed().nth(0), huge.len() - 1);
    let refused = most.arranged(&nesting(&huge, &["c"]).unwrap());
    assert!(refused.is_err_and(|error| error.to_string().contains("at most 100000000")));
}
