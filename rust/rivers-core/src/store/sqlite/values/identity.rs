//! What identifies a partition for as long as its values are kept: for each dimension its name, the key and, in
//! time, the window. The order of dimensions and of keys does not matter, nor which other keys there are.

use crate::space::Space;
use crate::space::time::micros;

/// Computes identities of the partitions of one space.
pub(super) struct Identities<'a> {
    space: &'a Space,
    /// The dimensions by name.
    by_name: Vec<usize>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(space: &'a Space) -> Self {
        let dims = space.dims();
        let mut by_name: Vec<usize> = (0..dims.len()).collect();
        by_name.sort_by(|&a, &b| dims[a].name.cmp(&dims[b].name));
        Self { space, by_name }
    }

    /// The identity of a partition; empty where nothing is partitioned. Identities of neighbours in time are
    /// neighbours in order, so that the values of one run after the other are stored side by side.
    pub(super) fn of(&self, partition: u64) -> Vec<u8> {
        let mut identity = Vec::with_capacity(40);
        for &at in &self.by_name {
            let dim = &self.space.dims()[at];
            let position = self.space.index(partition, at);
            identity.extend_from_slice(dim.name.as_bytes());
            // Names have no `=` and no `,`, keys no `|`: the parts cannot be mistaken for each other.
            match dim.axis.time() {
                None => identity.push(b'='),
                Some(time) => {
                    identity.push(b',');
                    let (start, end) = time.window(position);
                    for time in [start, end] {
                        let ordered = micros(time).cast_unsigned() ^ (1 << 63);
                        identity.extend_from_slice(&ordered.to_be_bytes());
                    }
                }
            }
            identity.extend_from_slice(dim.axis.label(position).as_bytes());
            identity.push(b'|');
        }
        identity
    }
}
