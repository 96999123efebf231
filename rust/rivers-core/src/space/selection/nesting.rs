//! The order of a product's partitions: its dimensions from the slowest to the fastest, each with a direction.

use crate::error::{Error, Result, did_you_mean, some_of};
use crate::space::product::Space;

/// Prefix of a dimension's name that reverses the order of its keys.
const DESCENDING: char = '-';

/// A dimension in a nesting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Level {
    /// Index of the dimension in the space.
    pub dim: usize,
    /// Whether its keys are in descending order.
    pub descending: bool,
}

/// The order of a product: each dimension once, the slowest first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Nesting(Vec<Level>);

impl Nesting {
    /// The order of the definition.
    pub fn definition(dims: usize) -> Self {
        let level = |dim| Level {
            dim,
            descending: false,
        };
        Self((0..dims).map(level).collect())
    }

    /// Orders by the given dimensions, then by the others in definition order. A minus before a name
    /// makes its keys descend.
    ///
    /// # Errors
    /// `Configuration` for a dimension that does not exist or is named twice.
    pub fn by_dimensions(space: &Space, given: &[String]) -> Result<Self> {
        let refused = |reason: String| Error::Configuration(format!("order: {reason}"));
        if !space.is_multi() {
            return Err(refused(
                "the partitions have a single dimension; use \"definition\" or \"reverse\"".into(),
            ));
        }
        let names = || space.dims().iter().map(|dim| dim.name.as_str());
        let mut levels: Vec<Level> = Vec::with_capacity(space.dims().len());
        for text in given {
            // A dimension's own name can start with the prefix.
            let whole = names().position(|name| name == text);
            let (dim, descending) = match (whole, text.strip_prefix(DESCENDING)) {
                (Some(dim), _) => (Some(dim), false),
                (None, Some(rest)) => (names().position(|name| name == rest), true),
                (None, None) => (None, false),
            };
            let Some(dim) = dim else {
                let name = text.strip_prefix(DESCENDING).unwrap_or(text);
                return Err(refused(format!(
                    "there is no dimension {name:?}; the dimensions are {}{}",
                    some_of(names()),
                    did_you_mean(name, names())
                )));
            };
            if levels.iter().any(|level| level.dim == dim) {
                return Err(refused(format!(
                    "the dimension {:?} is named twice",
                    space.dims()[dim].name
                )));
            }
            levels.push(Level { dim, descending });
        }
        let rest = Self::definition(space.dims().len()).0;
        for level in rest {
            if levels.iter().all(|other| other.dim != level.dim) {
                levels.push(level);
            }
        }
        Ok(Self(levels))
    }

    /// The dimensions, the slowest first.
    pub fn levels(&self) -> &[Level] {
        &self.0
    }

    /// The reverse order.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let turned = |level: &Level| Level {
            dim: level.dim,
            descending: !level.descending,
        };
        Self(self.0.iter().map(turned).collect())
    }

    /// Whether this orders exactly `dims` dimensions, each once.
    pub fn fits(&self, dims: usize) -> bool {
        let has = |dim| self.0.iter().any(|level| level.dim == dim);
        self.0.len() == dims && (0..dims).all(has)
    }

    /// The position of a partition among all partitions of its space, in this order.
    pub(super) fn position(&self, space: &Space, partition: u64) -> u64 {
        self.0.iter().fold(0, |position, level| {
            let (len, index) = (
                space.dims()[level.dim].axis.len(),
                space.index(partition, level.dim),
            );
            let own = if level.descending {
                len - 1 - index
            } else {
                index
            };
            position * u64::from(len) + u64::from(own)
        })
    }
}
