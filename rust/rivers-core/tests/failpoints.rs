//! A process that dies at any point of any transaction loses nothing.
//!
//! Each test starts this binary again as a child that runs a backfill and aborts at an armed point;
//! the next child resumes it and aborts at the next point, until one gets through.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod crash_support;
mod old_files;

use crash_support::{COMMITS, Death, STRATEGIES, Scene, act, deaths};
use old_files::OldFile;
use rivers_core::backfill::{FailurePolicy, Status};
use rivers_core::store::Records;
use rivers_core::store::failpoint::{Step, Work};
use rivers_core::store::sqlite::SqliteStore;

/// How often one backfill's process dies.
const DEATHS: usize = 5;

#[test]
#[ignore = "it is the child of the other tests"]
fn child() {
    act();
}

/// Dies at the points from `first` on; returns at which it really did.
fn die_through(scene: &mut Scene, points: &[Death], first: usize) -> Vec<Death> {
    let mut died = Vec::new();
    if points[first].0 == Work::TakeOver {
        assert!(scene.child("run", Some((Work::Create, Step::After, 1))));
    }
    for step in 0..DEATHS {
        let death = points[(first + step) % points.len()];
        if scene.child("run", Some(death)) {
            died.push(death);
        }
        if scene
            .check()
            .is_some_and(|row| row.status != Status::InProgress)
        {
            break;
        }
    }
    assert!(!scene.child("run", None));
    died
}

fn nothing_is_lost(strategy: &'static str) {
    // What only a cancel or a pause does has a test of its own.
    let mut points = deaths();
    let other = [
        Work::RequestCancel,
        Work::SetPaused,
        Work::Release,
        Work::Dynamic,
        Work::Merge,
    ];
    points.retain(|(work, step, _)| {
        !other.contains(work) && (*work, *step) != (Work::Migrate, Step::Between)
    });
    let mut died = Vec::new();
    for first in 0..points.len() {
        let mut scene = Scene::new(strategy, FailurePolicy::Continue);
        died.extend(die_through(&mut scene, &points, first));
        scene.check_complete();
    }
    let never = points
        .iter()
        .filter(|point| point.2 == 1 && !died.contains(point));
    assert_eq!(
        never.collect::<Vec<_>>(),
        [] as [&Death; 0],
        "the process never died at these"
    );
    eprintln!(
        "{strategy}: {} deaths in {} backfills",
        died.len(),
        points.len()
    );
}

#[test]
fn nothing_is_lost_with_a_run_per_partition() {
    nothing_is_lost(STRATEGIES[0]);
}

#[test]
fn nothing_is_lost_with_one_run() {
    nothing_is_lost(STRATEGIES[1]);
}

#[test]
fn nothing_is_lost_with_a_run_per_date() {
    nothing_is_lost(STRATEGIES[2]);
}

#[test]
fn after_a_recorded_failure_under_stop_on_failure_nothing_starts_again() {
    for strategy in STRATEGIES {
        for nth in 1..=3 {
            for moment in [Step::Between, Step::Within, Step::After] {
                let mut scene = Scene::new(strategy, FailurePolicy::StopOnFailure);
                scene.child("run", Some((Work::Commit, moment, nth)));
                let stopped = scene.check().is_some_and(|row| row.counts.failed > 0);
                let before = scene.calls();
                scene.child("run", None);
                let row = scene.check().expect("the backfill is there");
                assert_eq!(row.status, Status::Failed);
                assert!(
                    !stopped || scene.calls() == before,
                    "{} runs more",
                    scene.calls() - before
                );
            }
        }
    }
}

/// A backfill of which something is recorded, and not all: on a slow machine the second commit may
/// be the last.
fn interrupted() -> Scene {
    loop {
        let mut scene = Scene::new("multi_run", FailurePolicy::Continue);
        scene.child("run", Some((Work::Commit, Step::After, 2)));
        if scene
            .check()
            .is_some_and(|row| row.status == Status::InProgress)
        {
            return scene;
        }
    }
}

#[test]
fn a_cancel_that_dies_can_be_given_again() {
    for (work, moment, nth) in deaths() {
        let cancels = [Work::RequestCancel, Work::TakeOver, Work::Commit].contains(&work);
        if !cancels || nth > 1 {
            continue;
        }
        let mut scene = interrupted();
        assert!(
            scene.child("cancel", Some((work, moment, nth))),
            "{work:?} {moment:?}"
        );
        scene.check();
        scene.child("cancel", None);
        let row = scene.check().expect("the backfill is there");
        assert_ne!(row.status, Status::InProgress);
        assert!(row.counts.canceled > 0);
    }
}

#[test]
fn a_pause_or_its_end_that_dies_happened_as_a_whole_or_not_at_all() {
    for (work, moment, nth) in deaths() {
        if work != Work::SetPaused || nth > 1 {
            continue;
        }
        let mut scene = interrupted();
        for (task, paused) in [("pause", true), ("unpause", false)] {
            let is_paused = |scene: &mut Scene| scene.check().map(|row| row.paused);
            assert!(
                scene.child(task, Some((work, moment, 1))),
                "{task} {moment:?}"
            );
            let done = moment == Step::After;
            assert_eq!(is_paused(&mut scene), Some(paused == done));
            assert!(!scene.child(task, None));
            assert_eq!(is_paused(&mut scene), Some(paused));
        }
        assert!(!scene.child("run", None));
        scene.check_complete();
    }
}

#[test]
fn a_cancel_is_not_forgotten_when_a_process_that_heard_of_it_dies() {
    let mut scene = interrupted();
    assert!(scene.child("cancel", Some((Work::RequestCancel, Step::After, 1))));
    let before = scene.calls();
    scene.child("run", None);
    let row = scene.check().expect("the backfill is there");
    assert!(row.counts.canceled > 0);
    assert_eq!(
        scene.calls(),
        before,
        "a canceled backfill starts nothing when it is resumed"
    );
}

#[test]
fn a_migration_happens_as_a_whole_or_not_at_all() {
    for (moment, version) in [(Step::Before, 0), (Step::Within, 0), (Step::After, 1)] {
        let mut scene = Scene::new("multi_run", FailurePolicy::Continue);
        assert!(scene.child("run", Some((Work::Migrate, moment, 1))));
        let connection = rusqlite::Connection::open(scene.database()).unwrap();
        let found: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        let sql = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!((found, tables > 0), (version, version > 0));
        drop(connection);
        assert!(!scene.child("run", None));
        scene.check_complete();
    }
}

#[test]
fn a_merge_of_segments_that_dies_changes_nothing_that_is_read() {
    for (work, moment, nth) in deaths() {
        if work != Work::Merge {
            continue;
        }
        let mut scene = Scene::new("multi_run", FailurePolicy::Continue);
        let mut died = 0;
        for _ in 0..DEATHS {
            died += u64::from(scene.child("commits", Some((work, moment, nth))));
            scene.check();
        }
        assert!(died > 0, "{moment:?} {nth}");
        assert!(!scene.child("commits", None));
        let row = scene.check().expect("the backfill is there");
        assert_eq!(
            (row.status, row.counts.runs_ended),
            (Status::Completed, COMMITS)
        );
    }
}

#[test]
fn a_migration_of_recorded_runs_that_dies_can_be_repeated() {
    let points = [Step::Before, Step::Between, Step::Within, Step::After];
    for (moment, nth) in points.into_iter().flat_map(|step| [(step, 1), (step, 2)]) {
        let scene = Scene::new("multi_run", FailurePolicy::Continue);
        let old = OldFile::write(&scene.database(), 8);
        assert!(
            scene.child("open", Some((Work::Migrate, moment, nth))),
            "{moment:?} {nth}"
        );
        let store = SqliteStore::open(&old.path).unwrap();
        assert_eq!(store.check(), Ok(vec![]));
        for backfill in &old.backfills {
            let row = store.find(backfill.id).unwrap().unwrap();
            assert!(store.runs(row.key, 0..u64::MAX).unwrap() == backfill.runs);
            assert_eq!(row.counts, backfill.counts);
        }
    }
}
