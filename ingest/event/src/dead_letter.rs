//! What could not be an event: kept whole, with place and reason (R20).

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::rows::Place;
use crate::stream::timestamp;

/// Name of the lake's table of dead letters.
pub const DEAD_LETTERS: &str = "dead_letters";

/// A message that is not an event.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The stream whose topic it was read from; its name without the topics' prefix.
    pub topic: String,
    /// Its place in the log.
    pub place: Place,
    /// The event's identity, where it could be read: such a letter is kept once however often it comes.
    pub identity: Option<(String, i64)>,
    /// Why.
    pub reason: String,
    /// The message, byte for byte.
    pub payload: Vec<u8>,
}

/// Schema of the table of dead letters.
pub fn dead_letter_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("recorded_at", timestamp(), false),
            Field::new("topic", DataType::Utf8, false),
            Field::new("log_partition", DataType::Int32, false),
            Field::new("log_offset", DataType::Int64, false),
            Field::new("source", DataType::Utf8, true),
            Field::new("event_id", DataType::Int64, true),
            Field::new("reason", DataType::Utf8, false),
            Field::new("payload", DataType::Binary, false),
        ]))
    });
    SCHEMA.clone()
}

/// The letters as rows of [`dead_letter_schema`].
pub fn dead_letter_batch(letters: &[DeadLetter]) -> RecordBatch {
    let text = |f: fn(&DeadLetter) -> &str| Arc::new(StringArray::from_iter_values(letters.iter().map(f))) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(letters.iter().map(|l| l.place.recorded_at.0)).with_timezone("UTC")),
        text(|l| &l.topic),
        Arc::new(Int32Array::from_iter_values(letters.iter().map(|l| l.place.partition))),
        Arc::new(Int64Array::from_iter_values(letters.iter().map(|l| l.place.offset))),
        Arc::new(StringArray::from_iter(letters.iter().map(|l| l.identity.as_ref().map(|(source, _)| source.as_str())))),
        Arc::new(Int64Array::from_iter(letters.iter().map(|l| l.identity.as_ref().map(|(_, id)| *id)))),
        text(|l| &l.reason),
        Arc::new(BinaryArray::from_iter_values(letters.iter().map(|l| l.payload.as_slice()))),
    ];
    RecordBatch::try_new(dead_letter_schema(), columns).expect("columns follow the schema")
}
