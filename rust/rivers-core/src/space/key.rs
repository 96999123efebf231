//! Partition keys as the user writes them: one or several values for each dimension.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::definition::check_dimension_name;
use super::labels::check_key;
use super::product::Space;
use crate::error::{Error, Result, some_of};

/// A key: one or several values for the only dimension, or for each named dimension. A key with
/// several values represents several partitions: the product of its values.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Key {
    /// A key of a single-dimension definition.
    Single(Vec<String>),
    /// A key of a definition with named dimensions.
    Multi(Vec<(String, Vec<String>)>),
}

impl Key {
    /// A single-dimension key.
    ///
    /// # Errors
    /// `PartitionDefinition` for no value, an empty one, or a reserved character.
    pub fn single(values: Vec<String>) -> Result<Self> {
        check_values(&values, "")?;
        Ok(Self::Single(distinct(values)))
    }

    /// A key with named dimensions.
    ///
    /// # Errors
    /// `PartitionDefinition` for no dimension, no value, or a reserved character.
    pub fn multi(dimensions: Vec<(String, Vec<String>)>) -> Result<Self> {
        if dimensions.is_empty() {
            return Err(Error::PartitionDefinition(
                "a partition key needs at least one dimension, got an empty dict".into(),
            ));
        }
        for (name, values) in &dimensions {
            check_dimension_name(name)?;
            check_values(values, name)?;
        }
        let distinct_values = |(name, values)| (name, distinct(values));
        Ok(Self::Multi(
            dimensions.into_iter().map(distinct_values).collect(),
        ))
    }

    /// The key of one partition of a space.
    pub fn of(space: &Space, partition: u64) -> Self {
        let value = |at: usize| {
            vec![
                space.dims()[at]
                    .axis
                    .label(space.index(partition, at))
                    .into_owned(),
            ]
        };
        if space.is_multi() {
            let named = space
                .dims()
                .iter()
                .enumerate()
                .map(|(at, dim)| (dim.name.clone(), value(at)));
            return Self::Multi(named.collect());
        }
        Self::Single(value(0))
    }

    /// The key as JSON: `{"single": ["us"]}` or `{"multi": {"region": ["us"]}}`.
    pub fn to_json(&self) -> String {
        match self {
            Self::Single(values) => json!({ "single": values }),
            Self::Multi(named) => {
                let named: Map<String, Value> = named
                    .iter()
                    .map(|(name, values)| (name.clone(), json!(values)))
                    .collect();
                json!({ "multi": named })
            }
        }
        .to_string()
    }

    /// Reads a key from JSON.
    ///
    /// # Errors
    /// `PartitionDefinition` for a text that `to_json` cannot have written.
    pub fn from_json(text: &str) -> Result<Self> {
        let refused = || {
            Error::PartitionDefinition(format!(
                "{text:?} is not the JSON of a partition key; it looks like {{\"single\": [\"us\"]}} or \
                 {{\"multi\": {{\"region\": [\"us\"]}}}}"
            ))
        };
        let values = |value: &Value| {
            serde_json::from_value::<Vec<String>>(value.clone()).map_err(|_| refused())
        };
        let parsed: Value = serde_json::from_str(text).map_err(|_| refused())?;
        match parsed
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|object| object.iter().next())
        {
            Some((kind, single)) if kind == "single" => Self::single(values(single)?),
            Some((kind, Value::Object(named))) if kind == "multi" => {
                let named: Result<_> = named
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), values(value)?)))
                    .collect();
                Self::multi(named?)
            }
            _ => Err(refused()),
        }
    }

    /// The positions in the space, one list per dimension, in the order of the space's dimensions.
    ///
    /// # Errors
    /// `PartitionValidation` naming the value or the dimension that the space does not have.
    pub fn locate(&self, space: &Space) -> Result<Vec<Vec<u32>>> {
        let refused = |reason: String| Err(Error::PartitionValidation(reason));
        let subject = "the partition key";
        match self {
            Self::Single(values) => {
                if space.is_multi() {
                    let names = space.dims().iter().map(|dim| dim.name.as_str());
                    return refused(format!(
                        "a key without dimension names was given for partitions with the dimensions {}; \
                         give a value for each dimension, by its name",
                        some_of(names)
                    ));
                }
                let Some(dim) = space.dims().first() else {
                    return refused(
                        "a partition key was given for something that is not partitioned".into(),
                    );
                };
                let located: Result<_> = values
                    .iter()
                    .map(|value| dim.axis.locate(value, subject, ""))
                    .collect();
                Ok(vec![located?])
            }
            Self::Multi(named) => {
                if !space.is_multi() {
                    return refused(
                        "a key of named dimensions was given for partitions with a single dimension; \
                         give a value without a name"
                            .into(),
                    );
                }
                let mut located: Vec<Vec<u32>> = vec![Vec::new(); space.dims().len()];
                for (name, values) in named {
                    let at = space.dimension(name)?;
                    let axis = &space.dims()[at].axis;
                    let positions: Result<_> = values
                        .iter()
                        .map(|value| axis.locate(value, subject, name))
                        .collect();
                    located[at] = positions?;
                }
                match located.iter().position(Vec::is_empty) {
                    None => Ok(located),
                    Some(missing) => refused(format!(
                        "the partition key {self} has no value for the dimension {:?}; a key names all dimensions",
                        space.dims()[missing].name
                    )),
                }
            }
        }
    }

    /// The partition of a key that has exactly one value for each of the space's dimensions;
    /// otherwise `None`.
    pub fn one(&self, space: &Space) -> Option<u64> {
        let position = |at: usize, values: &[String]| match values {
            [one] => space.dims()[at].axis.position(one),
            _ => None,
        };
        match self {
            Self::Single(values) => match space.dims() {
                [dim] if dim.name.is_empty() => position(0, values).map(u64::from),
                _ => None,
            },
            Self::Multi(named) => {
                if named.len() != space.dims().len() || !space.is_multi() {
                    return None;
                }
                let mut partition = 0;
                for (at, (name, values)) in named.iter().enumerate() {
                    // Names are distinct, so finding one for each dimension covers all of them.
                    let same = |at: &usize| space.dims()[*at].name == *name;
                    let at = Some(at)
                        .filter(same)
                        .or_else(|| (0..named.len()).find(same))?;
                    partition += u64::from(position(at, values)?) * space.stride(at);
                }
                Some(partition)
            }
        }
    }

    /// Hashes keys that represent the same partitions to the same value.
    fn canonical(&self) -> BTreeMap<&str, Vec<&str>> {
        match self {
            Self::Single(values) => {
                // A dimension's name cannot be empty, so this differs from every key with named
                // dimensions.
                BTreeMap::from([("", sorted(values))])
            }
            Self::Multi(named) => named
                .iter()
                .map(|(name, values)| (name.as_str(), sorted(values)))
                .collect(),
        }
    }
}

fn sorted(values: &[String]) -> Vec<&str> {
    let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
    values.sort_unstable();
    values
}

fn distinct(values: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(values.len());
    let mut seen = hashbrown::HashSet::new();
    for value in values {
        if seen.insert(value.clone()) {
            kept.push(value);
        }
    }
    kept
}

fn check_values(values: &[String], name: &str) -> Result<()> {
    if values.is_empty() {
        let whose = if name.is_empty() {
            String::new()
        } else {
            format!(" for the dimension {name:?}")
        };
        return Err(Error::PartitionDefinition(format!(
            "a partition key needs at least one value{whose}, got an empty list"
        )));
    }
    values.iter().try_for_each(|value| check_key(value))
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl std::fmt::Display for Key {
    /// Writes `us,eu`, or `date=2024-01-01|region=us,eu`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Single(values) => f.write_str(&values.join(",")),
            Self::Multi(named) => {
                let parts: Vec<String> = named
                    .iter()
                    .map(|(name, values)| format!("{name}={}", values.join(",")))
                    .collect();
                f.write_str(&parts.join("|"))
            }
        }
    }
}
