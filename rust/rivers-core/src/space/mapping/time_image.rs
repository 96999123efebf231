//! Between two time grids: the windows of one that overlap those of the other, so many windows away.

use std::ops::Range;

use crate::space::selection::IndexSet;
use crate::space::time::{Grid, TimeAxis};

/// The upstream's windows that overlap these of the downstream, moved by `offset` downstream windows.
pub(super) fn image(set: &IndexSet, down: &TimeAxis, up: &TimeAxis, offset: i64) -> IndexSet {
    let shift = Shift::new(down, up, offset);
    union(set, |stretch| {
        let inside = stretch.start.max(shift.reach.start)..stretch.end.min(shift.reach.end);
        if inside.is_empty() {
            return 0..0;
        }
        // Windows follow each other without a gap, so those that overlap a stretch do, too.
        shift.overlap(inside.start).start..shift.overlap(inside.end - 1).end
    })
}

/// The downstream's windows whose image meets the set.
pub(super) fn preimage(set: &IndexSet, down: &TimeAxis, up: &TimeAxis, offset: i64) -> IndexSet {
    let shift = Shift::new(down, up, offset);
    union(set, |stretch| {
        // Both ends of what a window overlaps only grow with the window.
        let first = shift.first(|overlap| overlap.end > stretch.start);
        let beyond = shift.first(|overlap| overlap.start >= stretch.end);
        first..beyond
    })
}

/// The images of the set's stretches, together.
fn union(set: &IndexSet, of: impl Fn(Range<u32>) -> Range<u32>) -> IndexSet {
    let canonical =
        |range: Range<u32>| IndexSet::Range(if range.is_empty() { 0..0 } else { range });
    match set {
        IndexSet::Range(range) if range.is_empty() => IndexSet::Range(0..0),
        IndexSet::Range(range) => canonical(of(range.clone())),
        IndexSet::Sparse(bitmap) => {
            let mut found = roaring::RoaringBitmap::new();
            let mut stretches = bitmap.iter();
            while let Some(stretch) = stretches.next_range() {
                // A sparse set ends before u32::MAX: positions are below a length that is a u32.
                let image = of(*stretch.start()..*stretch.end() + 1);
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
    /// The downstream's windows from which the grid reaches so far.
    reach: Range<u32>,
    /// Whether both follow one cron schedule.
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
            let at = |place: i64| place.saturating_sub(offset).clamp(0, len) as u32;
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

    /// The upstream's windows that overlap the one so far from the `n`-th.
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

    /// The moments between which the `n`-th window of the downstream lies, if its grid goes on.
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
        // It goes on as the upstream's does, counted from a window at which the two meet; where they
        // do not, nothing tells how many lie between them, and none is reached.
        let (up, edge) = (self.up, if n < 0 { 0 } else { len - 1 });
        let meets = self.down.start_of(edge);
        if n < 0 && meets > up.start_of(up.len()) {
            return (i64::MAX, i64::MAX);
        }
        if n >= 0 && meets < up.start_of(0) {
            return (i64::MIN, i64::MIN);
        }
        let place = (up.rank(meets) as i64).saturating_add(n - i64::from(edge));
        match u32::try_from(place) {
            Ok(place) if place < up.len() => up.window(place),
            Ok(_) => (i64::MAX, i64::MAX),
            Err(_) if place < 0 => (i64::MIN, up.start_of(0)),
            Err(_) => (i64::MAX, i64::MAX),
        }
    }

    /// The first window within reach for which it holds, where it does for all that follow it.
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
