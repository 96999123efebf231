//! Every promise of the storage's traits, as one test each, for any storage that keeps them.
//!
//! A storage is tested by a file with a [`Fixture`] and one line: `store_suite!(MyFixture::new);`.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

pub(crate) mod control_requests;
pub(crate) mod dynamic_keys;
pub(crate) mod ledger;
pub(crate) mod liveness;
pub(crate) mod maintenance;
pub(crate) mod metadata;
pub(crate) mod pools;
pub(crate) mod records;
pub(crate) mod reports;
pub(crate) mod scopes;
pub(crate) mod segments;

use std::sync::Arc;

use rivers_core::backfill::{Cause, Counts, Failure, Request, RunEnd, Status};
use rivers_core::clock::{Micros, SECOND};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::space::labels::Labels;
use rivers_core::space::{Axis, Dim, Selection, Space};
use rivers_core::store::{BackfillRow, Commit, Committed, Key, LeaseTerms, Store};

/// The storage under test.
pub(crate) trait Fixture {
    /// A handle on the storage. Each call opens it again where it is durable.
    fn open(&self) -> Arc<dyn Store>;
}

/// Defines a test for each promise, run on a storage of its own.
macro_rules! store_suite {
    (when $available:expr; $fixture:expr) => {
        store_suite! { $available, $fixture;
            ledger: a_backfill_is_found_as_it_was_created,
            ledger: a_backfill_without_a_lease_has_ended,
            ledger: two_backfills_cannot_have_one_id,
            ledger: a_commit_of_the_owner_is_kept_and_leaves_the_lease,
            ledger: a_commit_of_another_process_changes_nothing,
            ledger: one_transaction_commits_several_backfills_and_refuses_only_those_that_were_lost,
            ledger: the_last_commit_ends_the_backfill_and_its_lease,
            ledger: a_lease_expires_by_the_clock_of_the_storage,
            ledger: renewing_returns_the_backfills_that_are_still_held,
            ledger: only_the_owner_releases_a_lease,
            ledger: a_takeover_needs_the_lease_that_was_seen,
            ledger: one_of_many_processes_takes_a_backfill_over,
            ledger: a_backfill_that_has_ended_cannot_be_taken_over,
            ledger: after_a_takeover_the_former_owner_records_nothing,
            ledger: what_the_owner_says_of_workers_is_there_until_a_takeover,
            ledger: a_backfill_that_refuses_to_overlap_is_not_created_beside_another,
            ledger: of_two_overlapping_requests_at_once_one_is_created,
            control_requests: a_cancel_reaches_the_owner,
            control_requests: a_pause_and_its_end_reach_the_owner,
            control_requests: a_change_is_recorded_with_a_new_revision,
            control_requests: an_owner_sees_only_its_own_backfills,
            control_requests: a_backfill_that_has_ended_accepts_no_request,
            records: runs_are_read_by_number,
            records: the_last_run_before_a_number_is_found,
            records: the_latest_runs_come_newest_backfill_first,
            records: failures_are_read_in_the_order_in_which_they_were_recorded,
            records: the_first_and_the_last_failure_are_found,
            records: equal_errors_are_recorded_once,
            records: an_attempt_that_is_made_again_is_no_ended_run,
            records: what_the_last_attempt_of_a_run_left_is_read,
            records: skips_are_read_with_their_reasons,
            records: backfills_are_listed_newest_first,
            records: backfills_are_listed_without_manual_runs,
            records: only_backfills_in_progress_are_unfinished,
            records: a_plan_is_read_as_it_was_stored,
            records: an_overlap_names_the_newest_backfill_in_progress,
            records: counts_that_equal_their_records_pass_the_check,
            records: counts_that_do_not_equal_their_records_fail_the_check,
            records: everything_is_there_after_reopening,
            segments: runs_of_overlapping_commits_are_read_in_order,
            segments: ranges_in_which_all_runs_have_ended_are_found,
            segments: the_last_run_before_a_number_is_found_among_overlapping_commits,
            segments: the_latest_runs_of_overlapping_commits_come_in_descending_order,
            segments: many_commits_of_a_run_each_are_read_as_one_record,
            segments: commits_without_runs_say_how_a_backfill_stands,
            segments: what_a_backfill_recorded_stays_when_it_ends,
            segments: numbers_far_apart_are_read,
            segments: a_record_that_was_made_twice_fails_the_check,
            metadata: metadata_is_read_by_run_in_the_order_in_which_it_was_added,
            metadata: equal_metadata_is_recorded_once,
            metadata: metadata_of_an_attempt_that_is_made_again_is_not_recorded,
            metadata: metadata_of_another_process_is_refused_with_its_commit,
            metadata: metadata_is_there_after_reopening,
            reports: reports_are_read_newest_first_for_each_asset,
            reports: a_report_on_a_part_of_a_dimension_keeps_its_space,
            scopes: of_single_runs_that_ended_alike_the_last_determines,
            scopes: what_a_removed_run_overruled_determines_again,
            scopes: what_is_not_one_run_that_ended_as_a_whole_always_determines,
            scopes: each_asset_of_a_run_has_an_ending_of_its_own,
            scopes: a_copy_knows_what_determines,
            maintenance: old_backfills_are_removed_with_all_that_they_recorded,
            maintenance: a_removal_that_was_cut_off_is_continued,
            maintenance: what_other_records_name_is_kept,
            maintenance: a_copy_has_all_records_in_their_order,
            maintenance: a_copy_that_was_cut_off_is_continued,
            maintenance: another_record_of_a_backfill_is_not_replaced,
            maintenance: a_storage_in_which_a_backfill_runs_is_not_copied,
            pools: a_pool_is_set_changed_and_removed,
            pools: shares_of_all_processes_never_exceed_a_pool,
            pools: a_share_ends_with_its_lease,
            pools: a_share_is_given_up_for_another_process,
            dynamic_keys: keys_keep_the_order_of_their_registration,
            dynamic_keys: a_deleted_key_is_gone_and_returns_last,
            dynamic_keys: a_key_that_cannot_be_one_is_refused_with_all_others,
            dynamic_keys: dimensions_do_not_share_keys,
            dynamic_keys: keys_are_there_after_reopening,
            liveness: a_registered_owner_is_alive,
            liveness: a_live_owner_runs_a_backfill_until_its_lease_expires,
            liveness: an_owner_whose_lease_seems_over_lives_if_it_renews_it,
            liveness: an_owner_without_a_worker_has_no_workers,
        }
    };
    ($fixture:expr) => {
        store_suite! { when true; $fixture }
    };
    ($available:expr, $fixture:expr; $($module:ident: $name:ident,)+) => {
        $(
            #[test]
            fn $name() {
                if $available {
                    store_suite::$module::$name(&$fixture());
                }
            }
        )+
    };
}
pub(crate) use store_suite;

/// How long a lease in a test lasts.
pub(crate) const LEASE: Micros = 3_600 * SECOND;

/// A lease of this owner that lasts for an hour.
pub(crate) fn lease(owner: &str) -> LeaseTerms {
    LeaseTerms {
        owner: owner.into(),
        duration: LEASE,
    }
}

/// A space of one dimension with the keys `k0`, `k1` and so on.
pub(crate) fn space(size: u64) -> Arc<Space> {
    let labels = Labels::new((0..size).map(|number| format!("k{number}"))).unwrap();
    let dim = Dim {
        name: String::new(),
        axis: Axis::Labels(Arc::new(labels)),
    };
    Arc::new(Space::try_from(vec![dim]).unwrap())
}

/// One run for each partition of a space of this size.
pub(crate) fn plan(size: u64) -> Plan {
    Plan::new(Selection::all(space(size)), Strategy::MultiRun).unwrap()
}

/// A request with these assets.
pub(crate) fn request(id: &str, assets: &[&str]) -> Request {
    let assets: Vec<String> = assets
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","code_version":"1","partitioned":true}}"#))
        .collect();
    serde_json::from_str(&format!(
        r#"{{"id":"{id}","kind":"Backfill","assets":[{}],"failure_policy":"Continue","max_concurrency":4,
            "priority":-10,"tags":[["team","weather"]],"config":"{{}}","created_at":7}}"#,
        assets.join(",")
    ))
    .unwrap()
}

/// Creates a backfill of the asset `a` with `size` runs, held by `owner`.
pub(crate) fn created(store: &dyn Store, id: &str, size: u64, owner: &str) -> Key {
    let request = request(id, &["a"]);
    store
        .create(&request, &plan(size), Some(&lease(owner)))
        .unwrap()
}

pub(crate) fn row(store: &dyn Store, key: Key) -> BackfillRow {
    store.get(key).unwrap().unwrap()
}

pub(crate) fn error(message: &str) -> Cause {
    Cause {
        error_type: "ValueError".into(),
        message: message.into(),
        traceback: Some("line 1".into()),
    }
}

/// A run of one partition that completed.
pub(crate) fn completed(run: u64) -> RunEnd {
    RunEnd {
        run,
        started_at: 10 * run as Micros,
        ended_at: 10 * run as Micros + 5,
        partitions: 1,
        failed: 0,
        failures: Vec::new(),
        skips: Vec::new(),
        retry: None,
        metadata: Vec::new(),
    }
}

/// A run of one partition that failed with this message.
pub(crate) fn failed(run: u64, message: &str) -> RunEnd {
    RunEnd {
        failed: 1,
        failures: vec![Failure {
            asset: 0,
            partition: None,
            cause: Some(Arc::new(error(message))),
            fingerprint: Some(message.into()),
        }],
        ..completed(run)
    }
}

/// A commit of these ends after `before`, with the counts that follow from them.
pub(crate) fn commit(key: Key, before: Counts, ended: Vec<RunEnd>) -> Commit {
    let mut counts = before;
    for end in ended.iter().filter(|end| end.retry.is_none()) {
        counts.runs_ended += 1;
        counts.failed += end.failed;
        counts.completed += end.partitions - end.failed;
    }
    Commit {
        key,
        ended,
        counts,
        in_flight: Vec::new(),
        stop: None,
        finished: None,
    }
}

/// Commits these ends on top of what is recorded, and expects that they are kept.
pub(crate) fn record(store: &dyn Store, owner: &str, key: Key, ended: Vec<RunEnd>) {
    let commit = commit(key, row(store, key).counts, ended);
    assert_eq!(
        store.commit(&lease(owner), &[commit]),
        Ok(vec![Committed::Kept])
    );
}

/// Ends a backfill: what has not ended in it is canceled.
pub(crate) fn finish(store: &dyn Store, owner: &str, key: Key, status: Status) {
    let row = row(store, key);
    let mut last = commit(key, row.counts, Vec::new());
    last.counts.canceled = row.num_partitions - last.counts.completed - last.counts.failed;
    last.finished = Some((status, 1_000));
    assert_eq!(
        store.commit(&lease(owner), &[last]),
        Ok(vec![Committed::Kept])
    );
}
