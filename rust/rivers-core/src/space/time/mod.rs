//! Time windows on a wall clock: the declared grid, its resolved windows, and their keys.

mod calendar;
mod cron;
mod format;
mod seconds;

pub use calendar::{Calendar, Declared, Grid, NotAWindow, TimeAxis};
pub use format::{TimeFormat, iso, parse_time, to_datetime, to_seconds};
pub use seconds::DAY;
