//! Histories for demo, tests and benches: a generator of whole chains, and importers of what other systems recorded.
//!
//! Owns what is generated and how files of other systems become events. It makes chunks of messages ([`Chunk`]); that they
//! go through the log, and into which folder, is the caller's.

mod chain;
mod chunk;
mod files;
mod import;
#[cfg(test)]
mod readme;

pub use chain::{Chain, ChainConfig, EntitlementState, FinalState, HoldState, MemberState, Step};
pub use chunk::{CHUNK_EVENTS, Chunk};
pub use files::{FileError, FileFormat, Files};
pub use import::{Import, ImportError, Map, Phase, Progress, Summary};
pub use redemption::{Payment, UnitState};
