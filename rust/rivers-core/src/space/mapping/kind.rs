//! The kinds of mappings, and the properties that depend on the kind alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::space::axis::Axis;
use crate::space::product::Dim;

/// How the partitions of a downstream asset relate to those of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Mapping {
    /// Equal keys in dimensions of the same name. A dimension that only the upstream has is taken
    /// whole; a key that the upstream lacks is an error.
    Identity,
    /// All partitions of the upstream.
    AllPartitions,
    /// Upstream keys by downstream key; a downstream key that is not named needs none.
    Static(BTreeMap<String, BTreeSet<String>>),
    /// The upstream windows that overlap the downstream window `offset` windows later (earlier if
    /// negative) on the *downstream's* grid. From hours to days: the 24 hours of the day; from days
    /// to hours: the day that contains the hour. An even grid continues before its first and after
    /// its last window, so that an upstream that began earlier is reached; a cron grid does so if the
    /// upstream has the same schedule. In a product, this relates the only time dimension, and other
    /// dimensions are related by name.
    TimeWindow {
        /// Number of windows.
        offset: i64,
    },
    /// These upstream partitions, for every downstream partition.
    SpecificPartitions(BTreeSet<String>),
    /// The equal key for these downstream keys; others need none.
    ForKeys(BTreeSet<String>),
    /// Equal keys where the upstream has them; other keys need none.
    Subset,
    /// By downstream dimension: the upstream dimension that it determines, and how. Other dimensions
    /// are related by name, or taken whole.
    Multi(BTreeMap<String, (String, Self)>),
    /// Relates a dimension of a product to the dimension of a single-dimension definition, in either
    /// direction. The product's other dimensions are taken whole in an upstream, and ignored in a
    /// downstream.
    MultiToSingle {
        /// The dimension of the product.
        dim: String,
        /// How the two dimensions are related.
        mapping: Box<Self>,
    },
}

impl Mapping {
    /// The mapping in the notation in which users declare it: its name and its arguments. `quote`
    /// writes a key or a name as a literal, and `prefix` precedes the name of each mapping.
    ///
    /// # Errors
    /// Those of `quote`.
    pub fn notation<E>(
        &self,
        prefix: &str,
        quote: &impl Fn(&str) -> Result<String, E>,
    ) -> Result<String, E> {
        let list = |keys: &BTreeSet<String>| -> Result<String, E> {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| quote(key))
                .collect::<Result<_, E>>()?;
            Ok(format!("[{}]", keys.join(", ")))
        };
        let arguments = match self {
            Self::Identity | Self::AllPartitions | Self::Subset => String::new(),
            Self::Static(pairs) => {
                let pair = |(key, to): (&String, &BTreeSet<String>)| {
                    Ok(format!("{}: {}", quote(key)?, list(to)?))
                };
                let pairs: Vec<String> = pairs.iter().map(pair).collect::<Result<_, E>>()?;
                format!("{{{}}}", pairs.join(", "))
            }
            Self::TimeWindow { offset } => offset.to_string(),
            Self::SpecificPartitions(keys) | Self::ForKeys(keys) => list(keys)?,
            Self::Multi(named) => {
                let entry = |(own, (other, inner)): (&String, &(String, Self))| {
                    let inner = inner.notation(prefix, quote)?;
                    let value = if own == other {
                        inner
                    } else {
                        format!("({}, {inner})", quote(other)?)
                    };
                    Ok(format!("{}: {value}", quote(own)?))
                };
                let named: Vec<String> = named.iter().map(entry).collect::<Result<_, E>>()?;
                format!("{{{}}}", named.join(", "))
            }
            Self::MultiToSingle { dim, mapping } if **mapping == Self::Identity => quote(dim)?,
            Self::MultiToSingle { dim, mapping } => {
                format!("{}, {}", quote(dim)?, mapping.notation(prefix, quote)?)
            }
        };
        Ok(format!("{prefix}{}({arguments})", self.name()))
    }

    /// The name under which users know it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::AllPartitions => "all_partitions",
            Self::Static(_) => "static_",
            Self::TimeWindow { .. } => "time_window",
            Self::SpecificPartitions(_) => "specific_partitions",
            Self::ForKeys(_) => "for_keys",
            Self::Subset => "subset",
            Self::Multi(_) => "multi",
            Self::MultiToSingle { .. } => "multi_to_single",
        }
    }

    /// Refuses a mapping without entries, or with a nested mapping of several dimensions.
    ///
    /// # Errors
    /// `PartitionDefinition` with the reason.
    pub fn checked(self) -> Result<Self> {
        let refused = |reason: String| Err(Error::PartitionDefinition(reason));
        let (empty, inner): (bool, Vec<&Self>) = match &self {
            Self::Static(pairs) => (pairs.is_empty(), Vec::new()),
            Self::SpecificPartitions(keys) | Self::ForKeys(keys) => (keys.is_empty(), Vec::new()),
            Self::Multi(named) => {
                let inner = named.values().map(|(_, mapping)| mapping);
                (named.is_empty(), inner.collect())
            }
            Self::MultiToSingle { mapping, .. } => (false, vec![mapping]),
            Self::Identity | Self::AllPartitions | Self::TimeWindow { .. } | Self::Subset => {
                (false, Vec::new())
            }
        };
        if empty {
            return refused(format!(
                "{} needs at least one entry, got none",
                self.name()
            ));
        }
        match inner.into_iter().find(|mapping| mapping.is_of_dimensions()) {
            Some(inner) => refused(format!(
                "{} maps one dimension at a time, so {} cannot stand in it",
                self.name(),
                inner.name()
            )),
            None => Ok(self),
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::AllPartitions | Self::SpecificPartitions(_) => true,
            Self::Identity
            | Self::Static(_)
            | Self::TimeWindow { .. }
            | Self::ForKeys(_)
            | Self::Subset
            | Self::Multi(_)
            | Self::MultiToSingle { .. } => false,
        }
    }

    pub(super) fn is_of_dimensions(&self) -> bool {
        match self {
            Self::Multi(_) | Self::MultiToSingle { .. } => true,
            Self::Identity
            | Self::AllPartitions
            | Self::Static(_)
            | Self::TimeWindow { .. }
            | Self::SpecificPartitions(_)
            | Self::ForKeys(_)
            | Self::Subset => false,
        }
    }

    /// Whether the mapping leads only to earlier partitions, in a time dimension, so that an asset
    /// can depend on its own partitions.
    pub fn goes_back(&self) -> bool {
        match self {
            Self::TimeWindow { offset } => *offset < 0,
            Self::Multi(named) => named
                .iter()
                .any(|(dim, (upstream, mapping))| dim == upstream && mapping.goes_back()),
            Self::Identity
            | Self::AllPartitions
            | Self::Static(_)
            | Self::SpecificPartitions(_)
            | Self::ForKeys(_)
            | Self::Subset
            | Self::MultiToSingle { .. } => false,
        }
    }

    /// Whether the mapping leads only to earlier positions of this dimension.
    pub fn goes_back_in(&self, dim: &Dim) -> bool {
        match self {
            Self::TimeWindow { .. } => matches!(dim.axis, Axis::Time(_)) && self.goes_back(),
            Self::Multi(named) => named
                .get(&dim.name)
                .is_some_and(|(upstream, mapping)| *upstream == dim.name && mapping.goes_back()),
            Self::Identity
            | Self::AllPartitions
            | Self::Static(_)
            | Self::SpecificPartitions(_)
            | Self::ForKeys(_)
            | Self::Subset
            | Self::MultiToSingle { .. } => false,
        }
    }
}
