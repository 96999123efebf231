//! Keys of dynamic dimensions.

use rivers_core::Error;
use rivers_core::store::Store;

use super::Fixture;

fn add(store: &dyn Store, name: &str, keys: &[&str]) {
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    store.add_dynamic(name, &keys).unwrap();
}

fn keys(store: &dyn Store, name: &str) -> Vec<String> {
    let labels = store.dynamic(name).unwrap();
    labels.iter().map(str::to_owned).collect()
}

pub(crate) fn keys_keep_the_order_of_their_registration(fixture: &impl Fixture) {
    let store = fixture.open();
    assert_eq!(keys(&*store, "d"), [] as [&str; 0]);
    add(&*store, "d", &["b", "a"]);
    add(&*store, "d", &["c", "a", "0"]);
    assert_eq!(keys(&*store, "d"), ["b", "a", "c", "0"]);
}

pub(crate) fn a_deleted_key_is_gone_and_returns_last(fixture: &impl Fixture) {
    let store = fixture.open();
    add(&*store, "d", &["a", "b", "c"]);
    assert_eq!(store.delete_dynamic("d", "a"), Ok(true));
    assert_eq!(store.delete_dynamic("d", "a"), Ok(false));
    assert_eq!(keys(&*store, "d"), ["b", "c"]);
    add(&*store, "d", &["a"]);
    assert_eq!(keys(&*store, "d"), ["b", "c", "a"]);
}

pub(crate) fn a_key_that_cannot_be_one_is_refused_with_all_others(fixture: &impl Fixture) {
    let store = fixture.open();
    let refused = store.add_dynamic("d", &["a".to_owned(), String::new()]);
    assert!(
        matches!(refused, Err(Error::PartitionDefinition(_))),
        "{refused:?}"
    );
    assert_eq!(keys(&*store, "d"), [] as [&str; 0]);
}

pub(crate) fn dimensions_do_not_share_keys(fixture: &impl Fixture) {
    let store = fixture.open();
    add(&*store, "d", &["a"]);
    add(&*store, "e", &["b", "a"]);
    assert_eq!(store.delete_dynamic("e", "a"), Ok(true));
    assert_eq!(keys(&*store, "d"), ["a"]);
    assert_eq!(keys(&*store, "e"), ["b"]);
}

pub(crate) fn keys_are_there_after_reopening(fixture: &impl Fixture) {
    let store = fixture.open();
    add(&*store, "d", &["b", "a"]);
    drop(store);
    assert_eq!(keys(&*fixture.open(), "d"), ["b", "a"]);
}
