//! What holds a backfill in check, and why one stops before all its runs have started.

use super::progress::Counts;

/// Partitions that have ended before a share of failures says something.
const ENOUGH_FOR_A_SHARE: u64 = 20;

/// What holds a backfill in check while it runs, beyond its concurrency and its failure policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Control {
    /// It stops when so many have failed.
    pub max_failures: Option<MaxFailures>,
    /// Most runs that start in a second.
    pub max_starts_per_second: Option<f64>,
    /// It is not recorded while another holds some of its partitions.
    pub refuse_overlap: bool,
    /// So many runs go first, and the others when they have succeeded.
    pub canary: Option<u32>,
}

/// So many failed partitions that a backfill stops.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum MaxFailures {
    /// As many.
    Count(u64),
    /// A part of those that have ended, as soon as they are enough to tell.
    Share(f64),
}

impl MaxFailures {
    /// Whether so many have failed.
    pub fn reached(&self, counts: &Counts) -> bool {
        let ended = counts.completed + counts.failed;
        match *self {
            Self::Count(most) => counts.failed >= most,
            Self::Share(most) => {
                ended >= ENOUGH_FOR_A_SHARE && counts.failed as f64 >= most * ended as f64
            }
        }
    }
}

/// Why a backfill starts nothing more. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stop {
    /// The user wants it.
    Canceled = 1,
    /// A partition failed, under `stop_on_failure`.
    Failure = 2,
    /// So many have failed as `max_failures` says.
    MaxFailures = 3,
    /// One of the runs that go first failed.
    Canary = 4,
}

impl Stop {
    const ALL: [Self; 4] = [
        Self::Canceled,
        Self::Failure,
        Self::MaxFailures,
        Self::Canary,
    ];

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stop| *stop as u8 == number)
    }

    /// How a person is told; `None`: what was asked for says it.
    pub fn text(self, control: &Control) -> Option<String> {
        match (self, control.max_failures) {
            (Self::Canary, _) => {
                let runs = control.canary.unwrap_or_default();
                Some(format!("stopped since canary={runs} failed"))
            }
            (Self::Canceled | Self::Failure, _) => None,
            (Self::MaxFailures, Some(MaxFailures::Count(most))) => {
                Some(format!("stopped at max_failures={most}"))
            }
            (Self::MaxFailures, Some(MaxFailures::Share(most))) => {
                Some(format!("stopped at max_failures={most}"))
            }
            (Self::MaxFailures, None) => Some("stopped at max_failures".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(completed: u64, failed: u64) -> Counts {
        Counts {
            completed,
            failed,
            ..Counts::default()
        }
    }

    #[test]
    fn a_count_is_reached_by_as_many_failures() {
        let most = MaxFailures::Count(2);
        assert!(!most.reached(&counts(1_000, 1)));
        assert!(most.reached(&counts(0, 2)));
    }

    #[test]
    fn a_share_is_reached_when_enough_have_ended() {
        let most = MaxFailures::Share(0.5);
        assert!(!most.reached(&counts(0, 19)));
        assert!(most.reached(&counts(0, 20)));
        assert!(!most.reached(&counts(11, 10)));
        assert!(most.reached(&counts(10, 10)));
        assert!(!MaxFailures::Share(0.01).reached(&counts(20, 0)));
    }

    #[test]
    fn each_reason_is_found_by_its_number() {
        for stop in Stop::ALL {
            assert_eq!(Stop::from_number(stop as u8), Some(stop));
        }
        assert_eq!(Stop::from_number(0), None);
    }
}
