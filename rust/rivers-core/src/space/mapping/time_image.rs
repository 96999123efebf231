//! Images between two time grids: the windows of one that overlap those of the other, at an offset.
//!
//! Windows are compared as times, so the grids can have different zones.

use std::cell::OnceCell;
use std::ops::Range;

use crate::space::selection::IndexSet;
use crate::space::time::TimeAxis;

/// The upstream windows that overlap these downstream windows, moved by `offset` downstream windows.
pub(super) fn image(set: &IndexSet, down: &TimeAxis, up: &TimeAxis, offset: i64) -> IndexSet {
    let shift = Shift::new(down, up, offset);
    union(set, |span| {
        let spans = shift.contiguous(span).into_iter();
        // Between these windows there are no gaps, so the windows that overlap a span are a span, too.
        spans
            .map(|span| shift.overlap(span.start).start..shift.overlap(span.end - 1).end)
            .collect()
    })
}

/// The downstream windows whose image intersects the set.
pub(super) fn preimage(set: &IndexSet, down: &TimeAxis, up: &TimeAxis, offset: i64) -> IndexSet {
    let shift = Shift::new(down, up, offset);
    union(set, |span| {
        // A downstream window that lies between two spans overlaps neither.
        let spans = up.contiguous(span).into_iter();
        spans
            .map(|span| {
                // Both ends of the overlap are monotonic in the window's number.
                let first = shift.first(|overlap| overlap.end > span.start);
                let beyond = shift.first(|overlap| overlap.start >= span.end);
                first..beyond
            })
            .collect()
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

/// The downstream's windows at an offset, and what they overlap.
struct Shift<'a> {
    down: &'a TimeAxis,
    up: &'a TimeAxis,
    offset: i64,
    /// The downstream's grid as far as the upstream reaches, and the position of its first window there.
    wide: OnceCell<Option<(TimeAxis, u32)>>,
}

impl<'a> Shift<'a> {
    fn new(down: &'a TimeAxis, up: &'a TimeAxis, offset: i64) -> Self {
        Self {
            down,
            up,
            offset,
            wide: OnceCell::new(),
        }
    }

    /// The upstream windows that overlap the window at `offset` from the `n`-th.
    fn overlap(&self, n: u32) -> Range<u32> {
        if self.up.is_empty() {
            return 0..0;
        }
        let (start, end) = self.window(i64::from(n).saturating_add(self.offset));
        self.up.overlapping(start, end)
    }

    /// Divides a span of windows where, at `offset` from them, windows are left out.
    fn contiguous(&self, span: Range<u32>) -> Vec<Range<u32>> {
        if !self.down.has_gaps() {
            return vec![span];
        }
        let at = |n: u32| i64::from(n).saturating_add(self.offset);
        let inside = |n: i64| (0..=i64::from(self.down.len())).contains(&n);
        if !(inside(at(span.start)) && inside(at(span.end))) {
            // Near an edge there are few windows, or all overlap nothing.
            return self.contiguous_near_edge(span);
        }
        let moved = self
            .down
            .contiguous(at(span.start) as u32..at(span.end) as u32);
        let back = |n: u32| (i64::from(n) - self.offset) as u32;
        moved
            .into_iter()
            .map(|span| back(span.start)..back(span.end))
            .collect()
    }

    fn contiguous_near_edge(&self, span: Range<u32>) -> Vec<Range<u32>> {
        let Some((wide, first)) = self.wide() else {
            return vec![span];
        };
        let len = i64::from(wide.len());
        let shift = self.offset.saturating_add(i64::from(*first));
        let to_wide = |n: u32| i64::from(n).saturating_add(shift);
        // The parts before and after the wide grid overlap nothing.
        let at = |n: i64| {
            n.saturating_sub(shift)
                .clamp(i64::from(span.start), i64::from(span.end)) as u32
        };
        let inside = at(0)..at(len);
        if inside.is_empty() {
            return vec![span];
        }
        let moved = wide.contiguous(to_wide(inside.start) as u32..to_wide(inside.end) as u32);
        moved
            .into_iter()
            .map(|span| at(i64::from(span.start))..at(i64::from(span.end)))
            .collect()
    }

    /// Start and end of the downstream's `n`-th window, where `n` can lie outside its windows.
    fn window(&self, n: i64) -> (i64, i64) {
        let len = self.down.len();
        if let Some(n) = u32::try_from(n).ok().filter(|&n| n < len) {
            return self.down.window(n);
        }
        if let Some(window) = self.down.window_beyond(n) {
            return window;
        }
        let beyond = if n < 0 { i64::MIN } else { i64::MAX };
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

    /// The first window for which `holds` returns true; it must be monotonic.
    fn first(&self, holds: impl Fn(Range<u32>) -> bool) -> u32 {
        let (mut low, mut high) = (0, self.down.len());
        while low < high {
            let middle = low.midpoint(high);
            if holds(self.overlap(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}
