//! Simulates processes that share a storage: everything that the engine decides, in virtual time, in an order that
//! follows from a seed.
//!
//! The engine is the one that is shipped, with its locks, waits and writer; threads, time and the storage are
//! simulated. Threads take turns wherever one waits, and around each operation of the storage. Operations fail, are
//! late for up to 40 seconds or lose their answers; processes die, are suspended and close; users launch backfills,
//! cancel, pause and change them. At each step and at the end the rules of `world` are checked. In every fourth
//! simulation nothing fails, though the storage's clock may be set; then each run is executed once, and everything
//! must end soon.
//!
//! `SIMULATIONS` is the number of seeds, from `SIMULATION_SEED` on. A violation is printed with its seed, which
//! repeats it exactly.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod actors;
mod scheduler;
mod store;
mod world;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rivers_core::store::failpoint::{Bug, plant};
use scheduler::{below, now, one_in, sleep, spawn, suspend, violation, wake_all_processes};
use world::{Process, World};

const SECOND: u64 = 1_000_000;
/// How long backfills may take once nothing fails any more: less than a worker waits for work.
const MAX_REST: u64 = 250 * SECOND;
/// Seeds in which a planted bug must be found.
const SEEDS_PER_BUG: u64 = 20_000;

/// A process with its threads.
fn start(world: &Rc<World>, number: usize, until: u64) -> Rc<Process> {
    let skew = below(7_200 * SECOND) as i64 - 3_600 * SECOND as i64;
    let process = world.process(number, skew);
    for _ in 0..2 + below(2) {
        let (world, process) = (Rc::clone(world), Rc::clone(&process));
        spawn(number, move || actors::work(&world, &process));
    }
    let (users, own) = (Rc::clone(world), Rc::clone(&process));
    spawn(number, move || actors::use_it(&users, &own, until));
    let (world, own) = (Rc::clone(world), Rc::clone(&process));
    spawn(number, move || {
        while !own.is_leaving() && now() < until {
            sleep(below(3 * SECOND));
            actors::resume_orphans(&world, &own);
        }
    });
    process
}

/// A process dies: nothing that its threads still do has any effect.
fn kill(world: &World, process: &Rc<Process>) {
    process.store.dead.store(true, Ordering::Relaxed);
    let owner = process.store.owner.lock().unwrap().clone();
    world.model.lock().unwrap().alive.remove(&owner);
    close(process, 0);
}

/// A process closes its engine after at most `patience` microseconds.
fn close(process: &Rc<Process>, patience: u64) {
    let process = Rc::clone(process);
    spawn(process.number, move || {
        process.engine.wait_idle(Duration::from_micros(patience));
        process.leaving.store(true, Ordering::Relaxed);
        process.engine.close();
    });
}

fn scenario(calm: bool) {
    let world = Rc::new(World::new(calm));
    world.faults.any.store(!calm, Ordering::Relaxed);
    // What is late while a lease looks over is taken for dead: such a clock needs processes that are well.
    let clock_steps = calm && one_in(2);
    let until = now() + SECOND + below(12 * SECOND);
    let mut started = 0;
    let mut processes = Vec::new();
    for _ in 0..1 + below(2) {
        started += 1;
        processes.push(start(&world, started, until));
    }
    while now() < until {
        sleep(below(2 * SECOND));
        if calm {
            if clock_steps {
                let step = below(7_200 * SECOND) as i64 - 3_600 * SECOND as i64;
                world.faults.clock_set.store(step, Ordering::Relaxed);
            }
            continue;
        }
        if processes.is_empty() {
            continue;
        }
        let at = below(processes.len() as u64) as usize;
        match below(8) {
            0 => kill(&world, &processes.swap_remove(at)),
            1 => close(&processes.swap_remove(at), below(3 * SECOND)),
            2 => suspend(processes[at].number, below(40 * SECOND)),
            3 => {
                let end = now() + below(30 * SECOND);
                world.faults.outage.store(end as i64, Ordering::Relaxed);
            }
            _ => (),
        }
        if processes.is_empty() || (processes.len() < 2 && one_in(3)) {
            started += 1;
            processes.push(start(&world, started, until));
        }
    }
    settle(&world, &processes);
}

/// Nothing fails any more: everything ends, and what is on record is right.
fn settle(world: &Rc<World>, processes: &[Rc<Process>]) {
    world.faults.any.store(false, Ordering::Relaxed);
    world.faults.outage.store(0, Ordering::Relaxed);
    wake_all_processes();
    let deadline = now() + MAX_REST;
    loop {
        let left = world.in_progress();
        if left.is_empty() {
            break;
        }
        if now() > deadline {
            let alive = processes.iter().map(|process| process.engine.live());
            let alive: Vec<_> = alive.collect();
            let rows = world.unfinished();

            return violation(format!("{left:?} have not ended; live: {alive:?}; {rows}"));
        }
        for id in left {
            let _ = processes[0].engine.set_paused(&id, false);
        }
        if !world.calm {
            for process in processes {
                actors::resume_orphans(world, process);
            }
        }
        sleep(SECOND);
    }
    world.check_end();
    for process in processes {
        process.leaving.store(true, Ordering::Relaxed);
        process.engine.close();
    }
    TOTALS.with_borrow_mut(|totals| {
        totals.0 += world.num_calls() as u64;
        totals.1 += world.faults.injected.load(Ordering::Relaxed).unsigned_abs();
    });
}

thread_local! {
    /// Calls of functions, and injected faults.
    static TOTALS: std::cell::RefCell<(u64, u64)> = const { std::cell::RefCell::new((0, 0)) };
}

fn simulate(seed: u64) -> Result<(u64, u64), String> {
    scheduler::run(seed, move || scenario(seed.is_multiple_of(4)))
}

fn argument(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_seed_keeps_the_rules() {
    let started = Instant::now();
    let (first, count) = (
        argument("SIMULATION_SEED", 0),
        argument("SIMULATIONS", 10_000),
    );
    let mut virtual_time = 0;
    for seed in first..first + count {
        match simulate(seed) {
            Ok((_, passed)) => virtual_time += passed,
            Err(text) => panic!("SIMULATION_SEED={seed} SIMULATIONS=1: {text}"),
        }
    }
    let (calls, faults) = TOTALS.with_borrow(|totals| *totals);
    eprintln!(
        "{count} seeds in {:.1} s: {} hours of virtual time, {calls} calls, {faults} faults",
        started.elapsed().as_secs_f64(),
        virtual_time / SECOND / 3_600
    );
}

#[test]
fn a_seed_repeats_its_simulation_exactly() {
    for seed in 0..200 {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}

#[test]
fn each_planted_bug_is_found() {
    let mut found = BTreeMap::new();
    for &bug in Bug::ALL {
        plant(Some(bug));
        let violation = (0..SEEDS_PER_BUG).find_map(|seed| Some((seed, simulate(seed).err()?)));
        plant(None);
        eprintln!("{bug:?}: {violation:?}");
        found.insert(format!("{bug:?}"), violation.is_some());
    }
    assert!(found.values().all(|&found| found), "{found:?}");
}
