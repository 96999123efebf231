//! Grids of time as text: the expression that declares one, and its cron schedule.

use std::sync::Arc;

use rivers_core::space::time::{Calendar, DAY, Declared, Grid, Nanos, SECOND, iso};

/// Length and default format of the windows that `daily` makes.
pub(crate) const DAILY: (u32, &str) = (86_400, "%Y-%m-%d");
/// Length and default format of the windows that `hourly` makes.
pub(crate) const HOURLY: (u32, &str) = (3_600, "%Y-%m-%dT%H:%M");
/// Length of the windows that `weekly` makes.
pub(crate) const WEEKLY: u32 = 7 * 86_400;
/// Default format of the windows that `time_window` makes.
pub(crate) const SECONDS: &str = "%Y-%m-%dT%H:%M:%S";
/// Names of the days of the week.
pub(crate) const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The cron schedule of the starts of a grid's windows, if it has one.
pub(crate) fn schedule(declared: &Declared) -> Option<String> {
    let of_day = declared.start.rem_euclid(DAY) / SECOND;
    let is_interval = |seconds| declared.grid == Grid::seconds(seconds);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let seconds = match second {
        0 => String::new(),
        _ => format!("{second} "),
    };
    match &declared.grid {
        Grid::Cron(expression) => Some(expression.clone()),
        Grid::Interval(_) if declared.fmt == SECONDS => None,
        // No schedule fires at a fraction of a second.
        Grid::Interval(_) | Grid::WallClock(_) if declared.start % SECOND != 0 => None,
        Grid::Interval(_) if is_interval(DAY_SECONDS) => {
            Some(format!("{seconds}{minute} {hour} * * *"))
        }
        Grid::Interval(_) if is_interval(HOUR_SECONDS) => {
            Some(format!("{seconds}{minute} * * * *"))
        }
        Grid::Interval(_) => None,
        Grid::WallClock(DAY_SECONDS) => Some(format!("{seconds}{minute} {hour} * * *")),
        Grid::WallClock(HOUR_SECONDS) => Some(format!("{seconds}{minute} * * * *")),
        Grid::WallClock(_) => {
            let day = WEEKDAYS[weekday(declared.start)][..3].to_uppercase();
            Some(format!("{seconds}{minute} {hour} * * {day}"))
        }
        Grid::Months { every: 1, .. } => Some("0 0 1 * *".into()),
        Grid::Months { every, first_month } => {
            let months = (1..=12_u8).filter(|month| (month + 12 - first_month) % every == 0);
            let months: Vec<String> = months.map(|month| month.to_string()).collect();
            Some(format!("0 0 1 {} *", months.join(",")))
        }
    }
}

/// The expression that evaluates to the definition of a calendar.
pub(crate) fn show_calendar(calendar: &Arc<Calendar>) -> String {
    const SHOWN: usize = 12;
    let declared = calendar.declared();
    let fmt = declared.fmt.as_str();
    let date = || iso(declared.start)[..10].to_owned();
    let is_like = |(seconds, default): (u32, &str)| {
        declared.grid == Grid::seconds(seconds) && declared.zone.is_none() && fmt == default
    };
    let (name, start, step, default) = match &declared.grid {
        Grid::Interval(_) if is_like(DAILY) => {
            ("daily", iso(declared.start), String::new(), DAILY.1)
        }
        Grid::Interval(_) if is_like(HOURLY) => {
            ("hourly", iso(declared.start), String::new(), HOURLY.1)
        }
        Grid::WallClock(DAY_SECONDS) => ("daily", iso(declared.start), String::new(), DAILY.1),
        Grid::WallClock(WEEKLY) => {
            let weekday = WEEKDAYS[weekday(declared.start)];
            let first = match weekday {
                "monday" => String::new(),
                other => format!(", first_day={other:?}"),
            };
            ("weekly", date(), first, DAILY.1)
        }
        Grid::WallClock(_) => ("hourly", iso(declared.start), String::new(), HOURLY.1),
        Grid::Months { every, first_month } => {
            let (name, fmt) = months(*every);
            let first = match first_month {
                1 => String::new(),
                other => format!(", first_month={other}"),
            };
            (name, date(), first, fmt)
        }
        Grid::Interval(nanos) => (
            "time_window",
            iso(declared.start),
            format!(", interval_seconds={}", seconds_text(*nanos)),
            "",
        ),
        Grid::Cron(cron) => (
            "time_window",
            iso(declared.start),
            format!(", cron_schedule={cron:?}"),
            "",
        ),
    };
    let mut text = format!("PartitionsDefinition.{name}({start:?}{step}");
    if let Some(end) = declared.end {
        text.push_str(&format!(", end={:?}", iso(end)));
    }
    if fmt != default {
        text.push_str(&format!(", fmt={fmt:?}"));
    }
    if let Some(zone) = &declared.zone {
        text.push_str(&format!(", timezone={:?}", zone.name()));
    }
    if !declared.exclude.is_empty() {
        let times = declared.exclude.iter().take(SHOWN);
        let mut keys: Vec<String> = times
            .filter_map(|&time| Some(format!("{:?}", calendar.key_at(time)?)))
            .collect();
        if declared.exclude.len() > SHOWN {
            keys.push(format!("... {} in all", declared.exclude.len()));
        }
        text.push_str(&format!(", exclude=[{}]", keys.join(", ")));
    }
    text.push(')');
    text
}

/// Nanoseconds as a decimal number of seconds.
fn seconds_text(nanos: u64) -> String {
    let text = format!("{}.{:09}", nanos / SECOND as u64, nanos % SECOND as u64);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const DAY_SECONDS: u32 = DAILY.0;
const HOUR_SECONDS: u32 = HOURLY.0;

/// The name and the default format of a grid of months.
pub(crate) fn months(every: u8) -> (&'static str, &'static str) {
    match every {
        1 => ("monthly", "%Y-%m"),
        3 => ("quarterly", "%Y-Q%q"),
        _ => ("yearly", "%Y"),
    }
}

/// Days since Monday of the day of a time.
pub(crate) fn weekday(time: Nanos) -> usize {
    // 1970-01-01 was a Thursday.
    (time.div_euclid(DAY) + 3).rem_euclid(7) as usize
}
