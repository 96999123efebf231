//! Units and bounds of times. A time is a number of nanoseconds since 1970-01-01T00:00:00, in UTC or on
//! a wall clock.

/// A time, or a span of time, in nanoseconds. 64 bits would end in the year 2262.
pub type Nanos = i128;

/// Nanoseconds in a second.
pub const SECOND: Nanos = 1_000_000_000;
/// Nanoseconds in a day.
pub const DAY: Nanos = 86_400 * SECOND;
/// Chrono counts days from the common era; 1970-01-01 is this day.
pub(super) const EPOCH_DAYS_FROM_CE: i32 = 719_163;
/// Latest time a calendar may reach: the year 9999, the last that four digits can write.
pub(super) const LAST_TIME: Nanos = 253_402_300_799 * SECOND;

/// Quotient, rounded down, and remainder. Times up to the year 2262 take a division of 64 bits, which is
/// several times faster.
pub(super) fn divide(time: Nanos, by: Nanos) -> (Nanos, Nanos) {
    match (i64::try_from(time), i64::try_from(by)) {
        (Ok(time), Ok(by)) => (time.div_euclid(by).into(), time.rem_euclid(by).into()),
        _ => (time.div_euclid(by), time.rem_euclid(by)),
    }
}

/// The whole seconds of a time, rounded down, and the nanoseconds after them.
pub(super) fn split(time: Nanos) -> (i64, u32) {
    let (seconds, fraction) = divide(time, SECOND);
    let seconds = seconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    (seconds, fraction as u32)
}

/// A time in whole microseconds, rounded down.
pub fn micros(time: Nanos) -> i64 {
    let (micros, _) = divide(time, 1_000);
    micros.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
