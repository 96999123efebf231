//! Whether a partition may need several partitions of an upstream: a property of the mapping and the
//! definitions, never of how many partitions there happen to be.

use std::sync::Arc;

use super::dimension_link::Link;
use super::kind::Mapping;
use crate::space::product::Space;
use crate::space::time::{Grid, Nanos, SECOND, TimeAxis};

/// Number of windows that are looked at where the grids are not both even, in one zone.
const COMPARED_WINDOWS: u32 = 100;

impl Mapping {
    /// Whether one partition of `down` may need several partitions of `up`.
    ///
    /// `false` if the mapping cannot relate them.
    pub fn gives_several(&self, down: &Space, up: &Space) -> bool {
        let links = self.links_of(down, up);
        links.is_ok_and(|links| links.iter().any(|link| link.gives_several(down, up)))
    }
}

impl Link<'_> {
    fn gives_several(&self, down: &Space, up: &Space) -> bool {
        // A dimension that no dimension of the downstream determines is taken whole.
        let Some(own) = self.down else {
            return true;
        };
        match self.mapping {
            Mapping::AllPartitions | Mapping::SpecificPartitions(_) => true,
            Mapping::Static(pairs) => pairs.values().any(|keys| keys.len() > 1),
            Mapping::TimeWindow { start, end } if start != end => true,
            Mapping::TimeWindow { .. } => {
                let (down, up) = (&down.dims()[own].axis, &up.dims()[self.up].axis);
                let grids = down.time().zip(up.time());
                grids.is_some_and(|(down, up)| may_overlap_several(down, up))
            }
            Mapping::Identity
            | Mapping::ForKeys(_)
            | Mapping::Subset
            | Mapping::Multi(_)
            | Mapping::MultiToSingle { .. } => false,
        }
    }
}

/// Whether a window of `down` can overlap several windows of `up`, wherever the two grids start and end.
fn may_overlap_several(down: &TimeAxis, up: &TimeAxis) -> bool {
    let (own, other) = (down.calendar().declared(), up.calendar().declared());
    if own.zone == other.zone {
        match (&own.grid, &other.grid) {
            (Grid::Interval(step), Grid::Interval(wider)) => {
                let between = own.start - other.start;
                return wider % step != 0 || between % Nanos::from(*step) != 0;
            }
            (Grid::WallClock(step), Grid::WallClock(wider)) => {
                let between = own.start - other.start;
                return wider % step != 0 || between % (Nanos::from(*step) * SECOND) != 0;
            }
            (own, other) if own == other => return false,
            _ => {}
        }
    }
    let first = TimeAxis::with_len(Arc::clone(down.calendar()), COMPARED_WINDOWS);
    let down = first.as_ref().unwrap_or(down);
    let windows = (0..down.len()).map(|n| down.window(n));
    let Some(last) = down.len().checked_sub(1) else {
        return false;
    };
    let reached = up.reaching(down.window(0).0, down.window(last).1);
    let up = reached.as_ref().map_or(up, |(wide, _)| wide);
    windows
        .into_iter()
        .any(|(start, end)| !up.is_empty() && up.overlapping(start, end).len() > 1)
}
