//! Which process ran a backfill, from when on: what it kept in memory ends with it.

use crate::clock::Micros;

/// Where the values of an asset are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Where other processes find them, or nowhere because there are none.
    #[default]
    Stored,
    /// In the memory of the process that runs the backfill.
    Process,
    /// In the memory of a worker, until the end of a run.
    Run,
}

/// A part of a backfill's execution: from its submission or a resume to the next resume.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Session {
    /// When it began; the first one has all runs that started before the second.
    pub since: Micros,
    /// The process, as `process_id()` names it.
    pub process: String,
    /// How far the repository's clock is ahead of the clock that times the runs.
    pub clock_ahead: Micros,
    /// Indices of the assets whose values can no longer be loaded: runs execute them even for partitions that
    /// the plan says are materialized.
    pub executed_again: Vec<u32>,
}

impl Session {
    /// The time by the repository's clock.
    pub fn repository_time(&self, time: Micros) -> Micros {
        time.saturating_add(self.clock_ahead)
    }
}

/// The index of the session in which a run started.
pub fn session_at(sessions: &[Session], started_at: Micros) -> usize {
    let later = sessions.iter().skip(1);
    later
        .take_while(|session| session.since <= started_at)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_belongs_to_the_last_session_that_began_before_it() {
        let from = |since| Session {
            since,
            ..Session::default()
        };
        assert_eq!(session_at(&[], 5), 0);
        let sessions = [from(3), from(10), from(20)];
        assert_eq!(session_at(&sessions, 1), 0);
        assert_eq!(session_at(&sessions, 10), 1);
        assert_eq!(session_at(&sessions, 19), 1);
        assert_eq!(session_at(&sessions, 25), 2);
    }
}
