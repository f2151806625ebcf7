//! What ingest says about itself.

use std::collections::BTreeMap;

use event::Table;
use eventlog::{Counts, Position};

/// How far ingest is, for metrics and for `system.*`.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Everything below it was read and decoded.
    pub taken: Position,
    /// Each table.
    pub tables: BTreeMap<Table, TableStatus>,
    /// What became of the messages since the start.
    pub counts: Counts,
    /// Bytes of rows that stand in no commit yet.
    pub tail_bytes: usize,
    /// The last thing that failed, with its causes; `None` once something succeeded again.
    pub last_error: Option<String>,
    /// Whether ingest gave up: it must be started anew.
    pub ended: bool,
}

/// How far one table is.
#[derive(Clone, Debug, Default)]
pub struct TableStatus {
    /// The commit holds everything below it.
    pub committed: Position,
    /// Its version.
    pub version: u64,
    /// Live files.
    pub files: usize,
    /// Rows in no commit yet.
    pub tail_rows: usize,
    /// Commits since the start.
    pub commits: u64,
    /// Rows committed since the start.
    pub committed_rows: u64,
}
