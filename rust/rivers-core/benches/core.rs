//! Benchmarks of the core's operations that could hide a cost: `cargo bench -p rivers-core`.
#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(missing_docs, reason = "a bench's name says what it does")]

use std::cell::RefCell;
use std::sync::Arc;

use divan::{Bencher, black_box, counter::ItemsCount};
use hashbrown::HashMap;
use rivers_core::backfill::RequestedAsset;
use rivers_core::backfill::{
    Control, Counts, FailurePolicy, Kind, Request, RunEnd, RunRow, Status,
};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::queue::{Entry, Limits, Queue, TagLimit};
use rivers_core::space::{Definition, Key, Members, PositionSet, Selection, Space};
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{Commit, Committed, LeaseTerms, Ledger, Records};
use rivers_core::table::{self, BackfillView, PartitionFilter};

fn main() {
    divan::main();
}

/// A product of dimensions `a`, `b`, ... of these sizes.
fn grid(sizes: &[usize]) -> Arc<Space> {
    let dimensions = ('a'..).zip(sizes).map(|(name, &size)| {
        let keys = (0..size).map(|number| format!("{name}{number:04}"));
        (name.to_string(), Definition::static_(keys).unwrap())
    });
    let definition = Definition::multi(dimensions).unwrap();
    definition
        .resolve(0, &|_| unreachable!("nothing is dynamic"))
        .unwrap()
}

fn billion() -> Selection {
    Selection::all(grid(&[1000, 1000, 1000]))
}

/// A million of a billion partitions, without a pattern, in no order.
fn sparse() -> Selection {
    let numbers = (0..1_000_000_u64).map(|n| n * 618_033_989 % 1_000_000_000);
    let members = Members::Explicit(PositionSet::in_order(numbers));
    Selection::new(grid(&[1000, 1000, 1000]), members)
}

fn per(dimension: &str) -> Strategy {
    let batched = ["a", "b", "c"]
        .into_iter()
        .filter(|name| *name != dimension);
    Strategy::per_dimension(vec![dimension.into()], batched.map(String::from).collect()).unwrap()
}

mod space {
    use super::*;

    #[divan::bench]
    fn nth_of_a_billion(bencher: Bencher) {
        let selection = billion();
        bencher.bench_local(|| black_box(&selection).nth(black_box(618_033_989)));
    }

    #[divan::bench]
    fn rank_in_a_billion(bencher: Bencher) {
        let selection = billion();
        bencher.bench_local(|| black_box(&selection).rank(black_box(618_033_989)));
    }

    #[divan::bench]
    fn nth_of_a_million_sparse(bencher: Bencher) {
        let selection = sparse();
        bencher.bench_local(|| black_box(&selection).nth(black_box(618_033)));
    }

    #[divan::bench]
    fn key_to_position(bencher: Bencher) {
        let space = grid(&[1000, 1000, 1000]);
        let parts = ["a", "b", "c"].map(|name| (name.to_owned(), vec![format!("{name}0618")]));
        let key = Key::multi(parts.to_vec()).unwrap();
        bencher.bench_local(|| black_box(&key).locate(&space));
    }

    #[divan::bench]
    fn position_to_text(bencher: Bencher) {
        let space = grid(&[1000, 1000, 1000]);
        bencher.bench_local(|| space.text(black_box(618_033_989)));
    }

    #[divan::bench]
    fn select_all_of_a_billion(bencher: Bencher) {
        let space = grid(&[1000, 1000, 1000]);
        bencher.bench_local(|| Selection::all(Arc::clone(&space)));
    }

    #[divan::bench(sample_count = 10)]
    fn a_million_numbers_as_a_set(bencher: Bencher) {
        bencher
            .counter(ItemsCount::new(1_000_000_u64))
            .with_inputs(|| (0..1_000_000_u64).map(|n| n * 618_033_989 % 1_000_000_000))
            .bench_local_values(PositionSet::in_order);
    }
}

mod plan {
    use super::*;

    #[divan::bench]
    fn a_billion_per_dimension(bencher: Bencher) {
        bencher
            .with_inputs(|| (billion(), per("b")))
            .bench_local_values(|(selection, strategy)| Plan::new(selection, strategy));
    }

    #[divan::bench(sample_count = 10)]
    fn a_million_sparse_per_dimension(bencher: Bencher) {
        bencher
            .counter(ItemsCount::new(1_000_000_u64))
            .with_inputs(|| (sparse(), per("b")))
            .bench_local_values(|(selection, strategy)| Plan::new(selection, strategy));
    }

    #[divan::bench]
    fn run_of_multi_run(bencher: Bencher) {
        let plan = Plan::new(billion(), Strategy::MultiRun).unwrap();
        bencher.bench_local(|| black_box(&plan).run(black_box(618_033_989)));
    }

    #[divan::bench]
    fn run_of_per_dimension(bencher: Bencher) {
        let plan = Plan::new(billion(), per("b")).unwrap();
        bencher.bench_local(|| black_box(&plan).run(black_box(618)));
    }

    #[divan::bench]
    fn run_of_sparse_per_dimension(bencher: Bencher) {
        let plan = Plan::new(sparse(), per("b")).unwrap();
        bencher.bench_local(|| black_box(&plan).run(black_box(618)));
    }
}

mod queue {
    use super::*;

    fn entry(team: &str, priority: i64) -> Entry {
        Entry {
            priority,
            tags: vec![("team".into(), team.into())],
            pools: Vec::new(),
            max_concurrency: 4,
        }
    }

    /// A queue of 10,000 entries, ten of which can start; the blocked ones came first and have a
    /// higher priority.
    fn mostly_blocked() -> Queue {
        let held = TagLimit {
            key: "team".into(),
            value: Some("held".into()),
            limit: 0,
            per_unique_value: false,
        };
        let shared = TagLimit {
            key: "team".into(),
            value: None,
            limit: 1000,
            per_unique_value: true,
        };
        let limits = Limits {
            max_concurrent_runs: Some(100),
            tag_limits: vec![held, shared],
            pools: Vec::new(),
        };
        let mut queue = Queue::new(limits);
        for _ in 0..9_990 {
            queue.push(entry("held", 0));
        }
        for number in 0..10 {
            queue.push(entry("free", -number));
        }
        queue
    }

    #[divan::bench]
    fn decide_and_release_mostly_blocked(bencher: Bencher) {
        let mut queue = mostly_blocked();
        for _ in 0..20 {
            queue.decide().unwrap();
        }
        bencher.bench_local(|| {
            let id = queue.decide().unwrap();
            queue.release(id);
        });
    }

    /// A limit of one slot that 10,000 entries share; each release admits one of them.
    #[divan::bench]
    fn decide_and_release_behind_one_slot(bencher: Bencher) {
        let one = TagLimit {
            key: "team".into(),
            value: None,
            limit: 1,
            per_unique_value: false,
        };
        let mut queue = Queue::new(Limits {
            max_concurrent_runs: None,
            tag_limits: vec![one],
            pools: Vec::new(),
        });
        for number in 0..10_000 {
            queue.push(entry(&format!("team-{number}"), number % 7));
        }
        bencher.bench_local(|| {
            let id = queue.decide().unwrap();
            queue.release(id);
        });
    }

    #[divan::bench]
    fn nothing_can_go(bencher: Bencher) {
        let mut queue = mostly_blocked();
        while queue.decide().is_some() {}
        bencher.bench_local(|| queue.decide());
    }
}

mod store {
    use super::*;

    const BATCH: u64 = 5_000;

    fn request() -> Request {
        let asset = RequestedAsset {
            facts: None,
            kept: rivers_core::backfill::Kept::Stored,
            name: "noop".into(),
            code_version: None,
            partitioned: true,
            step: None,
        };
        Request {
            sessions: Vec::new(),
            id: "bench".into(),
            kind: Kind::Backfill,
            assets: vec![asset],
            failure_policy: FailurePolicy::Continue,
            max_concurrency: 4,
            priority: -10,
            tags: Vec::new(),
            config: None,
            retry: None,
            launch: None,
            notified: Vec::new(),
            created_at: 1,
            control: Control::default(),
        }
    }

    /// A store on a real file, with `synchronous=FULL`, and a backfill that records outcomes.
    struct Recording {
        store: SqliteStore,
        lease: LeaseTerms,
        key: i64,
        done: u64,
        _folder: tempfile::TempDir,
    }

    impl Recording {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&folder.path().join("rivers.db")).unwrap();
            let plan = Plan::new(billion(), Strategy::MultiRun).unwrap();
            let lease = LeaseTerms {
                owner: "bench".into(),
                duration: i64::MAX,
            };
            let key = store.create(&request(), &plan, Some(&lease)).unwrap();
            Self {
                store,
                lease,
                key,
                done: 0,
                _folder: folder,
            }
        }

        fn batch(&mut self) -> Commit {
            let first = self.done;
            self.done += BATCH;
            let ended = (first..self.done).map(|run| RunEnd {
                run,
                started_at: 1_700_000_000_000_000 + run as i64,
                ended_at: 1_700_000_000_000_009 + run as i64,
                partitions: 1,
                failed: 0,
                failures: Vec::new(),
                skips: Vec::new(),
                retry: None,
                metadata: Vec::new(),
            });
            Commit {
                key: self.key,
                ended: ended.collect(),
                counts: Counts {
                    completed: self.done,
                    runs_ended: self.done,
                    ..Counts::default()
                },
                in_flight: vec![(self.done, 1)],
                stop: None,
                finished: None,
            }
        }

        fn commit(&self, commit: Commit) {
            let kept = self.store.commit(&self.lease, &[commit]).unwrap();
            assert_eq!(kept, [Committed::Kept]);
        }
    }

    #[divan::bench(sample_count = 200, sample_size = 1)]
    fn commit_5000_outcomes(bencher: Bencher) {
        let recording = RefCell::new(Recording::new());
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| recording.borrow_mut().batch())
            .bench_local_values(|commit| recording.borrow().commit(commit));
    }

    #[divan::bench(sample_count = 10)]
    fn read_1m_runs(bencher: Bencher) {
        let mut recording = Recording::new();
        while recording.done < 1_000_000 {
            let batch = recording.batch();
            recording.commit(batch);
        }
        bencher
            .counter(ItemsCount::new(1_000_000_u64))
            .bench_local(|| recording.store.runs(recording.key, 0..u64::MAX).unwrap());
    }
}

mod tables {
    use super::*;

    fn million(runs_done: u64, strategy: Strategy) -> (Plan, Vec<RunRow>) {
        let plan = Plan::new(Selection::all(grid(&[10, 100, 1000])), strategy).unwrap();
        let row = |run| RunRow {
            run,
            started_at: run as i64,
            ended_at: run as i64 + 1,
            failed: 0,
        };
        (plan, (0..runs_done).map(row).collect())
    }

    fn build(bencher: Bencher, (plan, rows): (Plan, Vec<RunRow>)) {
        let causes = HashMap::new();
        let view = BackfillView {
            id: "bench",
            status: Status::InProgress,
            runs: &rows,
            in_flight: &[],
            failures: &[],
            skips: &[],
            attempts: &[],
            causes: &causes,
        };
        bencher
            .counter(ItemsCount::new(1_000_000_u64))
            .bench_local(|| {
                let table =
                    table::partitions(&plan, 0, &view, &PartitionFilter::default()).unwrap();
                assert_eq!(table.num_rows(), 1_000_000);
                table
            });
    }

    #[divan::bench(sample_count = 20)]
    fn partitions_1m_in_runs_of_one_half_done(bencher: Bencher) {
        build(bencher, million(500_000, Strategy::MultiRun));
    }

    #[divan::bench(sample_count = 20)]
    fn partitions_1m_in_runs_of_1000_half_done(bencher: Bencher) {
        let strategy = Strategy::per_dimension(vec!["a".into(), "b".into()], vec!["c".into()]);
        build(bencher, million(500, strategy.unwrap()));
    }

    #[divan::bench(sample_count = 20)]
    fn selection_1m(bencher: Bencher) {
        let selection = Selection::all(grid(&[10, 100, 1000]));
        bencher
            .counter(ItemsCount::new(1_000_000_u64))
            .bench_local(|| table::selection(&selection).unwrap());
    }
}
