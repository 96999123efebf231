//! The error type of the core. The binding raises one Python exception for each variant. The text is
//! complete: what was given, what is allowed, and the nearest valid choice.

/// An error of the core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A partitions definition, key or strategy is invalid in itself.
    #[error("{0}")]
    PartitionDefinition(String),
    /// A key or a range does not belong to the definition it is used with.
    #[error("{0}")]
    PartitionValidation(String),
    /// An argument has a value that is not allowed.
    #[error("{0}")]
    Configuration(String),
    /// A request was refused at submission, or failed while running.
    #[error("{0}")]
    Execution(String),
    /// No backfill has this id.
    #[error("there is no backfill {0:?}")]
    BackfillNotFound(String),
    /// The storage could not be opened, read or written.
    #[error("storage {path}: {message}")]
    Storage {
        /// The location as it is displayed: a file, or `memory`.
        path: String,
        /// What happened, and what to do about it.
        message: String,
    },
}

/// The result type of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Up to three candidates whose spelling is close to `given`, the closest first.
pub fn close_spellings<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const MIN_LIKENESS: f64 = 0.7;
    const MAX_SHOWN: usize = 3;
    let folded = given.to_lowercase();
    let mut best: Vec<(f64, &str)> = Vec::with_capacity(MAX_SHOWN + 1);
    for candidate in candidates {
        let likeness = strsim::jaro_winkler(&folded, &candidate.to_lowercase());
        if likeness >= MIN_LIKENESS {
            let place = best.partition_point(|(other, _)| *other >= likeness);
            best.insert(place, (likeness, candidate));
            best.truncate(MAX_SHOWN);
        }
    }
    best.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Returns `; did you mean "x" or "y"?`, or an empty text when no candidate is close.
pub fn did_you_mean<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let close = close_spellings(given, candidates);
    if close.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = close.iter().map(|name| format!("{name:?}")).collect();
    format!("; did you mean {}?", quoted.join(" or "))
}

/// The first few names, quoted, followed by the total if there are more.
pub fn some_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let total = names.len();
    let mut shown: Vec<String> = names.take(SHOWN).map(|name| format!("{name:?}")).collect();
    if total > SHOWN {
        shown.push(format!("... ({total} in all)"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_spellings_come_best_first_and_few() {
        let names = ["region", "date", "regional", "customer"];
        assert_eq!(
            close_spellings("regoin", names.into_iter()),
            ["region", "regional"]
        );
        assert_eq!(did_you_mean("zzz", names.into_iter()), "");
    }
}
