//! Fuzzes bytes that claim to be a stored plan: they give an error, or a consistent plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivers_core::plan::codec::{decode_plan, decode_space, encode_plan, encode_space};

/// Maximum number of runs of a plan that are checked, and of partitions of a run.
const MAX_CHECKED: u64 = 64;

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8)| {
    let (space, plan, version) = input;
    // Other versions are refused at once, which tests nothing.
    let with_version = |mut bytes: Vec<u8>, version| {
        bytes.insert(0, version);
        bytes
    };
    let Ok(space) = decode_space(&with_version(space, 1)) else {
        return;
    };
    let encoded = encode_space(&space).expect("what was read can be written");
    assert!(*decode_space(&encoded).expect("and read again") == *space);
    let Ok(plan) = decode_plan(space.clone(), &with_version(plan, 1 + version % 3)) else {
        return;
    };

    assert!(plan.num_runs() <= plan.num_partitions());
    for (at, layer) in plan.layers().iter().enumerate() {
        let selection = layer.selection();
        assert!(selection.len() <= selection.space().len());
        let runs = plan.runs_of(at);
        let few = runs.end - runs.start <= MAX_CHECKED;
        let mut covered = 0;
        for run in runs.take(MAX_CHECKED as usize) {
            let partitions = plan.run(run);
            assert_eq!(partitions.len(), plan.run_len(run));
            covered += partitions.len();
            let mut last = None;
            for partition in partitions.iter().take(MAX_CHECKED as usize) {
                assert!(selection.contains(partition) && partition < selection.space().len());
                assert!(last < Some(partition), "in definition order");
                last = Some(partition);
                let _ = selection.space().text(partition);
            }
            for link in plan.links().iter().filter(|link| link.down == at) {
                let _ = plan.need(run, link);
            }
        }
        if few {
            assert_eq!(covered, selection.len(), "the runs cover the selection");
        }
    }
    let again = encode_plan(&plan).expect("what was read can be written");
    let again = decode_plan(space, &again).expect("and read again");
    assert_eq!(again.num_runs(), plan.num_runs());
    for run in 0..plan.num_runs().min(8) {
        let texts =
            |plan: &rivers_core::plan::Plan| plan.run(run).iter().take(8).collect::<Vec<_>>();
        assert_eq!(texts(&again), texts(&plan));
    }
});
