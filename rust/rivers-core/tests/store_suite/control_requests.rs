//! What any process asks of a backfill: cancel, pause, change.

use std::time::Duration;

use rivers_core::backfill::{Change, MaxFailures, Status};

use super::{Fixture, created, finish, row};

pub(crate) fn a_cancel_reaches_the_owner(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let requests = store.control_requests("o").unwrap();
    assert!(
        matches!(requests[..], [request] if request.key == key && !request.cancel && !request.pause)
    );
    let other = fixture.open();
    other
        .request_forced_cancel(key, Duration::from_millis(1500))
        .unwrap();
    // A plain request leaves the forced one as it is, and another forced one replaces it.
    other.request_cancel(key).unwrap();
    let requests = store.control_requests("o").unwrap();
    assert_eq!(requests[0].force_after, Some(Duration::from_millis(1500)));
    other.request_forced_cancel(key, Duration::ZERO).unwrap();
    let requests = store.control_requests("o").unwrap();
    assert!(matches!(requests[..], [request] if request.cancel && !request.pause));
    assert!(row(&*store, key).cancel_requested);
}

pub(crate) fn a_pause_and_its_end_reach_the_owner(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    for paused in [true, false] {
        assert_eq!(fixture.open().set_paused(key, paused), Ok(true));
        assert_eq!(store.control_requests("o").unwrap()[0].pause, paused);
        assert_eq!(row(&*store, key).paused, paused);
    }
}

pub(crate) fn a_change_is_recorded_with_a_new_revision(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let before = row(&*store, key);
    let change = Change {
        session: None,
        max_concurrency: Some(9),
        priority: None,
        max_failures: Some(MaxFailures::Count(2)),
    };
    assert_eq!(fixture.open().change(key, &change), Ok(true));
    let after = row(&*store, key);
    assert_eq!(after.request.max_concurrency, 9);
    assert_eq!(after.request.priority, before.request.priority);
    assert_eq!(
        after.request.control.max_failures,
        Some(MaxFailures::Count(2))
    );
    assert_ne!(after.revision, before.revision);
    assert_eq!(
        store.control_requests("o").unwrap()[0].revision,
        after.revision
    );
    assert_eq!(store.change(key, &Change::default()), Ok(true));
    assert_ne!(row(&*store, key).revision, after.revision);
}

pub(crate) fn an_owner_sees_only_its_own_backfills(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    let others = created(&*store, "others", 3, "other");
    store.request_cancel(others).unwrap();
    let requests = store.control_requests("o").unwrap();
    assert!(matches!(requests[..], [request] if request.key == key && !request.cancel));
    assert_eq!(store.control_requests("nobody").unwrap(), []);
}

pub(crate) fn a_backfill_that_has_ended_accepts_no_request(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 3, "o");
    finish(&*store, "o", key, Status::Canceled);
    assert_eq!(store.set_paused(key, true), Ok(false));
    assert_eq!(store.change(key, &Change::default()), Ok(false));
    store.request_cancel(key).unwrap();
    let row = row(&*store, key);
    assert!(!row.paused && !row.cancel_requested);
    assert_eq!(row.revision, 0);
}
