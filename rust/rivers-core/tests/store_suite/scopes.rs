//! Of many single runs, those that determine the state of an asset are found.

use std::sync::Arc;

use hashbrown::HashMap;
use rivers_core::backfill::{Cause, Counts, Request, RunEnd, Skip, Status};
use rivers_core::clock::Micros;
use rivers_core::plan::{Plan, Strategy};
use rivers_core::space::{Members, Selection};
use rivers_core::store::queries::copy::copy;
use rivers_core::store::{Committed, Key, Records, Store};

use super::{
    Fixture, commit, completed, created, failed, finish, lease, record, request, row, space,
};

/// What a run covers of a space with keys `k0`, `k1` and so on.
fn only(size: u64, partition: u64) -> Plan {
    let one = Selection::new(space(size), Members::One(partition));
    Plan::new(one, Strategy::SingleRun).unwrap()
}

fn skipped(partitions: u64) -> RunEnd {
    let skip = Skip {
        asset: 0,
        partition: None,
        reason: Arc::new(Cause::of_skip("nothing")),
    };
    RunEnd {
        skips: vec![skip],
        partitions,
        ..completed(0)
    }
}

fn made(partitions: u64) -> RunEnd {
    RunEnd {
        partitions,
        ..completed(0)
    }
}

/// Records a backfill whose only run ends at a time.
fn ran(store: &dyn Store, request: &Request, plan: &Plan, end: RunEnd, at: Micros) -> Key {
    let key = store.create(request, plan, Some(&lease("o"))).unwrap();
    let end = RunEnd {
        started_at: at - 1,
        ended_at: at,
        ..end
    };
    let mut last = commit(key, Counts::default(), vec![end]);
    last.finished = Some((Status::Completed, at + 1));
    assert_eq!(
        store.commit(&lease("o"), &[last]),
        Ok(vec![Committed::Kept])
    );
    key
}

fn keys(rows: &[rivers_core::store::BackfillRow]) -> Vec<Key> {
    rows.iter().map(|row| row.key).collect()
}

fn determining(store: &dyn Records, asset: &str) -> Vec<Key> {
    keys(&store.determining(asset).unwrap())
}

/// Records single runs of every kind, and returns those that determine the state of the asset `a`.
#[allow(
    dead_code,
    reason = "only the tests of files change how they are stored"
)]
pub(crate) fn recorded(store: &dyn Store) -> Vec<Key> {
    for number in 0..12 {
        let own = request(&format!("b{number}"), &["a"]);
        let end = match number % 3 {
            0 => made(1),
            1 => failed(0, "bad"),
            _ => skipped(1),
        };
        ran(
            store,
            &own,
            &only(5, number % 2),
            end,
            100 + number as Micros,
        );
    }
    let open = store.create(&request("open", &["a"]), &only(5, 3), Some(&lease("o")));
    open.unwrap();
    determining(store, "a")
}

pub(crate) fn of_single_runs_that_ended_alike_the_last_determines(fixture: &impl Fixture) {
    let store = fixture.open();
    let mut last: HashMap<(u64, u8), (Micros, Key)> = HashMap::new();
    let mut all = Vec::new();
    for number in 0..60_u64 {
        let (partition, ending) = (number % 5, (number * 7 / 5 % 3) as u8);
        let end = match ending {
            0 => made(1),
            1 => failed(0, "bad"),
            _ => skipped(1),
        };
        // Runs that began earlier end later, and some at one time.
        let at = 100 + (number * 37 % 20) as Micros;
        // The grid grows meanwhile.
        let plan = only(5 + number / 20, partition);
        let own = request(&format!("b{number}"), &["a"]);
        let key = ran(&*store, &own, &plan, end, at);
        all.push((at, key));
        let known = last.entry((partition, ending)).or_insert((at, key));
        *known = (*known).max((at, key));
    }
    let mut expected: Vec<Key> = last.values().map(|(_, key)| *key).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(determining(&*store, "a"), expected);
    assert!(determining(&*store, "other").is_empty());
    assert_eq!(store.list(Some("a"), None).unwrap().len(), 60);
    // Those that ended last, whatever their order was.
    all.sort_unstable_by(|a, b| b.cmp(a));
    let mut newest: Vec<Key> = all[..7].iter().map(|(_, key)| *key).collect();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(keys(&store.latest_of("a", 7).unwrap()), newest);
    assert_eq!(store.latest_of("a", u64::MAX).unwrap().len(), 60);
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn what_a_removed_run_overruled_determines_again(fixture: &impl Fixture) {
    let store = fixture.open();
    let [first, second] = [1, 2].map(|number| {
        let own = request(&format!("b{number}"), &["a"]);
        ran(&*store, &own, &only(5, 3), made(1), 100 * number)
    });
    assert_eq!(determining(&*store, "a"), [second]);
    assert!(store.remove(&[second]).unwrap().is_empty());
    assert_eq!(determining(&*store, "a"), [first]);
}

pub(crate) fn what_is_not_one_run_that_ended_as_a_whole_always_determines(fixture: &impl Fixture) {
    let store = fixture.open();
    let two = Selection::all(space(5)).span(1..3);
    let plan = Plan::new(two, Strategy::SingleRun).unwrap();
    let of = |id: &str, end, at| ran(&*store, &request(id, &["a"]), &plan, end, at);
    let part = |partition| {
        let mut end = failed(0, "bad");
        (end.partitions, end.failures[0].partition) = (2, Some(partition));
        end
    };
    let mixed = [of("mixed 1", part(1), 100), of("mixed 2", part(2), 200)];
    let whole = [of("whole 1", made(2), 300), of("whole 2", made(2), 400)];
    let several = created(&*store, "several", 5, "o");
    record(&*store, "o", several, vec![completed(0)]);
    let ended = created(&*store, "ended", 5, "o");
    record(&*store, "o", ended, vec![completed(0)]);
    finish(&*store, "o", ended, Status::Canceled);
    // Its end was recorded before the backfill ended.
    let late = store
        .create(&request("late", &["a"]), &plan, Some(&lease("o")))
        .unwrap();
    let end = RunEnd {
        ended_at: 500,
        ..made(2)
    };
    record(&*store, "o", late, vec![end]);
    finish(&*store, "o", late, Status::Completed);
    let expected = [late, ended, several, mixed[1], mixed[0]];
    assert_eq!(determining(&*store, "a"), expected);
    assert_eq!(whole.map(|key| row(&*store, key).counts.completed), [2, 2]);
}

pub(crate) fn each_asset_of_a_run_has_an_ending_of_its_own(fixture: &impl Fixture) {
    let store = fixture.open();
    let mut own = request("b1", &["a", "b", "c"]);
    own.assets[2].partitioned = false;
    let first = ran(&*store, &own, &only(5, 3), made(1), 100);
    own.id = "b2".into();
    let mut end = failed(0, "bad");
    end.failures[0].asset = 1;
    let second = ran(&*store, &own, &only(5, 3), end, 200);
    assert_eq!(determining(&*store, "a"), [second]);
    assert_eq!(determining(&*store, "b"), [second, first]);
    // Whatever the partitions of the others were.
    own.id = "b3".into();
    let third = ran(&*store, &own, &only(5, 4), skipped(1), 300);
    assert_eq!(determining(&*store, "c"), [third]);
    assert_eq!(determining(&*store, "a"), [third, second]);
    assert!(store.has_skipped("a").unwrap());
    assert!(!store.has_skipped("b").unwrap());
}

pub(crate) fn a_copy_knows_what_determines(fixture: &impl Fixture) {
    let (store, target) = (
        fixture.open(),
        rivers_core::store::sqlite::SqliteStore::memory().unwrap(),
    );
    for number in 0..6 {
        let own = request(&format!("b{number}"), &["a"]);
        ran(
            &*store,
            &own,
            &only(5, number % 2),
            made(1),
            100 + number as Micros,
        );
    }
    copy(&*store, &target).unwrap();
    let ids = |store: &dyn Records| -> Vec<String> {
        let rows = store.determining("a").unwrap();
        rows.into_iter().map(|row| row.request.id).collect()
    };
    assert_eq!(ids(&target), ["b5", "b4"]);
    assert_eq!(ids(&*store), ids(&target));
}
