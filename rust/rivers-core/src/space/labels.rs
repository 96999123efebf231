//! The keys of a dimension of names: one text buffer, and an index from name to position.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{Error, Result};

/// Maximum number of keys of a dimension: positions within a dimension are `u32`.
pub const MAX_LABELS: usize = u32::MAX as usize;

/// Distinct names in order. A million names take the bytes of their text, plus 4 bytes each for the
/// offsets and about 9 for the index.
pub struct Labels {
    text: String,
    ends: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Labels {
    /// Collects the names and builds the index.
    ///
    /// # Errors
    /// `PartitionDefinition` for a duplicate, an empty key, a reserved character, or too much text.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        let names = names.into_iter();
        let (expected, _) = names.size_hint();
        let mut labels = Self {
            text: String::new(),
            ends: Vec::with_capacity(expected),
            index: HashTable::with_capacity(expected),
            hasher: DefaultHashBuilder::default(),
        };
        for name in names {
            labels.push(name.as_ref())?;
        }
        Ok(labels)
    }

    fn push(&mut self, name: &str) -> Result<()> {
        check_key(name)?;
        let position = self.ends.len();
        let end = u32::try_from(self.text.len() + name.len());
        let (Ok(end), true) = (end, position < MAX_LABELS) else {
            return Err(Error::PartitionDefinition(
                "the keys of a dimension hold more than 4 GiB of text; split the dimension".into(),
            ));
        };
        let hash = self.hasher.hash_one(name);
        if let Some(&first) = self
            .index
            .find(hash, |&at| slice(&self.text, &self.ends, at) == name)
        {
            return Err(Error::PartitionDefinition(format!(
                "the key {name:?} is given twice, as number {} and number {}; keys must be distinct",
                first + 1,
                position + 1
            )));
        }
        self.text.push_str(name);
        self.ends.push(end);
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.index.insert_unique(hash, position as u32, |&at| {
            hasher.hash_one(slice(text, ends, at))
        });
        Ok(())
    }

    /// Number of names.
    pub fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name at a position.
    pub fn get(&self, position: u32) -> &str {
        slice(&self.text, &self.ends, position)
    }

    /// The position of a name.
    pub fn position(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.index.find(hash, |&at| self.get(at) == name).copied()
    }

    /// All names, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|position| self.get(position as u32))
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], position: u32) -> &'a str {
    let at = position as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] as usize };
    &text[start..ends[at] as usize]
}

/// Refuses a key that could not be read back from its text form.
///
/// # Errors
/// `PartitionDefinition` for an empty key, or one with a reserved character.
pub fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::PartitionDefinition(
            "a partition key may not be empty".into(),
        ));
    }
    match key
        .bytes()
        .find(|byte| matches!(byte, b'|' | b','))
        .map(char::from)
    {
        Some(found) => Err(Error::PartitionDefinition(format!(
            "the key {key:?} holds the reserved character {found:?}; '|' and ',' separate keys in their text form"
        ))),
        None => Ok(()),
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends && self.text == other.text
    }
}

impl Eq for Labels {}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> serde::Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names: Vec<String> = serde::Deserialize::deserialize(deserializer)?;
        Self::new(names).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_names_are_inverse() {
        let labels = Labels::new(["us", "eu", "asia"]).expect("distinct");
        for (position, name) in ["us", "eu", "asia"].into_iter().enumerate() {
            assert_eq!(labels.get(position as u32), name);
            assert_eq!(labels.position(name), Some(position as u32));
        }
        assert_eq!(labels.position("u"), None);
    }

    #[test]
    fn duplicates_empty_and_reserved_are_refused() {
        for (names, told) in [
            (vec!["a", "b", "a"], "number 1 and number 3"),
            (vec![""], "may not be empty"),
            (vec!["a|b"], "reserved character '|'"),
            (vec!["a,b"], "reserved character ','"),
        ] {
            let error = Labels::new(names).expect_err("refused").to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
