//! Keys with several values: the partitions they stand for, in the order in which they were written.

use super::product::Space;

/// The product of positions, one list per dimension, the first dimension slowest.
pub fn product_in_order<'a>(
    space: &'a Space,
    positions: &'a [Vec<u32>],
) -> impl Iterator<Item = u64> + 'a {
    let total: u64 = positions.iter().map(|list| list.len() as u64).product();
    (0..total).map(move |n| {
        let (mut rest, mut partition) = (n, 0);
        for (dim, list) in positions.iter().enumerate().rev() {
            let len = list.len() as u64;
            partition += u64::from(list[(rest % len) as usize]) * space.stride(dim);
            rest /= len;
        }
        partition
    })
}
