//! Removes old backfills, beside processes that record new ones.

use crate::error::Result;
use crate::store::records::{Key, StorageTime};
use crate::store::{Store, ValueStore};

/// Number of backfills whose values are deleted in one go through the values.
const VALUES_AT_ONCE: usize = 50_000;
/// Number of backfills that one transaction removes.
const AT_ONCE: usize = 100;

/// Removes the backfills and manual runs that ended before a time, with the values that they stored last. Returns
/// their number. Whatever a process that dies meanwhile leaves, the next call removes.
///
/// # Errors
/// `Storage`.
pub fn prune(store: &dyn Store, before: StorageTime) -> Result<u64> {
    remove(store, store.half_removed()?)?;
    let (mut after, mut removed) = (0, 0);
    loop {
        let found = store.ended_before(before, after, VALUES_AT_ONCE)?;
        let Some(&(last, _)) = found.last() else {
            break;
        };
        after = last;
        let (keys, ids): (Vec<Key>, Vec<String>) = found.into_iter().unzip();
        // Values first: what has no record cannot be found by its backfill any more.
        if let Some(values) = store.values() {
            values.prune(&ids)?;
            values.sync()?;
        }
        for group in keys.chunks(AT_ONCE) {
            remove(store, group.to_vec())?;
        }
        removed += keys.len() as u64;
    }
    if let Some(values) = store.values() {
        prune_orphans(store, values)?;
    }
    store.remove_unused()?;
    Ok(removed)
}

/// Removes what was stored for backfills without a record: by a process that did not know that it had lost its
/// backfill, or beside another storage.
fn prune_orphans(store: &dyn Store, values: &ValueStore) -> Result<()> {
    // A backfill is recorded before it stores anything, so these are read first.
    let mut orphans = values.backfills()?;
    let mut failed = Ok(());
    orphans.retain(|id| match store.find(id) {
        Ok(found) => found.is_none(),
        Err(error) => {
            failed = Err(error);
            false
        }
    });
    failed?;
    values.prune(&orphans)?;
    values.prune_files()
}

/// Removes backfills, in as many transactions as that takes.
pub(super) fn remove(store: &dyn Store, mut keys: Vec<Key>) -> Result<()> {
    while !keys.is_empty() {
        keys = store.remove(&keys)?;
    }
    Ok(())
}

/// Number of the backfills and manual runs that `prune` would remove.
///
/// # Errors
/// `Storage`.
pub fn count(store: &dyn Store, before: StorageTime) -> Result<u64> {
    let (mut after, mut count) = (0, 0);
    loop {
        let found = store.ended_before(before, after, VALUES_AT_ONCE)?;
        let Some(&(last, _)) = found.last() else {
            return Ok(count);
        };
        after = last;
        count += found.len() as u64;
    }
}
