//! The event log into the lake: batches, duplicates, dead letters, and the log's offsets in the commit.
//!
//! Owns the lake's Delta tables: creating them, writing their files, committing, and what keeps them small and quick. What
//! a message comes to is decided in `eventlog`; answering questions is `query`'s, which meets ingest only at the lake's
//! schema and through a [`eventlog::Publisher`].
//!
//! Exactly once (R20): a commit holds a table's rows and the offsets up to which the log was read for it. It lands only if
//! the offsets it follows on still stand there. Files are durable before a commit names them. After a crash reading goes on
//! at the smallest offset, and each table leaves out what lies below its own.

mod commit;
mod compact;
mod config;
mod durable;
mod error;
mod files;
mod lake;
mod layout;
mod loss;
mod maintain;
mod member;
mod reader;
mod run;
mod status;
mod tail;
mod write;

#[cfg(test)]
mod tests;

pub use config::IngestConfig;
pub use error::{Error, Result};
pub use lake::Lake;
pub use loss::{Accepted, accept_loss};
pub use maintain::{Maintained, maintain};
pub use member::{Member, MemberConfig, MemberStatus};
pub use run::{Ingest, start};
pub use status::{Status, TableStatus};
