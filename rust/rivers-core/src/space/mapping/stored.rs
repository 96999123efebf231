//! The stored form of mappings, in plans and pickles: what earlier versions wrote can be read.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Mapping;
use super::selector::{Selector, Selectors};

/// New variants go to the end: a variant is stored as its number.
#[derive(serde::Serialize, serde::Deserialize)]
enum Stored {
    Identity,
    AllPartitions,
    Static(BTreeMap<String, BTreeSet<String>>),
    TimeWindow {
        offset: i64,
    },
    SpecificPartitions(BTreeSet<String>),
    /// Written by earlier versions: the equal key for these downstream keys, none for others.
    EqualKeys(BTreeSet<String>),
    Subset,
    /// By downstream dimension: the upstream dimension.
    Multi(BTreeMap<String, (String, Self)>),
    MultiToSingle {
        dim: String,
        mapping: Box<Self>,
    },
    TimeWindows {
        start: i64,
        end: i64,
    },
    ForKeys(Vec<Selector>),
    /// By upstream dimension: the downstream dimension, which can determine several.
    MultiByUpstream(BTreeMap<String, (String, Self)>),
}

impl serde::Serialize for Mapping {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored::from(self.clone()).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Mapping {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Stored::deserialize(deserializer).map(Self::from)
    }
}

impl From<Mapping> for Stored {
    fn from(mapping: Mapping) -> Self {
        match mapping {
            Mapping::Identity => Self::Identity,
            Mapping::AllPartitions => Self::AllPartitions,
            Mapping::Static(pairs) => Self::Static(pairs),
            Mapping::TimeWindow { start, end } if start == end => {
                Self::TimeWindow { offset: start }
            }
            Mapping::TimeWindow { start, end } => Self::TimeWindows { start, end },
            Mapping::SpecificPartitions(keys) => Self::SpecificPartitions(keys),
            Mapping::ForKeys(selectors) => Self::ForKeys(selectors.into_list()),
            Mapping::Subset => Self::Subset,
            Mapping::Multi(named) => {
                let downs: BTreeSet<&String> = named.values().map(|(down, _)| down).collect();
                if downs.len() < named.len() {
                    let entry = |(up, (down, mapping)): (String, (String, Mapping))| {
                        (up, (down, mapping.into()))
                    };
                    return Self::MultiByUpstream(named.into_iter().map(entry).collect());
                }
                let entry = |(up, (down, mapping)): (String, (String, Mapping))| {
                    (down, (up, mapping.into()))
                };
                Self::Multi(named.into_iter().map(entry).collect())
            }
            Mapping::MultiToSingle { dim, mapping } => Self::MultiToSingle {
                dim,
                mapping: Box::new((*mapping).into()),
            },
        }
    }
}

impl From<Stored> for Mapping {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Identity => Self::Identity,
            Stored::AllPartitions => Self::AllPartitions,
            Stored::Static(pairs) => Self::Static(pairs),
            Stored::TimeWindow { offset } => Self::TimeWindow {
                start: offset,
                end: offset,
            },
            Stored::SpecificPartitions(keys) => Self::SpecificPartitions(keys),
            Stored::EqualKeys(keys) => {
                let pair = |key: String| (key.clone(), BTreeSet::from([key]));
                Self::Static(keys.into_iter().map(pair).collect())
            }
            Stored::Subset => Self::Subset,
            Stored::Multi(named) => {
                let entry = |(down, (up, mapping)): (String, (String, Stored))| {
                    (up, (down, mapping.into()))
                };
                Self::Multi(named.into_iter().map(entry).collect())
            }
            Stored::MultiByUpstream(named) => {
                let entry = |(up, (down, mapping)): (String, (String, Stored))| {
                    (up, (down, mapping.into()))
                };
                Self::Multi(named.into_iter().map(entry).collect())
            }
            Stored::MultiToSingle { dim, mapping } => Self::MultiToSingle {
                dim,
                mapping: Box::new((*mapping).into()),
            },
            Stored::TimeWindows { start, end } => Self::TimeWindow { start, end },
            Stored::ForKeys(selectors) => Self::ForKeys(Selectors::new(selectors)),
        }
    }
}
