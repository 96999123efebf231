//! Compares calendars, which are arithmetic, with the cron crate's own step-by-step search.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use chrono::DateTime;
use croner::parser::{CronParser, Seconds, Year};
use proptest::prelude::*;
use rivers_core::space::time::{
    Calendar, DAY, Declared, Grid, Nanos, NotAWindow, SECOND, TimeAxis,
};

const SECONDS: &str = "%Y-%m-%dT%H:%M:%S";

fn calendar(start: Nanos, end: Option<Nanos>, grid: Grid, fmt: &str) -> Arc<Calendar> {
    let fmt = fmt.to_owned();
    let declared = Declared {
        start,
        end,
        grid,
        fmt,
        zone: None,
        exclude: Vec::new(),
    };
    Arc::new(Calendar::try_from(declared).unwrap())
}

/// The first occurrences at or after `start`, found by the cron crate.
fn occurrences(expression: &str, start: Nanos, count: usize) -> Vec<Nanos> {
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(expression).unwrap();
    let mut found = Vec::with_capacity(count);
    let mut from = DateTime::from_timestamp((start / SECOND) as i64, 0).unwrap();
    while found.len() < count {
        let next = cron.find_next_occurrence(&from, found.is_empty()).unwrap();
        found.push(Nanos::from(next.timestamp()) * SECOND);
        from = next;
    }
    found
}

/// Compares each window of the axis with its expected start; there is one more start than windows.
fn agrees(axis: &TimeAxis, starts: &[Nanos]) {
    assert_eq!(axis.len() as usize, starts.len() - 1);
    for (n, pair) in starts.windows(2).enumerate() {
        let at = n as u32;
        assert_eq!(axis.start_of(at), pair[0], "window {n}");
        assert_eq!(axis.window(at), (pair[0], pair[1]), "window {n}");
        assert_eq!(axis.rank(pair[0]), n as u64);
        assert_eq!(axis.rank(pair[0] + 1), n as u64 + 1);
        assert_eq!(axis.rank(pair[1]), n as u64 + 1);
        let label = axis.label(at);
        assert_eq!(axis.position(&label), Ok(at), "{label}");
        assert_eq!(axis.nearest(&label), [label]);
    }
}

fn follows_cron(expression: &str, start: Nanos, windows: usize) {
    let starts = occurrences(expression, start, windows + 1);
    let grid = || Grid::Cron(expression.to_owned());
    // With an end just after the last start, up to a present inside the last window, and as stored.
    let ended = calendar(start, Some(starts[windows - 1] + 1), grid(), SECONDS);
    agrees(&ended.at(0).unwrap(), &starts);
    let open = calendar(start, None, grid(), SECONDS);
    agrees(&open.at(starts[windows - 1]).unwrap(), &starts);
    agrees(&open.at(starts[windows] - 1).unwrap(), &starts);
    let stored = TimeAxis::with_len(open, windows as u32).unwrap();
    agrees(&stored, &starts);
}

/// Years 1890 to 2110.
fn moments() -> impl Strategy<Value = Nanos> {
    (-2_524_521_600..4_417_977_600_i64).prop_map(|seconds| Nanos::from(seconds) * SECOND)
}

/// Expressions over every kind of field, all of which occur at some time.
fn expressions() -> impl Strategy<Value = String> {
    let of = |choices: &'static [&'static str]| prop::sample::select(choices);
    (
        of(&["", "", "0 ", "*/20 ", "5,59 "]),
        of(&["0", "*/15", "7", "10-14", "3-59/17"]),
        of(&["0", "*", "6", "*/7", "22-23", "1,13"]),
        of(&["*", "1", "28", "L", "*/10", "15W", "1-5", "LW"]),
        of(&["*", "1", "2", "*/3", "6-8", "FEB,NOV"]),
        of(&["*", "1-5", "0", "SUN", "7", "MON#2", "5L", "2,4"]),
    )
        .prop_map(|(second, minute, hour, day, month, weekday)| {
            format!("{second}{minute} {hour} {day} {month} {weekday}")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_cron_grid_is_what_searching_step_by_step_finds(
        expression in expressions(), start in moments(), windows in 1..40_usize,
    ) {
        follows_cron(&expression, start, windows);
    }

    #[test]
    fn an_interval_grid_is_counting_from_the_start(
        start in moments(), step in 1..40 * 86_400_u32, windows in 1..40_usize, over in 0..u32::MAX,
    ) {
        let length = Nanos::from(step) * SECOND;
        let starts: Vec<Nanos> = (0..=windows as Nanos).map(|n| start + n * length).collect();
        let over = Nanos::from(over % step) * SECOND;
        let open = calendar(start, None, Grid::seconds(step), SECONDS);
        agrees(&open.at(starts[windows - 1] + over).unwrap(), &starts);
        agrees(&TimeAxis::with_len(open, windows as u32).unwrap(), &starts);
        // An end off the grid: the last window is the one that starts before it.
        let end = Some(starts[windows] - over);
        let ended = calendar(start, end, Grid::seconds(step), SECONDS);
        agrees(&ended.at(Nanos::MIN).unwrap(), &starts);
        prop_assert!(ended.at(Nanos::MAX).unwrap() == ended.at(0).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_grid_of_fractions_of_a_second_is_counting_nanoseconds(
        start in moments(), after in 0..SECOND, step in 1..5 * SECOND as u64, windows in 1..40_usize,
    ) {
        let start = start + after;
        let starts: Vec<Nanos> =
            (0..=windows as Nanos).map(|n| start + n * Nanos::from(step)).collect();
        let open = calendar(start, None, Grid::Interval(step), "%Y-%m-%dT%H:%M:%S%.9f");
        agrees(&open.at(starts[windows - 1]).unwrap(), &starts);
        agrees(&open.at(starts[windows] - 1).unwrap(), &starts);
        let bytes = postcard::to_stdvec(open.declared()).unwrap();
        let declared: Declared = postcard::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&declared, open.declared());
        let stored = Arc::new(Calendar::try_from(declared).unwrap());
        agrees(&TimeAxis::with_len(stored, windows as u32).unwrap(), &starts);
    }
}

#[test]
fn a_format_must_show_the_fractions_that_the_windows_start_at() {
    for (step, fmt, is_valid) in [
        (SECOND / 2, "%Y-%m-%dT%H:%M:%S%.3f", true),
        (SECOND / 2, "%Y-%m-%dT%H:%M:%S.%f", true),
        (SECOND / 2, SECONDS, false),
        (SECOND / 1_000, "%Y-%m-%dT%H:%M:%S%.3f", true),
        (SECOND / 2_000, "%Y-%m-%dT%H:%M:%S%.3f", false),
        (1, "%Y-%m-%dT%H:%M:%S%.9f", true),
        (1, "%Y-%m-%dT%H:%M:%S%.6f", false),
    ] {
        let declared = Declared::new(0, None, Grid::Interval(step as u64), fmt);
        assert_eq!(
            Calendar::try_from(declared).is_ok(),
            is_valid,
            "{step} {fmt}"
        );
    }
}

/// Calendars of whole seconds are stored as versions without fractions stored them.
#[test]
fn the_stored_form_of_whole_seconds_has_not_changed() {
    let mut declared = Declared::new(SECOND, Some(90 * SECOND), Grid::seconds(60), "%s");
    declared.exclude = vec![61 * SECOND];
    let bytes = postcard::to_stdvec(&declared).unwrap();
    // The start and the end; `Except` with one time and the interval in it; the format.
    assert_eq!(bytes, [2, 1, 180, 1, 5, 1, 122, 0, 60, 2, b'%', b's']);
}

#[test]
fn rare_days_are_found_however_far_they_are() {
    for expression in [
        "0 0 29 2 *",
        "0 12 29 2 +MON",
        "30 4 * 2 THU#5",
        "59 59 23 31 12 *",
        "0 0 31 * *",
        "0 0 29W 2 *",
    ] {
        for year in [1870, 1897, 2019, 2079] {
            follows_cron(expression, (year - 1970) * 365 * DAY, 12);
        }
    }
}

#[test]
fn a_start_between_two_occurrences_begins_at_the_next() {
    follows_cron("30 6,18 * * *", 7 * 3600 * SECOND, 5);
    follows_cron("30 6,18 * * *", 23 * 3600 * SECOND, 5);
    follows_cron("@daily", SECOND, 5);
}

#[test]
fn a_schedule_that_never_fires_or_is_none_is_refused() {
    for expression in [
        "0 0 30 2 *",
        "0 0 * *",
        "0 0 1 1 * 2024 *",
        "61 0 * * *",
        "*/0 * * * *",
        "",
        "@never",
    ] {
        let declared = Declared {
            start: 0,
            end: None,
            grid: Grid::Cron(expression.to_owned()),
            fmt: SECONDS.to_owned(),
            zone: None,
            exclude: Vec::new(),
        };
        assert!(Calendar::try_from(declared).is_err(), "{expression:?}");
    }
}

#[test]
fn a_stored_axis_is_as_long_as_it_was() {
    let each_second = calendar(0, None, Grid::Cron("* * * * * *".to_owned()), SECONDS);
    let long = each_second.at(100 * 365 * DAY).unwrap();
    let stored = TimeAxis::with_len(Arc::clone(&each_second), long.len()).unwrap();
    assert!(stored == long);
    assert_eq!(stored.start_of(long.len() - 1), 100 * 365 * DAY);

    // To the last second of the year 9999.
    let end = Some(253_402_300_799 * SECOND);
    for grid in [Grid::seconds(86_400), Grid::Cron("0 0 * * *".to_owned())] {
        let forever = calendar(0, end, grid, "%Y-%m-%d").at(0).unwrap();
        assert_eq!(forever.label(forever.len() - 1), "9999-12-31");
        let stored = TimeAxis::with_len(Arc::clone(forever.calendar()), forever.len());
        assert!(stored.unwrap() == forever);
        let longer = TimeAxis::with_len(Arc::clone(forever.calendar()), forever.len() + 1);
        assert!(longer.is_err());
    }
}

#[test]
fn before_the_first_window_there_is_none() {
    for grid in [Grid::seconds(60), Grid::Cron("0 6 * * *".to_owned())] {
        let axis = calendar(DAY, None, grid, SECONDS).at(DAY - 1).unwrap();
        assert!(axis.is_empty());
        assert_eq!(
            axis.position("1970-01-02T06:00:00"),
            Err(NotAWindow::AfterEnd)
        );
        assert!(axis.nearest("1970-01-02T06:00:00").is_empty());
    }
}

#[test]
fn impossible_bounds_and_too_many_windows_are_refused() {
    for (start, end, grid, why) in [
        (0, Some(0), Grid::seconds(86_400), "not after the start"),
        (0, Some(-1), Grid::seconds(86_400), "not after the start"),
        (0, None, Grid::seconds(0), "at least 1e-9"),
        (Nanos::MIN, None, Grid::seconds(86_400), "year 9999"),
        (0, Some(Nanos::MAX), Grid::seconds(86_400), "year 9999"),
        (
            0,
            Some(4_294_967_296 * SECOND),
            Grid::seconds(1),
            "4294967296 windows",
        ),
    ] {
        let fmt = SECONDS.to_owned();
        let told = Calendar::try_from(Declared {
            start,
            end,
            grid,
            fmt,
            zone: None,
            exclude: Vec::new(),
        });
        let told = told.unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
    }
}
