//! Why a message is not an event.

use crate::{Instant, Stream};

/// Why a message goes to the dead letters. Its text is the `reason` there.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Fault {
    /// Not a flat JSON object with the stream's field types.
    #[error("not a valid `{stream}` message: {message}")]
    Malformed {
        /// The stream it was read for.
        stream: Stream,
        /// What the JSON reader said, with line and column.
        message: String,
    },
    /// A type the stream does not have.
    #[error("`{stream}` has no type `{found}`")]
    UnknownType {
        /// The stream it was read for.
        stream: Stream,
        /// The type found.
        found: String,
    },
    /// A row an importer could not map; it says why.
    #[error("could not be mapped: {reason}")]
    Unmapped {
        /// The importer's reason.
        reason: String,
    },
    /// A field that the type needs is missing or null.
    #[error("`{event_type}` needs `{field}`")]
    Missing {
        /// The event's type.
        event_type: String,
        /// The missing field.
        field: &'static str,
    },
    /// A time before 2000 (R20).
    #[error("`{field}` is {at}, before 2000")]
    TooEarly {
        /// The field.
        field: &'static str,
        /// Its value.
        at: Instant,
    },
    /// A time more than 24 h after it was recorded (R20).
    #[error("`occurred_at` is {at}, more than 24 h after it was recorded ({recorded_at})")]
    TooLate {
        /// Its value.
        at: Instant,
        /// When the log took it.
        recorded_at: Instant,
    },
    /// A number outside what its field can mean.
    #[error("`{field}` is {value}, outside {allowed}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
        /// The allowed range, as text.
        allowed: &'static str,
    },
    /// A schema version from the future.
    #[error("schema_version {found} is newer than {known}")]
    NewerVersion {
        /// The version found.
        found: i16,
        /// The newest known.
        known: i16,
    },
    /// The same (source, event_id) with other content. `sql/views/dead_letters_open.sql` knows such a letter by this text.
    #[error("event {source_name}/{event_id} exists with other content")]
    Conflict {
        /// The event's source.
        source_name: String,
        /// Its id.
        event_id: i64,
    },
    /// Longer than a message may be.
    #[error("{bytes} bytes, more than the {limit} a message may have")]
    TooLong {
        /// Length of the message.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}
