//! What the engine writes: backfills, outcomes and leases.

use std::sync::Barrier;

use rivers_core::backfill::{Counts, Status, Stop};
use rivers_core::error::{Error, Remedy};
use rivers_core::store::Committed;

use super::{
    Fixture, LEASE, commit, completed, created, failed, finish, lease, plan, record, request, row,
};

/// Processes that compete in a test.
const COMPETITORS: usize = 8;

pub(crate) fn a_backfill_is_found_as_it_was_created(fixture: &impl Fixture) {
    let store = fixture.open();
    let asked = request("b", &["a", "c"]);
    let key = store.create(&asked, &plan(5), Some(&lease("o"))).unwrap();
    let found = store.find("b").unwrap().unwrap();
    assert_eq!((found.key, &found.request), (key, &asked));
    assert_eq!((found.num_partitions, found.num_runs), (5, 5));
    assert_eq!(found.strategy, plan(5).strategy().to_string());
    assert_eq!(found.status, Status::InProgress);
    assert_eq!(found.counts, Counts::default());
    assert_eq!(found.in_flight, []);
    assert_eq!((found.ended_at, found.stop), (None, None));
    assert!(!found.paused && !found.cancel_requested);
    assert_eq!(found.lease.unwrap().owner, "o");
    assert_eq!(row(&*store, key).request, asked);
    assert!(store.find("other").unwrap().is_none());
    assert!(store.get(key + 1).unwrap().is_none());
}

pub(crate) fn a_backfill_without_a_lease_has_ended(fixture: &impl Fixture) {
    let store = fixture.open();
    let request = request("b", &["a"]);
    let key = store.create(&request, &plan(0), None).unwrap();
    let row = row(&*store, key);
    assert_eq!(row.status, Status::Completed);
    assert_eq!(row.ended_at, Some(request.created_at));
    assert_eq!(row.lease, None);
}

pub(crate) fn two_backfills_cannot_have_one_id(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let again = store.create(&request("b", &["c"]), &plan(4), Some(&lease("o")));
    assert!(matches!(again, Err(Error::Storage { .. })), "{again:?}");
    assert_eq!(store.find("b").unwrap().unwrap().key, key);
    assert_eq!(store.list(Some("c"), None).unwrap().len(), 0);
}

pub(crate) fn a_commit_of_the_owner_is_kept_and_leaves_the_lease(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 5, "o");
    let before = row(&*store, key).lease.unwrap();
    let mut first = commit(key, Counts::default(), vec![completed(0), failed(2, "x")]);
    first.in_flight = vec![(1, 4), (3, 6)];
    first.stop = Some(Stop::Failure);
    let kept = store.commit(&lease("o"), &[first]);
    assert_eq!(kept, Ok(vec![Committed::Kept]));
    let row = row(&*store, key);
    assert_eq!((row.counts.completed, row.counts.failed), (1, 1));
    assert_eq!(row.counts.runs_ended, 2);
    assert_eq!(row.in_flight, [(1, 4), (3, 6)]);
    assert_eq!(row.stop, Some(Stop::Failure));
    assert_eq!(row.status, Status::InProgress);
    assert_eq!(row.lease.unwrap(), before);
}

pub(crate) fn a_commit_of_another_process_changes_nothing(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let stranger = commit(key, Counts::default(), vec![failed(0, "x")]);
    let lost = store.commit(&lease("stranger"), &[stranger]);
    assert_eq!(lost, Ok(vec![Committed::LeaseLost]));
    let row = row(&*store, key);
    assert_eq!(row.counts, Counts::default());
    assert_eq!(row.lease.unwrap().owner, "o");
    assert_eq!(store.runs(key, 0..9).unwrap(), []);
    assert_eq!(store.failures(key, None).unwrap(), []);
}

pub(crate) fn one_transaction_commits_several_backfills_and_refuses_only_those_that_were_lost(
    fixture: &impl Fixture,
) {
    let store = fixture.open();
    let held = created(&*store, "held", 3, "o");
    let lost = created(&*store, "lost", 3, "other");
    let last = created(&*store, "last", 3, "o");
    let commits = [held, lost, last].map(|key| commit(key, Counts::default(), vec![completed(1)]));
    let outcome = store.commit(&lease("o"), &commits).unwrap();
    assert_eq!(
        outcome,
        [Committed::Kept, Committed::LeaseLost, Committed::Kept]
    );
    let ended = |key| store.runs(key, 0..9).unwrap().len();
    assert_eq!([held, lost, last].map(ended), [1, 0, 1]);
}

pub(crate) fn the_last_commit_ends_the_backfill_and_its_lease(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    record(&*store, "o", key, vec![completed(0)]);
    finish(&*store, "o", key, Status::Canceled);
    let row = row(&*store, key);
    assert_eq!(
        (row.status, row.ended_at, row.lease),
        (Status::Canceled, Some(1_000), None)
    );
    assert_eq!(row.counts.ended(), 3);
    let late = commit(key, row.counts, vec![completed(1)]);
    let refused = store.commit(&lease("o"), &[late]);
    assert_eq!(refused, Ok(vec![Committed::LeaseLost]));
}

pub(crate) fn a_lease_expires_by_the_clock_of_the_storage(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let (before, after) = (store.now().unwrap(), store.now().unwrap());
    assert!(before <= after);
    let expiry = || row(&*store, key).lease.unwrap().expires_at;
    assert!(before.after(-LEASE) <= expiry() && expiry() <= after.after(LEASE));
    let before = store.now().unwrap();
    store.renew(&lease("o"), &[key]).unwrap();
    let after = store.now().unwrap();
    assert!(before.after(LEASE) <= expiry() && expiry() <= after.after(LEASE));
}

pub(crate) fn renewing_returns_the_backfills_that_are_still_held(fixture: &impl Fixture) {
    let store = fixture.open();
    let mine = created(&*store, "mine", 3, "o");
    let others = created(&*store, "others", 3, "other");
    let released = created(&*store, "released", 3, "o");
    store.release(released, "o").unwrap();
    let before = row(&*store, others).lease;
    let held = store.renew(&lease("o"), &[others, mine, released]);
    assert_eq!(held, Ok(vec![mine]));
    assert_eq!(row(&*store, others).lease, before);
    assert_eq!(row(&*store, released).lease, None);
}

pub(crate) fn only_the_owner_releases_a_lease(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    store.release(key, "stranger").unwrap();
    assert_eq!(row(&*store, key).lease.unwrap().owner, "o");
    store.release(key, "o").unwrap();
    let row = row(&*store, key);
    assert_eq!((row.lease, row.status), (None, Status::InProgress));
}

pub(crate) fn what_the_owner_says_of_workers_is_there_until_a_takeover(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let workers = || row(&*fixture.open(), key).workers;
    assert_eq!(workers(), None);
    store.set_workers(key, "o", Some("{}")).unwrap();
    store.set_workers(key, "stranger", Some("[]")).unwrap();
    assert_eq!(workers().as_deref(), Some("{}"));
    let seen = row(&*store, key).lease;
    assert_eq!(store.take_over(key, seen.as_ref(), &lease("new")), Ok(true));
    assert_eq!(workers(), None);
}

pub(crate) fn a_takeover_needs_the_lease_that_was_seen(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let seen = row(&*store, key).lease;
    assert_eq!(store.take_over(key, None, &lease("new")), Ok(false));
    let mut older = seen.clone().unwrap();
    older.expires_at.0 -= 1;
    let taken = store.take_over(key, Some(&older), &lease("new"));
    assert_eq!(taken, Ok(false));
    let taken = store.take_over(key, seen.as_ref(), &lease("new"));
    assert_eq!(taken, Ok(true));
    assert_eq!(row(&*store, key).lease.unwrap().owner, "new");
    store.release(key, "new").unwrap();
    assert_eq!(store.take_over(key, None, &lease("third")), Ok(true));
}

pub(crate) fn one_of_many_processes_takes_a_backfill_over(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let seen = row(&*store, key).lease;
    let start = Barrier::new(COMPETITORS);
    let compete = |number: usize| {
        let store = fixture.open();
        let (start, seen) = (&start, seen.as_ref());
        move || {
            start.wait();
            let new = lease(&format!("new-{number}"));
            store.take_over(key, seen, &new).unwrap()
        }
    };
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..COMPETITORS)
            .map(|number| scope.spawn(compete(number)))
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.filter(|&won| won).count()
    });
    assert_eq!(won, 1);
}

pub(crate) fn a_backfill_that_has_ended_cannot_be_taken_over(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    finish(&*store, "o", key, Status::Canceled);
    assert_eq!(store.take_over(key, None, &lease("new")), Ok(false));
    assert_eq!(row(&*store, key).lease, None);
}

pub(crate) fn after_a_takeover_the_former_owner_records_nothing(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let seen = row(&*store, key).lease;
    assert!(store.take_over(key, seen.as_ref(), &lease("new")).unwrap());
    let late = commit(key, Counts::default(), vec![completed(0)]);
    let refused = store.commit(&lease("o"), &[late]);
    assert_eq!(refused, Ok(vec![Committed::LeaseLost]));
    assert_eq!(store.renew(&lease("o"), &[key]), Ok(vec![]));
    store.release(key, "o").unwrap();
    assert_eq!(row(&*store, key).lease.unwrap().owner, "new");
    record(&*store, "new", key, vec![completed(0)]);
}

pub(crate) fn a_backfill_that_refuses_to_overlap_is_not_created_beside_another(
    fixture: &impl Fixture,
) {
    let store = fixture.open();
    let key = created(&*store, "first", 5, "o");
    let mut refusing = request("second", &["a"]);
    refusing.control.refuse_overlap = true;
    let refused = store.create(&refusing, &plan(5), Some(&lease("o")));
    assert!(
        matches!(&refused, Err(error) if error.remedy() == Some(Remedy::Overlap("first".into()))),
        "{refused:?}"
    );
    assert!(store.find("second").unwrap().is_none());
    let mut elsewhere = request("third", &["c"]);
    elsewhere.control.refuse_overlap = true;
    store
        .create(&elsewhere, &plan(5), Some(&lease("o")))
        .unwrap();
    finish(&*store, "o", key, Status::Canceled);
    store
        .create(&refusing, &plan(5), Some(&lease("o")))
        .unwrap();
}

pub(crate) fn of_two_overlapping_requests_at_once_one_is_created(fixture: &impl Fixture) {
    let start = Barrier::new(COMPETITORS);
    let compete = |number: usize| {
        let (store, start) = (fixture.open(), &start);
        move || {
            let mut request = request(&format!("b{number}"), &["a"]);
            request.control.refuse_overlap = true;
            start.wait();
            store.create(&request, &plan(5), Some(&lease("o"))).is_ok()
        }
    };
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..COMPETITORS)
            .map(|number| scope.spawn(compete(number)))
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.filter(|&won| won).count()
    });
    assert_eq!(won, 1);
    assert_eq!(fixture.open().unfinished().unwrap().len(), 1);
}
