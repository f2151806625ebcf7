//! What can go wrong between the log and the lake.

use std::path::PathBuf;
use std::sync::Arc;

use deltalake_core::DeltaTableError;
use event::Table;
use eventlog::{LogIds, Partition};

/// Why the lake could not be opened, written, or kept up with the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder can't be used.
    #[error("could not use the folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A table could not be opened or created.
    #[error("could not open `{table}`")]
    Open {
        /// The table.
        table: Table,
        /// What the library says.
        source: DeltaTableError,
    },
    /// A table that was created is gone: made anew it would lack what it held, and nobody would be told.
    #[error(
        "the folder of `{table}` is gone from the lake: restore it from a backup, or, to begin it anew without its history, remove its line from {list}"
    )]
    Lost {
        /// The table.
        table: Table,
        /// The list of tables that were created.
        list: PathBuf,
    },
    /// Rows could not be turned into files.
    #[error("could not write {rows} rows of `{table}`")]
    Write {
        /// The table.
        table: Table,
        /// The rows.
        rows: usize,
        /// What the writer says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A commit did not land.
    #[error("could not commit {rows} rows to `{table}`")]
    Commit {
        /// The table.
        table: Table,
        /// The rows.
        rows: usize,
        /// What the library says.
        source: DeltaTableError,
    },
    /// Somebody else commits what this process should: processes that share a log are a group, and whoever has lost its share
    /// notices here.
    #[error(
        "another process commits to `{table}`: for {} offset {found:?} stands where {expected} was expected",
        .partition.log()
    )]
    Fenced {
        /// The table.
        table: Table,
        /// The partition of the log.
        partition: Partition,
        /// The offset this process committed last.
        expected: i64,
        /// The offset that stands in the table.
        found: Option<i64>,
    },
    /// Other processes have committed what this one holds uncommitted, or more than it can tell: what its rows come to now
    /// only a new beginning from the committed offsets tells.
    #[error("another process commits to `{table}`: what was read here has to be read again from what stands there")]
    Overtaken {
        /// The table.
        table: Table,
    },
    /// The lake was filled from another log.
    #[error("`{table}` was filled from the log {found}, and this is the log {expected}: log and lake do not belong together")]
    OtherLog {
        /// The table.
        table: Table,
        /// The log in the table.
        found: LogIds,
        /// The log at hand.
        expected: LogIds,
    },
    /// The log was restored from a backup that is older than the lake.
    #[error("`{table}` holds {} up to offset {committed}, which ends at {end}: the log is older than the lake", .partition.log())]
    AheadOfLog {
        /// The table.
        table: Table,
        /// The partition of the log.
        partition: Partition,
        /// Committed up to here.
        committed: i64,
        /// The log's end.
        end: i64,
    },
    /// The lake was restored from a backup that is too old for the log, or lost.
    #[error(
        "`{table}` needs {} from offset {committed}, which was pruned up to {start}: the lake is older than what the log keeps",
        .partition.log()
    )]
    BehindLog {
        /// The table.
        table: Table,
        /// The partition of the log.
        partition: Partition,
        /// Committed up to here.
        committed: i64,
        /// The first offset the log still has.
        start: i64,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// Ingest ended earlier, for this reason.
    #[error("ingest has stopped")]
    Ended(#[source] Option<Arc<Error>>),
}

impl Error {
    /// Whether trying again can't help.
    pub(crate) fn fatal(&self) -> bool {
        match self {
            Error::Fenced { .. }
            | Error::Overtaken { .. }
            | Error::OtherLog { .. }
            | Error::AheadOfLog { .. }
            | Error::BehindLog { .. } => true,
            Error::Log(e) => {
                use eventlog::Error::{Ahead, Damaged, OtherTopic, Pruned};
                matches!(e, Pruned { .. } | Ahead { .. } | Damaged { .. } | OtherTopic { .. })
            }
            Error::Ended(_) | Error::Lost { .. } => true,
            Error::Folder { .. } | Error::Open { .. } | Error::Write { .. } | Error::Commit { .. } => false,
        }
    }
}

/// What ingest's functions return.
pub type Result<T> = std::result::Result<T, Error>;
