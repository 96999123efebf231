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

/// The whole seconds of a time, rounded down, and the nanoseconds after them.
pub(super) fn split(time: Nanos) -> (i64, u32) {
    const PER_SECOND: i64 = SECOND as i64;
    // Times up to the year 2262 take a short division.
    if let Ok(short) = i64::try_from(time) {
        return (
            short.div_euclid(PER_SECOND),
            short.rem_euclid(PER_SECOND) as u32,
        );
    }
    let seconds = time.div_euclid(SECOND);
    let seconds = seconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    (seconds, time.rem_euclid(SECOND) as u32)
}

/// A time in whole microseconds, rounded down.
pub fn micros(time: Nanos) -> i64 {
    let micros = time.div_euclid(1_000);
    micros.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
