//! The one error type of the core. Each variant becomes one Python exception (see the binding's error table).
//! A text says what was given, what is allowed and the nearest valid choice. What a user can do about the state
//! of a backfill or of a storage is not in the text but a [`Remedy`], which each interface words by itself: as
//! a call in Python, as a command in a shell.

/// An error of the core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A partitions definition, key or strategy is invalid in itself.
    #[error("{0}")]
    PartitionDefinition(String),
    /// A key or a range does not belong to the definition it is used with.
    #[error("{0}")]
    PartitionValidation(String),
    /// A partition mapping is invalid in itself.
    #[error("{0}")]
    MappingDefinition(String),
    /// The keys of a dynamic dimension were needed without the storage that has them.
    #[error("{0}")]
    DynamicKeys(String),
    /// A strategy does not fit the partitions of an asset.
    #[error("{0}")]
    StrategyValidation(String),
    /// An argument has a value that is not allowed.
    #[error("{0}")]
    Configuration(String),
    /// A run or a backfill failed, or cannot be executed.
    #[error("{0}")]
    Execution(String),
    /// Refused because of the state of a backfill.
    #[error("{message}")]
    Refused {
        /// What was refused, and why.
        message: String,
        /// What the user can do instead.
        remedy: Remedy,
    },
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
    /// The storage was opened for reading only, and an older rivers wrote it.
    #[error(
        "storage {path}: it was written by an older rivers (schema {found}, this one reads {newest}) and must be \
         migrated before it can be read"
    )]
    OutdatedSchema {
        /// The file.
        path: String,
        /// The version of its schema.
        found: i64,
        /// The version that is needed.
        newest: i64,
    },
}

/// What a user can do about an error. The binding passes it on as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// List the backfills there are.
    List,
    /// Execute again what failed or was canceled in this backfill.
    Rerun(String),
    /// Wait for this backfill, or cancel it.
    Cancel(String),
    /// Wait for this backfill, cancel it, or allow the overlap with it.
    Overlap(String),
    /// Migrate this storage.
    Migrate(String),
}

impl Remedy {
    /// The remedy as data: what to do, and the backfill or storage to do it with.
    pub fn parts(&self) -> Vec<&str> {
        match self {
            Self::List => vec!["list"],
            Self::Rerun(id) => vec!["rerun", id],
            Self::Cancel(id) => vec!["cancel", id],
            Self::Overlap(id) => vec!["overlap", id],
            Self::Migrate(path) => vec!["migrate", path],
        }
    }
}

impl Error {
    /// What the user can do about it; `None` if the text says all.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Refused { remedy, .. } => Some(remedy.clone()),
            Self::BackfillNotFound(_) => Some(Remedy::List),
            Self::OutdatedSchema { path, .. } => Some(Remedy::Migrate(path.clone())),
            Self::PartitionDefinition(_)
            | Self::PartitionValidation(_)
            | Self::MappingDefinition(_)
            | Self::DynamicKeys(_)
            | Self::StrategyValidation(_)
            | Self::Configuration(_)
            | Self::Execution(_)
            | Self::Storage { .. } => None,
        }
    }
}

/// The result type of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The candidates most similar to `given`, best first, at most three.
pub fn close_spellings<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const MIN_SIMILARITY: f64 = 0.7;
    const MAX_SHOWN: usize = 3;
    let lowercase = given.to_lowercase();
    let mut best: Vec<(f64, &str)> = Vec::with_capacity(MAX_SHOWN + 1);
    for candidate in candidates {
        let similarity = strsim::jaro_winkler(&lowercase, &candidate.to_lowercase());
        if similarity >= MIN_SIMILARITY {
            let index = best.partition_point(|(other, _)| *other >= similarity);
            best.insert(index, (similarity, candidate));
            best.truncate(MAX_SHOWN);
        }
    }
    best.into_iter().map(|(_, candidate)| candidate).collect()
}

/// `; did you mean "x" or "y"?`, or an empty text if no candidate is similar.
pub fn did_you_mean<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let close = close_spellings(given, candidates);
    if close.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = close.iter().map(|name| format!("{name:?}")).collect();
    format!("; did you mean {}?", quoted.join(" or "))
}

/// The first few names, quoted, and the number of all if there are more.
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
