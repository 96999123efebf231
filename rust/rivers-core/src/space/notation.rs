//! Keys, ranges and mappings as the Python expressions that make them, for `repr`.

use std::collections::BTreeSet;

use super::key::Key;
use super::mapping::{Mapping, Selector};
use super::range::{DimRange, RangeEnd, RangeSpec};
use super::time::{GivenTime, to_datetime};

/// A text as a literal in double quotes. JSON's escapes are also those of Python.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn dict(entries: impl IntoIterator<Item = (impl AsRef<str>, String)>) -> String {
    let entry = |(name, value): (_, String)| format!("{}: {value}", quoted(AsRef::as_ref(&name)));
    let entries: Vec<String> = entries.into_iter().map(entry).collect();
    format!("{{{}}}", entries.join(", "))
}

/// One text, or a sorted list of several.
fn one_or_list(texts: &BTreeSet<String>) -> String {
    match texts.first() {
        Some(only) if texts.len() == 1 => quoted(only),
        _ => list(texts),
    }
}

fn sorted(texts: &[String]) -> BTreeSet<String> {
    texts.iter().cloned().collect()
}

impl Key {
    /// The expression that makes the key: `PartitionKey("x")`; values and dimensions are sorted.
    pub fn notation(&self) -> String {
        let value = match self {
            Self::Single(values) => one_or_list(&sorted(values)),
            Self::Multi(named) => {
                let mut named: Vec<_> = named.iter().collect();
                named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                dict(
                    named
                        .into_iter()
                        .map(|(name, values)| (name, one_or_list(&sorted(values)))),
                )
            }
        };
        format!("PartitionKey({value})")
    }
}

impl RangeEnd {
    /// The expression that makes the end; times need `import datetime`.
    fn notation(&self) -> String {
        let (time, zone) = match self {
            Self::Open => return "None".into(),
            Self::Text(text) => return quoted(text),
            Self::Time(GivenTime::Day(time)) => {
                let day = to_datetime(*time).format("%Y, %-m, %-d");
                return format!("datetime.date({day})");
            }
            Self::Time(GivenTime::Wall(time)) => (time, ""),
            Self::Time(GivenTime::Utc(time)) => (time, ", tzinfo=datetime.timezone.utc"),
        };
        let time = to_datetime(*time);
        let micros = match time.and_utc().timestamp_subsec_micros() {
            0 => String::new(),
            micros => format!(", {micros}"),
        };
        let time = time.format("%Y, %-m, %-d, %-H, %-M, %-S");
        format!("datetime.datetime({time}{micros}{zone})")
    }
}

impl RangeSpec {
    /// The expression that makes the range.
    pub fn notation(&self) -> String {
        let keys = |keys: &[RangeEnd]| {
            let keys: BTreeSet<String> = keys.iter().map(RangeEnd::notation).collect();
            format!("[{}]", keys.into_iter().collect::<Vec<_>>().join(", "))
        };
        let part = |part: &DimRange| match part {
            DimRange::Range(from, to) => format!("({}, {})", from.notation(), to.notation()),
            DimRange::Keys(listed) => keys(listed),
        };
        match self {
            Self::Single(DimRange::Range(from, to)) => format!(
                "PartitionKeyRange.single(from_key={}, to_key={})",
                from.notation(),
                to.notation()
            ),
            Self::Single(DimRange::Keys(listed)) => format!("PartitionKey({})", keys(listed)),
            Self::Multi(named) => {
                let named = dict(named.iter().map(|(name, own)| (name, part(own))));
                format!("PartitionKeyRange.multi({named})")
            }
        }
    }
}

impl Mapping {
    /// The expression that makes the mapping: its name and its arguments.
    pub fn notation(&self) -> String {
        let arguments = match self {
            Self::Identity | Self::AllPartitions | Self::Subset => String::new(),
            Self::Static(pairs) => dict(pairs.iter().map(|(key, to)| (key, one_or_list(to)))),
            Self::TimeWindow { start, end } if start == end => format!("offset={start}"),
            Self::TimeWindow { start, end } => format!("start_offset={start}, end_offset={end}"),
            Self::SpecificPartitions(keys) => list(keys),
            Self::ForKeys(selectors) => {
                let one = |selector: &Selector| match selector {
                    Selector::Key(key) => key.notation(),
                    Selector::Range(range) => range.notation(),
                };
                format!(
                    "[{}]",
                    selectors.iter().map(one).collect::<Vec<_>>().join(", ")
                )
            }
            Self::Multi(named) => dict(named.iter().map(|(up, (down, inner))| {
                let inner = inner.notation();
                let value = if up == down {
                    inner
                } else {
                    format!("({}, {inner})", quoted(down))
                };
                (up, value)
            })),
            Self::MultiToSingle { dim, mapping } => format!(
                "dimension_name={}, partition_mapping={}",
                quoted(dim),
                mapping.notation()
            ),
        };
        format!("PartitionMapping.{}({arguments})", self.name())
    }
}
