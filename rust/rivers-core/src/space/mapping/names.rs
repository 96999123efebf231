//! The names of the two assets in messages.

/// What messages call the two assets that a mapping relates.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The downstream asset.
    pub down: &'a str,
    /// The upstream asset.
    pub up: &'a str,
}
