//! One key for all partitions of a selection.

use std::collections::BTreeSet;

use super::{Members, Selection};
use crate::space::Key;

impl Selection {
    /// The key that represents exactly the partitions of this selection: the product of its values.
    ///
    /// `None` if there is no such key: the selection is no product, is empty, or is not partitioned.
    pub fn covering_key(&self) -> Option<Key> {
        let dims = self.space().dims();
        if dims.is_empty() || self.is_empty() {
            return None;
        }
        let positions: Vec<BTreeSet<u32>> = match self.members() {
            Members::Product(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
            Members::Explicit(_) | Members::One(_) => {
                let mut positions = vec![BTreeSet::new(); dims.len()];
                for partition in self.iter() {
                    for (at, own) in positions.iter_mut().enumerate() {
                        own.insert(self.space().index(partition, at));
                    }
                }
                positions
            }
        };
        let mut product: u64 = 1;
        for own in &positions {
            product = product.checked_mul(own.len() as u64)?;
        }
        if product != self.len() {
            return None;
        }
        let mut named = dims.iter().zip(positions).map(|(dim, positions)| {
            let labels = positions
                .into_iter()
                .map(|at| dim.axis.label(at).into_owned());
            (dim.name.clone(), labels.collect::<Vec<_>>())
        });
        if self.space().is_multi() {
            return Some(Key::Multi(named.collect()));
        }
        named.next().map(|(_, values)| Key::Single(values))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::space::labels::Labels;
    use crate::space::{Axis, Dim, PositionSet, Space};

    fn space() -> Arc<Space> {
        let dim = |name: &str, keys: &[&str]| Dim {
            name: name.into(),
            axis: Axis::Labels(Arc::new(
                Labels::new(keys.iter().map(ToString::to_string)).expect("labels"),
            )),
        };
        let dims = vec![dim("d", &["1", "2"]), dim("r", &["x", "y", "z"])];
        Arc::new(Space::try_from(dims).expect("a space"))
    }

    #[test]
    fn a_product_has_one_key_and_a_sparse_set_has_none() {
        let explicit = |partitions: &[u64]| {
            let set = PositionSet::in_order(partitions.iter().copied());
            Selection::new(space(), Members::Explicit(set)).covering_key()
        };
        let shown = |key: Option<Key>| key.map(|key| key.to_json());
        assert_eq!(
            shown(Selection::all(space()).covering_key()).as_deref(),
            Some(r#"{"multi":{"d":["1","2"],"r":["x","y","z"]}}"#)
        );
        assert_eq!(
            shown(explicit(&[1, 4])).as_deref(),
            Some(r#"{"multi":{"d":["1","2"],"r":["y"]}}"#)
        );
        assert_eq!(shown(explicit(&[0, 4])), None);
        assert_eq!(shown(explicit(&[])), None);
    }
}
