//! Which processes are alive.

use rivers_core::store::queries::backfills::{LiveOwners, interrupted};
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
