//! Partitions definitions as the user declares them: one dimension, or a product of named dimensions.

use std::sync::Arc;

use super::axis::Axis;
use super::labels::Labels;
use super::product::{Dim, Space};
use super::time::{Calendar, Nanos};
use crate::error::{Error, Result};

/// One declared dimension.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Dimension {
    /// A fixed list of names.
    Static(Arc<Labels>),
    /// A grid of time windows.
    Time(Arc<Calendar>),
    /// Names that are registered in the storage under this name.
    Dynamic(String),
}

/// A partitions definition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Definition {
    /// One dimension, without a name.
    Single(Dimension),
    /// The product of several named dimensions, the slowest first.
    Multi(Vec<(String, Dimension)>),
}

impl Definition {
    /// Declares a fixed list of keys.
    ///
    /// # Errors
    /// `PartitionDefinition` for an empty list, a duplicate, an empty key or a reserved character.
    pub fn static_<S: AsRef<str>>(keys: impl IntoIterator<Item = S>) -> Result<Self> {
        let labels = Labels::new(keys)?;
        if labels.is_empty() {
            return Err(Error::PartitionDefinition(
                "a static definition needs at least one key, got none".into(),
            ));
        }
        Ok(Self::Single(Dimension::Static(Arc::new(labels))))
    }

    /// Declares a dimension whose keys are registered in the storage.
    ///
    /// # Errors
    /// `PartitionDefinition` for an empty name.
    pub fn dynamic(name: &str) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::PartitionDefinition(
                "a dynamic definition needs a name, got \"\"".into(),
            ));
        }
        Ok(Self::Single(Dimension::Dynamic(name.to_owned())))
    }

    /// Declares the product of named dimensions.
    ///
    /// # Errors
    /// `PartitionDefinition` for no dimension, a bad or duplicate name, or a dimension that is a
    /// product itself.
    pub fn multi(dimensions: impl IntoIterator<Item = (String, Self)>) -> Result<Self> {
        let refused = |reason: String| Err(Error::PartitionDefinition(reason));
        let mut named: Vec<(String, Dimension)> = Vec::new();
        for (name, definition) in dimensions {
            check_dimension_name(&name)?;
            if named.iter().any(|(other, _)| *other == name) {
                return refused(format!("the dimension {name:?} is given twice"));
            }
            match definition {
                Self::Single(dimension) => named.push((name, dimension)),
                Self::Multi(_) => {
                    return refused(format!(
                        "the dimension {name:?} is itself a product of dimensions; nesting is not allowed, \
                         name all dimensions in one product"
                    ));
                }
            }
        }
        if named.is_empty() {
            return refused("a product needs at least one dimension, got none".into());
        }
        Ok(Self::Multi(named))
    }

    /// The dimensions with their names; a single dimension has an empty name.
    pub fn dimensions(&self) -> Vec<(&str, &Dimension)> {
        match self {
            Self::Single(dimension) => vec![("", dimension)],
            Self::Multi(named) => named
                .iter()
                .map(|(name, dim)| (name.as_str(), dim))
                .collect(),
        }
    }

    /// The names of its dynamic dimensions.
    pub fn dynamic_names(&self) -> Vec<&str> {
        self.dimensions()
            .into_iter()
            .filter_map(|(_, dimension)| match dimension {
                Dimension::Dynamic(name) => Some(name.as_str()),
                Dimension::Static(_) | Dimension::Time(_) => None,
            })
            .collect()
    }

    /// Resolves the definition at the time `now` (UTC). `dynamic` returns the keys that are
    /// registered under a name.
    ///
    /// # Errors
    /// `PartitionDefinition` when there are more partitions than can be numbered; the errors of
    /// `dynamic`.
    pub fn resolve(
        &self,
        now: Nanos,
        dynamic: &dyn Fn(&str) -> Result<Arc<Labels>>,
    ) -> Result<Arc<Space>> {
        let dims: Result<Vec<Dim>> = self
            .dimensions()
            .into_iter()
            .map(|(name, dimension)| {
                let axis = match dimension {
                    Dimension::Static(labels) => Axis::Labels(Arc::clone(labels)),
                    Dimension::Time(calendar) => Axis::Time(calendar.at(now)?),
                    Dimension::Dynamic(registered) => Axis::Labels(dynamic(registered)?),
                };
                Ok(Dim {
                    name: name.to_owned(),
                    axis,
                })
            })
            .collect();
        Ok(Arc::new(Space::try_from(dims?)?))
    }
}

/// Refuses a dimension name with a character that the text form of keys reserves.
///
/// # Errors
/// `PartitionDefinition` naming the character.
pub fn check_dimension_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::PartitionDefinition(
            "a dimension's name may not be empty".into(),
        ));
    }
    match name.chars().find(|c| matches!(c, '|' | ',' | '=')) {
        Some(found) => Err(Error::PartitionDefinition(format!(
            "the dimension name {name:?} holds the reserved character {found:?}"
        ))),
        None => Ok(()),
    }
}
