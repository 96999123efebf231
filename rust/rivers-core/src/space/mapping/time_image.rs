//! Images between two time grids: the windows of one that overlap those of the other, from one offset
//! to another.
//!
//! Windows are compared as times, so the grids can have different zones.

use std::cell::OnceCell;
use std::ops::Range;

use crate::space::selection::IndexSet;
use crate::space::time::{Nanos, TimeAxis};

/// Offsets of the first and the last window, in downstream windows.
type Offsets = (i64, i64);

/// The upstream windows that overlap the windows at these offsets from the given downstream windows.
pub(super) fn image(set: &IndexSet, down: &TimeAxis, up: &TimeAxis, offsets: Offsets) -> IndexSet {
    let grids = Grids::new(down, up);
    union(set, |span| {
        let reached = i64::from(span.start).saturating_add(offsets.0)
            ..i64::from(span.end).saturating_add(offsets.1);
        // Between these windows there are no gaps, so the windows that overlap a span are a span, too.
        let overlap = |span: Range<i64>| {
            grids.overlap(span.start).start..grids.overlap(span.end.saturating_sub(1)).end
        };
        grids.contiguous(reached).into_iter().map(overlap).collect()
    })
}

/// The downstream windows whose image intersects the set.
pub(super) fn preimage(
    set: &IndexSet,
    down: &TimeAxis,
    up: &TimeAxis,
    offsets: Offsets,
) -> IndexSet {
    let grids = Grids::new(down, up);
    let len = i64::from(down.len());
    let all = offsets.0..len.saturating_add(offsets.1);
    union(set, |span| {
        // A downstream window that lies between two spans overlaps neither.
        let needing = |span: Range<u32>| {
            // Both ends of the overlap are monotonic in the window's number.
            let first = grids.first(&all, |overlap| overlap.end > span.start);
            let beyond = grids.first(&all, |overlap| overlap.start >= span.end);
            if first >= beyond {
                return 0..0;
            }
            let within = |n: i64| n.clamp(0, len) as u32;
            within(first.saturating_sub(offsets.1))..within(beyond.saturating_sub(offsets.0))
        };
        up.contiguous(span).into_iter().map(needing).collect()
    })
}

/// The union of the images of the set's spans.
fn union(set: &IndexSet, of: impl Fn(Range<u32>) -> Vec<Range<u32>>) -> IndexSet {
    let spans: Vec<Range<u32>> = match set {
        IndexSet::Range(range) if range.is_empty() => Vec::new(),
        IndexSet::Range(range) => vec![range.clone()],
        IndexSet::Sparse(bitmap) => {
            let mut spans = Vec::new();
            let mut ranges = bitmap.iter();
            while let Some(range) = ranges.next_range() {
                // A sparse set ends before `u32::MAX`, since positions are less than a length that is
                // a `u32`.
                spans.push(*range.start()..*range.end() + 1);
            }
            spans
        }
    };
    let mut images = spans
        .into_iter()
        .flat_map(of)
        .filter(|range| !range.is_empty());
    let (first, second) = (images.next(), images.next());
    match (first, second) {
        (None, _) => IndexSet::Range(0..0),
        (Some(only), None) => IndexSet::Range(only),
        (Some(first), Some(second)) => {
            let mut found = roaring::RoaringBitmap::new();
            for range in [first, second].into_iter().chain(images) {
                found.insert_range(range);
            }
            IndexSet::from_bitmap(found)
        }
    }
}

/// The downstream's windows, also those before its first and after its last, and what they overlap.
struct Grids<'a> {
    down: &'a TimeAxis,
    up: &'a TimeAxis,
    /// The downstream's grid as far as the upstream reaches, and the position of its first window there.
    wide: OnceCell<Option<(TimeAxis, u32)>>,
}

impl<'a> Grids<'a> {
    fn new(down: &'a TimeAxis, up: &'a TimeAxis) -> Self {
        Self {
            down,
            up,
            wide: OnceCell::new(),
        }
    }

    /// The upstream windows that overlap the `n`-th downstream window.
    fn overlap(&self, n: i64) -> Range<u32> {
        if self.up.is_empty() {
            return 0..0;
        }
        let (start, end) = self.window(n);
        self.up.overlapping(start, end)
    }

    /// Divides a span of downstream windows where windows are left out.
    fn contiguous(&self, span: Range<i64>) -> Vec<Range<i64>> {
        if !self.down.has_gaps() {
            return vec![span];
        }
        let inside = 0..=i64::from(self.down.len());
        if inside.contains(&span.start) && inside.contains(&span.end) {
            return divided(self.down, 0, &span);
        }
        match self.wide() {
            // The parts before and after the wide grid overlap nothing.
            Some((wide, first)) => divided(wide, i64::from(*first), &span),
            None => vec![span],
        }
    }

    /// Start and end of the downstream's `n`-th window, where `n` can lie outside its windows.
    fn window(&self, n: i64) -> (Nanos, Nanos) {
        let len = self.down.len();
        if let Some(n) = u32::try_from(n).ok().filter(|&n| n < len) {
            return self.down.window(n);
        }
        if let Some(window) = self.down.window_beyond(n) {
            return window;
        }
        let beyond = if n < 0 { Nanos::MIN } else { Nanos::MAX };
        if !self.reaches_beyond(n < 0) {
            return (beyond, beyond);
        }
        let Some((wide, first)) = self.wide() else {
            return (beyond, beyond);
        };
        let at = u32::try_from(n.saturating_add(i64::from(*first))).ok();
        match at.filter(|&n| n < wide.len()) {
            Some(n) => wide.window(n),
            None => (beyond, beyond),
        }
    }

    /// Whether the upstream has time before the downstream's first window, or after its last one.
    fn reaches_beyond(&self, before: bool) -> bool {
        match (self.down.len().checked_sub(1), self.up.len().checked_sub(1)) {
            (Some(_), Some(_)) if before => self.up.start_of(0) < self.down.start_of(0),
            (Some(last), Some(up_last)) => self.up.window(up_last).1 > self.down.window(last).1,
            _ => false,
        }
    }

    fn wide(&self) -> Option<&(TimeAxis, u32)> {
        let reach = || {
            let last = self.up.len().checked_sub(1)?;
            let (from, to) = (self.up.start_of(0), self.up.window(last).1);
            self.down.reaching(from, to)
        };
        self.wide.get_or_init(reach).as_ref()
    }

    /// The first of these windows for which `holds` returns true; it must be monotonic.
    fn first(&self, windows: &Range<i64>, holds: impl Fn(Range<u32>) -> bool) -> i64 {
        let (mut low, mut high) = (windows.start, windows.end);
        while low < high {
            // Rounded down, unlike `midpoint`; the distance is positive, but can exceed `i64::MAX`.
            let middle = low + (high.wrapping_sub(low) as u64 / 2) as i64;
            if holds(self.overlap(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// Divides a span where windows of the grid are left out. The grid's numbers are greater by `first`.
fn divided(grid: &TimeAxis, first: i64, span: &Range<i64>) -> Vec<Range<i64>> {
    let within = |n: i64| n.saturating_add(first).clamp(0, i64::from(grid.len())) as u32;
    let part = within(span.start)..within(span.end);
    if part.is_empty() {
        return Vec::new();
    }
    let back = |span: Range<u32>| i64::from(span.start) - first..i64::from(span.end) - first;
    grid.contiguous(part).into_iter().map(back).collect()
}
