//! Which partitions exist, and which did the user mean?
//!
//! A `Definition` is what the user declared. A `Space` is a definition resolved at one time: a
//! product of axes, in which each partition is a number. A `Selection` is a set of such numbers in
//! compact form. Keys are texts only where users write and read them.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod axis;
pub mod definition;
pub mod key;
pub mod labels;
pub mod mapping;
mod notation;
pub mod product;
pub mod range;
pub mod selection;
pub mod time;

pub use axis::Axis;
pub use definition::{Definition, Dimension};
pub use key::Key;
pub use mapping::{Mapping, Selector, Selectors};
pub use notation::quoted;
pub use product::{Dim, Space};
pub use range::{DimRange, RangeEnd, RangeSpec};
pub use selection::{IndexSet, Level, Members, Nesting, PositionSet, Selection};
