//! How several processes share the slots of one pool: who may use how many of them.
//!
//! Each process publishes a [`Claim`] and computes its own share from all of them. It uses no more than it published,
//! and publishes no more than the others leave. So the shares never exceed the pool, whatever the order in which
//! processes look.

/// What one process publishes about a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The process.
    pub owner: String,
    /// How many slots it may use.
    pub granted: u32,
    /// How many slots its runs hold.
    pub taken: u32,
    /// How many slots the next run needs; 0 if none waits.
    pub least: u32,
    /// How many slots it could use now, those taken included.
    pub wanted: u32,
    /// Since when it has waited for a slot, by the storage's clock; it decides who comes first.
    pub since: i64,
}

/// How many of the slots of a pool the process `me` may use.
pub fn share(slots: u32, claims: &[Claim], me: usize) -> u32 {
    let others = claims.iter().enumerate().filter(|(at, _)| *at != me);
    let theirs = others.fold(0, |sum: u32, (_, claim)| sum.saturating_add(claim.granted));
    let left = slots.saturating_sub(theirs);
    targets(slots, claims)[me].min(left).max(claims[me].taken)
}

/// How many slots each process should have: what its runs hold, then the first run of each that waits, the longest wait
/// first, then equal parts of the rest.
fn targets(slots: u32, claims: &[Claim]) -> Vec<u32> {
    let mut targets: Vec<u32> = claims.iter().map(|claim| claim.taken).collect();
    let taken = targets
        .iter()
        .fold(0, |sum: u32, own| sum.saturating_add(*own));
    let mut rest = slots.saturating_sub(taken);
    let mut waiting: Vec<usize> = (0..claims.len())
        .filter(|&at| claims[at].least > 0 && claims[at].wanted > claims[at].taken)
        .collect();
    waiting.sort_by_key(|&at| (claims[at].since, &claims[at].owner));
    for &at in &waiting {
        if claims[at].least > rest {
            // What ends elsewhere gathers for the one that has waited longest.
            return targets;
        }
        targets[at] += claims[at].least;
        rest -= claims[at].least;
    }
    while rest > 0 {
        let hungry: Vec<usize> = (0..claims.len())
            .filter(|&at| targets[at] < claims[at].wanted)
            .collect();
        let Some(&first) = hungry
            .iter()
            .min_by_key(|&&at| (targets[at], &claims[at].owner))
        else {
            break;
        };
        targets[first] += 1;
        rest -= 1;
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(owner: &str, taken: u32, least: u32, wanted: u32, since: i64) -> Claim {
        Claim {
            owner: owner.into(),
            granted: taken,
            taken,
            least,
            wanted,
            since,
        }
    }

    #[test]
    fn a_single_process_gets_what_it_wants() {
        assert_eq!(share(4, &[claim("a", 0, 1, 9, 0)], 0), 4);
        assert_eq!(share(4, &[claim("a", 0, 1, 2, 0)], 0), 2);
    }

    #[test]
    fn two_processes_get_equal_parts() {
        let claims = [claim("a", 0, 1, 9, 1), claim("b", 0, 1, 9, 2)];
        assert_eq!([share(4, &claims, 0), share(4, &claims, 1)], [2, 2]);
    }

    #[test]
    fn a_process_gives_up_what_its_runs_do_not_hold() {
        let mut claims = [claim("a", 1, 1, 9, 0), claim("b", 0, 1, 9, 5)];
        claims[0].granted = 4;
        assert_eq!(share(4, &claims, 1), 0);
        assert_eq!(share(4, &claims, 0), 2);
        claims[0].granted = 2;
        assert_eq!(share(4, &claims, 1), 2);
    }

    #[test]
    fn slots_gather_for_the_run_that_has_waited_longest() {
        let claims = [
            claim("a", 2, 1, 9, 7),
            claim("b", 0, 3, 3, 5),
            claim("c", 1, 1, 9, 6),
        ];
        assert_eq!(targets(4, &claims), [2, 0, 1]);
        let claims = [
            claim("a", 0, 1, 9, 7),
            claim("b", 0, 3, 3, 5),
            claim("c", 1, 1, 9, 6),
        ];
        assert_eq!(targets(4, &claims), [0, 3, 1]);
    }

    proptest! {
        #[test]
        fn shares_never_exceed_the_pool_and_somebody_always_goes_on(
            slots in 1_u32..9,
            looks in prop::collection::vec((0_usize..4, 1_u32..5, 0_u32..6, any::<bool>()), 1..80),
        ) {
            let mut claims: Vec<Claim> =
                ["a", "b", "c", "d"].map(|owner| claim(owner, 0, 0, 0, 0)).into();
            for (now, (me, least, wanted, ends)) in (1..).zip(looks) {
                // Between two looks runs end, and begin within what was granted.
                let own = &mut claims[me];
                own.taken = if ends { 0 } else { own.granted };
                own.least = if wanted == 0 { 0 } else { least.min(slots) };
                own.wanted = own.taken + wanted.max(own.least);
                own.since = if own.since == 0 { now } else { own.since };
                claims[me].granted = share(slots, &claims, me);
                let all: u32 = claims.iter().map(|claim| claim.granted).sum();
                prop_assert!(all <= slots, "{claims:?}");
            }
            // When all runs have ended, and each process looks twice, the one that has waited longest goes on.
            for claim in &mut claims {
                claim.taken = 0;
                claim.wanted = claim.least;
            }
            for me in [0, 1, 2, 3, 0, 1, 2, 3] {
                claims[me].granted = share(slots, &claims, me);
            }
            let first = claims.iter().filter(|claim| claim.least > 0).min_by_key(|claim| (claim.since, &claim.owner));
            prop_assert!(first.is_none_or(|first| first.granted >= first.least), "{claims:?}");
        }
    }
}
