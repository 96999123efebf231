//! Which processes are alive.

use std::cell::Cell;
use std::time::Duration;

use rivers_core::store::queries::backfills::{LiveOwners, are_run, interrupted};
use rivers_core::store::{LeaseTerms, Store};

use super::{Fixture, created, row};

pub(crate) fn a_registered_owner_is_alive(fixture: &impl Fixture) {
    let store = fixture.open();
    let registration = store.register_owner("o").unwrap();
    assert!(store.is_alive("o"));
    assert!(fixture.open().is_alive("o"));
    drop(registration);
}

pub(crate) fn an_owner_without_a_worker_has_no_workers(fixture: &impl Fixture) {
    let store = fixture.open();
    let _registration = store.register_owner("o").unwrap();
    assert!(!store.has_workers("o"));
}

pub(crate) fn a_live_owner_runs_a_backfill_until_its_lease_expires(fixture: &impl Fixture) {
    let store = fixture.open();
    let _registration = store.register_owner("o").unwrap();
    let key = created(&*store, "b", 3, "o");
    let runs = |store: &dyn Store| LiveOwners::now(store).unwrap().run(&row(store, key));
    assert!(runs(&*store));
    assert_eq!(interrupted(&*store), Ok(vec![]));
    let expired = LeaseTerms {
        owner: "o".into(),
        duration: 0,
    };
    store.renew(&expired, &[key]).unwrap();
    assert!(!runs(&*store));
    assert_eq!(interrupted(&*store), Ok(vec!["b".to_owned()]));
    store.release(key, "o").unwrap();
    assert!(!runs(&*store));
}

pub(crate) fn an_owner_whose_lease_seems_over_lives_if_it_renews_it(fixture: &impl Fixture) {
    let store = fixture.open();
    let registration = store.register_owner("o").unwrap();
    let expired = |duration| LeaseTerms {
        owner: "o".into(),
        duration,
    };
    let created = |id| {
        let key = created(&*store, id, 3, "o");
        store.renew(&expired(0), &[key]).unwrap();
        row(&*store, key)
    };
    let rows = [created("renewed"), created("silent")];
    let looks = Cell::new(0);
    let run = |rows: &[_], sleep: &dyn Fn(Duration)| {
        looks.set(0);
        let slept = |pause| {
            looks.set(looks.get() + 1);
            sleep(pause);
        };
        are_run(&*store, rows, Duration::from_secs(1), slept).unwrap()
    };
    // A clock that was set forwards makes a lease look over.
    let renew = |_| drop(store.renew(&expired(60_000_000), &[rows[0].key]).unwrap());
    assert_eq!(run(&rows, &renew), [true, false]);
    assert_eq!(looks.get(), 20, "nobody knows whether the second is alive");
    assert_eq!(run(&rows[..1], &|_| ()), [true]);
    store.release(rows[1].key, "o").unwrap();
    assert_eq!(run(&rows[1..], &|_| ()), [false]);
    assert_eq!(looks.get(), 1, "what is released is not waited for");
    drop(registration);
}
