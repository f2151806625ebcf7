//! Why an import cannot be. What is wrong with one row only is not among these.

use std::io;
use std::path::PathBuf;

use crate::import::read::ReadError;

/// Why an import cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The map cannot be read.
    #[error("could not read the map {}", path.display())]
    MapFile {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The map is not the TOML it should be.
    #[error("the map is not valid: {0}")]
    Toml(#[from] toml::de::Error),
    /// The map asks for what cannot be.
    #[error("{place}: {problem}")]
    Map {
        /// Where in the map.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The files given are not those the map wants.
    #[error("{0}")]
    Inputs(String),
    /// A file cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: ReadError,
    },
    /// Two rows make one event id and differ.
    #[error(
        "row {row} of {} makes the same `{stream}` event as an earlier row, with other content: its key [{key}] does not tell them apart",
        path.display()
    )]
    Collision {
        /// The file of the later row.
        path: PathBuf,
        /// Its row, from 1.
        row: u64,
        /// The stream.
        stream: event::Stream,
        /// The key, as its parts.
        key: String,
    },
    /// The first rows all fail.
    #[error("none of the first {rows} rows of {} could be mapped; the first: {reason}", path.display())]
    NothingFits {
        /// The file.
        path: PathBuf,
        /// How many were tried.
        rows: u64,
        /// What is wrong with the first.
        reason: String,
    },
}
