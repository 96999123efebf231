//! Fuzzes declarations of calendars: each is refused, or gives a grid whose keys, numbers and windows
//! agree.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rivers_core::space::time::{Calendar, Declared, Grid, TimeAxis};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    start: i64,
    end: Option<i64>,
    grid: Steps,
    fmt: Format,
    now: i64,
    positions: Vec<u32>,
    key: String,
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Steps {
    Interval(u32),
    Cron(String),
    /// Builds expressions from fields, which are well-formed more often.
    Fields([Field; 5]),
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Field {
    Any,
    One(u8),
    Range(u8, u8),
    Every(u8),
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Format {
    Day,
    Hour,
    Second,
    German,
    Any(String),
}

impl Format {
    fn text(self) -> String {
        match self {
            Self::Day => "%Y-%m-%d".into(),
            Self::Hour => "%Y-%m-%dT%H:%M".into(),
            Self::Second => "%Y-%m-%dT%H:%M:%S".into(),
            Self::German => "%d.%m.%Y".into(),
            Self::Any(text) => text,
        }
    }
}

impl Steps {
    fn grid(self) -> Grid {
        match self {
            Self::Interval(seconds) => Grid::Interval(seconds),
            Self::Cron(expression) => Grid::Cron(expression),
            Self::Fields(fields) => {
                let field = |field: &Field| match field {
                    Field::Any => "*".to_owned(),
                    Field::One(one) => (one % 60).to_string(),
                    Field::Range(from, to) => format!("{}-{}", from % 60, to % 60),
                    Field::Every(step) => format!("*/{}", step % 60),
                };
                Grid::Cron(fields.each_ref().map(field).join(" "))
            }
        }
    }
}

/// Times near the present, so that most inputs are valid calendars.
fn time(any: i64) -> i64 {
    match any % 4 {
        0 => any,
        _ => any % 4_000_000_000,
    }
}

fn check(axis: &TimeAxis, n: u32) {
    let (start, end) = axis.window(n);
    assert!(start < end, "a window has a length");
    assert_eq!(axis.start_of(n), start);
    assert_eq!(
        axis.rank(start),
        u64::from(n),
        "as many windows start before it"
    );
    if n > 0 {
        assert_eq!(axis.window(n - 1).1, start, "windows follow each other");
    }
    let label = axis.label(n);
    assert_eq!(axis.position(&label).ok(), Some(n), "the key {label:?}");
}

fuzz_target!(|input: Input| {
    let declared = Declared {
        start: time(input.start),
        end: input.end.map(time),
        grid: input.grid.grid(),
        fmt: input.fmt.text(),
        zone: None,
        exclude: Vec::new(),
    };
    let Ok(calendar) = Calendar::try_from(declared) else {
        return;
    };
    let calendar = Arc::new(calendar);
    let Ok(axis) = calendar.at(time(input.now)) else {
        return;
    };
    if let Ok(n) = axis.position(&input.key) {
        assert!(n < axis.len());
    }
    assert!(axis.nearest(&input.key).len() < 10);
    if axis.is_empty() {
        return;
    }
    let ends = [0, axis.len() - 1];
    for n in input
        .positions
        .iter()
        .take(8)
        .map(|place| place % axis.len())
        .chain(ends)
    {
        check(&axis, n);
    }
    let again = TimeAxis::with_len(calendar, axis.len()).expect("it was so long before");
    assert_eq!(again.len(), axis.len());
});
