//! Images between two time grids: the windows of one that overlap those of the other, at an offset.

use std::ops::Range;

use crate::space::selection::IndexSet;
use crate::space::time::{Grid, TimeAxis};

/// The upstream windows that overlap these downstream windows, moved by `offset` downstream windows.
pub(super) fn image(set: &IndexSet, down: &TimeAxis, up: &TimeAxis, offset: i64) -> IndexSet {
    let shift = Shift::new(down, up, offset);
    union(set, |span| {
        let inside = span.start.max(shift.reach.start)..span.end.min(shift.reach.end);
        if inside.is_empty() {
            return 0..0;
        }
        // Windows have no gaps between them, so the windows that overlap a span are a span, too.
        shift.overlap(inside.start).start..shift.overlap(inside.end - 1).end
    })
}

/// The downstream windows whose image intersects the set.
pub(super) fn preimage(set: &IndexSet, down: &TimeAxis, up: &TimeAxis, offset: i64) -> IndexSet {
    let shift = Shift::new(down, up, offset);
    union(set, |span| {
        // Both ends of the overlap are monotonic in the window's number.
        let first = shift.first(|overlap| overlap.end > span.start);
        let beyond = shift.first(|overlap| overlap.start >= span.end);
        first..beyond
    })
}

/// The union of the images of the set's spans.
fn union(set: &IndexSet, of: impl Fn(Range<u32>) -> Range<u32>) -> IndexSet {
    let canonical =
        |range: Range<u32>| IndexSet::Range(if range.is_empty() { 0..0 } else { range });
    match set {
        IndexSet::Range(range) if range.is_empty() => IndexSet::Range(0..0),
        IndexSet::Range(range) => canonical(of(range.clone())),
        IndexSet::Sparse(bitmap) => {
            let mut found = roaring::RoaringBitmap::new();
            let mut spans = bitmap.iter();
            while let Some(span) = spans.next_range() {
                // A sparse set ends before `u32::MAX`, since positions are less than a length that is
                // a `u32`.
                let image = of(*span.start()..*span.end() + 1);
                if !image.is_empty() {
                    found.insert_range(image);
                }
            }
            IndexSet::from_bitmap(found)
        }
    }
}

struct Shift<'a> {
    down: &'a TimeAxis,
    up: &'a TimeAxis,
    offset: i64,
    /// The downstream windows for which the grid has a window at `offset`.
    reach: Range<u32>,
    /// Whether both grids have the same cron schedule.
    same_schedule: bool,
}

impl<'a> Shift<'a> {
    fn new(down: &'a TimeAxis, up: &'a TimeAxis, offset: i64) -> Self {
        let grids = (
            &down.calendar().declared().grid,
            &up.calendar().declared().grid,
        );
        let (goes_on, same_schedule) = match grids {
            (Grid::Interval(_), _) => (true, false),
            (Grid::Cron(own), Grid::Cron(other)) => (own == other, own == other),
            (Grid::Cron(_), Grid::Interval(_)) => (false, false),
        };
        let len = i64::from(down.len());
        let reach = if up.is_empty() {
            0..0
        } else if goes_on {
            0..down.len()
        } else {
            let at = |position: i64| position.saturating_sub(offset).clamp(0, len) as u32;
            at(0)..at(len)
        };
        Self {
            down,
            up,
            offset,
            reach,
            same_schedule,
        }
    }

    /// The upstream windows that overlap the window at `offset` from the `n`-th.
    fn overlap(&self, n: u32) -> Range<u32> {
        let (start, end) = self.window(i64::from(n).saturating_add(self.offset));
        let len = u64::from(self.up.len());
        let first = self
            .up
            .rank(start.saturating_add(1))
            .saturating_sub(1)
            .min(len);
        let beyond = self.up.rank(end).min(len);
        first as u32..beyond as u32
    }

    /// Start and end of the downstream's `n`-th window, where `n` can lie outside its grid.
    fn window(&self, n: i64) -> (i64, i64) {
        let declared = self.down.calendar().declared();
        if let Grid::Interval(step) = declared.grid {
            let at = |n: i64| {
                n.saturating_mul(i64::from(step))
                    .saturating_add(declared.start)
            };
            return (at(n), at(n.saturating_add(1)));
        }
        let len = self.down.len();
        let own = |n: i64| u32::try_from(n).ok().filter(|&n| n < len);
        if let Some(n) = own(n) {
            return self.down.window(n);
        }
        debug_assert!(
            self.same_schedule,
            "a grid that does not go on is asked within its reach"
        );
        // The grid continues as the upstream's does, counted from a window that both have. Without
        // one, the number of windows in between is unknown, and none is reached.
        let (up, edge) = (self.up, if n < 0 { 0 } else { len - 1 });
        let meets = self.down.start_of(edge);
        if n < 0 && meets > up.start_of(up.len()) {
            return (i64::MAX, i64::MAX);
        }
        if n >= 0 && meets < up.start_of(0) {
            return (i64::MIN, i64::MIN);
        }
        let position = (up.rank(meets) as i64).saturating_add(n - i64::from(edge));
        match u32::try_from(position) {
            Ok(position) if position < up.len() => up.window(position),
            Ok(_) => (i64::MAX, i64::MAX),
            Err(_) if position < 0 => (i64::MIN, up.start_of(0)),
            Err(_) => (i64::MAX, i64::MAX),
        }
    }

    /// The first window within reach for which `holds` returns true; it must be monotonic.
    fn first(&self, holds: impl Fn(Range<u32>) -> bool) -> u32 {
        let (mut low, mut high) = (self.reach.start, self.reach.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.overlap(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}
