//! Files as earlier versions wrote them: a row in `run` for each run that has ended.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rivers_core::backfill::{Counts, RunRow, Status};
use rivers_core::clock::Micros;
use rivers_core::plan::codec::{encode_plan, encode_space};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::space::labels::Labels;
use rivers_core::space::{Axis, Dim, Selection, Space};
use rivers_core::store::sqlite::SqliteStore;
use rusqlite::{Connection, params};

const STEPS: [&str; 9] = [
    include_str!("../../src/store/sqlite/migrations/0001.sql"),
    include_str!("../../src/store/sqlite/migrations/0002.sql"),
    include_str!("../../src/store/sqlite/migrations/0003.sql"),
    include_str!("../../src/store/sqlite/migrations/0004.sql"),
    include_str!("../../src/store/sqlite/migrations/0005.sql"),
    include_str!("../../src/store/sqlite/migrations/0006.sql"),
    include_str!("../../src/store/sqlite/migrations/0007.sql"),
    include_str!("../../src/store/sqlite/migrations/0008.sql"),
    include_str!("../../src/store/sqlite/migrations/0009.sql"),
];

/// The versions that have a row for each run.
pub(crate) const VERSIONS: std::ops::RangeInclusive<usize> = 1..=STEPS.len();

/// A backfill in such a file.
pub(crate) struct OldBackfill {
    pub(crate) id: &'static str,
    pub(crate) status: Status,
    pub(crate) size: u64,
    pub(crate) counts: Counts,
    pub(crate) runs: Vec<RunRow>,
    pub(crate) in_flight: Vec<(u64, Micros)>,
}

impl OldBackfill {
    /// Of `size` partitions, of which the runs with these numbers have ended: each eleventh failed.
    fn new(
        id: &'static str,
        status: Status,
        size: u64,
        numbers: impl Iterator<Item = u64>,
    ) -> Self {
        let runs: Vec<RunRow> = numbers
            .map(|run| RunRow {
                run,
                started_at: 1_700_000_000_000_000 + 1_000 * run.cast_signed(),
                ended_at: 1_700_000_000_000_000 + 1_000 * run.cast_signed() + 900,
                failed: u64::from(run % 11 == 3),
            })
            .collect();
        let failed = runs.iter().filter(|run| run.failed > 0).count() as u64;
        let runs_ended = runs.len() as u64;
        let canceled = match status {
            Status::InProgress => 0,
            Status::Completed | Status::Failed | Status::Canceled => size - runs_ended,
        };
        let in_flight = match status {
            Status::InProgress if !runs.is_empty() => vec![(size - 1, 5), (size - 2, 1 << 50)],
            _ => Vec::new(),
        };
        Self {
            id,
            status,
            size,
            counts: Counts {
                completed: runs_ended - failed,
                failed,
                canceled,
                runs_ended,
            },
            runs,
            in_flight,
        }
    }

    fn insert(&self, connection: &Connection, version: usize) {
        let labels = Labels::new((0..self.size).map(|number| format!("k{number}"))).unwrap();
        let dim = Dim {
            name: String::new(),
            axis: Axis::Labels(Arc::new(labels)),
        };
        let space = Arc::new(Space::try_from(vec![dim]).unwrap());
        let plan = Plan::new(Selection::all(space.clone()), Strategy::MultiRun).unwrap();
        let sql = "INSERT INTO space (digest, body) VALUES (0, ?1)";
        connection
            .execute(sql, [encode_space(&space).unwrap()])
            .unwrap();
        let space = connection.last_insert_rowid();
        let request = format!(
            r#"{{"id":"{}","kind":"Backfill","assets":[{{"name":"a","code_version":null,"partitioned":true}}],
                "failure_policy":"Continue","max_concurrency":1,"priority":-10,"tags":[],"config":null,
                "created_at":0}}"#,
            self.id
        );
        let (code, ended_at) = match self.status {
            Status::InProgress => (0, None),
            Status::Completed => (1, Some(9)),
            Status::Failed => (2, Some(9)),
            Status::Canceled => (3, Some(9)),
        };
        let sql = "INSERT INTO backfill (id, request, strategy, space, plan, num_partitions, num_runs, status,
                                         completed, failed, canceled, runs_ended, in_flight, ended_at, owner,
                                         lease_expires_at)
                   VALUES (?1, ?2, 'multi_run()', ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        let owner = ended_at.is_none().then_some("dead");
        connection
            .execute(
                sql,
                params![
                    self.id,
                    request,
                    space,
                    encode_plan(&plan).unwrap(),
                    self.size.cast_signed(),
                    code,
                    self.counts.completed.cast_signed(),
                    self.counts.failed.cast_signed(),
                    self.counts.canceled.cast_signed(),
                    self.counts.runs_ended.cast_signed(),
                    postcard::to_stdvec(&self.in_flight).unwrap(),
                    ended_at,
                    owner,
                    owner.map(|_| 7),
                ],
            )
            .unwrap();
        let key = connection.last_insert_rowid();
        let sql = "INSERT INTO backfill_asset VALUES ('a', ?1)";
        connection.execute(sql, [key]).unwrap();
        let mut insert = connection
            .prepare("INSERT INTO run VALUES (?1, ?2, ?3, ?4, ?5)")
            .unwrap();
        let sql =
            "INSERT INTO failure (backfill, seq, run, asset, cause) VALUES (?1, ?2, ?3, 0, 1)";
        let mut failure = connection.prepare(sql).unwrap();
        for (seq, run) in self.runs.iter().enumerate() {
            let (number, failed) = (run.run.cast_signed(), run.failed.cast_signed());
            let row = params![key, number, run.started_at, run.ended_at, failed];
            insert.execute(row).unwrap();
            if failed > 0 {
                failure.execute([key, seq as i64, number]).unwrap();
            }
        }
        if version >= 5 {
            let sql = "INSERT INTO attempt VALUES (?1, ?2, 1, 0, 3, 4, 1)";
            connection
                .execute(sql, params![key, self.size.cast_signed() - 1])
                .unwrap();
        }
    }
}

/// A file of an earlier version with backfills that ended, and with some in progress.
pub(crate) struct OldFile {
    pub(crate) path: PathBuf,
    pub(crate) backfills: Vec<OldBackfill>,
}

impl OldFile {
    pub(crate) fn write(path: &Path, version: usize) -> Self {
        let out_of_order = (0..20_000).filter(|run| run % 3 > 0 || *run < 500);
        let backfills = vec![
            OldBackfill::new("ended", Status::Failed, 40_000, 0..40_000),
            OldBackfill::new("canceled", Status::Canceled, 10, 0..0),
            OldBackfill::new("in-progress", Status::InProgress, 50_000, out_of_order),
            OldBackfill::new("small", Status::Completed, 3, 0..3),
            OldBackfill::new("fresh", Status::InProgress, 7, 0..0),
        ];
        Self::of(path, version, backfills)
    }

    pub(crate) fn write_large(path: &Path, size: u64) -> Self {
        let large = OldBackfill::new("large", Status::Failed, size, 0..size);
        Self::of(path, STEPS.len(), vec![large])
    }

    fn of(path: &Path, version: usize, backfills: Vec<OldBackfill>) -> Self {
        // The first storage of a process replaces system calls of SQLite, which no open connection may see.
        drop(SqliteStore::memory().unwrap());
        drop(SqliteStore::open(&path.with_extension("first")).unwrap());
        let mut old = Connection::open(path).unwrap();
        let old = old.transaction().unwrap();
        for step in &STEPS[..version] {
            old.execute_batch(step).unwrap();
        }
        let sql = "INSERT INTO cause (digest, error_type, message) VALUES (0, 'ValueError', 'x')";
        old.execute(sql, []).unwrap();
        for backfill in &backfills {
            backfill.insert(&old, version);
        }
        old.pragma_update(None, "application_id", 0x7269_7672)
            .unwrap();
        old.pragma_update(None, "user_version", version as i64)
            .unwrap();
        old.commit().unwrap();
        Self {
            path: path.to_owned(),
            backfills,
        }
    }
}
