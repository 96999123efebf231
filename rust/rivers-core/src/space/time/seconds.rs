//! Units and bounds of wall-clock times, which are naive seconds since 1970-01-01T00:00:00.

/// Seconds in a day.
pub const DAY: i64 = 86_400;
/// Chrono counts days from the common era; 1970-01-01 is this day.
pub(super) const EPOCH_DAYS_FROM_CE: i32 = 719_163;
/// Latest time a calendar may reach: the year 9999, the last that four digits can write.
pub(super) const LAST_TIME: i64 = 253_402_300_799;
