//! Compares the order between runs, which follows from mappings, with a list of all edges.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use rivers_core::backfill::{
    Cause, Control, Counts, Event, Failure, FailurePolicy, FailureRow, PendingRuns, Phase, RunEnd,
    RunSet, State,
};
use rivers_core::plan::codec::{decode_plan, encode_plan};
use rivers_core::plan::{Link, Plan, Strategy as Grouping};
use rivers_core::space::labels::Labels;
use rivers_core::space::product::Dim;
use rivers_core::space::time::{Calendar, DAY, Declared, Grid, Nanos, TimeAxis};
use rivers_core::space::{Axis, Mapping, Members, PositionSet, Selection, Space};

fn days(count: i64) -> Axis {
    let calendar = Calendar::try_from(Declared {
        start: 0,
        end: Some(Nanos::from(count) * DAY),
        grid: Grid::seconds(86_400),
        fmt: "%Y-%m-%d".into(),
        zone: None,
        exclude: Vec::new(),
    });
    Axis::Time(TimeAxis::with_len(Arc::new(calendar.unwrap()), count as u32).unwrap())
}

fn letters(count: usize) -> Axis {
    Axis::Labels(Arc::new(
        Labels::new((0..count).map(|at| at.to_string())).unwrap(),
    ))
}

/// Days and letters, in either order.
fn space(day_count: i64, letter_count: usize, days_first: bool) -> Arc<Space> {
    let dim = |name: &str, axis| Dim {
        name: name.to_owned(),
        axis,
    };
    let mut dims = vec![
        dim("day", days(day_count)),
        dim("letter", letters(letter_count)),
    ];
    if !days_first {
        dims.reverse();
    }
    Arc::new(Space::try_from(dims).unwrap())
}

fn window(offset: i64) -> Mapping {
    Mapping::TimeWindow {
        start: offset,
        end: offset,
    }
}

fn of_dims(given: &[(&str, Mapping)]) -> Mapping {
    let entry = |(dim, mapping): &(&str, Mapping)| {
        ((*dim).to_owned(), ((*dim).to_owned(), mapping.clone()))
    };
    Mapping::Multi(given.iter().map(entry).collect::<BTreeMap<_, _>>())
}

fn mappings() -> Vec<Mapping> {
    vec![
        Mapping::Identity,
        Mapping::AllPartitions,
        Mapping::Subset,
        window(-1),
        window(-3),
        window(2),
        of_dims(&[("day", window(-1)), ("letter", Mapping::AllPartitions)]),
        of_dims(&[("day", window(-2)), ("letter", Mapping::Subset)]),
    ]
}

fn groupings() -> Vec<Grouping> {
    let per = |multi: &str, single: &str| {
        Grouping::per_dimension(vec![multi.into()], vec![single.into()]).unwrap()
    };
    vec![
        Grouping::MultiRun,
        per("day", "letter"),
        per("letter", "day"),
        Grouping::SingleRun,
        Grouping::Chunked {
            n: NonZeroU64::new(3).unwrap(),
        },
    ]
}

/// A plan of one to four layers of one asset each, with links between them and to themselves.
fn plans() -> impl Strategy<Value = Plan> {
    let layer = (
        prop::collection::vec(any::<Index>(), 0..40),
        0..3_u8,
        any::<Index>(),
        prop::collection::vec((any::<Index>(), any::<Index>(), any::<bool>()), 0..3),
        prop::option::of((any::<Index>(), any::<bool>())),
    );
    let shape = (2..7_i64, 1..5_usize, any::<bool>());
    (shape, prop::collection::vec(layer, 1..5)).prop_map(
        |((day_count, letter_count, first), given)| {
            let space = space(day_count, letter_count, first);
            let mut links = Vec::new();
            let mut layers = Vec::new();
            for (down, (picks, form, grouping, ups, own)) in given.iter().enumerate() {
                let picked = picks
                    .iter()
                    .map(|pick| pick.index(space.len() as usize) as u64);
                let selection = match form {
                    0 => Selection::all(Arc::clone(&space)),
                    1 => {
                        let set: BTreeSet<u64> = picked.collect();
                        Selection::new(
                            Arc::clone(&space),
                            Members::Explicit(PositionSet::in_order(set)),
                        )
                    }
                    _ => {
                        let set = PositionSet::in_order(picked);
                        Selection::new(Arc::clone(&space), Members::Explicit(set))
                    }
                };
                let mut link = |up: usize, mapping: &Mapping, allow_missing: bool| {
                    links.push(Link {
                        down,
                        up,
                        asset: up as u32,
                        mapping: mapping.clone(),
                        allow_missing,
                    });
                };
                for (up, mapping, allow_missing) in ups.iter().filter(|_| down > 0) {
                    link(up.index(down), mapping.get(&mappings()), *allow_missing);
                }
                let mut groupings = groupings();
                if let Some((own, allow_missing)) = own {
                    let back: Vec<Mapping> =
                        mappings().into_iter().filter(Mapping::goes_back).collect();
                    link(down, own.get(&back), *allow_missing);
                    groupings.truncate(2);
                }
                layers.push((
                    selection,
                    grouping.get(&groupings).clone(),
                    vec![down as u32],
                ));
            }
            Plan::in_layers(layers, links).unwrap()
        },
    )
}

/// Lists all edges: for each run, the runs that it needs and, by asset, the partitions that may not be
/// missing.
struct Edges {
    runs: Vec<BTreeSet<u64>>,
    partitions: Vec<Vec<(u32, BTreeSet<u64>)>>,
}

impl Edges {
    fn of(plan: &Plan) -> Self {
        let mut edges = Self {
            runs: Vec::new(),
            partitions: Vec::new(),
        };
        for run in 0..plan.num_runs() {
            let layer = plan.layer_of(run);
            let (mut runs, mut partitions) = (BTreeSet::new(), Vec::new());
            for link in plan.links().iter().filter(|link| link.down == layer) {
                let up = plan.layers()[link.up].selection();
                let needed: BTreeSet<u64> = plan
                    .run(run)
                    .iter()
                    .flat_map(|at| {
                        let one = Selection::new(Arc::clone(up.space()), Members::One(at));
                        let needed = link.mapping.upstream(&one, up.space()).unwrap();
                        needed.iter().collect::<Vec<_>>()
                    })
                    .filter(|&at| up.contains(at))
                    .collect();
                let makes = |other: &u64| plan.run(*other).iter().any(|at| needed.contains(&at));
                runs.extend(plan.runs_of(link.up).filter(makes));
                if !link.allow_missing {
                    partitions.push((link.asset, needed));
                }
            }
            edges.runs.push(runs);
            edges.partitions.push(partitions);
        }
        edges
    }
}

/// The execution of a plan, together with the oracle's own record of it.
struct Execution<'a> {
    plan: Arc<Plan>,
    edges: &'a Edges,
    state: State,
    assignments: Vec<Range<u64>>,
    ended: BTreeSet<u64>,
    not_made: BTreeSet<(u32, u64)>,
    failures: Vec<FailureRow>,
    counts: Counts,
}

impl<'a> Execution<'a> {
    fn new(plan: &Plan, edges: &'a Edges) -> Self {
        let plan = Arc::new(plan.clone());
        let pending = PendingRuns::new(&plan, RunSet::all(plan.num_runs()), &[]);
        let policy = FailurePolicy::Continue;
        Self {
            state: State::new(
                policy,
                Control::default(),
                plan.num_partitions(),
                pending,
                Counts::default(),
            ),
            plan,
            edges,
            assignments: Vec::new(),
            ended: BTreeSet::new(),
            not_made: BTreeSet::new(),
            failures: Vec::new(),
            counts: Counts::default(),
        }
    }

    fn needs_what_was_not_made(&self, run: u64) -> bool {
        self.edges.partitions[run as usize]
            .iter()
            .any(|(asset, needed)| {
                needed
                    .iter()
                    .any(|&at| self.not_made.contains(&(*asset, at)))
            })
    }

    fn claim(&mut self, max: u64) {
        assert!(
            self.state.can_start()
                || self.state.phase() == Phase::Ended
                || !self.assignments.is_empty()
        );
        let Some(claimed) = self.state.claim(max) else {
            return;
        };
        for run in claimed.runs.clone() {
            let needs = &self.edges.runs[run as usize];
            assert!(
                needs.is_subset(&self.ended),
                "run {run} starts before what it needs has ended"
            );
            assert_eq!(
                claimed.blocked_by.is_some(),
                self.needs_what_was_not_made(run),
                "run {run}"
            );
        }
        if claimed.blocked_by.is_some() {
            for run in claimed.runs {
                self.end(run, true);
            }
            self.state.apply(Event::Released);
        } else {
            self.assignments.push(claimed.runs);
        }
    }

    fn end(&mut self, run: u64, fails: bool) {
        let asset = self.plan.layer_of(run) as u32;
        let partitions = self.plan.run_len(run);
        let cause = Cause {
            error_type: "ValueError".into(),
            message: "bad".into(),
            traceback: None,
        };
        let failure = Failure {
            asset,
            partition: None,
            cause: Some(Arc::new(cause)),
            fingerprint: None,
        };
        let end = RunEnd {
            run,
            started_at: 0,
            ended_at: 1,
            partitions,
            failed: if fails { partitions } else { 0 },
            failures: if fails { vec![failure] } else { Vec::new() },
            skips: Vec::new(),
            retry: None,
            metadata: Vec::new(),
        };
        if fails {
            self.not_made
                .extend(self.plan.run(run).iter().map(|at| (asset, at)));
            self.failures.push(FailureRow {
                run,
                asset,
                partition: None,
                cause: Some(1),
                family: None,
            });
        }
        assert!(self.ended.insert(run), "run {run} ends twice");
        self.counts.add_run(end.partitions, end.failed);
        self.state.apply(Event::Ended(&[end]));
    }

    /// Ends the first run of an assignment, and perhaps yields the rest.
    fn work(&mut self, index: usize, fails: bool, yields: bool) {
        if self.assignments.is_empty() {
            return;
        }
        let index = index % self.assignments.len();
        let mut runs = self.assignments.swap_remove(index);
        self.end(runs.start, fails);
        runs.start += 1;
        if yields || runs.is_empty() {
            self.state.apply(Event::Yielded(runs));
            self.state.apply(Event::Released);
        } else {
            self.assignments.push(runs);
        }
    }

    /// The process dies, and another process resumes from the records.
    fn resume(&mut self) {
        let pending = RunSet::all_but(self.plan.num_runs(), self.ended.iter().copied());
        let pending = PendingRuns::new(&self.plan, pending, &self.failures);
        self.state = State::new(
            FailurePolicy::Continue,
            Control::default(),
            self.plan.num_partitions(),
            pending,
            self.counts,
        );
        self.assignments.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_run_starts_before_all_it_needs_has_ended(
        plan in plans(),
        steps in prop::collection::vec((0..6_u8, 0..8_usize, 0..10_u8), 0..60),
    ) {
        let edges = Edges::of(&plan);
        let mut execution = Execution::new(&plan, &edges);
        for (what, which, chance) in steps {
            if execution.state.phase() != Phase::Running {
                break;
            }
            match what {
                0..=2 => execution.claim(which as u64 + 1),
                3 | 4 => execution.work(which, chance == 0, chance > 7),
                _ => if chance == 0 { execution.resume() },
            }
        }
        // Whatever happened before, it goes on to the end.
        while execution.state.phase() == Phase::Running {
            execution.claim(3);
            execution.work(0, false, false);
        }
        prop_assert_eq!(execution.ended.len() as u64, plan.num_runs());
        let lost = (0..plan.num_runs()).filter(|&run| execution.needs_what_was_not_made(run));
        for run in lost {
            let asset = plan.layer_of(run) as u32;
            let first = plan.run(run).nth(0);
            prop_assert!(execution.not_made.contains(&(asset, first)), "run {} was executed", run);
        }
    }

    #[test]
    fn a_plan_in_layers_is_what_was_stored(plan in plans()) {
        let space = Arc::clone(plan.selection().space());
        let again = decode_plan(space, &encode_plan(&plan).unwrap()).unwrap();
        prop_assert_eq!(again.links(), plan.links());
        prop_assert_eq!(again.assets(), plan.assets());
        prop_assert_eq!(again.num_runs(), plan.num_runs());
        for run in 0..plan.num_runs() {
            prop_assert!(again.run(run).iter().eq(plan.run(run).iter()));
        }
    }

    #[test]
    fn the_run_of_a_partition_has_it(plan in plans()) {
        for layer in plan.layers() {
            for run in 0..layer.num_runs() {
                for partition in layer.run(run).iter() {
                    prop_assert_eq!(layer.run_of(partition), Some(run));
                }
            }
            let others = (0..layer.selection().space().len()).filter(|&at| !layer.selection().contains(at));
            for partition in others {
                prop_assert_eq!(layer.run_of(partition), None);
            }
        }
    }
}

/// A million days under `time_window(-1)`: the number of waiting runs is bounded, and all runs end.
#[test]
fn what_waits_for_a_slow_run_is_bounded() {
    let space = space(1_000_000, 1, true);
    let layer = |asset| {
        (
            Selection::all(Arc::clone(&space)),
            Grouping::MultiRun,
            vec![asset],
        )
    };
    let link = |down, up, mapping| Link {
        down,
        up,
        asset: up as u32,
        mapping,
        allow_missing: false,
    };
    let links = vec![link(1, 0, Mapping::AllPartitions), link(2, 2, window(-1))];
    let plan = Arc::new(Plan::in_layers([layer(0), layer(1), layer(2)], links).unwrap());
    let all = RunSet::all(plan.num_runs());
    let pending = PendingRuns::new(&plan, all, &[]);
    let mut state = State::new(
        FailurePolicy::Continue,
        Control::default(),
        plan.num_partitions(),
        pending,
        Counts::default(),
    );
    let slow = state.claim(1).unwrap().runs;
    let mut taken = 0;
    while let Some(batch) = state.claim(8_192) {
        taken += batch.runs.end - batch.runs.start;
    }
    // The rest of the first layer; of the others the first run of the last is too far ahead to be seen.
    assert_eq!(taken, 999_999);
    assert_eq!(slow, 0..1);
    assert!(!state.can_start());
}

#[test]
fn an_asset_that_needs_itself_needs_a_run_for_each_moment() {
    let space = space(4, 3, true);
    let own = |grouping: Grouping| {
        let link = Link {
            down: 0,
            up: 0,
            asset: 0,
            mapping: window(-1),
            allow_missing: false,
        };
        Plan::in_layers(
            [(Selection::all(Arc::clone(&space)), grouping, vec![0])],
            vec![link],
        )
    };
    let by_letter = Grouping::per_dimension(vec!["letter".into()], vec!["day".into()]).unwrap();
    for refused in [Grouping::SingleRun, by_letter] {
        let error = own(refused).unwrap_err().to_string();
        assert!(
            error.contains("a run of its own") && error.contains("use multi_run"),
            "{error}"
        );
    }
    own(Grouping::MultiRun).unwrap();
}

#[test]
fn more_partitions_than_can_be_counted_are_refused() {
    let many = letters(1 << 16);
    let dims = [("a", 16), ("b", 16), ("c", 16), ("d", 14)].map(|(name, bits)| Dim {
        name: name.to_owned(),
        axis: if bits == 16 {
            many.clone()
        } else {
            letters(1 << bits)
        },
    });
    let space = Arc::new(Space::try_from(dims.to_vec()).unwrap());
    let layer = |asset| {
        let all = Selection::all(Arc::clone(&space));
        (all, Grouping::MultiRun, vec![asset])
    };
    let error = Plan::in_layers([layer(0), layer(1), layer(2)], Vec::new()).unwrap_err();
    assert!(
        error.to_string().contains("together; select fewer"),
        "{error}"
    );
}
