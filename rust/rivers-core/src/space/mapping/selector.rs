//! Partitions of a downstream that need an upstream without partitions: keys and ranges, as given.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashSet;
use roaring::RoaringTreemap;

use crate::error::{did_you_mean, some_of};
use crate::space::axis::Axis;
use crate::space::definition::{Definition, Dimension};
use crate::space::key::Key;
use crate::space::product::Space;
use crate::space::range::{DimRange, RangeEnd, RangeSpec};
use crate::space::selection::{IndexSet, Members, PositionSet, Selection};
use crate::space::time::{Calendar, DAY, GivenTime, NotAWindow, TimeAxis, TimeFormat, wall_span};

/// A key or a range that names downstream partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Selector {
    /// The partitions of a key.
    Key(Key),
    /// The partitions of a range.
    Range(RangeSpec),
}

/// Distinct selectors in the order given. Lists are equal if they have the same selectors.
#[derive(Debug, Clone)]
pub struct Selectors(Vec<Selector>);

impl Selectors {
    /// Keeps the first of equal selectors.
    pub fn new(selectors: impl IntoIterator<Item = Selector>) -> Self {
        let mut seen = HashSet::new();
        let mut distinct = selectors.into_iter().collect::<Vec<_>>();
        distinct.retain(|selector| seen.insert(selector.clone()));
        Self(distinct)
    }

    /// The selectors, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Selector> {
        self.0.iter()
    }

    pub(super) fn into_list(self) -> Vec<Selector> {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that each selector names partitions of the definition, which it has or can come to have.
    ///
    /// # Errors
    /// The reason for the refusal, as the end of a sentence.
    pub(super) fn check(&self, definition: &Definition) -> Result<(), String> {
        let dims = definition.dimensions();
        let is_multi = matches!(definition, Definition::Multi(_));
        for selector in &self.0 {
            let parts = selector.parts();
            let unnamed = parts.iter().any(|(name, _)| name.is_empty());
            if unnamed == is_multi {
                return Err(format!(
                    "for_keys has {}, but its partitions have {}",
                    if is_multi {
                        "a selector without dimension names"
                    } else {
                        "a selector of named dimensions"
                    },
                    if is_multi {
                        format!(
                            "the dimensions {}",
                            some_of(dims.iter().map(|(name, _)| *name))
                        )
                    } else {
                        "a single dimension".to_owned()
                    }
                ));
            }
            for (name, part) in &parts {
                let Some((_, dimension)) = dims.iter().find(|(own, _)| own == name) else {
                    let names = || dims.iter().map(|(own, _)| *own);
                    return Err(format!(
                        "for_keys names the dimension {name:?}, which it does not have; the dimensions are {}{}",
                        some_of(names()),
                        did_you_mean(name, names())
                    ));
                };
                check_part(part, dimension)?;
            }
            let named = |name: &str| parts.iter().any(|(own, _)| *own == name);
            if let (Selector::Key(_), Some((missing, _))) =
                (selector, dims.iter().find(|(name, _)| !named(name)))
            {
                return Err(format!(
                    "a key of for_keys has no value for the dimension {missing:?}; a key names all \
                     dimensions, a range can omit some"
                ));
            }
        }
        Ok(())
    }

    /// Whether a selector names one of these partitions.
    pub(super) fn name_any_of(&self, of: &Selection) -> bool {
        let named = |selector: &Selector| selector.select(of.space());
        self.0
            .iter()
            .filter_map(named)
            .any(|own| match of.members() {
                Members::One(one) => own.contains(*one),
                Members::Product(_) | Members::Explicit(_) => !of.intersection(&own).is_empty(),
            })
    }

    /// All partitions of the space that a selector names, ascending.
    pub(super) fn select(&self, space: &Arc<Space>) -> Selection {
        let mut named = self.0.iter().filter_map(|selector| selector.select(space));
        match (named.next(), named.next()) {
            (None, _) => Selection::empty(space),
            (Some(only), None) => only,
            (Some(first), Some(second)) => {
                let found = [first, second].into_iter().chain(named);
                let found =
                    found.fold(RoaringTreemap::new(), |found, own| found | own.to_treemap());
                let members = Members::Explicit(PositionSet::ascending(found));
                Selection::new(Arc::clone(space), members)
            }
        }
    }
}

impl PartialEq for Selectors {
    fn eq(&self, other: &Self) -> bool {
        let own: HashSet<&Selector> = self.0.iter().collect();
        self.0.len() == other.0.len() && other.0.iter().all(|selector| own.contains(selector))
    }
}

impl Eq for Selectors {}

impl Hash for Selectors {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let one = |selector: &Selector| {
            let mut hasher = DefaultHasher::new();
            selector.hash(&mut hasher);
            hasher.finish()
        };
        // A sum does not depend on the order.
        self.0
            .iter()
            .map(one)
            .fold(0, u64::wrapping_add)
            .hash(state);
    }
}

impl Selector {
    /// A range in which the order of dimensions and of listed keys does not matter.
    pub fn range(spec: RangeSpec) -> Self {
        let sorted = |part: DimRange| match part {
            DimRange::Keys(mut keys) => {
                keys.sort_unstable_by_key(RangeEnd::to_string);
                keys.dedup();
                DimRange::Keys(keys)
            }
            DimRange::Range(..) => part,
        };
        Self::Range(match spec {
            RangeSpec::Single(part) => RangeSpec::Single(sorted(part)),
            RangeSpec::Multi(named) => {
                let named = named.into_iter().map(|(name, part)| (name, sorted(part)));
                let mut named: Vec<_> = named.collect();
                named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                RangeSpec::Multi(named)
            }
        })
    }

    /// The part of each dimension that is named; a single dimension has an empty name.
    fn parts(&self) -> Vec<(&str, DimRange)> {
        match self {
            Self::Key(Key::Single(values)) => vec![("", listed(values))],
            Self::Key(Key::Multi(named)) => named
                .iter()
                .map(|(name, values)| (name.as_str(), listed(values)))
                .collect(),
            Self::Range(RangeSpec::Single(part)) => vec![("", part.clone())],
            Self::Range(RangeSpec::Multi(named)) => named
                .iter()
                .map(|(name, part)| (name.as_str(), part.clone()))
                .collect(),
        }
    }

    /// Its partitions in a space, without those that do not exist (yet); `None` if there are none.
    fn select(&self, space: &Arc<Space>) -> Option<Selection> {
        let parts = self.parts();
        let set = |name: &str, axis: &Axis| match parts.iter().find(|(own, _)| *own == name) {
            Some((_, part)) => positions(part, axis),
            None => IndexSet::Range(0..axis.len()),
        };
        let sets = space.dims().iter().map(|dim| set(&dim.name, &dim.axis));
        let found = Selection::new(Arc::clone(space), Members::Product(sets.collect()));
        (!found.is_empty()).then_some(found)
    }
}

fn listed(values: &[String]) -> DimRange {
    DimRange::Keys(values.iter().cloned().map(RangeEnd::Text).collect())
}

/// The positions of a part on an axis, without keys that do not exist. What is not registered, or
/// begins later, comes after all keys.
fn positions(part: &DimRange, axis: &Axis) -> IndexSet {
    let spans = match part {
        DimRange::Range(from, to) => {
            let (first, last) = (position(from, axis, false), position(to, axis, true));
            let beyond = last.saturating_add(1).min(axis.len());
            return IndexSet::Range(if first < beyond { first..beyond } else { 0..0 });
        }
        DimRange::Keys(keys) => keys.iter().map(|key| match key {
            RangeEnd::Text(text) if axis.position(text).is_none() && axis.time().is_none() => 0..0,
            RangeEnd::Open | RangeEnd::Text(_) | RangeEnd::Time(_) => {
                let beyond = position(key, axis, true).saturating_add(1);
                position(key, axis, false)..beyond.min(axis.len())
            }
        }),
    };
    IndexSet::from_positions(spans.flatten())
}

/// The position of the first or the last key that an end means; the number of keys if all come before.
fn position(end: &RangeEnd, axis: &Axis, last: bool) -> u32 {
    let found = match (end, axis) {
        (RangeEnd::Open, _) => return if last { axis.len() } else { 0 },
        (RangeEnd::Text(text), Axis::Labels(labels)) => {
            return labels.position(text).unwrap_or(labels.len());
        }
        (RangeEnd::Time(_), Axis::Labels(labels)) => return labels.len(),
        (_, Axis::Time(time)) => on_grid(end, time, last),
    };
    match found {
        Ok(position) => position,
        Err(NotAWindow::BeforeStart) if !last => 0,
        Err(_) => axis.len(),
    }
}

fn on_grid(end: &RangeEnd, time: &TimeAxis, last: bool) -> Result<u32, NotAWindow> {
    match end {
        RangeEnd::Open => Ok(if last { time.len() } else { 0 }),
        RangeEnd::Text(text) => time.end_of_range(text, last),
        RangeEnd::Time(given) => time.end_of_time(*given, last),
    }
}

fn check_part(part: &DimRange, dimension: &Dimension) -> Result<(), String> {
    let unknown = |end: &RangeEnd| {
        let hint = match (dimension, end) {
            (Dimension::Static(labels), RangeEnd::Text(key)) => did_you_mean(key, labels.iter()),
            _ => String::new(),
        };
        Err(format!(
            "for_keys names the key {end}, which it does not have{hint}"
        ))
    };
    match part {
        DimRange::Keys(keys) if keys.is_empty() => Err("for_keys has an empty list of keys".into()),
        DimRange::Keys(keys) => {
            let missing = keys.iter().find(|key| !may_name(dimension, key, false));
            missing.map_or(Ok(()), unknown)
        }
        DimRange::Range(from, to) => {
            if !may_name(dimension, from, false) {
                return unknown(from);
            }
            if !may_name(dimension, to, true) {
                return unknown(to);
            }
            let inverted = match (dimension, from, to) {
                (Dimension::Static(labels), RangeEnd::Text(from), RangeEnd::Text(to)) => {
                    labels.position(from) > labels.position(to)
                }
                (Dimension::Time(calendar), ..) => starts_after(calendar, from, to),
                _ => false,
            };
            if inverted {
                return Err(format!(
                    "the range of for_keys is inverted: it starts at {from}, which comes after its end {to}; \
                     swap them"
                ));
            }
            Ok(())
        }
    }
}

/// Whether an end of a range names keys of the dimension, now or later.
fn may_name(dimension: &Dimension, end: &RangeEnd, last: bool) -> bool {
    match (dimension, end) {
        (_, RangeEnd::Open) => true,
        (_, RangeEnd::Text(key)) if dimension.may_have(key) => true,
        (Dimension::Time(calendar), _) => match far(calendar, [end]) {
            Some(axis) => on_grid(end, &axis, last).is_ok(),
            // Relative to the present, such as "today".
            None => matches!(end, RangeEnd::Text(text) if relates_to_now(calendar, text)),
        },
        (Dimension::Static(_) | Dimension::Dynamic(_), _) => false,
    }
}

/// Whether a text means a time relative to the present, which the grid reaches one day.
fn relates_to_now(calendar: &Arc<Calendar>, text: &str) -> bool {
    let axis = calendar.at(calendar.after_start(DAY));
    axis.is_ok_and(|axis| !matches!(axis.end_of_range(text, false), Err(NotAWindow::Format)))
}

/// Whether the first of two ends comes after the second, as far as that does not depend on the present.
fn starts_after(calendar: &Arc<Calendar>, from: &RangeEnd, to: &RangeEnd) -> bool {
    let ends = [from, to].map(|end| far(calendar, [end]).is_some() || *end == RangeEnd::Open);
    let Some(axis) = far(calendar, [from, to]).filter(|_| ends == [true, true]) else {
        return false;
    };
    matches!((on_grid(from, &axis, false), on_grid(to, &axis, true)), (Ok(first), Ok(last)) if first > last)
}

/// The windows up to the latest of these ends; `None` if none of them is a time by itself.
fn far<const N: usize>(calendar: &Arc<Calendar>, ends: [&RangeEnd; N]) -> Option<TimeAxis> {
    let format = TimeFormat::new(&calendar.declared().fmt).ok()?;
    let time = |end: &&RangeEnd| match end {
        RangeEnd::Open => None,
        RangeEnd::Text(text) => format.parse(text).or_else(|| Some(wall_span(text)?.1)),
        RangeEnd::Time(GivenTime::Day(time) | GivenTime::Wall(time) | GivenTime::Utc(time)) => {
            Some(*time)
        }
    };
    let last = ends.iter().filter_map(time).max()?;
    // An end shows the wall clock, which no zone puts more than a day apart from UTC.
    calendar.at(last.saturating_add(2 * DAY)).ok()
}
