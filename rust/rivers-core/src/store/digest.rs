//! A number that stands for a long value in an index; equality is checked on the value itself.

use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) fn digest(value: &(impl Hash + ?Sized)) -> i64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().cast_signed()
}
