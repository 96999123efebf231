//! Numbers that stand for texts: equal texts have one number, on every machine and in every version.

use ring::digest::{Context, SHA256};

/// The first 64 bits of the SHA-256 of these parts and their lengths.
pub(super) fn digest(parts: &[&[u8]]) -> i64 {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&context.finish().as_ref()[..8]);
    i64::from_le_bytes(first)
}
