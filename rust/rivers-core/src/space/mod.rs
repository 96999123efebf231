//! Which partitions are there, and which did the user mean?
//!
//! A `Definition` is what the user declared; a `Space` is the definition at one moment: a product of
//! axes in which a partition is a number; a `Selection` is a set of such numbers, kept as arithmetic.
//! Strings appear only where keys come in and where the user looks.

pub mod axis;
pub mod calendar;
pub mod cron_grid;
pub mod definition;
pub mod expand;
mod image;
pub mod index_set;
pub mod key;
mod key_map;
pub mod labels;
mod link;
pub mod mapping;
pub mod order;
pub mod position_set;
pub mod product;
pub mod range;
pub mod same_keys;
pub mod selection;
pub mod time_format;
mod time_map;
pub mod window;

pub use axis::Axis;
pub use definition::{Definition, Dimension};
pub use index_set::IndexSet;
pub use key::Key;
pub use mapping::Mapping;
pub use order::{Level, Nesting};
pub use position_set::PositionSet;
pub use product::{Dim, Space};
pub use range::{DimRange, RangeSpec};
pub use selection::{Members, Selection};
