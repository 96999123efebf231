//! `max_starts_per_second` by the engine's clock: no batch takes more runs than may start.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;
use std::time::Duration;

use rivers_core::backfill::{Control, FailurePolicy, Kind, Request};
use rivers_core::clock::ManualClock;
use rivers_core::engine::{Batch, Engine, Execution, Placement};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::queue::Limits;
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::{Axis, Selection, Space};
use rivers_core::store::sqlite::SqliteStore;

const NOW: i64 = 1_700_000_000_000_000;
const DAY: i64 = 86_400_000_000;

fn engine(per_second: f64, runs: u32) -> (Engine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    let store = Arc::new(SqliteStore::memory().unwrap());
    let engine = Engine::new(store, Arc::clone(&clock) as _, Limits::default(), DAY).unwrap();
    let names = Labels::new((0..runs).map(|n| n.to_string())).unwrap();
    let dim = Dim {
        name: String::new(),
        axis: Axis::Labels(Arc::new(names)),
    };
    let space = Arc::new(Space::try_from(vec![dim]).unwrap());
    let request = Request {
        sessions: Vec::new(),
        id: "limited".into(),
        kind: Kind::Backfill,
        assets: Vec::new(),
        failure_policy: FailurePolicy::Continue,
        max_concurrency: 4,
        priority: 0,
        tags: Vec::new(),
        config: None,
        retry: None,
        launch: None,
        notified: Vec::new(),
        created_at: NOW,
        control: Control {
            max_starts_per_second: Some(per_second),
            ..Control::default()
        },
    };
    let plan = Plan::new(Selection::all(space), Strategy::MultiRun).unwrap();
    let execution = Execution {
        program: Arc::new(()),
        capacity: None,
        placement: Placement::Local,
        pools: Vec::new(),
        held: false,
        loadable: Vec::new(),
    };
    engine.submit(request, plan, execution).unwrap();
    (engine, clock)
}

/// Takes and executes all that may start now; how many runs that were.
fn run_all(engine: &Engine) -> u32 {
    let mut runs = 0;
    while let Some(mut batch) = engine.next_batch(Duration::ZERO) {
        while batch.advance().is_some() {
            runs += 1;
        }
    }
    runs
}

#[test]
fn a_slow_rate_lets_one_run_start_at_a_time() {
    let (engine, clock) = engine(2.0, 10);
    assert_eq!(run_all(&engine), 1);
    clock.advance(499_999);
    assert_eq!(run_all(&engine), 0);
    clock.advance(1);
    assert_eq!(run_all(&engine), 1);
    // What was not used is not made up for.
    clock.advance(5_000_000);
    assert_eq!(run_all(&engine), 1);
}

#[test]
fn a_fast_rate_lets_as_many_start_as_have_come() {
    let (engine, clock) = engine(10_000.0, 100_000);
    assert_eq!(run_all(&engine), 200);
    for _ in 0..50 {
        clock.advance(10_000);
        assert_eq!(run_all(&engine), 100);
    }
}

#[test]
fn what_a_worker_gives_back_may_start_from_another() {
    let (engine, _clock) = engine(1_000.0, 1_000);
    // Batches grow with what is learned, from one run on.
    let first: Vec<Batch> = (0..4)
        .map_while(|_| engine.next_batch(Duration::ZERO))
        .collect();
    assert_eq!(first.len(), 4);
    drop(first);
    assert_eq!(run_all(&engine), 20);
}
