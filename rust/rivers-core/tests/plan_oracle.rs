//! Compares the runs of plans, which are arithmetic, with an explicit grouping.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::num::NonZeroU64;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use rivers_core::plan::{Plan, Strategy as Runs};
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::{Axis, IndexSet, Members, Nesting, PositionSet, Selection, Space};

fn name(dim: usize) -> String {
    format!("dim{dim}")
}

fn space(lens: &[usize]) -> Arc<Space> {
    let dims = lens.iter().enumerate().map(|(at, &len)| Dim {
        name: name(at),
        axis: Axis::Labels(Arc::new(
            Labels::new((0..len).map(|key| key.to_string())).unwrap(),
        )),
    });
    Arc::new(Space::try_from(dims.collect::<Vec<_>>()).unwrap())
}

/// A product and a list of explicit keys, over one space of two to four dimensions.
fn selections() -> impl Strategy<Value = [Selection; 3]> {
    let dims = prop::collection::vec(
        (1..6_usize, prop::collection::vec(any::<Index>(), 1..6)),
        2..5,
    );
    (dims, prop::collection::vec(any::<Index>(), 0..60)).prop_map(|(dims, given)| {
        let lens: Vec<usize> = dims.iter().map(|(len, _)| *len).collect();
        let space = space(&lens);
        let set = |(len, picks): &(usize, Vec<Index>)| {
            IndexSet::from_positions(picks.iter().map(|pick| pick.index(*len) as u32))
        };
        let product = Members::Product(dims.iter().map(set).collect());
        let mut given: Vec<u64> = given
            .iter()
            .map(|pick| pick.index(space.len() as usize) as u64)
            .collect();
        let unsorted = Members::Explicit(PositionSet::in_order(given.iter().copied()));
        given.sort_unstable();
        let sorted = Members::Explicit(PositionSet::in_order(given));
        [product, unsorted, sorted].map(|members| Selection::new(Arc::clone(&space), members))
    })
}

/// An order by some of the dimensions.
fn nesting(space: &Space, turns: &[(Index, bool)]) -> Nesting {
    let mut names: Vec<String> = Vec::new();
    for (pick, descending) in turns {
        let dim = name(pick.index(space.dims().len()));
        if names
            .iter()
            .all(|other| other.trim_start_matches('-') != dim)
        {
            names.push(format!("{}{dim}", if *descending { "-" } else { "" }));
        }
    }
    Nesting::by_dimensions(space, &names).unwrap()
}

/// The expected chunks: runs of the next `n` partitions, ascending within a run.
fn chunked(selection: &Selection, n: u64) -> Vec<Vec<u64>> {
    let order: Vec<u64> = selection.iter().collect();
    let mut runs: Vec<Vec<u64>> = order.chunks(n as usize).map(<[u64]>::to_vec).collect();
    runs.iter_mut().for_each(|run| run.sort_unstable());
    runs
}

fn chunks_of(n: u64) -> Runs {
    let n = NonZeroU64::new(n).unwrap();
    Runs::Chunked { n }
}

/// The expected groups: one run for each combination of the dimensions, in order of first appearance,
/// ascending within a run.
fn grouped(selection: &Selection, dims: &[usize]) -> Vec<Vec<u64>> {
    let mut runs: Vec<(Vec<u32>, Vec<u64>)> = Vec::new();
    for partition in selection.iter() {
        let space = selection.space();
        let own: Vec<u32> = dims
            .iter()
            .map(|&dim| space.index(partition, dim))
            .collect();
        match runs.iter_mut().find(|(other, _)| *other == own) {
            Some((_, run)) => run.push(partition),
            None => runs.push((own, vec![partition])),
        }
    }
    for (_, run) in &mut runs {
        run.sort_unstable();
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

fn holds(selection: &Selection, strategy: Runs, expected: &[Vec<u64>]) {
    let plan = Plan::new(selection.clone(), strategy).unwrap();
    assert_eq!(plan.num_runs(), expected.len() as u64);
    for (run, partitions) in expected.iter().enumerate() {
        let planned = plan.run(run as u64);
        assert_eq!(&planned.iter().collect::<Vec<_>>(), partitions);
        assert_eq!(plan.run_len(run as u64), partitions.len() as u64);
        assert_eq!(planned.len(), partitions.len() as u64);
    }
    let mut covered: Vec<u64> = expected.iter().flatten().copied().collect();
    covered.sort_unstable();
    let selected: Vec<u64> = selection.sorted().iter().collect();
    assert_eq!(
        covered, selected,
        "each partition exactly once, and no other"
    );
}

proptest! {
    #[test]
    fn every_plan_covers_its_selection_once_in_the_order_promised(
        selections in selections(),
        chosen in prop::collection::vec(0..3_u8, 4),
        turns in prop::collection::vec((any::<Index>(), any::<bool>()), 0..5),
        backwards: bool,
        n in 1..40_u64,
    ) {
        let nesting = nesting(selections[0].space(), &turns);
        let arranged = selections.iter().map(|selection| selection.arranged(&nesting).unwrap());
        let reversed = selections.iter().map(Selection::reversed);
        let others: Vec<Selection> = arranged.chain(reversed).collect();
        for selection in selections.iter().chain(&others) {
            let each: Vec<Vec<u64>> = selection.iter().map(|partition| vec![partition]).collect();
            holds(selection, Runs::MultiRun, &each);
            let all: Vec<u64> = selection.sorted().iter().collect();
            let one = if all.is_empty() { vec![] } else { vec![all] };
            holds(selection, Runs::SingleRun, &one);

            holds(selection, chunks_of(n), &chunked(selection, n));

            // 0: across runs, 1: within a run, 2: in neither list, which is within a run too.
            let with = |wanted: u8| {
                let dims = (0..selection.space().dims().len()).zip(&chosen);
                dims.filter(|(_, choice)| **choice == wanted).map(|(at, _)| at).collect::<Vec<_>>()
            };
            let (mut across, within) = (with(0), with(1));
            let strategy = |across: &[usize]| Runs::per_dimension(
                across.iter().copied().map(name).collect(),
                within.iter().copied().map(name).collect(),
            );
            if across.is_empty() || within.is_empty() {
                prop_assert!(strategy(&across).is_err());
                continue;
            }
            let expected = grouped(selection, &across);
            if backwards {
                across.reverse();
            }
            holds(selection, strategy(&across).unwrap(), &expected);
        }
    }
}

#[test]
fn a_sparse_selection_is_never_widened() {
    let space = space(&[3, 3]);
    let diagonal = PositionSet::in_order([8, 0, 4]);
    let selection = Selection::new(space, Members::Explicit(diagonal));
    let strategy = Runs::per_dimension(vec![name(0)], vec![name(1)]).unwrap();
    holds(&selection, strategy, &[vec![8], vec![0], vec![4]]);
}

#[test]
fn a_product_of_a_thousand_million_is_planned_by_arithmetic() {
    let space = space(&[1000, 1000, 1000]);
    let strategy = Runs::per_dimension(vec![name(0), name(2)], vec![name(1)]).unwrap();
    let plan = Plan::new(Selection::all(space), strategy).unwrap();
    assert_eq!((plan.num_runs(), plan.run_len(77)), (1_000_000, 1000));
    let run = plan.run(123_456);
    let expected: Vec<u64> = (0..1000).map(|at| 123_000_456 + at * 1000).collect();
    assert_eq!(run.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_chunk_of_a_thousand_million_is_found_by_arithmetic() {
    let plan = Plan::new(
        Selection::all(space(&[1000, 1000, 1000])),
        chunks_of(7_000_000),
    )
    .unwrap();
    assert_eq!((plan.num_runs(), plan.run_len(142)), (143, 6_000_000));
    let run = plan.run(142);
    assert_eq!((run.len(), run.nth(0)), (6_000_000, 994_000_000));

    let whole = Plan::new(plan.selection().as_ref().clone(), chunks_of(u64::MAX)).unwrap();
    assert_eq!((whole.num_runs(), whole.run_len(0)), (1, 1_000_000_000));
    assert_eq!(
        whole.run(0),
        Selection::all(Arc::clone(plan.selection().space()))
    );
}

#[test]
fn a_plan_of_nothing_has_no_runs() {
    let space = space(&[2, 2]);
    let nothing = [
        Members::Product(vec![IndexSet::Range(0..2), IndexSet::Range(0..0)]),
        Members::Explicit(PositionSet::in_order([])),
    ];
    for members in nothing {
        let strategy = Runs::per_dimension(vec![name(0)], vec![name(1)]).unwrap();
        for strategy in [Runs::MultiRun, Runs::SingleRun, chunks_of(3), strategy] {
            let selection = Selection::new(Arc::clone(&space), members.clone());
            holds(&selection, strategy, &[]);
        }
    }
}

#[test]
fn per_dimension_refuses_what_the_space_does_not_have() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    for (across, within, told) in [
        (names(&[]), names(&["dim1"]), "multi_run is empty"),
        (names(&["dim0"]), names(&[]), "single_run is empty"),
        (names(&["dim0", "dim0"]), names(&["dim1"]), "twice"),
        (names(&["dim0"]), names(&["dim0"]), "in both"),
    ] {
        let error = Runs::per_dimension(across, within).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let unknown = Runs::per_dimension(names(&["dim0"]), names(&["dim7"])).unwrap();
    let error = Plan::new(Selection::all(space(&[2, 2])), unknown).unwrap_err();
    assert!(error.to_string().contains("\"dim0\", \"dim1\""), "{error}");

    let single = Dim {
        name: String::new(),
        axis: Axis::Labels(Arc::new(Labels::new(["a"]).unwrap())),
    };
    let single = Arc::new(Space::try_from(vec![single]).unwrap());
    let strategy = Runs::per_dimension(names(&["dim0"]), names(&["dim1"])).unwrap();
    assert!(Plan::new(Selection::all(single), strategy).is_err());
}
