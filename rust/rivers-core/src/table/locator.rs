//! Which partition of a space stands in a row whose partitions are of another space, or the same.

use std::ops::Range;

use super::layout::{Layout, Rows};
use crate::space::{Axis, Space};

/// Says that a key is not there.
const ABSENT: u64 = u64::MAX;

/// Finds the partitions of `to` in rows of partitions of `from`.
pub(super) struct Locator<'a> {
    layout: &'a Layout,
    from: &'a Space,
    dims: Vec<Found>,
    same: bool,
}

/// What a dimension adds to a partition's number there.
enum Found {
    /// By place in the grid.
    Table(Vec<u64>),
    /// By position.
    Axis(AxisMap, u64),
}

/// From a position here to the position of the same key there.
enum AxisMap {
    /// The same, while below this.
    Below(u32),
    /// Looked up.
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
        let find = |position: u32| to.position(&from.label(position));
        Self::Table(match used {
            Some(used) => used.iter().map(|&position| find(position)).collect(),
            None => (0..from.len()).map(find).collect(),
        })
    }
}

impl<'a> Locator<'a> {
    /// `None` where the spaces do not have the same dimensions.
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

    /// Calls `visit` with each of the rows, in order, whose partition is there, and that partition.
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
                    let place = row % width;
                    let stop = rows.end.min(row - place + width);
                    let base = slower.iter().try_fold(0, |base, &dim| {
                        let len = dims[dim].positions.len() as u64;
                        let add = self.by_place(dim, (row / dims[dim].repeat % len) as usize);
                        (add != ABSENT).then(|| base + add)
                    });
                    if let Some(base) = base {
                        for row in row..stop {
                            let add = self.by_place(fastest, (row % width) as usize);
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

    /// The partition in a row, if it is there.
    pub(super) fn partition(&self, row: u64) -> Option<u64> {
        let mut found = None;
        self.for_each(row..row + 1, |_, partition| found = Some(partition));
        found
    }

    fn by_place(&self, dim: usize, place: usize) -> u64 {
        match &self.dims[dim] {
            Found::Table(table) => table[place],
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
