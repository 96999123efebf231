//! Which partitions are there, and which did the user mean?
//!
//! A `Definition` is what the user declared; a `Space` is the definition at one moment: a product of
//! axes in which a partition is a number; a `Selection` is a set of such numbers, kept as arithmetic.
//! Strings appear only where keys come in and where the user looks.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod axis;
pub mod definition;
pub mod key;
pub mod labels;
pub mod mapping;
pub mod product;
pub mod range;
pub mod selection;
pub mod time;

pub use axis::Axis;
pub use definition::{Definition, Dimension};
pub use key::Key;
pub use mapping::Mapping;
pub use product::{Dim, Space};
pub use range::{DimRange, RangeSpec};
pub use selection::{IndexSet, Level, Members, Nesting, PositionSet, Selection};
