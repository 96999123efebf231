//! Which processes are alive.

use super::Fixture;

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
