//! Strategies: how partitions are grouped into runs.

use std::num::NonZeroU64;

use crate::error::{Error, Result, some_of};
use crate::space::Space;

/// How partitions are grouped into runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub enum Strategy {
    /// One run per partition.
    MultiRun,
    /// All partitions in one run.
    SingleRun,
    /// Runs of up to `n` partitions, in order.
    Chunked {
        /// Maximum number of partitions of a run; only the last run can have fewer.
        n: NonZeroU64,
    },
    /// One run per distinct combination of some dimensions.
    PerDimension {
        /// Dimensions iterated across runs.
        multi_run: Vec<String>,
        /// Dimensions batched within a run.
        single_run: Vec<String>,
    },
}

/// The stored form, which is checked like a user's strategy when it is read.
#[derive(serde::Serialize, serde::Deserialize)]
enum Stored {
    MultiRun,
    SingleRun,
    PerDimension {
        multi_run: Vec<String>,
        single_run: Vec<String>,
    },
    Chunked(NonZeroU64),
}

impl TryFrom<Stored> for Strategy {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        match stored {
            Stored::MultiRun => Ok(Self::MultiRun),
            Stored::SingleRun => Ok(Self::SingleRun),
            Stored::Chunked(n) => Ok(Self::Chunked { n }),
            Stored::PerDimension {
                multi_run,
                single_run,
            } => Self::per_dimension(multi_run, single_run),
        }
    }
}

impl From<Strategy> for Stored {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::MultiRun => Self::MultiRun,
            Strategy::SingleRun => Self::SingleRun,
            Strategy::Chunked { n } => Self::Chunked(n),
            Strategy::PerDimension {
                multi_run,
                single_run,
            } => Self::PerDimension {
                multi_run,
                single_run,
            },
        }
    }
}

impl Strategy {
    /// Groups by dimension, after the checks that need no space.
    ///
    /// # Errors
    /// `Configuration` for an empty list, a duplicate, or a dimension in both lists.
    pub fn per_dimension(multi_run: Vec<String>, single_run: Vec<String>) -> Result<Self> {
        let refused =
            |reason: String| Err(Error::Configuration(format!("per_dimension: {reason}")));
        for (argument, names) in [("multi_run", &multi_run), ("single_run", &single_run)] {
            if names.is_empty() {
                return refused(format!(
                    "{argument} is empty; it needs at least one dimension"
                ));
            }
            for (at, name) in names.iter().enumerate() {
                if names[..at].contains(name) {
                    return refused(format!("{argument} names the dimension {name:?} twice"));
                }
            }
        }
        if let Some(both) = multi_run.iter().find(|name| single_run.contains(name)) {
            return refused(format!(
                "the dimension {both:?} is in both multi_run and single_run; it can be in one only"
            ));
        }
        Ok(Self::PerDimension {
            multi_run,
            single_run,
        })
    }

    /// Indices of the dimensions iterated across runs, ascending.
    ///
    /// # Errors
    /// `StrategyValidation` when the space does not have these dimensions.
    pub fn run_dimensions(&self, space: &Space) -> Result<Vec<usize>> {
        let Self::PerDimension {
            multi_run,
            single_run,
        } = self
        else {
            return Ok(Vec::new());
        };
        if !space.is_multi() {
            return Err(Error::StrategyValidation(
                "per_dimension needs partitions with several dimensions, and these have one; \
                 use multi_run or single_run"
                    .into(),
            ));
        }
        let dim_index = |name: &String| {
            space.dimension(name).map_err(|_| {
                let names = space.dims().iter().map(|dim| dim.name.as_str());
                Error::StrategyValidation(format!(
                    "per_dimension names the dimension {name:?}; the dimensions are {}{}",
                    some_of(names.clone()),
                    crate::error::did_you_mean(name, names)
                ))
            })
        };
        for name in single_run {
            dim_index(name)?;
        }
        let mut dims: Vec<usize> = multi_run.iter().map(dim_index).collect::<Result<_>>()?;
        dims.sort_unstable();
        Ok(dims)
    }
}

impl std::fmt::Display for Strategy {
    /// Writes the notation of the API: `multi_run()`, `per_dimension(multi_run=["date"],
    /// single_run=["region"])`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MultiRun => f.write_str("multi_run()"),
            Self::SingleRun => f.write_str("single_run()"),
            Self::Chunked { n } => write!(f, "chunked({n})"),
            Self::PerDimension {
                multi_run,
                single_run,
            } => {
                write!(
                    f,
                    "per_dimension(multi_run={multi_run:?}, single_run={single_run:?})"
                )
            }
        }
    }
}
