//! Whether one declared dimension has all keys of another, now or once they exist.

use std::sync::Arc;

use crate::space::definition::Dimension;
use crate::space::time::{Calendar, DAY, Nanos};

/// Span after the start over which two grids are compared.
const COMPARED_SPAN: Nanos = 40 * 366 * DAY;
/// Number of first windows that are compared, and of windows spread evenly over the span.
const COMPARED_WINDOWS: u32 = 1_000;

/// A key of `down` that `up` does not have, described as the end of a sentence; `None` if `up` has all
/// of them, except for windows before its start or after its end.
pub(super) fn missing_key(down: &Dimension, up: &Dimension) -> Option<String> {
    if down == up {
        return None;
    }
    let key = |key: &str| format!("the key {key:?}");
    match (down, up) {
        (Dimension::Static(_), Dimension::Dynamic(name)) => Some(format!(
            "a list of keys, but those that are registered as {name:?}"
        )),
        (Dimension::Static(labels), Dimension::Static(_) | Dimension::Time(_)) => {
            labels.iter().find(|label| !up.may_have(label)).map(key)
        }
        (Dimension::Dynamic(name), _) => Some(format!("the keys that are registered as {name:?}")),
        (Dimension::Time(own), Dimension::Time(other)) => missing_window(own, other),
        (Dimension::Time(own), Dimension::Static(_) | Dimension::Dynamic(_)) => {
            let axis = own.at(own.declared().start).ok()?;
            let has_all = own.declared().end.is_some() && matches!(up, Dimension::Static(_));
            let mut labels = (0..axis.len()).map(|n| axis.label(n));
            match has_all {
                true => labels
                    .find(|label| !up.may_have(label))
                    .map(|label| key(&label)),
                false => Some("all time windows".into()),
            }
        }
    }
}

/// The key of a window of `down` that is not a window of `up` with that start and key.
fn missing_window(down: &Arc<Calendar>, up: &Arc<Calendar>) -> Option<String> {
    let whole = |calendar: &Arc<Calendar>| calendar.at(calendar.after_start(COMPARED_SPAN)).ok();
    let own = whole(down)?;
    let last = own.len().checked_sub(1)?;
    // The grid of the upstream, without its own start and end.
    let other = whole(up).and_then(|up| up.reaching(own.start_of(0), own.window(last).1));
    let has = |n: u32| {
        let (other, _) = other.as_ref()?;
        let there = other.position(&own.label(n)).ok()?;
        (other.start_of(there) == own.start_of(n)).then_some(())
    };
    // An odd step reaches all hours; an even one could always hit midnight.
    let spread = (own.len() / COMPARED_WINDOWS) | 1;
    let first = 0..COMPARED_WINDOWS.min(own.len());
    let rest = (0..COMPARED_WINDOWS).map(|n| n.saturating_mul(spread));
    let rest = rest.filter(|&n| n < own.len());
    let missing = first.chain(rest).chain([last]).find(|&n| has(n).is_none());
    missing.map(|n| format!("the key {:?}", own.label(n)))
}
