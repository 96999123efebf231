//! Small spaces, and tables as texts.
#![allow(dead_code, reason = "each test file uses its part")]

use std::num::NonZeroU64;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use hashbrown::HashMap;
use proptest::prelude::*;
use rivers_core::backfill::RequestedAsset;
use rivers_core::backfill::{Cause, Control, Counts, FailurePolicy, Kind, Request, Status};
use rivers_core::plan::{Plan, Strategy as Grouping};
use rivers_core::space::labels::Labels;
use rivers_core::space::time::{Calendar, DAY, Declared, Grid, Nanos};
use rivers_core::space::{Axis, Dim, IndexSet, Members, Nesting, PositionSet, Selection, Space};
use rivers_core::store::BackfillRow;

/// A row as texts: every column's value, nulls as `-`.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<Vec<String>> = batch.columns().iter().map(texts).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|c| c[row].clone()).collect())
        .collect()
}

pub(crate) fn texts(column: &ArrayRef) -> Vec<String> {
    let text = |row: usize| -> String {
        if column.is_null(row) {
            return "-".into();
        }
        if let Some(dictionary) = column.as_any_dictionary_opt() {
            let key = dictionary.normalized_keys()[row];
            return dictionary.values().as_string::<i64>().value(key).into();
        }
        if let Some(texts) = column.as_string_view_opt() {
            return texts.value(row).into();
        }
        if let Some(moments) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            return moments.value(row).to_string();
        }
        if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
            return numbers.value(row).to_string();
        }
        if let Some(numbers) = column.as_primitive_opt::<UInt32Type>() {
            return numbers.value(row).to_string();
        }
        if let Some(truths) = column.as_boolean_opt() {
            return truths.value(row).to_string();
        }
        if let Some(lists) = column.as_list_opt::<i32>() {
            return texts(&lists.value(row)).join(" ");
        }
        if let Some(parts) = column.as_struct_opt() {
            let parts: Vec<_> = parts
                .columns()
                .iter()
                .map(|part| texts(part)[row].clone())
                .collect();
            return parts.join("=");
        }
        column.as_primitive::<UInt64Type>().value(row).to_string()
    };
    (0..column.len()).map(text).collect()
}

pub(crate) fn names(count: usize, first: usize) -> Axis {
    let labels = Labels::new((first..first + count).map(|n| format!("k{n}")));
    Axis::Labels(Arc::new(labels.expect("distinct names")))
}

pub(crate) fn days(count: u32, fmt: &str) -> Axis {
    let declared = Declared {
        start: 0,
        end: None,
        grid: Grid::seconds(86_400),
        fmt: fmt.into(),
        zone: None,
        exclude: Vec::new(),
    };
    let calendar = Arc::new(Calendar::try_from(declared).expect("a daily calendar"));
    let axis = calendar
        .at(Nanos::from(count) * DAY - 1)
        .expect("a short calendar");
    assert_eq!(axis.len(), count);
    Axis::Time(axis)
}

pub(crate) fn space(dims: Vec<(&str, Axis)>) -> Arc<Space> {
    let dims = dims.into_iter().map(|(name, axis)| Dim {
        name: name.into(),
        axis,
    });
    Arc::new(Space::try_from(dims.collect::<Vec<_>>()).expect("a small space"))
}

pub(crate) fn causes() -> HashMap<i64, Cause> {
    let cause = |n: i64| Cause {
        error_type: "ValueError".into(),
        message: format!("a message that is not short, number {n}"),
        traceback: None,
    };
    (0..3).map(|n| (n, cause(n))).collect()
}

/// Plans of all kinds over small spaces.
pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
    let dims = (1..5_u32, 1..4_usize, 1..6_usize, 0..3_usize);
    let members = (
        any::<bool>(),
        proptest::collection::vec(0..120_u64, 1..60),
        any::<[u8; 3]>(),
    );
    (dims, members, 0..8_u64, 0..6_usize).prop_map(
        |((a, b, c, first), (product, listed, masks), grouping, order)| {
            let space = space(vec![
                ("date", days(a, "%Y-%m-%d")),
                ("region", names(b, first)),
                ("customer", names(c, 0)),
            ]);
            let members = if product {
                let set = |(dim, mask): (&Dim, u8)| {
                    let positions = (0..dim.axis.len()).filter(|at| mask >> at & 1 == 1);
                    let positions: Vec<u32> = positions.collect();
                    IndexSet::from_positions(if positions.is_empty() {
                        vec![0]
                    } else {
                        positions
                    })
                };
                Members::Product(space.dims().iter().zip(masks).map(set).collect())
            } else {
                let listed = listed.into_iter().map(|partition| partition % space.len());
                Members::Explicit(PositionSet::in_order(listed))
            };
            let by = |run: &[&str], batched: &[&str]| Grouping::PerDimension {
                multi_run: run.iter().map(|name| (*name).to_owned()).collect(),
                single_run: batched.iter().map(|name| (*name).to_owned()).collect(),
            };
            let grouping = match grouping {
                0 => Grouping::MultiRun,
                1 => Grouping::SingleRun,
                2 => by(&["region"], &["date", "customer"]),
                3 => by(&["customer", "date"], &["region"]),
                n => Grouping::Chunked {
                    n: NonZeroU64::new(n).expect("it is not 0"),
                },
            };
            let selection = Selection::new(space, members);
            let orders: [&[&str]; 3] = [
                &["-customer"],
                &["region", "-date"],
                &["-date", "customer", "-region"],
            ];
            let selection = match orders.get(order) {
                Some(names) => {
                    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
                    let nesting = Nesting::by_dimensions(selection.space(), &names);
                    let nesting = nesting.expect("the dimensions are there");
                    selection.arranged(&nesting).expect("few keys")
                }
                None if order == 3 => selection.reversed(),
                None => selection,
            };
            Plan::new(selection, grouping).expect("the dimensions are there")
        },
    )
}

/// A backfill of ten partitions.
pub(crate) fn backfill(
    id: &str,
    status: Status,
    counts: Counts,
    ended_at: Option<i64>,
) -> BackfillRow {
    let asset = |name: &str| RequestedAsset {
        facts: None,
        kept: rivers_core::backfill::Kept::Stored,
        name: name.into(),
        code_version: None,
        partitioned: true,
        step: None,
    };
    BackfillRow {
        key: 1,
        request: Request {
            sessions: Vec::new(),
            id: id.into(),
            kind: Kind::Backfill,
            assets: vec![asset("raw"), asset("clean")],
            failure_policy: FailurePolicy::Continue,
            max_concurrency: 4,
            priority: -10,
            tags: vec![("team".into(), "a".into()), ("why".into(), "b".into())],
            config: None,
            retry: None,
            launch: None,
            notified: Vec::new(),
            created_at: 1_000_000,
            control: Control::default(),
        },
        strategy: "multi_run()".into(),
        num_partitions: 10,
        num_runs: 10,
        status,
        counts,
        in_flight: Vec::new(),
        ended_at,
        cancel_requested: false,
        paused: false,
        revision: 0,
        stop: None,
        lease: None,
        workers: None,
    }
}
