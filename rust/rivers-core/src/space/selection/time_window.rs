//! The time window that a selection covers.

use super::{Members, Selection};
use crate::error::{Error, Result, some_of};
use crate::space::axis::Axis;
use crate::space::time::Nanos;

/// Start and end of a window in UTC, and the name of its zone.
type TimeWindow<'a> = ((Nanos, Nanos), Option<&'a str>);

impl Selection {
    /// The half-open window, in UTC, from the start of the earliest selected window to the end of the
    /// latest, and the name of its zone. `dimension` can be omitted if there is only one time dimension.
    ///
    /// # Errors
    /// `PartitionValidation` when there is no such time dimension, or several and none is named.
    pub fn time_window(&self, dimension: Option<&str>) -> Result<TimeWindow<'_>> {
        let refused = |reason: String| Err(Error::PartitionValidation(reason));
        let dims = self.space().dims();
        let timed = || dims.iter().filter(|dim| matches!(dim.axis, Axis::Time(_)));
        let at = match dimension {
            Some(name) => self.space().dimension(name)?,
            None => match timed().count() {
                1 => dims
                    .iter()
                    .position(|dim| matches!(dim.axis, Axis::Time(_)))
                    .unwrap_or_default(),
                0 => {
                    return refused(
                        "the partitions have no time dimension, so there is no time window".into(),
                    );
                }
                _ => {
                    let names: Vec<&str> = timed().map(|dim| dim.name.as_str()).collect();
                    return refused(format!(
                        "there are several time dimensions; name one of {}",
                        some_of(names.into_iter())
                    ));
                }
            },
        };
        let Axis::Time(time) = &dims[at].axis else {
            return refused(format!(
                "the dimension {:?} has no time windows",
                dims[at].name
            ));
        };
        let bounds = match self.members() {
            Members::Product(sets) if !sets[at].is_empty() => {
                Some((sets[at].nth(0), sets[at].nth(sets[at].len() - 1)))
            }
            Members::Product(_) => None,
            Members::One(one) => Some((self.space().index(*one, at), self.space().index(*one, at))),
            Members::Explicit(set) => set
                .set()
                .iter()
                .map(|partition| self.space().index(partition, at))
                .fold(None, |bounds: Option<(u32, u32)>, index| match bounds {
                    Some((first, last)) => Some((first.min(index), last.max(index))),
                    None => Some((index, index)),
                }),
        };
        match bounds {
            Some((first, last)) => Ok((
                (time.start_of(first), time.window(last).1),
                time.zone_name(),
            )),
            None => refused("there is no partition, so there is no time window".into()),
        }
    }
}
