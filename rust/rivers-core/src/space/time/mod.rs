//! Time windows: the declared grid, the zone whose wall clock it follows, its resolved windows, and
//! their keys.

mod axis;
mod calendar;
mod cron;
mod declared;
mod format;
mod posix;
mod resolve;
mod short_form;
mod starts;
mod steps;
mod units;
mod zone;

pub use axis::{NotAWindow, TimeAxis};
pub use calendar::Calendar;
pub use declared::{Declared, Grid};
pub use format::{TimeFormat, iso, parse_time, to_datetime, to_nanos};
pub use short_form::{GivenTime, wall_span};
pub use units::{DAY, Nanos, SECOND, micros};
pub use zone::Zone;
