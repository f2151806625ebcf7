//! The contract of Hexiao: what an event is, as JSON and as a row of the lake.
//!
//! Owns the streams and their fields, their JSON, the Arrow schemas of the lake's tables, what makes an event valid, and
//! the business time derived from it (R20). It does no IO: where events come from is `eventlog`'s, where they go is
//! `ingest`'s.
//!
//! A record ([`Order`], [`Redemption`], …) is one flat JSON object and one row. [`Event::decode`] reads and checks one
//! message, [`Rows`] collects events into a `RecordBatch` of [`Stream::schema`].

mod clock;
mod dead_letter;
mod fault;
mod fields;
mod ids;
mod record;
mod rows;
mod schema;
mod stream;
mod streams;
mod time;
mod values;

pub use clock::{Clock, ManualClock, SystemClock};
pub use dead_letter::{DEAD_LETTERS, DeadLetter, dead_letter_batch, dead_letter_schema};
pub use fault::Fault;
pub use ids::{first_id_at, hash63};
pub use record::{Case, Column, Contract, ENVELOPE, ENVELOPE_REQUIRED, Event, EventType, Kind, MESSAGE_BYTES_LIMIT};
pub use rows::{Place, Rows};
pub use schema::{asyncapi, json_schema};
pub use stream::{Stream, Table};
pub use streams::{Booking, CatalogEntry, Decision, Member, Order, Redemption, Refusal};
pub use time::{BusinessTime, DEFAULT_DAY_START_HOUR, Day, Instant, Moment};
pub use values::{Id, Text};
