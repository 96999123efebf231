//! The name of this process, so that a later one knows whether what was kept in memory is still there.

use std::sync::LazyLock;

use super::fork::generation;

/// The name of this process. No other process ever has it, on any machine, nor does a forked child.
pub fn process_id() -> String {
    static FIRST: LazyLock<String> = LazyLock::new(|| uuid::Uuid::now_v7().simple().to_string());
    // A child may fork, too, so that siblings are told apart by their numbers.
    match generation() {
        0 => FIRST.clone(),
        forks => format!("{}-{forks}-{}", *FIRST, std::process::id()),
    }
}
