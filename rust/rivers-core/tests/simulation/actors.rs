//! The threads of a simulated process: its workers, its users, and what resumes backfills of dead processes.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rivers_core::backfill::{
    Cause, Change, Control, Failure, FailurePolicy, Kept, Kind, Request, RequestedAsset, RunEnd,
    Session, Status,
};
use rivers_core::engine::{Batch, Execution, Placement, encode_report};
use rivers_core::plan::{Link, Plan, Strategy};
use rivers_core::space::labels::Labels;
use rivers_core::space::{Axis, Dim, Mapping, Selection, Space};
use rivers_core::store::Key;

use super::scheduler::{below, now, one_in, sleep, spawn, yield_now};
use super::world::{Behaviour, Process, World};

/// Attempts of a run.
const MAX_ATTEMPTS: u32 = 3;
const IDLE: Duration = Duration::from_secs(300);

fn cause() -> Cause {
    Cause {
        error_type: "Test".into(),
        message: "it failed".into(),
        traceback: None,
    }
}

fn selection(size: u64) -> Selection {
    let labels = Labels::new((0..size).map(|number| format!("k{number}"))).expect("labels");
    let dim = Dim {
        name: String::new(),
        axis: Axis::Labels(Arc::new(labels)),
    };
    Selection::all(Arc::new(Space::try_from(vec![dim]).expect("a space")))
}

/// One layer, or two of which the second needs the first.
fn plan(size: u64, layered: bool) -> Plan {
    if !layered {
        return Plan::new(selection(size), Strategy::MultiRun).expect("a plan");
    }
    let layer = |asset: u32| (selection(size), Strategy::MultiRun, vec![asset]);
    let mapping = if one_in(2) {
        Mapping::AllPartitions
    } else {
        Mapping::Identity
    };
    let link = Link {
        down: 1,
        up: 0,
        asset: 0,
        mapping,
        allow_missing: false,
    };
    Plan::in_layers(vec![layer(0), layer(1)], vec![link]).expect("a plan")
}

/// Takes batches and executes them until the process leaves.
pub(crate) fn work(world: &Rc<World>, process: &Rc<Process>) {
    while !process.is_leaving() {
        let timeout = if one_in(4) {
            Duration::from_micros(below(100_000))
        } else {
            IDLE
        };
        let Some(batch) = process.engine.next_batch(timeout) else {
            yield_now();
            continue;
        };
        let program = batch.program();
        let behaviour = program.downcast_ref::<Behaviour>().expect("ours").clone();
        if behaviour.remote {
            execute_remotely(world, process, batch, &behaviour);
        } else {
            execute(world, process, batch, &behaviour);
        }
    }
}

fn take(process: &Process, behaviour: &Behaviour) {
    if !process.is_dead() {
        let long = if one_in(30) { 20 } else { 1 };
        sleep(below(behaviour.duration * long + 1));
    }
}

fn execute(world: &World, process: &Process, mut batch: Batch, behaviour: &Behaviour) {
    let key = batch.key();
    while let Some(run) = batch.advance() {
        let call = world.begin(process, key, run.number(), false);
        take(process, behaviour);
        let layer = run.layer();
        let assets = 0..run.request().assets.len() as u32;
        let asset = { assets }
            .find(|&asset| batch.spec().plan.has_asset(layer, asset))
            .expect("a layer has an asset");
        let attempt = run.failed_attempts(asset) + 1;
        if behaviour.retried != u64::MAX && one_in(behaviour.retried) && attempt < MAX_ATTEMPTS {
            let delay = below(500_000);
            run.retry(&[asset], cause(), delay as i64, &[]);
            world.end(call, true, Some(delay));
        } else if one_in(behaviour.fails) {
            run.fail(asset, cause());
            world.end(call, true, None);
        } else {
            world.end(call, false, None);
        }
        if batch.should_flush() {
            batch.flush();
        }
    }
    batch.close();
}

/// The worker reports what it has executed, or dies.
fn execute_remotely(world: &World, process: &Process, mut batch: Batch, behaviour: &Behaviour) {
    let key = batch.key();
    let mut max_runs = u64::MAX;
    while let Some(runs) = batch.send(max_runs) {
        max_runs = u64::MAX;
        match remote_runs(world, process, key, behaviour, &batch, runs) {
            Some(ends) => {
                let report = encode_report(ends, process.engine.now()).expect("encodes");
                batch.receive(&report).expect("decodes");
            }
            None => {
                batch.reclaim();
                max_runs = 1;
            }
        }
    }
    batch.close();
}

fn remote_runs(
    world: &World,
    process: &Process,
    key: Key,
    behaviour: &Behaviour,
    batch: &Batch,
    runs: Range<u64>,
) -> Option<Vec<RunEnd>> {
    let mut ends = Vec::new();
    for run in runs {
        let call = world.begin(process, key, run, true);
        let started_at = process.engine.now();
        take(process, behaviour);
        if !world.calm && one_in(50) {
            world.end(call, true, None);
            return None;
        }
        let fails = one_in(behaviour.fails);
        world.end(call, fails, None);
        let spec = batch.spec();
        let partitions = spec.plan.run_len(run);
        let failure = Failure {
            asset: 0,
            partition: None,
            cause: Some(Arc::new(cause())),
            fingerprint: None,
        };
        ends.push(RunEnd {
            run,
            started_at,
            ended_at: process.engine.now(),
            partitions,
            failed: if fails { partitions } else { 0 },
            failures: fails.then_some(failure).into_iter().collect(),
            skips: Vec::new(),
            retry: None,
            metadata: Vec::new(),
        });
        let stops = spec.request.failure_policy == FailurePolicy::StopOnFailure;
        if fails && stops {
            break;
        }
    }
    Some(ends)
}

fn execution(behaviour: &Behaviour) -> Execution {
    Execution {
        program: Arc::new(behaviour.clone()),
        capacity: None,
        placement: if behaviour.remote {
            Placement::REMOTE
        } else {
            Placement::Local
        },
        pools: Vec::new(),
        held: false,
        loadable: Vec::new(),
    }
}

/// Launches a backfill and has a thread wait for it.
fn submit(world: &Rc<World>, process: &Rc<Process>) {
    let id = format!("b{}", world.behaviours.borrow().len());
    let remote = one_in(4);
    let layered = !remote && one_in(4);
    let behaviour = Behaviour {
        remote,
        fails: if one_in(3) { 5 } else { 1_000 },
        retried: if one_in(3) { 4 } else { u64::MAX },
        duration: [4_000, 20_000, 200_000][below(3) as usize],
        max_concurrency: 1 + below(3) as u32,
        policy: if one_in(5) {
            FailurePolicy::StopOnFailure
        } else {
            FailurePolicy::Continue
        },
    };
    let urgent = one_in(4);
    let asset = |name: &str| RequestedAsset {
        name: name.into(),
        code_version: None,
        partitioned: true,
        step: None,
        kept: Kept::Stored,
        facts: None,
    };
    let request = Request {
        id: id.clone(),
        kind: Kind::Backfill,
        assets: if layered {
            vec![asset("raw"), asset("clean")]
        } else {
            vec![asset("raw")]
        },
        failure_policy: behaviour.policy,
        max_concurrency: behaviour.max_concurrency,
        priority: if urgent { 0 } else { -10 },
        tags: Vec::new(),
        config: None,
        retry: None,
        created_at: process.engine.now(),
        control: Control::default(),
        sessions: Vec::new(),
        launch: None,
        notified: Vec::new(),
    };
    let size = if one_in(3) { 60 } else { 12 };
    let plan = plan(1 + below(size), layered);
    let program = execution(&behaviour);
    world.behaviours.borrow_mut().insert(id, behaviour);
    if process.engine.begin_submission(false).is_err() {
        return;
    }
    if urgent {
        process.engine.begin_preemption(0);
    }
    let submitted = process.engine.submit(request, plan, program);
    process.engine.end_submission();
    match submitted {
        Ok(key) => wait(world, process, key),
        Err(_) if urgent => process.engine.end_preemption(),
        Err(_) => (),
    }
}

/// A thread that waits for the end of a backfill.
fn wait(world: &Rc<World>, process: &Rc<Process>, key: Key) {
    let (world, process) = (Rc::clone(world), Rc::clone(process));
    spawn(process.number, move || {
        while let Ok(ended) = process.engine.wait(key, Duration::from_secs(20)) {
            if ended {
                if !process.is_dead() {
                    world.check_ended(key);
                }
                return;
            }
        }
    });
}

/// A user who launches backfills, looks at them, and changes them, until `until`.
pub(crate) fn use_it(world: &Rc<World>, process: &Rc<Process>, until: u64) {
    submit(world, process);
    while !process.is_leaving() && now() < until {
        sleep(below(700_000));
        let known = world.behaviours.borrow().len() as u64;
        let id = format!("b{}", below(known));
        match below(12) {
            0 | 1 if known < 10 => submit(world, process),
            2 | 5 => cancel(world, process, &id),
            6 if !world.calm => abort(world, process, &id),
            3 => {
                let paused = process.engine.set_paused(&id, true);
                sleep(below(2_000_000));
                // Whatever is paused here goes on in the end: see `simulate`.
                let _ = paused.and_then(|()| process.engine.set_paused(&id, false));
            }
            4 => {
                let change = Change {
                    max_concurrency: Some(1 + below(3) as u32),
                    priority: Some(below(20) as i64 - 10),
                    ..Change::default()
                };
                // Its limit may apply from now on, or the earlier one may.
                if let Some(behaviour) = world.behaviours.borrow_mut().get_mut(&id) {
                    let most = change.max_concurrency.unwrap_or_default();
                    behaviour.max_concurrency = behaviour.max_concurrency.max(most);
                }
                let _ = process.engine.change(&id, &change);
            }
            _ => (),
        }
        if let Some(snapshot) = process.engine.snapshot(&id)
            && !process.is_dead()
        {
            world.check_reported(&id, &snapshot);
        }
        process.engine.drain_finished();
    }
}

fn cancel(world: &World, process: &Process, id: &str) {
    let of_id = |key: &Key| world.is_of(*key, id);
    let key = process.engine.live().into_iter().find(of_id);
    let canceled = if one_in(2) {
        let all = world.model(|model| model.backfills.keys().copied().collect::<Vec<_>>());
        if let Some(key) = all.into_iter().find(of_id) {
            world.will_be_forced(key);
        }
        let after = Duration::from_micros(below(2) * below(1_000_000));
        process.engine.cancel_by_force(id, after)
    } else {
        process.engine.cancel(id)
    };
    if let (Ok(true), Some(key)) = (canceled, key) {
        world.was_canceled(process, key);
    }
}

/// A worker could not execute the runs of a backfill: it stops here.
fn abort(world: &World, process: &Process, id: &str) {
    let of_id = |key: &Key| world.is_of(*key, id);
    if let Some(key) = process.engine.live().into_iter().find(of_id) {
        let _ = process.engine.abort(key, "a worker broke off".into());
    }
}

/// Resumes all backfills that no process runs.
pub(crate) fn resume_orphans(world: &Rc<World>, process: &Rc<Process>) {
    let Ok(orphans) = process.engine.orphans() else {
        return;
    };
    for row in orphans {
        let behaviour = world.behaviour(&row.request.id);
        let key = row.key;
        // From here on a start belongs to the resumed backfill.
        let requested = world.model(|model| model.backfills[&key].row.cancel_requested);
        let live = process.engine.live().contains(&key);
        if !live {
            world.resumed(process, key, requested && row.status == Status::InProgress);
        }
        let resumed =
            process
                .engine
                .resume(&row.request.id, execution(&behaviour), Session::default());
        if resumed.is_ok() {
            wait(world, process, key);
        }
    }
}
