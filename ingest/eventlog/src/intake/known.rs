//! What the lake already holds, as files to search.

use std::path::PathBuf;

use event::Table;

use crate::error::Result;

/// Knows the live Parquet files of the lake's tables.
pub trait KnownEvents: Send + Sync + std::fmt::Debug {
    /// The live files of one business month (`YYYY-MM`) of a table, or of the whole table where it has no months.
    fn files(&self, table: Table, month: Option<&str>) -> Result<Vec<PathBuf>>;
}

/// A lake without files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoneKnown;

impl KnownEvents for NoneKnown {
    fn files(&self, _: Table, _: Option<&str>) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}
