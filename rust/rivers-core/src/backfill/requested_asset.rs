//! An asset of a request, and where its values are kept.

use crate::error::{Error, Result};

/// Where the values of an asset are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Where other processes find them, or nowhere because there are none.
    #[default]
    Stored,
    /// In the memory of the process that runs the backfill.
    Process,
    /// In the memory of a worker, until the end of a run.
    Run,
}

/// One asset of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RequestedAsset {
    /// The asset's name.
    pub name: String,
    /// The version of its code, if it declares one.
    pub code_version: Option<String>,
    /// Whether it has the request's partitions; only single runs execute assets without any.
    pub partitioned: bool,
    /// The step that makes it, if that makes several assets.
    #[serde(default)]
    pub step: Option<String>,
    /// Where its values are kept.
    #[serde(default)]
    pub kept: Kept,
    /// Facts about each value of it, a JSON object: runs record only others. They say so, too, if there are none.
    #[serde(default)]
    pub facts: Option<String>,
}

impl RequestedAsset {
    /// Reads a list of assets from JSON.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>> {
        serde_json::from_str(text)
            .map_err(|error| Error::Execution(format!("the assets cannot be read: {error}")))
    }
}
