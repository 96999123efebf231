//! Compares zoned grids, which are arithmetic, with a walk over the minutes of clocks that change at
//! any time and by any amount.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use proptest::prelude::*;
use rivers_core::space::time::{Calendar, DAY, Declared, Grid, Nanos, SECOND, TimeAxis, Zone};

const MINUTE: Nanos = 60 * SECOND;
/// 2024-01-01.
const START: Nanos = 19_723 * DAY;
const DAYS: Nanos = 6;

/// The TZif file of a zone with these changes: each time, and the offset in seconds after it.
fn tzif(first: i32, changes: &[(Nanos, i32)], footer: &str) -> Vec<u8> {
    let header = |times: usize, types: usize| {
        let mut bytes = b"TZif2".to_vec();
        bytes.extend([0; 15]);
        for count in [0, 0, 0, times, types, 0] {
            bytes.extend((count as u32).to_be_bytes());
        }
        bytes
    };
    let mut bytes = header(0, 0);
    bytes.extend(header(changes.len(), changes.len() + 1));
    let seconds = |at: Nanos| (at / SECOND) as i64;
    bytes.extend(
        changes
            .iter()
            .flat_map(|&(at, _)| seconds(at).to_be_bytes()),
    );
    bytes.extend((0..changes.len()).map(|n| n as u8 + 1));
    for offset in [first]
        .into_iter()
        .chain(changes.iter().map(|change| change.1))
    {
        bytes.extend(offset.to_be_bytes());
        bytes.extend([0, 0]);
    }
    bytes.extend(format!("\n{footer}\n").bytes());
    bytes
}

fn zone(first: i32, changes: &[(Nanos, i32)]) -> Arc<Zone> {
    Arc::new(Zone::from_tzif("Test/Zone", &tzif(first, changes, "")).unwrap())
}

/// The axis with keys that all show their offset from UTC.
fn with_offset(zone: &Arc<Zone>, grid: Grid, start: Nanos, end: Nanos) -> TimeAxis {
    let declared = Declared {
        fmt: "%Y-%m-%dT%H:%M:%S%z".to_owned(),
        ..axis(zone, grid, start, end).calendar().declared().clone()
    };
    Arc::new(Calendar::try_from(declared).unwrap())
        .at(0)
        .unwrap()
}

fn axis(zone: &Arc<Zone>, grid: Grid, start: Nanos, end: Nanos) -> TimeAxis {
    let declared = Declared {
        zone: Some(Arc::clone(zone)),
        ..Declared::new(start, Some(end), grid, "%Y-%m-%dT%H:%M:%S")
    };
    Arc::new(Calendar::try_from(declared).unwrap())
        .at(0)
        .unwrap()
}

/// The starts of windows whose steps are the multiples of `step` on the wall clock, minute by minute: a
/// window starts when the clock is in a later one than ever before. If the clock is put back by `step`
/// or more, it begins again from there.
fn walk(zone: &Zone, step: Nanos, from: Nanos, to: Nanos) -> Vec<Nanos> {
    let mut starts = Vec::new();
    let (mut before, mut latest) = (Nanos::MIN, Nanos::MIN / 2);
    let mut time = from - 3 * DAY;
    while time < to {
        let wall = zone.wall(time);
        if wall <= before && latest + MINUTE - wall >= step {
            latest = wall - MINUTE;
        }
        if wall.div_euclid(step) * step > latest && time >= from {
            starts.push(time);
        }
        latest = latest.max(wall);
        before = wall;
        time += MINUTE;
    }
    starts
}

fn minutes(range: std::ops::Range<Nanos>) -> impl Strategy<Value = Nanos> {
    range.prop_map(|minutes| minutes * MINUTE)
}

/// A span in seconds.
fn seconds(span: Nanos) -> i32 {
    (span / SECOND) as i32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_zoned_grid_is_what_the_clock_shows(
        first in minutes(-720..840),
        changes in prop::collection::vec((minutes(0..DAYS * 24 * 60), minutes(-100..100)), 0..4),
        step in prop::sample::select(vec![3_600_u32, 86_400]),
    ) {
        // Changes that are far enough apart not to undo each other within an hour.
        let mut times: Vec<(Nanos, Nanos)> = changes;
        times.sort_unstable();
        times.dedup_by(|later, earlier| later.0 - earlier.0 < 8 * 60 * MINUTE);
        let mut offset = first;
        let changes: Vec<(Nanos, i32)> = times
            .iter()
            .map(|&(at, by)| {
                offset += by;
                (START + at, seconds(offset))
            })
            .collect();
        let zone = zone(seconds(first), &changes);
        let (start, end) = (START - DAY, START + DAYS * DAY);
        let axis = axis(&zone, Grid::WallClock(step), start, end);
        let (from, to) = (zone.time_of(start), zone.time_of(end));
        let starts = walk(&zone, Nanos::from(step) * SECOND, from, to);
        let found: Vec<Nanos> = (0..axis.len()).map(|n| axis.start_of(n)).collect();
        prop_assert_eq!(&found, &starts, "{:?}", changes);
        for n in 0..axis.len() {
            let key = axis.label(n);
            prop_assert_eq!(axis.position(&key), Ok(n), "{}", key);
            prop_assert_eq!(axis.rank(axis.start_of(n)), u64::from(n));
            prop_assert_eq!(axis.rank(axis.start_of(n) + 1), u64::from(n) + 1);
            prop_assert!(axis.window(n).0 < axis.window(n).1);
        }
        let stored = TimeAxis::with_len(Arc::clone(axis.calendar()), axis.len()).unwrap();
        for n in 0..axis.len() {
            prop_assert_eq!(stored.window(n), axis.window(n));
        }
    }
}

#[test]
fn the_rule_of_a_file_applies_from_its_last_change_on() {
    let file = tzif(-16_260, &[(START, 39_960)], "<+03>-3");
    let zone = Arc::new(Zone::from_tzif("Fuzzed/Zone", &file).unwrap());
    assert_eq!(zone.offset_at(START), 3 * 3_600 * SECOND);
    let axis = axis(
        &zone,
        Grid::WallClock(604_800),
        START - 9 * DAY,
        START + 90 * DAY,
    );
    for n in 0..axis.len() {
        let start = axis.start_of(n);
        assert_eq!(axis.position(&axis.label(n)), Ok(n), "{}", axis.label(n));
        assert_eq!(zone.time_of(zone.wall(start)), start);
    }
}

#[test]
fn a_clock_far_before_history_has_no_windows() {
    let declared = Declared {
        start: START,
        end: None,
        grid: Grid::Months {
            every: 3,
            first_month: 1,
        },
        fmt: "%Y-%m-%d".to_owned(),
        zone: None,
        exclude: Vec::new(),
    };
    let calendar = Arc::new(Calendar::try_from(declared).unwrap());
    assert_eq!(calendar.at(-100_000_000_000_000 * SECOND).unwrap().len(), 0);
    assert_eq!(calendar.at(START).unwrap().len(), 1);
}

#[test]
fn a_file_that_is_not_tzif_is_refused() {
    let good = tzif(0, &[(START, 3600)], "<+01>-1");
    assert!(Zone::from_tzif("Good", &good).is_ok());
    for cut in 0..good.len() {
        assert!(Zone::from_tzif("Cut", &good[..cut]).is_err(), "{cut}");
    }
    let unknown_rule = tzif(0, &[(START, 3600)], "no rule");
    assert!(Zone::from_tzif("Rule", &unknown_rule).is_err());
    let backwards = tzif(0, &[(START, 3600), (START - SECOND, 0)], "");
    assert!(Zone::from_tzif("Backwards", &backwards).is_err());
}

fn zones() -> impl Strategy<Value = Arc<Zone>> {
    let changes = prop::collection::vec((minutes(0..DAYS * 24 * 60), minutes(-100..100)), 0..4);
    (minutes(-720..840), changes).prop_map(|(first, mut changes)| {
        changes.sort_unstable();
        changes.dedup_by(|later, earlier| later.0 - earlier.0 < 8 * 60 * MINUTE);
        let mut offset = first;
        let changes: Vec<(Nanos, i32)> = changes
            .iter()
            .map(|&(at, by)| {
                offset += by;
                (START + at, seconds(offset))
            })
            .collect();
        zone(seconds(first), &changes)
    })
}

fn grids() -> impl Strategy<Value = Grid> {
    let cron = |text: &str| Grid::Cron(text.to_owned());
    prop::sample::select(vec![
        Grid::WallClock(3_600),
        Grid::WallClock(86_400),
        Grid::seconds(1_800),
        Grid::seconds(5 * 3_600),
        cron("*/20 * * * *"),
        cron("30 1,2 * * *"),
        cron("0 0 * * TUE,SAT"),
        cron("0 */6 * * *"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_zoned_grid_numbers_its_windows_and_leads_back_from_its_keys(
        zone in zones(), grid in grids(), hour in 0..24_i128,
    ) {
        let start = START + hour * 60 * MINUTE;
        let shown = with_offset(&zone, grid.clone(), start, START + DAYS * DAY);
        let axis = axis(&zone, grid, start, START + DAYS * DAY);
        for n in 0..axis.len() {
            prop_assert_eq!(shown.window(n), axis.window(n));
            let key = shown.label(n);
            prop_assert_eq!(shown.position(&key), Ok(n), "{}", key);
        }
        let starts: Vec<Nanos> = (0..axis.len()).map(|n| axis.start_of(n)).collect();
        prop_assert!(starts.is_sorted_by(|a, b| a < b), "{:?}", starts);
        prop_assert!(starts.iter().all(|&at| at >= zone.time_of(start)));
        for n in 0..axis.len() {
            prop_assert_eq!(axis.position(&axis.label(n)), Ok(n));
            prop_assert_eq!(axis.rank(axis.start_of(n)), u64::from(n));
            prop_assert_eq!(axis.window(n).1, starts.get(n as usize + 1).copied().unwrap_or(axis.window(n).1));
        }
        // What is stored is the grid with its zone, whatever the database says later.
        let bytes = postcard::to_stdvec(axis.calendar().declared()).unwrap();
        let declared: Declared = postcard::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&declared, axis.calendar().declared());
        let stored = TimeAxis::with_len(Arc::new(Calendar::try_from(declared).unwrap()), axis.len()).unwrap();
        prop_assert!((0..axis.len()).all(|n| stored.window(n) == axis.window(n)));
    }

    #[test]
    fn a_grid_goes_on_before_its_start_and_after_its_end(zone in zones(), grid in grids()) {
        let short = axis(&zone, grid.clone(), START + 2 * DAY, START + 4 * DAY);
        prop_assume!(!short.is_empty());
        let (from, to) = (START - DAY, START + DAYS * DAY);
        let Some((wide, first)) = short.reaching(from, to) else {
            // An interval whose earlier starts are all second times of the clock.
            return Ok(());
        };
        prop_assert!(wide.start_of(0) <= from);
        prop_assert!(wide.window(wide.len() - 1).1 >= to);
        for n in 0..short.len() {
            prop_assert_eq!(wide.window(first + n), short.window(n));
        }
    }

    #[test]
    fn windows_that_are_left_out_leave_the_others_as_they_are(
        zone in zones(),
        grid in grids(),
        left_out in prop::collection::btree_set(0..200_u32, 0..12),
        spans in prop::collection::vec((0..DAYS * DAY, 1..2 * DAY), 4),
    ) {
        let whole = axis(&zone, grid, START, START + DAYS * DAY);
        let exclude: Vec<Nanos> = left_out
            .iter()
            .filter(|&&n| n < whole.len())
            .map(|&n| whole.start_of(n))
            .collect();
        let declared = Declared { exclude: exclude.clone(), ..whole.calendar().declared().clone() };
        let axis = Arc::new(Calendar::try_from(declared).unwrap()).at(0).unwrap();
        let kept: Vec<u32> = (0..whole.len()).filter(|&n| !exclude.contains(&whole.start_of(n))).collect();
        prop_assert_eq!(axis.len() as usize, kept.len());
        for (at, &n) in kept.iter().enumerate() {
            prop_assert_eq!(axis.window(at as u32), whole.window(n));
            prop_assert_eq!(axis.position(&whole.label(n)), Ok(at as u32));
        }
        for (from, length) in spans {
            let (from, to) = (START + from, START + from + length);
            let overlaps = |&n: &u32| axis.window(n).0 < to && from < axis.window(n).1;
            let expected: Vec<u32> = (0..axis.len()).filter(overlaps).collect();
            let found: Vec<u32> = axis.overlapping(from, to).collect();
            prop_assert_eq!(found, expected);
        }
        let spans = axis.contiguous(0..axis.len());
        let joined: Vec<u32> = spans.iter().cloned().flatten().collect();
        prop_assert_eq!(joined, (0..axis.len()).collect::<Vec<_>>());
        for n in 1..axis.len() {
            let meets = axis.window(n - 1).1 == axis.start_of(n);
            let divided = spans.iter().any(|span| span.start == n);
            prop_assert_eq!(meets, !divided);
        }
        let stored = TimeAxis::with_len(Arc::clone(axis.calendar()), axis.len()).unwrap();
        prop_assert!((0..axis.len()).all(|n| stored.window(n) == axis.window(n)));
    }
}
