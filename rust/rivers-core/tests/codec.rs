//! Checks encoded plans: they decode to equal plans, and damaged bytes give an error or a plan, never
//! a panic.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::num::NonZeroU64;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use rivers_core::plan::codec::{decode_plan, decode_space, encode_plan, encode_space};
use rivers_core::plan::{Plan, Strategy as Runs};
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::time::{Calendar, DAY, Declared, Grid, Nanos, SECOND};
use rivers_core::space::{Axis, IndexSet, Members, Nesting, PositionSet, Selection, Space};

fn space(grid: Grid, days: i64) -> Arc<Space> {
    let declared = Declared {
        start: 1_700_000_000 * SECOND,
        end: None,
        grid,
        fmt: "%Y-%m-%dT%H:%M:%S".to_owned(),
        zone: None,
        exclude: Vec::new(),
    };
    let calendar = Arc::new(Calendar::try_from(declared).unwrap());
    let axes = [
        (
            "time",
            Axis::Time(
                calendar
                    .at(1_700_000_000 * SECOND + Nanos::from(days) * DAY)
                    .unwrap(),
            ),
        ),
        (
            "region",
            Axis::Labels(Arc::new(Labels::new(["us", "eu", "asia"]).unwrap())),
        ),
        (
            "kind",
            Axis::Labels(Arc::new(Labels::new(["a", "b"]).unwrap())),
        ),
    ];
    let dims = axes.map(|(name, axis)| Dim {
        name: name.to_owned(),
        axis,
    });
    Arc::new(Space::try_from(dims.to_vec()).unwrap())
}

fn plans() -> impl Strategy<Value = Plan> {
    let grid = prop_oneof![
        Just(Grid::seconds(3_600)),
        Just(Grid::Cron("0 6,18 * * 1-5".to_owned())),
        Just(Grid::Cron("0 0 29 2 *".to_owned())),
    ];
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let strategy = prop_oneof![
        Just(Runs::MultiRun),
        Just(Runs::SingleRun),
        any::<NonZeroU64>().prop_map(|n| Runs::Chunked { n }),
        Just(Runs::per_dimension(names(&["region"]), names(&["time", "kind"])).unwrap()),
        Just(Runs::per_dimension(names(&["kind", "time"]), names(&["region"])).unwrap()),
    ];
    let picks = prop::collection::vec(any::<Index>(), 1..40);
    let made = prop::collection::vec(any::<Index>(), 0..3);
    (
        grid,
        400..2_000_i64,
        strategy,
        0..4_u8,
        picks,
        0..3_u8,
        made,
    )
        .prop_map(|(grid, days, strategy, kind, picks, order, made)| {
            let space = space(grid, days);
            let numbers = || {
                picks
                    .iter()
                    .map(|pick| pick.index(space.len() as usize) as u64)
            };
            let members = match kind {
                0 => Members::One(numbers().next().unwrap()),
                1 => Members::Explicit(PositionSet::in_order(numbers())),
                2 => Members::Explicit(PositionSet::ascending(numbers().collect())),
                _ => Members::Product(
                    space
                        .dims()
                        .iter()
                        .map(|dim| {
                            let len = dim.axis.len() as usize;
                            IndexSet::from_positions(
                                picks.iter().map(|pick| pick.index(len) as u32),
                            )
                        })
                        .collect(),
                ),
            };
            let selection = Selection::new(space, members);
            let by = ["kind", "-time"].map(str::to_owned);
            let by = Nesting::by_dimensions(selection.space(), &by);
            let selection = match order {
                0 => selection,
                1 => selection.reversed(),
                _ => selection.arranged(&by.unwrap()).unwrap(),
            };
            let space = Arc::clone(selection.space());
            let own = |at: &Index| selection.nth(at.index(selection.len() as usize) as u64);
            let made: Vec<(u32, Selection)> = made
                .iter()
                .map(|at| Selection::new(Arc::clone(&space), Members::One(own(at))))
                .zip(0..)
                .map(|(selection, asset)| (asset, selection))
                .collect();
            let plan = Plan::new(selection, strategy).unwrap();
            plan.with_materialized(made)
        })
}

fn bytes(plan: &Plan) -> (Vec<u8>, Vec<u8>) {
    (
        encode_space(plan.selection().space()).unwrap(),
        encode_plan(plan).unwrap(),
    )
}

/// Decodes both, and uses the plan as an engine would.
fn read(space: &[u8], plan: &[u8]) {
    let Ok(space) = decode_space(space) else {
        return;
    };
    let Ok(plan) = decode_plan(space, plan) else {
        return;
    };
    for run in [0, plan.num_runs() / 2, plan.num_runs().saturating_sub(1)] {
        if run < plan.num_runs() {
            let partitions = plan.run(run);
            assert_eq!(partitions.len(), plan.run_len(run));
            for partition in [partitions.nth(0), partitions.nth(partitions.len() - 1)] {
                let space = partitions.space();
                assert!(partition < space.len());
                assert!(plan.selection().contains(partition));
                assert!(!space.text(partition).is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_written_is_read(plan in plans()) {
        let (space, body) = bytes(&plan);
        let again = decode_plan(decode_space(&space).unwrap(), &body).unwrap();
        prop_assert_eq!(again.selection(), plan.selection());
        for asset in 0..3 {
            prop_assert_eq!(again.materialized(asset), plan.materialized(asset));
        }
        prop_assert_eq!(again.strategy(), plan.strategy());
        prop_assert_eq!(again.num_runs(), plan.num_runs());
        for run in 0..plan.num_runs().min(60) {
            let partitions = |plan: &Plan| plan.run(run).iter().collect::<Vec<_>>();
            prop_assert_eq!(partitions(&again), partitions(&plan));
        }
        prop_assert_eq!(bytes(&again), (space, body));
    }

    #[test]
    fn bytes_cut_short_are_an_error(plan in plans(), cut: Index) {
        let (space, body) = bytes(&plan);
        prop_assert!(decode_space(&space[..cut.index(space.len())]).is_err());
        prop_assert!(decode_plan(decode_space(&space).unwrap(), &body[..cut.index(body.len())]).is_err());
    }

    #[test]
    fn flipped_bits_never_panic(
        plan in plans(),
        flips in prop::collection::vec((any::<bool>(), any::<Index>(), 0..8_u8), 1..6),
    ) {
        let (mut space, mut body) = bytes(&plan);
        for (which, at, bit) in flips {
            let bytes = if which { &mut space } else { &mut body };
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            read(&space, &body);
        }
    }

    #[test]
    fn any_bytes_never_panic(
        space in prop::collection::vec(any::<u8>(), 0..200),
        body in prop::collection::vec(any::<u8>(), 0..200),
        plan in plans(),
    ) {
        let prefixed = |rest: &[u8]| [&[1_u8], rest].concat();
        read(&prefixed(&space), &prefixed(&body));
        read(&bytes(&plan).0, &prefixed(&body));
        prop_assert!(decode_space(&space).is_err() || space.first() == Some(&1));
    }
}

/// Plans encoded by the first version, which must remain readable while their backfills are on
/// record.
#[test]
fn plans_of_the_first_version_are_read() {
    let labels = |names: &[&str]| Axis::Labels(Arc::new(Labels::new(names.iter()).unwrap()));
    let dims = [
        ("date", labels(&["1", "2", "3"])),
        ("region", labels(&["us", "eu"])),
    ];
    let dims = dims.map(|(name, axis)| Dim {
        name: name.to_owned(),
        axis,
    });
    let space = Arc::new(Space::try_from(dims.to_vec()).unwrap());
    let per_date = Runs::per_dimension(vec!["date".into()], vec!["region".into()]).unwrap();
    let (range, listed): (&[u8], &[u8]) = (&[1, 0, 2, 0, 1, 3, 0, 0, 2], &[1, 1, 1, 3, 4, 1, 3]);
    let by_date: &[u8] = &[
        2, 1, 4, 100, 97, 116, 101, 1, 6, 114, 101, 103, 105, 111, 110,
    ];
    for (members, strategy, runs, partitions, grouping) in [
        (range, &[0][..], 4, vec![2, 3, 4, 5], Runs::MultiRun),
        (listed, &[1], 1, vec![4, 1, 3], Runs::SingleRun),
        (range, by_date, 2, vec![2, 3, 4, 5], per_date),
    ] {
        let plan = decode_plan(Arc::clone(&space), &[members, strategy].concat()).unwrap();
        assert_eq!((plan.num_runs(), plan.strategy()), (runs, &grouping));
        assert_eq!(plan.selection().iter().collect::<Vec<_>>(), partitions);
    }
}
