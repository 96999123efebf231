//! Whether a partition may need several partitions of an upstream: a property of the mapping and the
//! definitions, not of how many partitions there happen to be.

use super::dimension_link::Link;
use super::kind::Mapping;
use crate::space::product::Space;
use crate::space::time::TimeAxis;

impl Mapping {
    /// Whether one partition of `down` may need several partitions of `up`.
    pub fn gives_several(&self, down: &Space, up: &Space) -> bool {
        let links = self.links_of(down, up);
        links.is_ok_and(|links| links.iter().any(|link| link.gives_several(down, up)))
    }
}

impl Link<'_> {
    fn gives_several(&self, down: &Space, up: &Space) -> bool {
        // What no dimension of the downstream determines is taken whole.
        let Some(own) = self.down else {
            return true;
        };
        match self.mapping {
            Mapping::AllPartitions | Mapping::SpecificPartitions(_) => true,
            Mapping::Static(pairs) => pairs.values().any(|keys| keys.len() > 1),
            Mapping::TimeWindow { start, end } if start != end => true,
            Mapping::TimeWindow { .. } => {
                let (down, up) = (&down.dims()[own].axis, &up.dims()[self.up].axis);
                match (down.time(), up.time()) {
                    (Some(down), Some(up)) => is_finer(up, down),
                    _ => false,
                }
            }
            Mapping::Identity
            | Mapping::ForKeys(_)
            | Mapping::Subset
            | Mapping::Multi(_)
            | Mapping::MultiToSingle { .. } => false,
        }
    }
}

/// Whether the windows of a grid are shorter than those of another, on average.
fn is_finer(grid: &TimeAxis, other: &TimeAxis) -> bool {
    let mean = |axis: &TimeAxis| {
        let last = axis.len().checked_sub(1)?;
        let span = axis.window(last).1 - axis.window(0).0;
        Some(span as f64 / f64::from(axis.len()))
    };
    let equal = grid.calendar() == other.calendar();
    !equal && mean(grid) < mean(other)
}
