//! The event log: where events wait between the ledger and the lake, and what makes the tail equal to the lake.
//!
//! Owns positions and segments, the sources (the embedded outbox, Kafka), decoding, dead letters and duplicates. It
//! knows neither Delta nor SQL: `ingest` commits what comes out of here, `query` reads the same before it is committed.

mod error;
mod intake;
pub mod kafka;
mod log_ids;
pub mod outbox;
mod outbox_source;
mod partition;
mod position;
mod publish;
mod relay;
mod segment;
mod source;
#[cfg(test)]
mod source_conformance;

pub use error::{Error, Result, chain};
pub use intake::{Counts, Intake, IntakeConfig, KnownEvents, NoneKnown};
pub use log_ids::{LogIds, app_id};
pub use outbox_source::OutboxSource;
pub use partition::Partition;
pub use position::Position;
pub use publish::{Publisher, Taken};
pub use relay::{Relay, RelayConfig, RelayStatus};
pub use segment::{Body, MessagePlace, Messages, Segment};
pub use source::Source;
