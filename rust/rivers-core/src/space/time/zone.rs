//! A time zone: the offset from UTC at every time.
//!
//! A zone is data: the changes of its offset, as a TZif file (RFC 9636) lists them, and the rule for
//! the years after. The core reads no database; the caller passes the file's bytes. A stored calendar
//! keeps the zone's data, so that its windows do not move when the database of a machine changes.

use super::posix::{PosixRule, year_of};
use super::units::{DAY, Nanos, SECOND, split};
use crate::error::{Error, Result};

/// Maximum distance of a zone from UTC, in seconds.
const MAX_OFFSET: i32 = 48 * 3600;
/// Years of a rule's changes that are computed in advance.
const LAST_KNOWN_YEAR: i32 = 2150;
/// Maximum number of listed changes; real zones have fewer than 300.
const MAX_CHANGES: usize = 100_000;
/// A wall-clock time occurs within this time of the UTC time of the same text.
const REACH: Nanos = 3 * DAY;

/// The offset of a zone's wall clock from UTC, at every time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Zone {
    name: String,
    /// The offset before the first change, in seconds east of UTC.
    first: i32,
    /// Each change: its time (seconds since 1970, UTC) and the offset after it, ascending.
    changes: Vec<(i64, i32)>,
    footer: String,
    /// What the footer says: the offsets after the last change.
    rule: Option<PosixRule>,
    /// The changes, and those of the rule's next years, which most lookups need.
    known: Vec<(i64, i32)>,
}

/// The stored form; the times of the changes are differences, which are short.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    name: String,
    first: i32,
    changes: Vec<(i64, i32)>,
    footer: String,
}

impl From<Zone> for Stored {
    fn from(zone: Zone) -> Self {
        let mut before = 0;
        let changes = zone.changes.iter().map(|&(at, offset)| {
            let step = at - before;
            before = at;
            (step, offset)
        });
        Self {
            changes: changes.collect(),
            name: zone.name,
            first: zone.first,
            footer: zone.footer,
        }
    }
}

impl TryFrom<Stored> for Zone {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let mut at = 0_i64;
        let changes: Option<Vec<(i64, i32)>> = stored
            .changes
            .iter()
            .map(|&(step, offset)| {
                at = at.checked_add(step)?;
                Some((at, offset))
            })
            .collect();
        let invalid = || invalid(&stored.name);
        let changes = changes.ok_or_else(invalid)?;
        Self::new(&stored.name, stored.first, changes, &stored.footer)
    }
}

fn invalid(name: &str) -> Error {
    Error::PartitionDefinition(format!("the data of the time zone {name:?} is not valid"))
}

impl Zone {
    fn new(name: &str, first: i32, changes: Vec<(i64, i32)>, footer: &str) -> Result<Self> {
        let rule = match footer {
            "" => None,
            text => Some(PosixRule::parse(text).ok_or_else(|| invalid(name))?),
        };
        let ascending = changes.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let mut offsets = changes.iter().map(|&(_, offset)| offset).chain([first]);
        let bounded = offsets.all(|offset| (-MAX_OFFSET..=MAX_OFFSET).contains(&offset))
            && changes.len() <= MAX_CHANGES
            && changes.iter().all(|&(at, _)| at.abs() < 1 << 60);
        if !ascending || !bounded {
            return Err(invalid(name));
        }
        let mut known = changes.clone();
        if let Some(rule) = &rule {
            let listed = changes.last().map_or(i64::MIN, |&(at, _)| at);
            // The rule applies from the last listed change on, whatever is listed there.
            if let Some((at, offset)) = known.last_mut() {
                *offset = rule.offset_at(*at);
            }
            // Without listed changes, the rule applies from the beginning of time.
            let years = (year_of(listed) - 1..=LAST_KNOWN_YEAR).filter(|_| listed != i64::MIN);
            let later = years.flat_map(|year| rule.changes(year));
            known.extend(later.filter(|&(at, _)| at > listed));
        }
        Ok(Self {
            name: name.to_owned(),
            first,
            changes,
            footer: footer.to_owned(),
            rule,
            known,
        })
    }

    /// Reads a zone from the bytes of its TZif file.
    ///
    /// # Errors
    /// `PartitionDefinition` if the bytes are not such a file.
    pub fn from_tzif(name: &str, bytes: &[u8]) -> Result<Self> {
        let (first, changes, footer) = read_tzif(bytes).ok_or_else(|| invalid(name))?;
        Self::new(name, first, changes, &footer)
    }

    /// The name in the database, such as `America/New_York`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the wall clock is ahead of UTC at a time.
    pub fn offset_at(&self, time: Nanos) -> Nanos {
        Nanos::from(self.offset_in(split(time).0)) * SECOND
    }

    /// Seconds east of UTC in a second since 1970.
    fn offset_in(&self, time: i64) -> i32 {
        match (&self.rule, self.known.last()) {
            (Some(rule), None) => rule.offset_at(time),
            (Some(rule), Some(&(at, _))) if time > at => rule.offset_at(time),
            _ => match self.known.partition_point(|&(at, _)| at <= time) {
                0 => self.first,
                n => self.known[n - 1].1,
            },
        }
    }

    /// The spans of constant offset from one time to another: each one's start, and its offset. The
    /// first starts at `from`.
    pub(super) fn spans(&self, from: Nanos, to: Nanos) -> Vec<(Nanos, Nanos)> {
        let mut spans = vec![(from, self.offset_at(from))];
        let ((from, _), (to, _)) = (split(from), split(to));
        let mut push = |at: i64, offset: i32| {
            let (change, offset) = (Nanos::from(at) * SECOND, Nanos::from(offset) * SECOND);
            if at > from && at <= to {
                // Of two changes at one time, the later one in the list applies.
                if spans.len() > 1 && spans.last().is_some_and(|&(last, _)| last == change) {
                    spans.pop();
                }
                if spans.last().is_none_or(|&(_, last)| last != offset) {
                    spans.push((change, offset));
                }
            }
        };
        let begin = self.known.partition_point(|&(at, _)| at <= from);
        for &(at, offset) in self.known[begin..].iter().take_while(|&&(at, _)| at <= to) {
            push(at, offset);
        }
        if let Some(rule) = &self.rule {
            let listed = self.known.last().map_or(i64::MIN, |&(at, _)| at);
            if to > listed {
                for year in year_of(from.max(listed)) - 1..=year_of(to) + 1 {
                    for (at, offset) in rule.changes(year) {
                        if at > listed {
                            push(at, offset);
                        }
                    }
                }
            }
        }
        spans
    }

    /// The wall-clock time at a time.
    pub fn wall(&self, time: Nanos) -> Nanos {
        time + self.offset_at(time)
    }

    /// The time at which the wall clock first shows `wall` or, if it never does, skips it.
    pub fn time_of(&self, wall: Nanos) -> Nanos {
        let spans = self.spans(wall - REACH, wall + REACH);
        let ends = spans
            .iter()
            .skip(1)
            .map(|&(at, _)| at)
            .chain([Nanos::MAX / 2]);
        for (&(at, offset), end) in spans.iter().zip(ends) {
            if wall < end + offset {
                return (wall - offset).max(at);
            }
        }
        wall
    }

    /// The other time at which the wall clock shows what it shows at `time`, if there is one.
    pub(super) fn other_time_of(&self, time: Nanos) -> Option<Nanos> {
        let wall = self.wall(time);
        let spans = self.spans(time - REACH, time + REACH);
        let ends = spans
            .iter()
            .skip(1)
            .map(|&(at, _)| at)
            .chain([Nanos::MAX / 2]);
        let mut times = spans
            .iter()
            .zip(ends)
            .filter(|&(&(at, offset), end)| (at..end).contains(&(wall - offset)))
            .map(|(&(_, offset), _)| wall - offset);
        times.find(|&other| other != time)
    }
}

/// The offset before the first change, the changes, and the footer.
type Parts = (i32, Vec<(i64, i32)>, String);

/// The counts in the header of a block.
struct Header {
    version: u8,
    /// Of flags (UTC, standard), leap seconds, times, types, and characters.
    counts: [usize; 6],
}

impl Header {
    const LEN: usize = 44;

    fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..Self::LEN)?;
        if !head.starts_with(b"TZif") {
            return None;
        }
        let mut counts = [0; 6];
        for (count, field) in counts.iter_mut().zip(head[20..].chunks_exact(4)) {
            *count = u32::from_be_bytes(field.try_into().ok()?) as usize;
        }
        let version = head[4];
        (counts[3] <= MAX_CHANGES).then_some(Self { version, counts })
    }

    /// Length of the block after the header, whose times have this many bytes.
    fn block_len(&self, width: usize) -> Option<usize> {
        let [utc, standard, leaps, times, types, chars] = self.counts;
        let parts = [
            (times, width + 1),
            (types, 6),
            (chars, 1),
            (leaps, width + 4),
            (standard, 1),
            (utc, 1),
        ];
        parts.iter().try_fold(0_usize, |sum, &(count, size)| {
            sum.checked_add(count.checked_mul(size)?)
        })
    }
}

fn read_tzif(bytes: &[u8]) -> Option<Parts> {
    let old = Header::read(bytes)?;
    let block = bytes.get(Header::LEN..)?;
    if old.version == 0 {
        let (first, changes) = read_block(&old, block, 4)?;
        return Some((first, changes, String::new()));
    }
    let second = block.get(old.block_len(4)?..)?;
    let header = Header::read(second)?;
    let block = second.get(Header::LEN..)?;
    let (first, changes) = read_block(&header, block, 8)?;
    let footer = block.get(header.block_len(8)?..)?;
    let text = footer.strip_prefix(b"\n")?;
    let end = text.iter().position(|&byte| byte == b'\n')?;
    let footer = std::str::from_utf8(&text[..end]).ok()?;
    Some((first, changes, footer.to_owned()))
}

fn read_block(header: &Header, block: &[u8], width: usize) -> Option<(i32, Vec<(i64, i32)>)> {
    let [.., times, types, _] = header.counts;
    let (at, rest) = block.split_at_checked(times * width)?;
    let (which, rest) = rest.split_at_checked(times)?;
    let types = rest.get(..types.checked_mul(6)?)?;
    let mut offsets = Vec::new();
    for kind in types.chunks_exact(6) {
        offsets.push((i32::from_be_bytes(kind[..4].try_into().ok()?), kind[4] != 0));
    }
    let standard = offsets.iter().find(|(_, daylight)| !daylight);
    let first = standard.or(offsets.first())?.0;
    let mut changes: Vec<(i64, i32)> = Vec::with_capacity(times);
    for (time, &kind) in at.chunks_exact(width).zip(which) {
        let time = match width {
            4 => i64::from(i32::from_be_bytes(time.try_into().ok()?)),
            _ => i64::from_be_bytes(time.try_into().ok()?),
        };
        let offset = offsets.get(usize::from(kind))?.0;
        // Some files begin with a change at a time long before history.
        changes.push((time.max(-(1 << 59)), offset));
    }
    Some((first, changes))
}
