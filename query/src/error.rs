//! Why there is no answer, and whose turn it is to do something about it.

use std::time::Duration;

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

/// What went wrong. [`Error::kind`] is what a door maps to a status or an exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement does not parse, or names what does not exist.
    #[error("not valid SQL: {message}")]
    BadSql {
        /// What the parser or planner said.
        message: String,
    },
    /// The statement is valid but fails on these data, such as a division by zero.
    #[error("the statement failed on these data: {message}")]
    BadData {
        /// What the engine said.
        message: String,
    },
    /// The statement would do something else than read.
    #[error("{statement} is not allowed: only one statement that reads is (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE)")]
    Forbidden {
        /// The statement's first words.
        statement: String,
    },
    /// No report has this name.
    #[error("there is no report `{name}`; there are {known}")]
    UnknownReport {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A parameter that is missing, unknown, or of another type.
    #[error("parameter `{name}` {problem}")]
    BadParameter {
        /// The parameter.
        name: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The statement took longer than statements may.
    #[error("stopped after {} s, the longest a statement may take", limit.as_secs_f64())]
    DeadlineExceeded {
        /// The limit.
        limit: Duration,
    },
    /// The statement wanted more memory than statements may have.
    #[error("stopped: it needed more memory than a statement may have ({limit_bytes} bytes): {message}")]
    MemoryExceeded {
        /// The limit.
        limit_bytes: usize,
        /// Which operator asked for how much.
        message: String,
    },
    /// The answer has more rows than answers may.
    #[error("stopped after {limit} rows, the most an answer may have; aggregate, or add a LIMIT")]
    TooManyRows {
        /// The limit.
        limit: u64,
    },
    /// The answer has more rows than the format takes.
    #[error(
        "the answer has more than {limit} rows, the most that {format} takes; aggregate, ask for less, or take another format"
    )]
    TooManyRowsFor {
        /// The format.
        format: &'static str,
        /// The limit.
        limit: u64,
    },
    /// There is nothing to draw.
    #[error("{what} has no chart, so there is no SVG of it; a report's header says `Chart: …` if it has one")]
    NoChart {
        /// What was asked for.
        what: String,
    },
    /// The statement joins without equality what is too much for that.
    #[error(
        "it would compare every one of about {left} rows with every one of about {right}, more than the {limit} pairs a \
         statement may compare; join on an equality, or aggregate first"
    )]
    TooManyPairs {
        /// Estimated rows of one side.
        left: u64,
        /// Estimated rows of the other.
        right: u64,
        /// The limit.
        limit: u64,
    },
    /// The statement's text is too long.
    #[error("the statement has {bytes} bytes, more than the {limit} one may have")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many statements wait already.
    #[error("{running} statements are running and {waiting} wait already; try again")]
    Busy {
        /// How many run at once.
        running: usize,
        /// How many may wait.
        waiting: usize,
    },
    /// What was written is not visible yet.
    #[error("not yet read up to the position asked for, after {} s", waited.as_secs_f64())]
    NotYetVisible {
        /// How long it waited.
        waited: Duration,
    },
    /// A view or report whose source is not as it should be.
    #[error("`{file}`: {problem}")]
    BadSource {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A table of the lake could not be read.
    #[error("could not read table `{table}` of the lake")]
    Lake {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// The data folder could not be read.
    #[error("could not read {what}")]
    Folder {
        /// What was read.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer could not be written in the format asked for.
    #[error("could not write the answer as {format}")]
    Output {
        /// The format.
        format: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A fault of ours, or of the machine.
    #[error("the engine failed")]
    Engine(#[source] DataFusionError),
}

/// Whose turn it is, for status and exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The statement is wrong (HTTP 400).
    BadSql,
    /// The statement is not allowed (HTTP 403).
    Forbidden,
    /// Unknown report (HTTP 404).
    UnknownReport,
    /// Wrong parameter (HTTP 400).
    BadParameter,
    /// The answer does not come in this format (HTTP 406).
    NotAcceptable,
    /// It asked for more than one statement may have (HTTP 422).
    Limit,
    /// Try again later (HTTP 503).
    Unavailable,
    /// Ours (HTTP 500).
    Internal,
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::BadSql { .. } | Error::BadData { .. } => ErrorKind::BadSql,
            Error::Forbidden { .. } => ErrorKind::Forbidden,
            Error::UnknownReport { .. } => ErrorKind::UnknownReport,
            Error::BadParameter { .. } => ErrorKind::BadParameter,
            Error::DeadlineExceeded { .. }
            | Error::MemoryExceeded { .. }
            | Error::TooManyRows { .. }
            | Error::TooManyRowsFor { .. }
            | Error::TooManyPairs { .. }
            | Error::TooLong { .. } => ErrorKind::Limit,
            Error::NoChart { .. } => ErrorKind::NotAcceptable,
            Error::Busy { .. } | Error::NotYetVisible { .. } => ErrorKind::Unavailable,
            Error::BadSource { .. } | Error::Lake { .. } | Error::Folder { .. } | Error::Output { .. } | Error::Engine(_) => {
                ErrorKind::Internal
            }
        }
    }

    pub(crate) fn parameter(name: &str, problem: impl Into<String>) -> Self {
        Error::BadParameter { name: name.to_owned(), problem: problem.into() }
    }

    pub(crate) fn folder(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Folder { what: what.into(), source: source.into() }
    }

    /// Sorts the engine's error by whose fault it is; `memory_limit` is what the statement could have had.
    pub(crate) fn from_engine(error: DataFusionError, memory_limit: usize) -> Self {
        let message = || error.strip_backtrace();
        match error.find_root() {
            DataFusionError::SQL(..) | DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => {
                Error::BadSql { message: plain(message()) }
            }
            DataFusionError::NotImplemented(_) | DataFusionError::Configuration(_) => Error::BadSql { message: plain(message()) },
            DataFusionError::ResourcesExhausted(said) => {
                Error::MemoryExceeded { limit_bytes: memory_limit, message: said.lines().next().unwrap_or_default().to_owned() }
            }
            DataFusionError::Execution(_) => Error::BadData { message: plain(message()) },
            DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
                ArrowError::DivideByZero
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::CastError(_)
                | ArrowError::ParseError(_)
                | ArrowError::ComputeError(_)
                | ArrowError::InvalidArgumentError(_) => Error::BadData { message: plain(message()) },
                _ => Error::Engine(error),
            },
            _ => Error::Engine(error),
        }
    }
}

/// The message without the engine's own prefixes.
fn plain(message: String) -> String {
    let prefixes =
        ["Error during planning: ", "Execution error: ", "SQL error: ", "Arrow error: ", "Schema error: ", "Optimizer rule "];
    prefixes.iter().fold(message, |m, p| m.strip_prefix(p).map(str::to_owned).unwrap_or(m))
}
