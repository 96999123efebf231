//! Fuzzes declarations of calendars: each is refused, or gives a grid whose keys, numbers and windows
//! agree.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rivers_core::space::time::{Calendar, Declared, Grid, Nanos, SECOND, TimeAxis, Zone};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    start: i64,
    end: Option<i64>,
    grid: Steps,
    fmt: Format,
    zone: Option<Clock>,
    now: i64,
    positions: Vec<u32>,
    key: String,
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Steps {
    Interval(u32),
    Nanos(u64),
    Cron(String),
    /// Builds expressions from fields, which are well-formed more often.
    Fields([Field; 5]),
    Hours,
    Days,
    Weeks,
    Months(u8, u8),
}

/// A zone: its first offset and its changes, in minutes, and one of some rules for later years.
#[derive(Debug, arbitrary::Arbitrary)]
struct Clock {
    first: i16,
    changes: Vec<(u32, i16)>,
    rule: u8,
}

const RULES: [&str; 8] = [
    "",
    "EST5EDT,M3.2.0,M11.1.0",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "IST-1GMT0,M10.5.0,M3.5.0/1",
    "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
    "CST5CDT,M3.2.0/0,M11.1.0/1",
    "AAA0BBB-2,J60/0,J300/25",
    "<+03>-3",
];

impl Clock {
    /// The zone as its TZif file.
    fn zone(&self) -> Option<Zone> {
        let mut bytes = Vec::new();
        let mut at = -2_000_000_000_i64;
        let mut times = Vec::new();
        for (step, offset) in self.changes.iter().take(200) {
            at += 3600 + i64::from(*step % 3_000_000) * 60;
            times.push((at, i32::from(*offset % 900) * 60));
        }
        for changes in [&[][..], &times[..]] {
            bytes.extend(b"TZif2");
            bytes.extend([0; 15]);
            let types = if changes.is_empty() {
                1
            } else {
                changes.len() + 1
            };
            for count in [0, 0, 0, changes.len(), types, 0] {
                bytes.extend((count as u32).to_be_bytes());
            }
            bytes.extend(changes.iter().flat_map(|(at, _)| at.to_be_bytes()));
            bytes.extend((0..changes.len()).map(|n| n as u8 + 1));
            let first = i32::from(self.first % 900) * 60;
            for offset in [first]
                .into_iter()
                .chain(changes.iter().map(|change| change.1))
            {
                bytes.extend(offset.to_be_bytes());
                bytes.extend([0, 0]);
            }
        }
        let rule = RULES[usize::from(self.rule) % RULES.len()];
        bytes.extend(format!("\n{rule}\n").bytes());
        Some(Zone::from_tzif("Fuzzed/Zone", &bytes).expect("a valid file"))
    }
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
    Fraction,
    Offset,
    German,
    Any(String),
}

impl Format {
    fn text(self) -> String {
        match self {
            Self::Day => "%Y-%m-%d".into(),
            Self::Hour => "%Y-%m-%dT%H:%M".into(),
            Self::Second => "%Y-%m-%dT%H:%M:%S".into(),
            Self::Fraction => "%Y-%m-%dT%H:%M:%S%.9f".into(),
            Self::Offset => "%Y-%m-%dT%H:%M:%S%z".into(),
            Self::German => "%d.%m.%Y".into(),
            Self::Any(text) => text,
        }
    }
}

impl Steps {
    fn grid(self) -> Grid {
        match self {
            Self::Interval(seconds) => Grid::seconds(seconds),
            Self::Nanos(nanos) => Grid::Interval(nanos % 1_000_000_000_000_000),
            Self::Cron(expression) => Grid::Cron(expression),
            Self::Hours => Grid::WallClock(3_600),
            Self::Days => Grid::WallClock(86_400),
            Self::Weeks => Grid::WallClock(604_800),
            Self::Months(every, first) => Grid::Months {
                every: [1, 3, 12][usize::from(every) % 3],
                first_month: first % 12 + 1,
            },
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
fn time(any: i64) -> Nanos {
    match any % 8 {
        0 => Nanos::from(any) * SECOND,
        1 => Nanos::from(any),
        _ => Nanos::from(any % 4_000_000_000) * SECOND,
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
    assert_eq!(axis.position(&label), Ok(n), "the key {label:?}, start {start}");
}

fuzz_target!(|input: Input| {
    let declared = Declared {
        start: time(input.start),
        end: input.end.map(time),
        grid: input.grid.grid(),
        fmt: input.fmt.text(),
        zone: input.zone.as_ref().and_then(Clock::zone).map(Arc::new),
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
    assert_eq!(again.window(axis.len() - 1), axis.window(axis.len() - 1));
});
