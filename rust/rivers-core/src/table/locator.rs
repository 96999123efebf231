//! Finds the partition of one space in rows whose partitions belong to the same or another space.

use std::ops::Range;

use super::layout::{Layout, Rows};
use crate::space::{Axis, Space};

/// Marks a key that the other space lacks.
const ABSENT: u64 = u64::MAX;

/// Finds the partitions of `to` in rows of partitions of `from`.
pub(super) struct Locator<'a> {
    layout: &'a Layout,
    from: &'a Space,
    dims: Vec<Found>,
    same: bool,
}

/// What a dimension contributes to a partition's number in the other space.
enum Found {
    /// Indexed by the row's index in the grid.
    Table(Vec<u64>),
    /// Indexed by position.
    Axis(AxisMap, u64),
}

/// Maps a position to the position of the equal key and window in the other space.
enum AxisMap {
    /// Equal positions, below this length.
    Below(u32),
    /// A lookup table.
    Table(Vec<Option<u32>>),
}

impl AxisMap {
    fn new(from: &Axis, to: &Axis, used: Option<&[u32]>) -> Self {
        if let (Axis::Time(here), Axis::Time(there)) = (from, to)
            && here.calendar() == there.calendar()
        {
            return Self::Below(there.len());
        }
        if from == to {
            return Self::Below(to.len());
        }
        let find = |position: u32| from.same_position(to, position);
        Self::Table(match used {
            Some(used) => used.iter().map(|&position| find(position)).collect(),
            None => (0..from.len()).map(find).collect(),
        })
    }
}

impl<'a> Locator<'a> {
    /// Creates a locator, or `None` if the spaces do not have the same dimensions.
    pub(super) fn new(layout: &'a Layout, from: &'a Space, to: &Space) -> Option<Self> {
        let same = std::ptr::eq(from, to) || from == to;
        if from.dims().len() != to.dims().len() {
            return None;
        }
        let mut dims = Vec::with_capacity(from.dims().len());
        for (at, dim) in from.dims().iter().enumerate() {
            let there = to
                .dims()
                .iter()
                .position(|candidate| candidate.name == dim.name)?;
            let (axis, stride) = (&to.dims()[there].axis, to.stride(there));
            dims.push(match &layout.rows {
                Rows::Grid { dims, .. } => {
                    let positions = &dims[at].positions;
                    let add = |position: Option<u32>| {
                        position.map_or(ABSENT, |position| u64::from(position) * stride)
                    };
                    let below = |&position: &u32, end| add((position < end).then_some(position));
                    Found::Table(match AxisMap::new(&dim.axis, axis, Some(positions)) {
                        AxisMap::Below(end) => positions.iter().map(|at| below(at, end)).collect(),
                        AxisMap::Table(found) => found.into_iter().map(add).collect(),
                    })
                }
                Rows::Listed(_) if same => Found::Axis(AxisMap::Below(axis.len()), stride),
                Rows::Listed(_) => Found::Axis(AxisMap::new(&dim.axis, axis, None), stride),
            });
        }
        Some(Self {
            layout,
            from,
            dims,
            same,
        })
    }

    /// Calls `visit` with each row whose partition the other space has, in order, and with that
    /// partition.
    pub(super) fn for_each(&self, rows: Range<u64>, mut visit: impl FnMut(u64, u64)) {
        match &self.layout.rows {
            Rows::Grid { dims, nesting, .. } => {
                let Some((&fastest, slower)) = nesting.split_last() else {
                    rows.for_each(|row| visit(row, 0));
                    return;
                };
                let width = dims[fastest].positions.len() as u64;
                let mut row = rows.start;
                while row < rows.end {
                    let index = row % width;
                    let stop = rows.end.min(row - index + width);
                    let base = slower.iter().try_fold(0, |base, &dim| {
                        let len = dims[dim].positions.len() as u64;
                        let add = self.by_index(dim, (row / dims[dim].repeat % len) as usize);
                        (add != ABSENT).then(|| base + add)
                    });
                    if let Some(base) = base {
                        for row in row..stop {
                            let add = self.by_index(fastest, (row % width) as usize);
                            if add != ABSENT {
                                visit(row, base + add);
                            }
                        }
                    }
                    row = stop;
                }
            }
            Rows::Listed(partitions) => {
                for row in rows {
                    let partition = partitions[row as usize];
                    let there = if self.same {
                        Some(partition)
                    } else {
                        self.translate(partition)
                    };
                    if let Some(there) = there {
                        visit(row, there);
                    }
                }
            }
        }
    }

    /// The partition of a row, if the other space has it.
    pub(super) fn partition(&self, row: u64) -> Option<u64> {
        let mut found = None;
        self.for_each(row..row + 1, |_, partition| found = Some(partition));
        found
    }

    fn by_index(&self, dim: usize, index: usize) -> u64 {
        match &self.dims[dim] {
            Found::Table(table) => table[index],
            Found::Axis(..) => ABSENT,
        }
    }

    fn translate(&self, partition: u64) -> Option<u64> {
        let mut there = 0;
        for (at, found) in self.dims.iter().enumerate() {
            let Found::Axis(map, stride) = found else {
                return None;
            };
            let position = self.from.index(partition, at);
            let position = match map {
                AxisMap::Below(end) => (position < *end).then_some(position),
                AxisMap::Table(found) => found[position as usize],
            }?;
            there += u64::from(position) * stride;
        }
        Some(there)
    }
}
