//! What can fail. A refusal is no failure: it is an answer, and comes in the outcome.

use std::path::PathBuf;
use std::sync::Arc;

use event::Fault;

/// Why the ledger did not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked is malformed; nothing was recorded.
    #[error("{what}")]
    Invalid {
        /// The field at fault, where it is one.
        field: Option<String>,
        /// What is wrong with it, and what would be right.
        what: String,
    },
    /// The idempotency key was used with other parameters (R2; 422).
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// There is no such thing (404).
    #[error("there is no {0}")]
    NotFound(String),
    /// The ledger is shutting down (503).
    #[error("the ledger is closed")]
    Closed,
    /// The commit failed; whether it took place is unknown. The same key, tried again, gives the truth (R2).
    #[error("could not commit")]
    Commit(#[source] Arc<Error>),
    /// A statement failed.
    #[error("could not {attempt}")]
    Sqlite {
        /// What was attempted.
        attempt: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The log failed.
    #[error("could not write the log")]
    Log(#[from] eventlog::Error),
    /// The file could not be opened.
    #[error("could not open the ledger {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file is from a newer build.
    #[error("the ledger {path} has format {found}, this build knows up to {known}: use a newer build")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest this build knows.
        known: i64,
    },
    /// The file is from an older build, and only its writer migrates it.
    #[error(
        "the ledger {path} has format {found} and no totals yet: the next process that writes it adds them, such as `hexiao serve`"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The file belongs to another source of events.
    #[error("the ledger {path} writes as `{found}`, not as `{wanted}`")]
    OtherSource {
        /// The file.
        path: PathBuf,
        /// Its source.
        found: String,
        /// The source asked for.
        wanted: String,
    },
    /// The secret is not the one the ledger's codes were hashed with.
    #[error("the secret in {path} is not the one this ledger was made with: no code would be found")]
    WrongSecret {
        /// Where it came from.
        path: PathBuf,
    },
    /// The secret could not be read or made.
    #[error("could not read or make the secret {path}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file holds what this code never writes.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// The system has no random bytes.
    #[error("no random bytes")]
    Random(#[from] getrandom::Error),
    /// The system started no thread.
    #[error("could not start the ledger's writer")]
    Thread(#[source] std::io::Error),
    /// A command broke off by a fault of ours; nothing of it was kept.
    #[error("a command broke off")]
    Broken,
}

/// What the ledger's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names the attempt when SQLite fails.
pub(crate) fn attempt(attempt: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |source| Error::Sqlite { attempt, source }
}

/// An [`Error::Invalid`] in words; the first name in backticks is the field at fault.
pub(crate) fn invalid(what: impl std::fmt::Display) -> Error {
    let what = what.to_string();
    Error::Invalid { field: what.split('`').nth(1).map(str::to_owned), what }
}

/// An [`Error::Invalid`] whose words don't name the field.
pub(crate) fn invalid_field(field: &str, what: impl std::fmt::Display) -> Error {
    Error::Invalid { field: Some(field.to_owned()), what: what.to_string() }
}

/// An event that the contract refuses was malformed input.
pub(crate) fn refused(fault: Fault) -> Error {
    let field = match &fault {
        Fault::Missing { field, .. } | Fault::TooEarly { field, .. } | Fault::OutOfRange { field, .. } => {
            Some((*field).to_owned())
        }
        Fault::TooLate { .. } => Some("occurred_at".to_owned()),
        _ => None,
    };
    Error::Invalid { field, what: fault.to_string() }
}
