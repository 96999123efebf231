//! Runs that are sent to workers which share no memory with the engine.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;
use std::time::Duration;

use rivers_core::backfill::{Cause, Control, FailurePolicy, Kind, Request, RequestedAsset};
use rivers_core::clock::SystemClock;
use rivers_core::engine::{Batch, Engine, Execution, LEASE, Placement, WorkerBatch, new_id};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::queue::Limits;
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::{Axis, Selection, Space};
use rivers_core::store::Key;
use rivers_core::store::sqlite::SqliteStore;

const TIMEOUT: Duration = Duration::from_secs(30);

fn submitted(runs: u32, failure_policy: FailurePolicy) -> (Engine, Key) {
    let store = Arc::new(SqliteStore::memory().unwrap());
    let engine = Engine::new(store, Arc::new(SystemClock), Limits::default(), LEASE).unwrap();
    let names = Labels::new((0..runs).map(|n| n.to_string())).unwrap();
    let dim = Dim {
        name: String::new(),
        axis: Axis::Labels(Arc::new(names)),
    };
    let space = Arc::new(Space::try_from(vec![dim]).unwrap());
    let asset = RequestedAsset {
        facts: None,
        kept: rivers_core::backfill::Kept::Stored,
        name: "asset".into(),
        code_version: None,
        partitioned: true,
        step: None,
    };
    let request = Request {
        sessions: Vec::new(),
        id: new_id(),
        kind: Kind::Backfill,
        assets: vec![asset],
        failure_policy,
        max_concurrency: 2,
        priority: 0,
        tags: Vec::new(),
        config: None,
        retry: None,
        launch: None,
        notified: Vec::new(),
        created_at: engine.now(),
        control: Control::default(),
    };
    let plan = Plan::new(Selection::all(space), Strategy::MultiRun).unwrap();
    let execution = Execution {
        program: Arc::new(()),
        capacity: Some(2),
        placement: Placement::REMOTE,
        pools: Vec::new(),
        held: false,
        loadable: Vec::new(),
    };
    let key = engine.submit(request, plan, execution).unwrap();
    (engine, key)
}

/// A worker that executes the runs it was sent; the runs of `failing` fail.
fn worker(batch: &Batch, runs: std::ops::Range<u64>, failing: &[u64]) -> (Vec<u64>, Vec<u8>) {
    let prior_attempts = batch.prior_attempts().unwrap();
    let mut worker = WorkerBatch::new(batch.spec().clone(), runs, &prior_attempts).unwrap();
    let mut executed = Vec::new();
    while let Some(run) = worker.advance() {
        executed.push(run.number());
        if failing.contains(&run.number()) {
            run.fail(
                0,
                Cause {
                    error_type: "E".into(),
                    message: "failed".into(),
                    traceback: None,
                },
            );
        }
    }
    (executed, worker.report().unwrap())
}

#[test]
fn every_run_is_executed_once_and_recorded() {
    let (engine, key) = submitted(500, FailurePolicy::Continue);
    let mut executed = Vec::new();
    while let Some(mut batch) = engine.next_batch(Duration::ZERO) {
        while let Some(sent) = batch.send(u64::MAX) {
            let (runs, report) = worker(&batch, sent, &[7, 400]);
            executed.extend(runs);
            batch.receive(&report).unwrap();
        }
    }
    assert_eq!(executed, (0..500).collect::<Vec<_>>());
    assert!(engine.wait(key, TIMEOUT).unwrap());
}

#[test]
fn what_a_worker_did_not_begin_is_sent_again() {
    let (engine, _key) = submitted(4, FailurePolicy::StopOnFailure);
    let mut batch = engine.next_batch(Duration::ZERO).unwrap();
    assert_eq!(
        batch.send(u64::MAX),
        Some(0..1),
        "the first batch is one run"
    );
    batch.receive(&worker(&batch, 0..1, &[]).1).unwrap();
    assert_eq!(batch.send(u64::MAX), None);
    drop(batch);
    let mut batch = engine.next_batch(Duration::ZERO).unwrap();
    let sent = batch.send(u64::MAX).unwrap();
    assert_eq!(sent, 1..3);
    // Its failure is reported before the run behind it begins, which then never does.
    let (executed, report) = worker(&batch, sent, &[1]);
    assert_eq!(executed, [1]);
    batch.receive(&report).unwrap();
    assert_eq!(batch.send(u64::MAX), None);
}

#[test]
fn what_was_sent_to_a_dead_worker_is_executed_again() {
    let (engine, key) = submitted(6, FailurePolicy::Continue);
    let mut executed = Vec::new();
    let mut deaths = 0;
    while let Some(mut batch) = engine.next_batch(Duration::ZERO) {
        let mut max_runs = u64::MAX;
        while let Some(sent) = batch.send(max_runs) {
            if sent.contains(&4) {
                deaths += 1;
                let is_one_run = sent.end - sent.start == 1;
                assert_eq!(batch.reclaim(), is_one_run.then_some(0));
                if is_one_run {
                    let run = batch.advance().unwrap();
                    executed.push(run.number());
                } else {
                    max_runs = 1;
                }
                continue;
            }
            let (runs, report) = worker(&batch, sent, &[]);
            executed.extend(runs);
            batch.receive(&report).unwrap();
        }
    }
    assert!(deaths > 0);
    assert_eq!(executed, [0, 1, 2, 3, 4, 5]);
    assert!(engine.wait(key, TIMEOUT).unwrap());
}

#[test]
fn a_report_that_cannot_be_read_is_an_error() {
    let (engine, _key) = submitted(1, FailurePolicy::Continue);
    let mut batch = engine.next_batch(Duration::ZERO).unwrap();
    batch.send(1).unwrap();
    let error = batch.receive(&[255, 255, 255]).unwrap_err();
    assert!(error.to_string().contains("do not understand each other"));
}
