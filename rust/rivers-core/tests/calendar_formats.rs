//! Checks which formats give every window a key that parses back to it.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use rivers_core::space::Axis;
use rivers_core::space::time::{Calendar, Declared, Grid};
use rivers_core::space::time::{Nanos, parse_time};

fn at(text: &str) -> Nanos {
    parse_time("moment", text, None).unwrap()
}

fn declared(start: &str, end: Option<&str>, grid: Grid, fmt: &str) -> Declared {
    let (start, end) = (at(start), end.map(at));
    let fmt = fmt.to_owned();
    Declared {
        start,
        end,
        grid,
        fmt,
        zone: None,
        exclude: Vec::new(),
    }
}

fn cron(expression: &str) -> Grid {
    Grid::Cron(expression.to_owned())
}

fn axis(declared: Declared) -> Axis {
    let calendar = Arc::new(Calendar::try_from(declared).unwrap());
    Axis::Time(calendar.at(at("2024-03-10T12:34:56")).unwrap())
}

const DAILY: Grid = Grid::seconds(86_400);
const HOURLY: Grid = Grid::seconds(3_600);
const MINUTELY: Grid = Grid::seconds(60);

#[test]
fn a_format_that_cannot_tell_the_windows_apart_is_refused() {
    for (grid, end, fmt) in [
        (DAILY, None, "%m-%d"),
        (DAILY, None, "%Y-%m"),
        (DAILY, None, "%H:%M"),
        (DAILY, None, "%Y"),
        (DAILY, None, "daily"),
        (DAILY, None, "%G-W%V"),
        (HOURLY, None, "%Y-%m-%d"),
        (HOURLY, None, "%Y-%m-%d %I"),
        (MINUTELY, None, "%Y-%m-%d %I:%M"),
        (MINUTELY, None, "%Y-%m-%dT%H"),
        (cron("*/15 * * * *"), None, "%Y-%m-%dT%H"),
        (cron("0 6,18 * * *"), None, "%Y-%m-%d"),
        (cron("0 0 * * MON"), None, "%Y-%m"),
        // Rare collisions: a day of 23 hours 59 minutes, a year of 365 days, a century.
        (Grid::seconds(86_340), None, "%Y-%m-%d"),
        (Grid::seconds(365 * 86_400), None, "%Y"),
        (DAILY, Some("2100-01-01"), "%y-%m-%d"),
        (cron("0 0 1 1 *"), Some("2100-01-01"), "%y"),
        (DAILY, None, "%Y|%m|%d"),
        (DAILY, None, "%Y,%j"),
        (DAILY, None, "%Y-%m-%d %Z"),
        (DAILY, None, ""),
    ] {
        let shown = format!("{grid:?} {fmt:?}");
        let refused = Calendar::try_from(declared("2024-01-02", end, grid, fmt));
        assert!(refused.is_err(), "{shown}");
    }
}

#[test]
fn a_format_that_leads_back_is_taken() {
    for (grid, fmt, first) in [
        (DAILY, "%Y-%m-%d", "2024-01-02"),
        (DAILY, "%d/%m/%y", "02/01/24"),
        (DAILY, "%Y-%j", "2024-002"),
        (DAILY, "%A %e %B %Y", "Tuesday  2 January 2024"),
        (HOURLY, "%Y-%m-%d %I %p", "2024-01-02 12 AM"),
        (MINUTELY, "%s", "1704153600"),
        (DAILY, "%Y-%m-%dT%H:%M%z", "2024-01-02T00:00+0000"),
        (DAILY, "%Y-%m-%d %:z", "2024-01-02 +00:00"),
        (Grid::seconds(7 * 86_400), "%G-W%V", "2024-W01"),
        (cron("0 0 * * SUN"), "%Y-W%U", "2024-W01"),
        (cron("0 6 * * *"), "%Y-%m-%d", "2024-01-02"),
        (cron("0 0 L * *"), "%Y-%m", "2024-01"),
        (cron("0 12 1 1 *"), "%Y", "2025"),
    ] {
        let axis = axis(declared("2024-01-02", None, grid, fmt));
        assert_eq!(axis.label(0), first);
        for position in 0..axis.len().min(500) {
            assert_eq!(axis.position(&axis.label(position)), Some(position));
        }
    }
}
