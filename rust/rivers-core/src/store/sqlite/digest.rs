//! A short number for a long text, to find equal ones by; equality is checked on the text itself.

use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) fn digest(value: &(impl Hash + ?Sized)) -> i64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().cast_signed()
}
