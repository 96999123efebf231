//! A file with a row for each run, of every earlier version, is read as before once its runs are packed.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod old_files;

use old_files::{OldFile, VERSIONS};
use rivers_core::backfill::{Counts, RunEnd, Status};
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{Commit, Committed, LeaseTerms, Ledger, Records};
use tempfile::tempdir;

#[test]
fn records_of_every_earlier_version_are_read_as_before() {
    for version in VERSIONS {
        let folder = tempdir().unwrap();
        let old = OldFile::write(&folder.path().join("old.db"), version);
        let store = SqliteStore::open(&old.path).unwrap();
        assert_eq!(store.check(), Ok(vec![]), "version {version}");
        for backfill in &old.backfills {
            let row = store.find(backfill.id).unwrap().unwrap();
            let runs = store.runs(row.key, 0..u64::MAX).unwrap();
            assert!(
                runs == backfill.runs,
                "{} of version {version}",
                backfill.id
            );
            assert_eq!(row.counts, backfill.counts);
            assert_eq!(row.in_flight, backfill.in_flight);
            assert_eq!(row.status, backfill.status);
            let failed = backfill.runs.iter().filter(|run| run.failed > 0).count();
            assert_eq!(store.failures(row.key, None).unwrap().len(), failed);
            if let Some(last) = backfill.runs.last() {
                assert_eq!(
                    store.run_before(row.key, u64::MAX).unwrap().as_ref(),
                    Some(last)
                );
            }
            if version >= 5 && backfill.status == Status::InProgress {
                assert_eq!(store.attempts(row.key).unwrap().len(), 1);
            }
        }
        let latest = store.latest_runs(Some(true), Some(3)).unwrap();
        let newest = old
            .backfills
            .iter()
            .rfind(|own| own.counts.failed > 0)
            .unwrap();
        let failed = newest.runs.iter().rev().filter(|run| run.failed > 0);
        assert!(latest.iter().map(|(_, run)| run).eq(failed.take(3)));
    }
}

#[test]
fn a_backfill_in_progress_goes_on_where_it_was() {
    for version in VERSIONS {
        let folder = tempdir().unwrap();
        let old = OldFile::write(&folder.path().join("old.db"), version);
        let store = SqliteStore::open(&old.path).unwrap();
        let row = store.find("in-progress").unwrap().unwrap();
        let terms = LeaseTerms {
            owner: "new".into(),
            duration: 60_000_000,
        };
        assert!(
            store
                .take_over(row.key, row.lease.as_ref(), &terms)
                .unwrap()
        );
        let before = row.counts;
        let run = store
            .runs(row.key, 0..u64::MAX)
            .unwrap()
            .last()
            .unwrap()
            .run
            + 1;
        let commit = Commit {
            key: row.key,
            ended: vec![RunEnd {
                run,
                started_at: 1,
                ended_at: 2,
                partitions: 1,
                failed: 0,
                failures: Vec::new(),
                skips: Vec::new(),
                retry: None,
                metadata: Vec::new(),
            }],
            counts: Counts {
                completed: before.completed + 1,
                runs_ended: before.runs_ended + 1,
                ..before
            },
            in_flight: Vec::new(),
            stop: None,
            finished: None,
        };
        assert_eq!(store.commit(&terms, &[commit]), Ok(vec![Committed::Kept]));
        let row = store.find("in-progress").unwrap().unwrap();
        assert_eq!(row.counts.runs_ended, before.runs_ended + 1);
        assert_eq!(row.in_flight, []);
        assert_eq!(store.check(), Ok(vec![]));
    }
}

/// A measurement: `cargo test --release -p rivers-core --test segment_migration -- --ignored --nocapture`.
#[test]
#[ignore = "it measures how long millions of runs take"]
fn millions_of_runs_are_migrated_in_seconds() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("old.db");
    let old = OldFile::write_large(&path, 5_000_000);
    let begun = std::time::Instant::now();
    let store = SqliteStore::open(&path).unwrap();
    eprintln!("5,000,000 runs: {:.1} s", begun.elapsed().as_secs_f64());
    let row = store.find("large").unwrap().unwrap();
    assert_eq!(store.runs(row.key, 0..u64::MAX).unwrap().len(), 5_000_000);
    drop((store, old));
}
