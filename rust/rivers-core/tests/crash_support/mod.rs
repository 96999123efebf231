//! A backfill in a child process that dies where it is told to, and what must be true afterwards.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashSet;
use rivers_core::backfill::RequestedAsset;
use rivers_core::backfill::{
    Cause, Control, FailurePolicy, Kind, Request, RunEnd, Session, Status,
};
use rivers_core::clock::{Clock, SystemClock};
use rivers_core::engine::{Engine, Execution, Placement};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::queue::Limits;
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::{Axis, Selection, Space};
use rivers_core::store::failpoint::{Step, Work, arm};
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{BackfillRow, Commit, Committed, LeaseTerms, Records, Store};

const ID: &str = "the-backfill";
/// Short, so that it is renewed while so little runs.
const LEASE: i64 = 50_000;
const WORKERS: u32 = 2;
/// How long the functions of a backfill take in all: several renewals.
const WHOLE: Duration = Duration::from_millis(64);

/// Where a child is to die: a point of a transaction, and at which hit of it.
pub(crate) type Death = (Work, Step, u32);

/// How the partitions are grouped: as in the child's argument.
pub(crate) const STRATEGIES: [&str; 3] = ["multi_run", "single_run", "per_dimension"];

fn plan(strategy: &str) -> Plan {
    let dims = [("date", 8), ("region", 4)].map(|(name, len)| Dim {
        name: name.into(),
        axis: Axis::Labels(Arc::new(
            Labels::new((0..len).map(|n| format!("k{n}"))).unwrap(),
        )),
    });
    let space = Arc::new(Space::try_from(dims.to_vec()).unwrap());
    let strategy = match strategy {
        "multi_run" => Strategy::MultiRun,
        "single_run" => Strategy::SingleRun,
        _ => Strategy::per_dimension(vec!["date".into()], vec!["region".into()]).unwrap(),
    };
    Plan::new(Selection::all(space), strategy).unwrap()
}

fn request(policy: FailurePolicy) -> Request {
    let asset = |name: &str| RequestedAsset {
        facts: None,
        kept: rivers_core::backfill::Kept::Stored,
        name: name.into(),
        code_version: None,
        partitioned: true,
        step: None,
    };
    Request {
        sessions: Vec::new(),
        id: ID.into(),
        kind: Kind::Backfill,
        assets: vec![asset("raw"), asset("clean")],
        failure_policy: policy,
        max_concurrency: WORKERS,
        priority: -10,
        tags: Vec::new(),
        config: None,
        retry: None,
        launch: None,
        notified: Vec::new(),
        created_at: SystemClock.now(),
        control: Control::default(),
    }
}

/// A folder with a storage and what the children wrote.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) strategy: &'static str,
    pub(crate) policy: FailurePolicy,
    /// Runs that were recorded as ended at a death, and how much of the log is older than it.
    recorded: Vec<(usize, HashSet<u64>)>,
}

impl Scene {
    pub(crate) fn new(strategy: &'static str, policy: FailurePolicy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            strategy,
            policy,
            recorded: Vec::new(),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("rivers.db")
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts this test binary again as a child; `true`: it died where it was told to.
    pub(crate) fn child(&self, task: &str, death: Option<Death>) -> bool {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("RIVERS_TEST_FOLDER", self.folder.path())
            .env("RIVERS_TEST_TASK", task)
            .env("RIVERS_TEST_STRATEGY", self.strategy)
            .env(
                "RIVERS_TEST_STOP",
                (self.policy == FailurePolicy::StopOnFailure).to_string(),
            )
            .env(
                "RIVERS_TEST_DEATH",
                death.map_or(String::new(), |death| format!("{death:?}")),
            )
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let out = String::from_utf8_lossy(&output.stdout);
        let died = output.status.code().is_none();
        assert!(
            output.status.success() || died,
            "a child failed: {out}{text}"
        );
        assert!(
            death.is_some() || !died,
            "a child died of something else: {out}{text}"
        );
        died
    }

    /// What must be true of the storage whenever a process has died; the backfill, if it is there.
    pub(crate) fn check(&mut self) -> Option<BackfillRow> {
        let store = SqliteStore::open(&self.database()).unwrap();
        let connection = rusqlite::Connection::open(self.database()).unwrap();
        let sound: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
        let row = store.find(ID).unwrap()?;
        let plan = store.plan(row.key).unwrap();
        let runs = store.runs(row.key, 0..u64::MAX).unwrap();
        let failed: u64 = runs.iter().map(|run| run.failed).sum();
        let partitions: u64 = runs.iter().map(|run| plan.run_len(run.run)).sum();
        let counts = row.counts;
        assert_eq!(counts.runs_ended, runs.len() as u64);
        assert_eq!(
            (counts.completed, counts.failed),
            (partitions - failed, failed)
        );
        match row.status {
            Status::InProgress => assert_eq!(counts.canceled, 0),
            _ => assert_eq!(counts.ended(), row.num_partitions),
        }
        self.check_failures(&store, &row);
        self.check_log(&row, runs.iter().map(|run| run.run).collect());
        Some(row)
    }

    /// Each failed run has its reasons, and nothing else has any.
    fn check_failures(&self, store: &SqliteStore, row: &BackfillRow) {
        let ended = store.runs(row.key, 0..u64::MAX).unwrap();
        let expected: HashSet<u64> = ended
            .iter()
            .filter(|run| run.failed > 0)
            .map(|run| run.run)
            .collect();
        let failures = store.failures(row.key, None).unwrap();
        let found: HashSet<u64> = failures
            .iter()
            .filter(|row| row.cause.is_some())
            .map(|row| row.run)
            .collect();
        assert_eq!(expected, found);
    }

    /// What was recorded is not executed again; what was reported is recorded.
    fn check_log(&mut self, row: &BackfillRow, ended: HashSet<u64>) {
        let log = self.log();
        for (from, recorded) in &self.recorded {
            for line in &log[*from..] {
                let run = line
                    .strip_prefix("run ")
                    .map(|run| run.parse::<u64>().unwrap());
                assert!(
                    run.is_none_or(|run| !recorded.contains(&run)),
                    "the {line} was executed again"
                );
            }
        }
        let reported = log.iter().filter_map(|line| line.strip_prefix("reported "));
        let reported = reported
            .map(|count| count.parse::<u64>().unwrap())
            .max()
            .unwrap_or(0);
        assert!(
            reported <= row.counts.ended(),
            "{reported} reported, {:?}",
            row.counts
        );
        self.recorded.push((log.len(), ended));
    }

    /// How often functions were called.
    pub(crate) fn calls(&self) -> usize {
        self.log()
            .iter()
            .filter(|line| line.starts_with("run "))
            .count()
    }

    /// All runs have ended, each with one row.
    pub(crate) fn check_complete(&mut self) {
        let row = self.check().expect("the backfill is there");
        assert_eq!(row.status, Status::Failed, "some fail in every backfill");
        assert_eq!(
            (row.counts.runs_ended, row.counts.canceled),
            (row.num_runs, 0)
        );
        assert_eq!(row.lease, None);
    }
}

/// The child's side: does its task, or dies.
pub(crate) fn act() {
    let Ok(folder) = std::env::var("RIVERS_TEST_FOLDER") else {
        return;
    };
    let argument = |name: &str| std::env::var(format!("RIVERS_TEST_{name}")).unwrap();
    if let Some((work, moment, nth)) = deaths()
        .into_iter()
        .find(|death| format!("{death:?}") == argument("DEATH"))
    {
        arm(work, moment, nth);
    }
    let folder = Path::new(&folder);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.join("rivers.db")).unwrap());
    match argument("TASK").as_str() {
        "open" => return,
        "commits" => return commit_each(&*store),
        _ => (),
    }
    let engine = Engine::new(
        Arc::clone(&store),
        Arc::new(SystemClock),
        Limits::default(),
        LEASE,
    )
    .unwrap();
    let execution = Execution {
        program: Arc::new(()),
        capacity: Some(WORKERS),
        placement: Placement::Local,
        pools: Vec::new(),
        held: false,
        loadable: Vec::new(),
    };
    match argument("TASK").as_str() {
        "cancel" => {
            engine.cancel(ID).unwrap();
            return;
        }
        "pause" => return engine.set_paused(ID, true).unwrap(),
        "unpause" => return engine.set_paused(ID, false).unwrap(),
        _ => (),
    }
    let key = match store.find(ID).unwrap() {
        Some(row) if row.status != Status::InProgress => return,
        Some(_) => engine.resume(ID, execution, Session::default()).unwrap(),
        None => {
            let stop = argument("STOP") == "true";
            let policy = if stop {
                FailurePolicy::StopOnFailure
            } else {
                FailurePolicy::Continue
            };
            engine
                .submit(request(policy), plan(&argument("STRATEGY")), execution)
                .unwrap()
        }
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&engine, folder, &done));
        }
        while !engine.wait(key, Duration::from_millis(1)).unwrap() {
            if let Some(progress) = engine.progress(key) {
                note(folder, &format!("reported {}", progress.counts.ended()));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Runs of a backfill that is recorded run by run.
pub(crate) const COMMITS: u64 = 400;

/// Records what is left of the backfill, a commit for each run.
fn commit_each(store: &dyn Store) {
    let lease = LeaseTerms {
        owner: "child".into(),
        duration: 60_000_000,
    };
    let key = match store.find(ID).unwrap() {
        Some(row) => row.key,
        None => {
            let labels = Labels::new((0..COMMITS).map(|n| format!("k{n}"))).unwrap();
            let axis = Axis::Labels(Arc::new(labels));
            let dim = Dim {
                name: "n".into(),
                axis,
            };
            let space = Arc::new(Space::try_from(vec![dim]).unwrap());
            let plan = Plan::new(Selection::all(space), Strategy::MultiRun).unwrap();
            let request = request(FailurePolicy::Continue);
            store.create(&request, &plan, Some(&lease)).unwrap()
        }
    };
    let mut counts = store.get(key).unwrap().unwrap().counts;
    while counts.runs_ended < COMMITS {
        let run = counts.runs_ended;
        counts.runs_ended += 1;
        counts.completed += 1;
        let end = RunEnd {
            run,
            started_at: 10,
            ended_at: 20,
            partitions: 1,
            failed: 0,
            failures: Vec::new(),
            skips: Vec::new(),
            retry: None,
            metadata: Vec::new(),
        };
        let commit = Commit {
            key,
            ended: vec![end],
            counts,
            in_flight: vec![(run, 1)],
            stop: None,
            finished: (counts.runs_ended == COMMITS).then_some((Status::Completed, 30)),
        };
        let kept = store.commit(&lease, &[commit]).unwrap();
        assert_eq!(kept, [Committed::Kept]);
    }
}

fn work(engine: &Engine, folder: &Path, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let Some(mut batch) = engine.next_batch(Duration::from_millis(5)) else {
            continue;
        };
        while let Some(run) = batch.advance() {
            note(folder, &format!("run {}", run.number()));
            std::thread::sleep(WHOLE / batch.spec().plan.num_runs() as u32);
            for partition in run.partitions().iter() {
                match partition % 7 {
                    2 => run.mark_failed(0, &[partition], &cause("marked")).unwrap(),
                    4 => run.fail(1, cause("failed")),
                    _ => (),
                }
            }
            if batch.should_flush() {
                batch.flush();
            }
        }
        batch.close();
    }
}

fn cause(message: &str) -> Cause {
    Cause {
        error_type: "Test".into(),
        message: message.into(),
        traceback: None,
    }
}

/// One write, so that lines of two threads, and of the dead, are whole.
fn note(folder: &Path, line: &str) {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    log.unwrap()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// All places to die at.
pub(crate) fn deaths() -> Vec<Death> {
    let works = [
        Work::Migrate,
        Work::Create,
        Work::Commit,
        Work::Merge,
        Work::Renew,
        Work::TakeOver,
        Work::RequestCancel,
        Work::SetPaused,
        Work::Release,
        Work::Dynamic,
    ];
    let steps = [Step::Before, Step::Between, Step::Within, Step::After];
    let mut all = Vec::new();
    for work in works {
        for step in steps {
            if step != Step::Between || [Work::Commit, Work::Migrate].contains(&work) {
                all.extend((1..=3).map(|nth| (work, step, nth)));
            }
        }
    }
    all
}
