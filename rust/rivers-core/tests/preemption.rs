//! Preemption: lower priorities are held back for an announced request, and no longer than that helps.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rivers_core::backfill::{Control, FailurePolicy, Kind, Request};
use rivers_core::clock::{Clock, ManualClock, SECOND};
use rivers_core::engine::{Batch, Engine, Execution, LEASE, Placement, new_id};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::queue::{Limits, TagLimit};
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::{Axis, Selection, Space};
use rivers_core::store::sqlite::SqliteStore;

/// As long as a worker waits that is to find nothing.
const MOMENT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(30);
const BACKFILL: i64 = -10;

struct Scene {
    clock: Arc<ManualClock>,
    engine: Engine,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(SECOND));
        let small = TagLimit {
            key: "warehouse".into(),
            value: None,
            limit: 1,
            per_unique_value: false,
        };
        let limits = Limits {
            tag_limits: vec![small],
            ..Limits::default()
        };
        let store = Arc::new(SqliteStore::memory().unwrap());
        let engine = Engine::new(store, Arc::clone(&clock) as Arc<dyn Clock>, limits, LEASE);
        Self {
            clock,
            engine: engine.unwrap(),
        }
    }

    fn submit(&self, runs: usize, priority: i64, tags: &[(&str, &str)]) {
        let keys = Labels::new((0..runs).map(|run| format!("k{run}"))).unwrap();
        let dim = Dim {
            name: "key".into(),
            axis: Axis::Labels(Arc::new(keys)),
        };
        let space = Arc::new(Space::try_from(vec![dim]).unwrap());
        let plan = Plan::new(Selection::all(space), Strategy::MultiRun).unwrap();
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let request = Request {
            sessions: Vec::new(),
            id: new_id(),
            kind: Kind::Backfill,
            assets: Vec::new(),
            failure_policy: FailurePolicy::Continue,
            max_concurrency: 4,
            priority,
            tags: tags.iter().map(owned).collect(),
            config: None,
            retry: None,
            launch: None,
            notified: Vec::new(),
            control: Control::default(),
            created_at: self.clock.now(),
        };
        let execution = Execution {
            program: Arc::new(()),
            capacity: None,
            placement: Placement::Local,
            pools: Vec::new(),
            held: false,
            loadable: Vec::new(),
        };
        self.engine.submit(request, plan, execution).unwrap();
    }

    /// A batch of several runs of a large backfill, the first of which has begun.
    fn working(&self) -> Batch {
        self.submit(10_000, BACKFILL, &[]);
        let mut first = self.engine.next_batch(LONG).unwrap();
        while first.advance().is_some() {}
        first.close();
        let mut batch = self.engine.next_batch(LONG).unwrap();
        assert!(batch.advance().is_some());
        batch
    }

    /// The priority of the batch that a worker finds which waits shortly.
    fn found(&self) -> Option<i64> {
        let batch = self.engine.next_batch(MOMENT)?;
        Some(batch.spec().request.priority)
    }
}

#[test]
fn no_lower_priority_starts_before_the_announced_request() {
    let scene = Scene::new();
    let mut working = scene.working();
    scene.engine.begin_preemption(0);
    assert!(
        working.advance().is_none(),
        "it yields what it has not begun"
    );
    working.close();
    assert_eq!(scene.found(), None);

    scene.submit(1, 0, &[]);
    let mut urgent = scene.engine.next_batch(LONG).unwrap();
    assert_eq!(urgent.spec().request.priority, 0);
    let begun = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let next = scene.engine.next_batch(LONG).unwrap();
            assert_eq!(next.spec().request.priority, BACKFILL);
            assert!(begun.load(Ordering::SeqCst), "the urgent run has not begun");
        });
        std::thread::sleep(10 * MOMENT);
        begun.store(true, Ordering::SeqCst);
        assert!(urgent.advance().is_some());
    });
}

#[test]
fn a_request_of_the_same_priority_holds_nothing_back() {
    let scene = Scene::new();
    let mut working = scene.working();
    scene.engine.begin_preemption(BACKFILL);
    assert!(working.advance().is_some());
    assert_eq!(scene.found(), Some(BACKFILL));
}

#[test]
fn a_worker_that_cannot_wait_is_not_held_back() {
    let scene = Scene::new();
    drop(scene.working());
    scene.engine.begin_preemption(0);
    let found = scene.engine.next_batch(Duration::ZERO).unwrap();
    assert_eq!(found.spec().request.priority, BACKFILL);
}

#[test]
fn preemption_ends_when_the_request_is_refused_and_after_a_while() {
    let scene = Scene::new();
    drop(scene.working());
    scene.engine.begin_preemption(0);
    assert_eq!(scene.found(), None);
    scene.engine.end_preemption();
    assert_eq!(scene.found(), Some(BACKFILL));

    scene.engine.begin_preemption(0);
    assert_eq!(scene.found(), None);
    scene.clock.advance(SECOND / 20);
    assert_eq!(scene.found(), Some(BACKFILL));
}

#[test]
fn preemption_ends_when_the_request_waits_for_others() {
    let scene = Scene::new();
    drop(scene.working());
    let tags = [("warehouse", "small")];
    scene.submit(1, 0, &tags);
    let mut first = scene.engine.next_batch(LONG).unwrap();
    assert!(first.advance().is_some());

    scene.engine.begin_preemption(0);
    assert_eq!(scene.found(), None, "it may be one that can go");
    scene.submit(1, 0, &tags);
    assert_eq!(scene.found(), Some(BACKFILL));
}
