//! Pools whose slots are set in the storage, and shares of them.

use rivers_core::store::{LeaseTerms, PoolNeed, Store, StoredPool};

use super::{Fixture, lease};

fn need(taken: u32, least: u32, wanted: u32) -> PoolNeed {
    PoolNeed {
        pool: "db".into(),
        taken,
        least,
        wanted,
    }
}

/// The slots that a process is granted.
fn granted(store: &dyn Store, owner: &str, need: PoolNeed) -> Option<u32> {
    let shares = store.share_pools(&lease(owner), &[need]).unwrap();
    shares[0].map(|share| share.granted)
}

pub(crate) fn a_pool_is_set_changed_and_removed(fixture: &impl Fixture) {
    let store = fixture.open();
    assert_eq!(store.pools(), Ok(Vec::new()));
    assert_eq!(granted(&*store, "a", need(0, 1, 9)), None);
    store.set_pool("db", Some(4)).unwrap();
    store.set_pool("api", Some(1)).unwrap();
    store.set_pool("db", Some(3)).unwrap();
    assert_eq!(granted(&*store, "a", need(0, 1, 9)), Some(3));
    let shown = StoredPool {
        name: "db".into(),
        slots: 3,
        lent: 3,
        waiting: 6,
    };
    let found = fixture.open().pools().unwrap();
    assert_eq!(found[1], shown);
    assert_eq!((found.len(), &*found[0].name, found[0].lent), (2, "api", 0));
    store.set_pool("db", None).unwrap();
    assert_eq!(granted(&*store, "a", need(2, 1, 9)), None);
    assert_eq!(store.pools().unwrap().len(), 1);
}

pub(crate) fn shares_of_all_processes_never_exceed_a_pool(fixture: &impl Fixture) {
    let stores: Vec<_> = (0..4).map(|_| fixture.open()).collect();
    stores[0].set_pool("db", Some(5)).unwrap();
    std::thread::scope(|scope| {
        for (number, store) in stores.iter().enumerate() {
            scope.spawn(move || {
                let owner = format!("o{number}");
                let mut taken = 0;
                for round in 0..25 {
                    let own = granted(&**store, &owner, need(taken, 1, taken + 3)).unwrap();
                    assert!(own >= taken);
                    let lent = store.pools().unwrap()[0].lent;
                    assert!(lent <= 5, "{lent} slots of 5 are lent");
                    taken = if round % 3 == 2 { 0 } else { own };
                }
            });
        }
    });
}

pub(crate) fn a_share_ends_with_its_lease(fixture: &impl Fixture) {
    let store = fixture.open();
    store.set_pool("db", Some(2)).unwrap();
    let short = LeaseTerms {
        owner: "gone".into(),
        duration: 1,
    };
    let share = store.share_pools(&short, &[need(0, 1, 9)]).unwrap()[0].unwrap();
    assert_eq!((share.slots, share.granted), (2, 2));
    let before = store.now().unwrap();
    while store.now().unwrap() <= before.after(1) {
        std::thread::yield_now();
    }
    assert_eq!(store.pools().unwrap()[0].lent, 0);
    assert_eq!(granted(&*store, "next", need(0, 1, 9)), Some(2));
}

pub(crate) fn a_share_is_given_up_for_another_process(fixture: &impl Fixture) {
    let store = fixture.open();
    store.set_pool("db", Some(4)).unwrap();
    assert_eq!(granted(&*store, "a", need(0, 1, 9)), Some(4));
    assert_eq!(granted(&*store, "b", need(0, 1, 9)), Some(0));
    // Of the four, three are held by runs: one is left.
    assert_eq!(granted(&*store, "a", need(3, 1, 9)), Some(3));
    assert_eq!(granted(&*store, "b", need(0, 1, 9)), Some(1));
    assert_eq!(granted(&*store, "a", need(1, 1, 9)), Some(2));
    assert_eq!(granted(&*store, "b", need(1, 1, 9)), Some(2));
    // Who needs nothing has no share.
    assert_eq!(granted(&*store, "a", need(0, 0, 0)), Some(0));
    assert_eq!(granted(&*store, "b", need(2, 1, 9)), Some(4));
}
