//! The kinds of mappings, and the properties that depend on the kind alone.

use std::collections::{BTreeMap, BTreeSet};

use super::selector::Selectors;
use crate::error::{Error, Result};
use crate::space::axis::Axis;
use crate::space::product::Dim;

/// How the partitions of a downstream asset relate to those of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// Equal keys in dimensions of the same name. A dimension that only the upstream has is taken
    /// whole; a key that the upstream lacks is an error.
    Identity,
    /// All partitions of the upstream.
    AllPartitions,
    /// Upstream keys by downstream key; a downstream key that is not named needs none.
    Static(BTreeMap<String, BTreeSet<String>>),
    /// The upstream windows that overlap the windows from `start` through `end`, counted on the
    /// *downstream's* grid from the downstream window. From hours to days: the 24 hours of the day;
    /// from days to hours: the day that contains the hour. The grid continues before its first and
    /// after its last window, so that an upstream that began earlier is reached. In a product, this
    /// relates the only time dimension, and other dimensions are related by name.
    TimeWindow {
        /// Offset of the first window, negative for an earlier one.
        start: i64,
        /// Offset of the last window, not less than `start`.
        end: i64,
    },
    /// These upstream partitions, for every downstream partition.
    SpecificPartitions(BTreeSet<String>),
    /// The upstream, which has no partitions, for these downstream partitions; others do not need it.
    ForKeys(Selectors),
    /// Equal keys where the upstream has them; other keys need none.
    Subset,
    /// By upstream dimension: the downstream dimension that determines it, and how. Other dimensions
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

    /// Refuses a mapping that is invalid in itself.
    ///
    /// # Errors
    /// `MappingDefinition` for a mapping without entries, with a mapping of several dimensions inside
    /// it, or with windows that end before they start.
    pub fn checked(self) -> Result<Self> {
        let refused = |reason: String| Err(Error::MappingDefinition(reason));
        let (empty, inner): (bool, Vec<&Self>) = match &self {
            Self::Static(pairs) => (pairs.is_empty(), Vec::new()),
            Self::SpecificPartitions(keys) => (keys.is_empty(), Vec::new()),
            Self::ForKeys(selectors) => (selectors.is_empty(), Vec::new()),
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
        if let Some(inner) = inner.into_iter().find(|mapping| !mapping.relates_keys()) {
            return refused(format!(
                "{} maps one dimension at a time, so {} cannot stand in it",
                self.name(),
                inner.name()
            ));
        }
        if let Self::TimeWindow { start, end } = &self
            && start > end
        {
            return refused(format!(
                "time_window starts at the offset {start}, which is after its end at the offset {end}; \
                 swap them"
            ));
        }
        Ok(self)
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

    /// Whether the mapping can relate the keys of one dimension to those of another.
    pub(super) fn relates_keys(&self) -> bool {
        match self {
            Self::Multi(_) | Self::MultiToSingle { .. } | Self::ForKeys(_) => false,
            Self::Identity
            | Self::AllPartitions
            | Self::Static(_)
            | Self::TimeWindow { .. }
            | Self::SpecificPartitions(_)
            | Self::Subset => true,
        }
    }

    /// The mapping, or `Identity` where that is equivalent: each dimension named follows from the
    /// dimension of the same name, by `Identity`.
    #[must_use]
    pub fn simplified(&self) -> Self {
        let same = |(up, (down, mapping)): (&String, &(String, Self))| {
            up == down && *mapping == Self::Identity
        };
        if let Self::Multi(named) = self
            && named.iter().all(same)
        {
            return Self::Identity;
        }
        self.clone()
    }

    /// Whether the mapping leads only to earlier partitions, in a time dimension, so that an asset
    /// can depend on its own partitions.
    pub fn goes_back(&self) -> bool {
        match self {
            Self::TimeWindow { end, .. } => *end < 0,
            Self::Multi(named) => named
                .iter()
                .any(|(up, (down, mapping))| up == down && mapping.goes_back()),
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
                .is_some_and(|(down, mapping)| *down == dim.name && mapping.goes_back()),
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
