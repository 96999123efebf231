//! What happened to a backfill is a log of commits: however the runs are spread over them, and however many
//! there are, they read as one record.

use std::ops::Range;

use rivers_core::backfill::{Counts, RunEnd, RunRow, Status};
use rivers_core::store::queries::coverage::Coverage;
use rivers_core::store::{Committed, Extent, Store};

use super::{Fixture, commit, completed, created, failed, finish, lease, record, row};

/// More commits than a storage leaves unmerged.
const MANY: u64 = 300;

fn record_each(store: &dyn Store, key: i64, numbers: &[&[u64]]) {
    for numbers in numbers {
        let ends = numbers.iter().map(|&run| match run % 5 {
            0 => failed(run, "x"),
            _ => completed(run),
        });
        record(store, "o", key, ends.collect());
    }
}

fn expected(numbers: impl IntoIterator<Item = u64>) -> Vec<RunRow> {
    let row = |run| {
        let end = completed(run);
        RunRow {
            run,
            started_at: end.started_at,
            ended_at: end.ended_at,
            failed: u64::from(run % 5 == 0),
        }
    };
    numbers.into_iter().map(row).collect()
}

/// Commits of two workers that are at different places, and of one that was slow.
const OVERLAPPING: [&[u64]; 5] = [&[1, 2, 21, 22], &[3, 23], &[0, 40], &[], &[5, 4, 24, 41]];

pub(crate) fn runs_of_overlapping_commits_are_read_in_order(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 50, "o");
    record_each(&*store, key, &OVERLAPPING);
    let all = [0, 1, 2, 3, 4, 5, 21, 22, 23, 24, 40, 41];
    assert_eq!(store.runs(key, 0..u64::MAX), Ok(expected(all)));
    for start in 0..45 {
        for end in start..45 {
            let inside = all.into_iter().filter(|run| (start..end).contains(run));
            assert_eq!(store.runs(key, start..end), Ok(expected(inside)));
        }
    }
    let streamed = store.ended_runs(key, 2..24).unwrap();
    let streamed: Vec<RunRow> = streamed.iter().map(|run| run.unwrap()).collect();
    assert_eq!(streamed, expected([2, 3, 4, 5, 21, 22, 23]));
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn ranges_in_which_all_runs_have_ended_are_found(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 50, "o");
    assert_eq!(store.extents(key), Ok(vec![]));
    record_each(&*store, key, &OVERLAPPING);
    let mut heads = store.extents(key).unwrap();
    let segments = store.segments(key, &(0..u64::MAX)).unwrap();
    let mut expected: Vec<Extent> = segments.iter().map(Extent::from).collect();
    for extents in [&mut heads, &mut expected] {
        extents.sort_by_key(|extent| (extent.first, extent.last));
    }
    assert_eq!(heads, expected);
    let coverage = Coverage::new(&*store, key).unwrap();
    let exact = coverage.split(0..50, 1).unwrap();
    assert_eq!(
        (exact.full, exact.mixed),
        (vec![0..6, 21..25, 40..42], vec![])
    );
    let all = [0, 1, 2, 3, 4, 5, 21, 22, 23, 24, 40, 41];
    for min_len in 2..20 {
        let found = coverage.split(0..50, min_len).unwrap();
        let has = |ranges: &[Range<u64>], run| ranges.iter().any(|range| range.contains(&run));
        for run in 0..50 {
            let is_ended = all.contains(&run);
            assert!(is_ended || !has(&found.full, run), "{run} of {min_len}");
            let is_found = has(&found.full, run) || has(&found.mixed, run);
            assert!(!is_ended || is_found, "{run} of {min_len}");
        }
    }
    // What was recorded since is not counted as ended, and nothing is counted twice.
    record_each(&*store, key, &[&[6, 7, 20, 25]]);
    let found = coverage.split(0..50, 1).unwrap();
    let counted: u64 = found.full.iter().map(|range| range.end - range.start).sum();
    assert!(counted <= 16);
    for range in found.full {
        assert_eq!(
            store.runs(key, range.clone()).unwrap().len() as u64,
            range.end - range.start
        );
    }
}

pub(crate) fn the_last_run_before_a_number_is_found_among_overlapping_commits(
    fixture: &impl Fixture,
) {
    let store = fixture.open();
    let key = created(&*store, "b", 50, "o");
    record_each(&*store, key, &OVERLAPPING);
    let all = [0, 1, 2, 3, 4, 5, 21, 22, 23, 24, 40, 41];
    for number in 0..45 {
        let last = all.into_iter().rfind(|&run| run < number);
        let found = store.run_before(key, number).unwrap();
        assert_eq!(found, expected(last).pop(), "before {number}");
    }
}

pub(crate) fn the_latest_runs_of_overlapping_commits_come_in_descending_order(
    fixture: &impl Fixture,
) {
    let store = fixture.open();
    let keys = ["old", "empty", "new"].map(|id| created(&*store, id, 50, "o"));
    record_each(&*store, keys[0], &OVERLAPPING);
    record_each(&*store, keys[2], &OVERLAPPING);
    let all: Vec<(i64, u64)> = [keys[2], keys[0]]
        .into_iter()
        .flat_map(|key| [41, 40, 24, 23, 22, 21, 5, 4, 3, 2, 1, 0].map(|run| (key, run)))
        .collect();
    for wanted in [None, Some(true), Some(false)] {
        let fits = |&(_, run): &(i64, u64)| wanted.is_none_or(|wanted| (run % 5 == 0) == wanted);
        let expected: Vec<_> = all.iter().copied().filter(fits).collect();
        for limit in (0..26).map(Some).chain([None]) {
            let found = store.latest_runs(wanted, limit).unwrap();
            let found: Vec<_> = found.into_iter().map(|(key, run)| (key, run.run)).collect();
            let most = limit.map_or(expected.len(), |limit| expected.len().min(limit as usize));
            assert_eq!(found, expected[..most], "{wanted:?}, {limit:?}");
        }
    }
}

pub(crate) fn many_commits_of_a_run_each_are_read_as_one_record(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", MANY, "o");
    let mut counts = Counts::default();
    // Two workers, one at the front and one at the back.
    let order = (0..MANY / 2).flat_map(|run| [run, MANY - 1 - run]);
    for (done, run) in (1..).zip(order) {
        let mut one = commit(key, counts, vec![completed(run)]);
        one.in_flight = vec![(run, 7)];
        counts = one.counts;
        assert_eq!(store.commit(&lease("o"), &[one]), Ok(vec![Committed::Kept]));
        let row = row(&*store, key);
        assert_eq!((row.counts, row.in_flight), (counts, vec![(run, 7)]));
        assert_eq!(store.runs(key, run..run + 1).unwrap().len(), 1);
        assert_eq!(store.runs(key, 0..MANY).unwrap().len(), done);
    }
    assert_eq!(store.check(), Ok(vec![]));
    finish(&*store, "o", key, Status::Completed);
    let numbers: Vec<u64> = store
        .runs(key, 0..MANY)
        .unwrap()
        .iter()
        .map(|run| run.run)
        .collect();
    assert!(numbers.into_iter().eq(0..MANY));
    assert_eq!(row(&*store, key).counts, counts);
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn commits_without_runs_say_how_a_backfill_stands(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    for at in 0..MANY.cast_signed() {
        let mut nothing = commit(key, Counts::default(), Vec::new());
        nothing.in_flight = vec![(3, at)];
        store.commit(&lease("o"), &[nothing]).unwrap();
        assert_eq!(row(&*store, key).in_flight, [(3, at)]);
    }
    assert_eq!(store.runs(key, 0..9), Ok(vec![]));
    assert_eq!(store.run_before(key, 9), Ok(None));
    assert_eq!(store.latest_runs(None, None), Ok(vec![]));
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn what_a_backfill_recorded_stays_when_it_ends(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 50, "o");
    record_each(&*store, key, &OVERLAPPING);
    let (before, runs) = (row(&*store, key).counts, store.runs(key, 0..50));
    finish(&*store, "o", key, Status::Failed);
    let after = row(&*store, key).counts;
    assert_eq!(
        (after.completed, after.failed),
        (before.completed, before.failed)
    );
    assert_eq!((after.runs_ended, after.canceled), (before.runs_ended, 38));
    assert_eq!(store.runs(key, 0..50), runs);
}

pub(crate) fn numbers_far_apart_are_read(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let far = |run, at| RunEnd {
        started_at: at,
        ended_at: at,
        run,
        ..completed(0)
    };
    let ends = vec![
        far(i64::MAX as u64 - 1, i64::MIN),
        far(0, i64::MAX),
        far(1 << 40, -1),
    ];
    record(&*store, "o", key, ends);
    let runs = store.runs(key, 0..u64::MAX).unwrap();
    let found: Vec<_> = runs
        .iter()
        .map(|run| (run.run, run.started_at, run.ended_at))
        .collect();
    let times = [
        (0, i64::MAX),
        (1 << 40, -1),
        (i64::MAX as u64 - 1, i64::MIN),
    ];
    assert_eq!(found, times.map(|(run, at)| (run, at, at)));
}

pub(crate) fn a_record_that_was_made_twice_fails_the_check(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    record(&*store, "o", key, vec![completed(0), completed(1)]);
    record(&*store, "o", key, vec![completed(1)]);
    let problems = store.check().unwrap();
    assert!(problems[0].contains("cannot have ended so"), "{problems:?}");
}
