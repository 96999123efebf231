//! Limits of a backfill beyond its concurrency, and why one stops before all its runs have started.

use super::progress::Counts;

/// Number of ended partitions from which on a share of failures counts.
const ENOUGH_FOR_A_SHARE: u64 = 20;

/// Limits of a backfill, beyond its concurrency and its failure policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Control {
    /// The failures at which the backfill stops.
    pub max_failures: Option<MaxFailures>,
    /// Maximum number of runs that start per second.
    pub max_starts_per_second: Option<f64>,
    /// Whether it is refused while another backfill holds some of its partitions.
    pub refuse_overlap: bool,
    /// Number of runs that go first; the others start when those have succeeded.
    pub canary: Option<u32>,
    /// Maximum duration of each call of a function, in seconds; what calls the functions enforces it.
    pub timeout: Option<f64>,
}

/// The failed partitions at which a backfill stops.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum MaxFailures {
    /// A number.
    Count(u64),
    /// A share of the partitions that have ended, once those are enough.
    Share(f64),
}

impl MaxFailures {
    /// Whether `counts` reach the limit.
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

/// Why no further runs of a backfill start. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stop {
    /// The user canceled it.
    Canceled = 1,
    /// A partition failed under `stop_on_failure`.
    Failure = 2,
    /// `max_failures` was reached.
    MaxFailures = 3,
    /// A canary run failed.
    Canary = 4,
}

impl Stop {
    const ALL: [Self; 4] = [
        Self::Canceled,
        Self::Failure,
        Self::MaxFailures,
        Self::Canary,
    ];

    /// The reason with this stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stop| *stop as u8 == number)
    }

    /// The reason as text; `None` if the request already explains it.
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
