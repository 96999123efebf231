//! Which process ran a backfill, from when on: what it kept in memory ends with it.

use std::borrow::Cow;

use super::requested_asset::RequestedAsset;
use crate::clock::Micros;
use crate::plan::Plan;
use crate::space::{Members, Selection};

/// A part of a backfill's execution: from its submission or a resume to the next resume.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Session {
    /// When it began; the first one has all runs that started before the second.
    pub since: Micros,
    /// The process, as `process_id()` names it.
    pub process: String,
    /// How far the repository's clock is ahead of the clock that times the runs.
    pub clock_ahead: Micros,
    /// By index of an asset, the partitions whose values can no longer be loaded: runs execute the asset for
    /// them even though the plan says that it is materialized.
    #[serde(rename = "executed_again_for")]
    pub executed_again: Vec<(u32, Members)>,
    /// The assets as they were declared then; empty: as in the request.
    pub assets: Vec<RequestedAsset>,
}

impl Session {
    /// The time by the repository's clock.
    pub fn repository_time(&self, time: Micros) -> Micros {
        time.saturating_add(self.clock_ahead)
    }

    /// The partitions for which its runs do not execute an asset, since it is materialized.
    pub fn left_out<'a>(&self, plan: &'a Plan, asset: u32) -> Option<Cow<'a, Selection>> {
        let before = plan.materialized(asset)?;
        let again = self.executed_again.iter().find(|(own, _)| *own == asset);
        Some(match again {
            None => Cow::Borrowed(before),
            Some((_, members)) => {
                let again = Selection::new(before.space().clone(), members.clone());
                Cow::Owned(before.minus(&again))
            }
        })
    }
}

/// The partitions for which the runs of a session do not execute an asset; `None`: it executes all.
pub fn left_out<'a>(
    plan: &'a Plan,
    asset: u32,
    session: Option<&Session>,
) -> Option<Cow<'a, Selection>> {
    match session {
        Some(session) => session.left_out(plan, asset),
        None => plan.materialized(asset).map(Cow::Borrowed),
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
