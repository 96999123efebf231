//! Checks malicious bytes: each gives an error, or a plan that stays within its space, in bounded
//! time.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use rivers_core::plan::codec::{decode_plan, decode_space, encode_plan};
use rivers_core::plan::group::MAX_GROUPED_KEYS;
use rivers_core::plan::{Plan, Strategy};
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::time::{Declared, Grid, Nanos, SECOND};
use rivers_core::space::{Axis, IndexSet, Members, PositionSet, Selection, Space};

/// The stored form of an axis, without its checks.
#[derive(serde::Serialize)]
enum StoredAxis {
    Labels(Vec<String>),
    Time(Declared, u32),
}

#[derive(serde::Serialize)]
enum StoredStrategy {
    #[expect(dead_code, reason = "the variants count")]
    MultiRun,
    #[expect(dead_code, reason = "the variants count")]
    SingleRun,
    PerDimension(Vec<String>, Vec<String>),
    Chunked(u64),
}

fn stored<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![1]).unwrap()
}

fn space(lens: &[usize]) -> Arc<Space> {
    let dims = lens.iter().enumerate().map(|(at, &len)| Dim {
        name: format!("dim{at}"),
        axis: Axis::Labels(Arc::new(
            Labels::new((0..len).map(|key| key.to_string())).unwrap(),
        )),
    });
    Arc::new(Space::try_from(dims.collect::<Vec<_>>()).unwrap())
}

fn time(start: i64, end: Option<i64>, grid: Grid, fmt: &str, len: u32) -> Vec<u8> {
    let fmt = fmt.to_owned();
    let exact = |seconds: i64| Nanos::from(seconds) * SECOND;
    let declared = Declared {
        start: exact(start),
        end: end.map(exact),
        grid,
        fmt,
        zone: None,
        exclude: Vec::new(),
    };
    stored(&vec![("", StoredAxis::Time(declared, len))])
}

#[test]
fn a_calendar_with_hostile_numbers_is_refused() {
    let cron = |expression: &str| Grid::Cron(expression.to_owned());
    let fmt = "%Y-%m-%dT%H:%M:%S";
    for bytes in [
        time(i64::MIN, None, Grid::seconds(1), fmt, 1),
        time(i64::MAX, None, cron("* * * * *"), fmt, 1),
        time(0, Some(i64::MIN), Grid::seconds(1), fmt, 1),
        time(0, None, Grid::seconds(u32::MAX), fmt, u32::MAX),
        time(0, None, Grid::seconds(0), fmt, 1),
        time(0, None, cron("0 0 1 1 *"), fmt, u32::MAX),
        time(0, None, cron("0 0 29 2 +MON"), fmt, 1_000_000),
        time(-253_402_300_799, None, cron("0 0 30 2 *"), fmt, u32::MAX),
        time(253_402_300_799, None, Grid::seconds(1), fmt, 2),
        time(0, None, Grid::seconds(60), "%Y", 10),
        time(0, None, Grid::seconds(60), "%", 10),
        time(0, None, cron(&"9".repeat(10_000)), fmt, 10),
    ] {
        assert!(decode_space(&bytes).is_err());
    }
}

#[test]
fn names_that_no_definition_could_have_are_refused() {
    let labels = |names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        stored(&vec![("", StoredAxis::Labels(names))])
    };
    assert!(decode_space(&labels(&["a", "b"])).is_ok());
    for names in [["a", "a"], ["a", ""], ["a", "b|c"]] {
        assert!(decode_space(&labels(&names)).is_err());
    }
    // A count of names, or of bytes, far beyond what follows: variant 0 and then 2^64 - 1.
    let mut bytes = vec![1, 1, 0, 0];
    bytes.extend([0xff; 9]);
    bytes.push(1);
    assert!(decode_space(&bytes).is_err());
}

#[test]
fn members_outside_the_space_are_refused() {
    let large = space(&[10, 10]);
    let of = |first, second| Members::Product(vec![first, second]);
    for members in [
        of(IndexSet::Range(0..3), IndexSet::Range(0..10)),
        of(IndexSet::from_positions([0, 9]), IndexSet::one(0)),
        Members::One(10),
        Members::Explicit(PositionSet::in_order([3, 99, 0])),
        Members::Explicit(PositionSet::ascending([3, 9].into_iter().collect())),
    ] {
        let plan = Plan::new(
            Selection::new(Arc::clone(&large), members),
            Strategy::MultiRun,
        );
        let bytes = encode_plan(&plan.unwrap()).unwrap();
        assert!(decode_plan(Arc::clone(&large), &bytes).is_ok());
        assert!(decode_plan(space(&[3, 3]), &bytes).is_err());
        assert!(decode_plan(space(&[10]), &bytes).is_err() || bytes[1] != 0);
    }
    let (start, end) = (3, 1);
    let inverted = IndexSet::Range(start..end);
    assert!(postcard::from_bytes::<IndexSet>(&postcard::to_allocvec(&inverted).unwrap()).is_err());
}

#[test]
fn a_strategy_that_no_user_could_build_is_refused() {
    let space = space(&[70_000, 70_000]);
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let read = |across: &[&str], within: &[&str]| {
        let strategy = StoredStrategy::PerDimension(names(across), names(within));
        decode_plan(
            Arc::clone(&space),
            &stored(&(Members::One(4_899_999_999), strategy)),
        )
    };
    assert!(read(&["dim0"], &["dim1"]).is_ok());
    for (n, is_read) in [(0, false), (1, true), (u64::MAX, true)] {
        let bytes = stored(&(Members::One(0), StoredStrategy::Chunked(n)));
        assert_eq!(decode_plan(Arc::clone(&space), &bytes).is_ok(), is_read);
    }
    for (across, within) in [
        (&["dim0", "dim0", "dim0", "dim0"][..], &["dim1"][..]),
        (&["dim0"], &["dim0"]),
        (&[], &["dim0"]),
        (&["dim0"], &["elsewhere"]),
    ] {
        assert!(read(across, within).is_err());
    }
}

#[test]
fn a_few_bytes_that_stand_for_thousands_of_millions_of_keys_are_not_written_out() {
    let space = space(&[70_000, 70_000]);
    let mut set = roaring::RoaringTreemap::new();
    set.insert_range(0..MAX_GROUPED_KEYS * 40);
    let members = Members::Explicit(PositionSet::ascending(set));
    let selection = Selection::new(Arc::clone(&space), members);
    let plan = Plan::new(selection.clone(), Strategy::MultiRun).unwrap();
    let bytes = encode_plan(&plan).unwrap();
    assert!(bytes.len() < 2_000_000);
    let again = decode_plan(space, &bytes).unwrap();
    assert_eq!(again.num_runs(), 4_000_000_000);
    assert_eq!(again.run(3_999_999_999).nth(0), 3_999_999_999);
    let strategy = Strategy::per_dimension(vec!["dim0".to_owned()], vec!["dim1".to_owned()]);
    let refused = Plan::new(selection, strategy.unwrap()).unwrap_err();
    assert!(refused.to_string().contains("4000000000"), "{refused}");
}
