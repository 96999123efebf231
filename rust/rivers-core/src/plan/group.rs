//! Groups partitions by dimension: by arithmetic for a product, in one pass for explicit keys.

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use crate::error::{Error, Result};
use crate::space::{IndexSet, Level, Members, Nesting, PositionSet, Selection, Space};

/// The runs of a product: one for each combination of the chosen dimensions.
#[derive(Debug, Clone)]
pub struct DimensionGroups {
    /// The dimensions iterated across runs, the slowest first, with their numbers of keys.
    levels: Vec<(Level, u64)>,
    num_runs: u64,
    partitions_per_run: u64,
}

impl DimensionGroups {
    /// Groups a product, in the order of `nesting`, by the dimensions with these indices.
    pub fn new(sets: &[IndexSet], dims: &[usize], nesting: &Nesting) -> Self {
        let own = nesting
            .levels()
            .iter()
            .filter(|level| dims.contains(&level.dim));
        let levels: Vec<(Level, u64)> = own.map(|&level| (level, sets[level.dim].len())).collect();
        if sets.iter().any(IndexSet::is_empty) {
            return Self {
                levels,
                num_runs: 0,
                partitions_per_run: 0,
            };
        }
        let batched = sets.iter().enumerate().filter(|(at, _)| !dims.contains(at));
        Self {
            num_runs: levels.iter().map(|(_, len)| len).product(),
            partitions_per_run: batched.map(|(_, set)| set.len()).product(),
            levels,
        }
    }

    /// Number of runs.
    pub fn num_runs(&self) -> u64 {
        self.num_runs
    }

    /// Number of partitions of each run.
    pub fn partitions_per_run(&self) -> u64 {
        self.partitions_per_run
    }

    /// The part of the product that a run covers.
    pub fn run(&self, sets: &[IndexSet], run: u64) -> Vec<IndexSet> {
        let mut rest = run;
        let mut part = sets.to_vec();
        for (Level { dim, descending }, len) in self.levels.iter().rev() {
            let at = rest % len;
            let at = if *descending { len - 1 - at } else { at };
            part[*dim] = IndexSet::one(sets[*dim].nth(at));
            rest /= len;
        }
        part
    }

    /// The run of the partition with these positions.
    pub fn run_of(&self, sets: &[IndexSet], index: impl Fn(usize) -> u32) -> u64 {
        self.levels.iter().fold(0, |run, (level, len)| {
            let at = sets[level.dim].rank(index(level.dim));
            let at = if level.descending { len - 1 - at } else { at };
            run * len + at
        })
    }
}

/// Maximum number of explicit keys that are grouped; it takes 16 bytes a key, and twice that during
/// grouping.
pub const MAX_GROUPED_KEYS: u64 = 100_000_000;

/// The runs of explicit keys: one for each combination of the chosen dimensions that occurs, in order
/// of first appearance.
#[derive(Debug)]
pub struct KeyGroups {
    /// The partitions, run by run, ascending within a run.
    members: Vec<u64>,
    /// The end of each run's partitions.
    ends: Vec<u64>,
}

/// The combination of the chosen dimensions as one number.
fn group_number(space: &Space, dims: &[usize], partition: u64) -> u64 {
    dims.iter().fold(0, |number, &dim| {
        let width = u64::from(space.dims()[dim].axis.len());
        number * width + u64::from(space.index(partition, dim))
    })
}

impl KeyGroups {
    /// Groups the keys by the dimensions with these indices.
    ///
    /// # Errors
    /// `Execution` for more than `MAX_GROUPED_KEYS` keys.
    pub fn new(selection: &Selection, dims: &[usize]) -> Result<Self> {
        if selection.len() > MAX_GROUPED_KEYS {
            return Err(Error::Execution(format!(
                "per_dimension groups at most {MAX_GROUPED_KEYS} single keys, these are {}; \
                 give a range, or use multi_run or single_run",
                selection.len()
            )));
        }
        let space = selection.space();
        let mut run_by_group: HashMap<u64, u64> = HashMap::new();
        let mut counts: Vec<u64> = Vec::new();
        let mut keyed: Vec<(u64, u64)> = Vec::with_capacity(selection.len() as usize);
        for partition in selection.iter() {
            let next = counts.len() as u64;
            let run = *run_by_group
                .entry(group_number(space, dims, partition))
                .or_insert(next);
            if run == next {
                counts.push(0);
            }
            counts[run as usize] += 1;
            keyed.push((run, partition));
        }
        keyed.sort_unstable();
        let members = keyed.into_iter().map(|(_, partition)| partition).collect();
        let mut end = 0;
        let ends = counts
            .into_iter()
            .map(|count| {
                end += count;
                end
            })
            .collect();
        Ok(Self { members, ends })
    }

    /// Number of runs.
    pub fn num_runs(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Number of partitions of a run.
    pub fn run_len(&self, run: u64) -> u64 {
        self.ends[run as usize] - self.start(run)
    }

    fn start(&self, run: u64) -> u64 {
        run.checked_sub(1)
            .map_or(0, |before| self.ends[before as usize])
    }

    /// The partitions of a run, ascending.
    pub fn members_of(&self, run: u64) -> &[u64] {
        &self.members[self.start(run) as usize..self.ends[run as usize] as usize]
    }

    /// The partitions of a run, as members.
    pub fn run(&self, run: u64) -> Members {
        match self.members_of(run) {
            [one] => Members::One(*one),
            several => {
                let set: RoaringTreemap = several.iter().copied().collect();
                Members::Explicit(PositionSet::ascending(set))
            }
        }
    }
}
