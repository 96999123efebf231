//! Checks which texts are keys of a calendar, and the errors for others.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use rivers_core::space::time::{Calendar, Declared, Grid, NotAWindow};
use rivers_core::space::time::{Nanos, parse_time};
use rivers_core::space::{Axis, Definition, Dimension};

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

fn told(axis: &Axis, key: &str) -> String {
    let located = axis.locate(key, "the partition key", "date");
    located.unwrap_err().to_string()
}

const DAILY: Grid = Grid::seconds(86_400);
const HOURLY: Grid = Grid::seconds(3_600);

#[test]
fn without_an_end_the_last_window_holds_the_present() {
    for (grid, fmt, last) in [
        (DAILY, "%Y-%m-%d", "2024-03-10"),
        (HOURLY, "%Y-%m-%dT%H", "2024-03-10T12"),
        (cron("0 13 * * *"), "%Y-%m-%d", "2024-03-09"),
        (cron("34 12 * * *"), "%Y-%m-%d", "2024-03-10"),
        (cron("0 0 1 * *"), "%Y-%m", "2024-03"),
    ] {
        let axis = axis(declared("2023-01-01", None, grid, fmt));
        assert_eq!(axis.label(axis.len() - 1), last);
    }
}

#[test]
fn what_is_no_key_is_told_why_and_which_keys_are_near() {
    let days = || declared("2024-01-10", Some("2024-02-01"), DAILY, "%Y-%m-%d");
    let hours = || {
        declared(
            "2024-01-10",
            Some("2024-01-11T12:30"),
            HOURLY,
            "%Y-%m-%dT%H:%M",
        )
    };
    let weekdays = || {
        declared(
            "2024-01-06",
            Some("2024-02-01"),
            cron("0 6 * * 1-5"),
            "%Y-%m-%d",
        )
    };
    for (declared, key, why, near) in [
        (
            days(),
            "2024-01-09",
            "before the start",
            "keys: \"2024-01-10\"",
        ),
        (
            days(),
            "1969-07-20",
            "before the start",
            "keys: \"2024-01-10\"",
        ),
        (
            days(),
            "2024-02-01",
            "after the end",
            "keys: \"2024-01-31\"",
        ),
        (days(), "2024-2-1", "after the end", "keys: \"2024-01-31\""),
        (
            days(),
            "2024-1-12",
            "does not have the format",
            "keys: \"2024-01-12\"",
        ),
        (
            days(),
            "20240112",
            "does not have the format",
            "\"2024-01-10\", \"2024-01-31\"",
        ),
        (
            days(),
            "2024-01-12T06:00",
            "format",
            "\"2024-01-12\", \"2024-01-13\"",
        ),
        (
            days(),
            "2024-01-32",
            "format",
            "\"2024-01-10\", \"2024-01-31\"",
        ),
        (days(), "", "format", "\"2024-01-10\", \"2024-01-31\""),
        (
            hours(),
            "2024-01-10T06:30",
            "not on the grid",
            "\"2024-01-10T06:00\", \"2024-01-10T07:00\"",
        ),
        (
            hours(),
            "2024-01-11T12:15",
            "not on the grid",
            "keys: \"2024-01-11T12:00\"",
        ),
        (
            hours(),
            "2024-01-11T12:45",
            "after the end",
            "keys: \"2024-01-11T12:00\"",
        ),
        (
            hours(),
            "2024-01-11T13:00",
            "after the end",
            "keys: \"2024-01-11T12:00\"",
        ),
        (
            weekdays(),
            "2024-01-06",
            "not on the grid",
            "keys: \"2024-01-08\"",
        ),
        (
            weekdays(),
            "2024-01-14",
            "not on the grid",
            "\"2024-01-12\", \"2024-01-15\"",
        ),
        (
            weekdays(),
            "2024-1-15",
            "does not have the format",
            "keys: \"2024-01-15\"",
        ),
        (
            weekdays(),
            "2024-02-01",
            "after the end",
            "keys: \"2024-01-31\"",
        ),
        (
            weekdays(),
            "2024-01-05",
            "before the start",
            "keys: \"2024-01-08\"",
        ),
    ] {
        let told = told(&axis(declared), key);
        assert!(told.contains(why) && told.ends_with(near), "{told}");
        assert!(told.starts_with(&format!(
            "the partition key {key:?} of the dimension \"date\""
        )));
    }
}

#[test]
fn the_day_after_a_present_is_after_the_end_also_where_keys_are_coarser_than_starts() {
    let open = axis(declared("2024-01-01", None, cron("0 6 * * *"), "%Y-%m-%d"));
    for key in ["2024-03-11", "2024-03-12", "2024-3-11", "9999-12-31"] {
        assert!(told(&open, key).contains("after the end"), "{key}");
    }
}

#[test]
fn a_moment_beyond_all_time_is_refused_not_counted() {
    let Axis::Time(seconds) = axis(declared("2024-01-01", None, Grid::seconds(1), "%s")) else {
        unreachable!();
    };
    let far = "8210266876799";
    assert_eq!(seconds.position(far), Err(NotAWindow::AfterEnd));
    assert_eq!(
        seconds.position("9223372036854775807"),
        Err(NotAWindow::Format)
    );
    assert_eq!(seconds.nearest(far).len(), 1);
}

#[test]
fn dates_before_1970_count_like_others() {
    let axis = axis(declared(
        "1899-12-30",
        Some("1900-03-03"),
        DAILY,
        "%Y-%m-%d",
    ));
    assert_eq!(axis.len(), 63);
    assert_eq!(axis.position("1900-02-28"), Some(60));
    assert_eq!(axis.position("1900-02-29"), None);
    assert_eq!(axis.position("1900-03-01"), Some(61));
}

#[test]
fn a_definition_is_resolved_at_a_moment() {
    let calendar = Calendar::try_from(declared("2024-03-01", None, DAILY, "%Y-%m-%d")).unwrap();
    let definition = Definition::Single(Dimension::Time(Arc::new(calendar)));
    let len = |now: &str| {
        let none = |_: &str| unreachable!("nothing is dynamic");
        definition.resolve(at(now), &none).unwrap().len()
    };
    assert_eq!(len("2024-02-29T23:59:59"), 0);
    assert_eq!(len("2024-03-01"), 1);
    assert_eq!(len("2024-03-10T12:00"), 10);
}
