//! The contract for producers that don't link this crate: a JSON Schema per stream, and one AsyncAPI document over all of
//! them, both made from the records' own declarations.
//!
//! A schema refuses what [`crate::Event::decode`] refuses, but for what a schema can't say: days that no calendar has, times
//! before 2000 or too far ahead, a whole number written as `5.0`, an id of 19 digits beyond 64 bits, a field that comes twice,
//! a message that is too long. It asks for more in one place: an id has no plus sign.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::record::{Case, Column, ENVELOPE, ENVELOPE_REQUIRED, SCHEMA_VERSION};
use crate::{Event, Instant, Kind, MESSAGE_BYTES_LIMIT, Stream};

/// What holds for every message.
const CONVENTIONS: &str = "One flat JSON object in UTF-8. Ids of 64 bits are strings of decimal digits (a JSON integer is read too, \
    but many languages round it beyond 2^53); money is whole fen (1/100 yuan); times are RFC 3339 with an offset, days \
    YYYY-MM-DD. A field that is null is one left out. Fields that are not described are ignored. A message that is no event, or \
    whose source and event_id came before with other content, goes to the dead letters and stops nothing; an identical copy \
    changes nothing.";

const DAY: &str = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
const TIME: &str = "([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

/// One message of every sort, as the samples of `datasets/` have them.
fn samples(stream: Stream) -> &'static [Sample] {
    static SAMPLES: LazyLock<[Vec<Sample>; Stream::ALL.len()]> = LazyLock::new(|| Stream::ALL.map(read_samples));
    &SAMPLES[stream as usize]
}

struct Sample {
    /// Its type, and what tells it from others of the type.
    name: String,
    key: String,
    message: Value,
}

fn read_samples(stream: Stream) -> Vec<Sample> {
    let lines = match stream {
        Stream::Orders => include_str!("../../../datasets/samples/chain/orders.ndjson"),
        Stream::Redemptions => include_str!("../../../datasets/samples/chain/redemptions.ndjson"),
        Stream::Refusals => include_str!("../../../datasets/samples/chain/refusals.ndjson"),
        Stream::Bookings => include_str!("../../../datasets/samples/chain/bookings.ndjson"),
        Stream::Members => include_str!("../../../datasets/samples/chain/members.ndjson"),
        Stream::Catalog => include_str!("../../../datasets/samples/chain/catalog.ndjson"),
        Stream::Decisions => include_str!("../../../datasets/samples/chain/decisions.ndjson"),
    };
    let sample = |line: &str| {
        let event = Event::decode(stream, line.as_bytes(), Instant(i64::MAX)).expect("a sample is an event");
        let message: Value = serde_json::from_str(line).expect("a sample is JSON");
        let of_type = |case: &&Case| case.event_type == event.event_type();
        let case = stream.contract().cases.iter().find(of_type).and_then(|case| message[case.field].as_str());
        let name = [event.event_type()].into_iter().chain(case).collect::<Vec<_>>().join("_");
        Sample { name, key: event.key(), message }
    };
    lines.lines().map(sample).collect()
}

/// The JSON Schema (draft 2020-12) of a stream's messages.
pub fn json_schema(stream: Stream) -> Value {
    let mut schema = body(stream);
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    let examples: Vec<&Value> = samples(stream).iter().map(|s| &s.message).collect();
    schema.insert("examples".to_owned(), json!(examples));
    schema.into()
}

/// The AsyncAPI 3.0 document: a channel per stream, the messages that Hexiao takes from it, their keys and schemas.
pub fn asyncapi() -> Value {
    let of_streams = |make: fn(Stream) -> Value| Value::from_iter(Stream::ALL.map(|s| (s.name(), make(s))));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hexiao events",
            "version": format!("{SCHEMA_VERSION}"),
            "description": format!(
                "What a producer (a POS, a mini-app) sends to the redemption log (核销) of a chain of stores: one channel per stream. \
                 On Kafka a channel is a topic, named by its address after the prefix that the operator chose, and each message has \
                 the key described with it, so that what belongs to one card stays in order. Without Kafka the same messages go to \
                 `POST /v1/log/{{stream}}`, one per line. \
                 {CONVENTIONS} A message has at most {MESSAGE_BYTES_LIMIT} bytes."
            ),
        },
        "defaultContentType": "application/json",
        "channels": of_streams(channel),
        "operations": of_streams(operation),
        "components": { "messages": of_streams(message), "schemas": of_streams(|stream| body(stream).into()) },
    })
}

fn channel(stream: Stream) -> Value {
    json!({
        "address": stream.name(),
        "description": stream.contract().doc,
        "messages": { stream.name(): { "$ref": format!("#/components/messages/{stream}") } },
    })
}

fn operation(stream: Stream) -> Value {
    json!({
        "action": "receive",
        "summary": format!("Hexiao takes events of {stream}"),
        "channel": { "$ref": format!("#/channels/{stream}") },
        "messages": [{ "$ref": format!("#/channels/{stream}/messages/{stream}") }],
    })
}

fn message(stream: Stream) -> Value {
    let samples = samples(stream);
    let examples: Vec<Value> = samples.iter().map(|s| json!({ "name": s.name, "payload": s.message })).collect();
    let key = json!({
        "type": "string",
        "description": format!("The first of these whose field is there: {}", stream.contract().key.join(", ")),
        "examples": [samples[0].key],
    });
    json!({
        "name": stream.name(),
        "title": format!("An event of {stream}"),
        "summary": stream.contract().doc,
        "payload": { "$ref": format!("#/components/schemas/{stream}") },
        "bindings": { "kafka": { "key": key, "bindingVersion": "0.5.0" } },
        "examples": examples,
    })
}

/// The schema itself, in words that JSON Schema draft 7 has too: AsyncAPI's own schemas are that.
fn body(stream: Stream) -> Map<String, Value> {
    let contract = stream.contract();
    let required: Vec<&str> = ENVELOPE[..ENVELOPE_REQUIRED].iter().map(|c| c.name).collect();
    let mut properties = Map::new();
    for column in ENVELOPE.iter().chain(contract.columns) {
        // The version has a default, and no null.
        let nullable = !required.contains(&column.name) && column.name != "schema_version";
        properties.insert(column.name.to_owned(), property(column, nullable));
    }
    let types: Vec<&str> = contract.types.iter().map(|t| t.name).collect();
    properties["type"]["enum"] = json!(types);
    if let Some(first) = contract.cases.first() {
        let values: Vec<&str> = contract.cases.iter().map(|c| c.value).collect();
        properties[first.field]["examples"] = json!(values);
    }
    let column = |name: &str| contract.columns.iter().find(|c| c.name == name).expect("a type needs fields that there are");
    let there = |needs: &[&'static str]| -> Map<String, Value> {
        needs.iter().map(|name| ((*name).to_owned(), json!({ "type": json_type(column(name).kind) }))).collect()
    };
    let mut rules = Vec::new();
    for t in contract.types {
        let mut then = json!({ "required": t.needs, "properties": there(t.needs), "description": t.doc });
        let cases: Vec<&Case> = contract.cases.iter().filter(|c| c.event_type == t.name).collect();
        if let Some(first) = cases.first() {
            then["properties"][first.field]["enum"] = cases.iter().map(|c| c.value).collect();
        }
        rules.push(json!({ "if": means(&[("type", t.name)]), "then": then }));
    }
    for c in contract.cases.iter().filter(|c| !c.needs.is_empty()) {
        let then = json!({ "required": c.needs, "properties": there(c.needs) });
        rules.push(json!({ "if": means(&[("type", c.event_type), (c.field, c.value)]), "then": then }));
    }
    let schema = json!({
        "title": stream.name(),
        "description": format!("{} {CONVENTIONS}", contract.doc),
        "type": "object",
        "required": required,
        "properties": properties,
        "allOf": rules,
    });
    match schema {
        Value::Object(schema) => schema,
        _ => unreachable!("it is written as one"),
    }
}

/// The condition that fields have these values.
fn means(fields: &[(&str, &str)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let values: Map<String, Value> = fields.iter().map(|(name, value)| ((*name).to_owned(), json!({ "const": value }))).collect();
    json!({ "required": names, "properties": values })
}

fn property(column: &Column, nullable: bool) -> Value {
    let mut schema = json!({ "description": column.doc });
    let mut types = json_type(column.kind);
    if nullable {
        types = match types {
            Value::Array(types) => types.into_iter().chain(["null".into()]).collect(),
            one => json!([one, "null"]),
        };
    }
    schema["type"] = types;
    let bounded = match column.kind {
        Kind::Texts => {
            schema["items"] = json!({ "type": "string" });
            &mut schema
        }
        Kind::Ints => {
            schema["items"] = json!({ "type": "integer" });
            &mut schema["items"]
        }
        _ => &mut schema,
    };
    if let Some((least, greatest)) = column.bounds() {
        bounded["minimum"] = least.into();
        bounded["maximum"] = greatest.into();
    }
    match column.kind {
        // 19 digits write every 64-bit number.
        Kind::Id => schema["pattern"] = "^-?[0-9]{1,19}$".into(),
        Kind::Instant => {
            schema["format"] = "date-time".into();
            schema["pattern"] = format!("^{DAY}[Tt ]{TIME}$").into();
        }
        Kind::Day => {
            schema["format"] = "date".into();
            schema["pattern"] = format!("^{DAY}$").into();
        }
        Kind::Text | Kind::Int | Kind::Fen | Kind::Flag | Kind::Degrees | Kind::Texts | Kind::Ints => {}
    }
    schema
}

/// What a field's value is in JSON.
fn json_type(kind: Kind) -> Value {
    match kind {
        Kind::Id => json!(["string", "integer"]),
        Kind::Text | Kind::Instant | Kind::Day => json!("string"),
        Kind::Int | Kind::Fen => json!("integer"),
        Kind::Flag => json!("boolean"),
        Kind::Degrees => json!("number"),
        Kind::Texts | Kind::Ints => json!("array"),
    }
}

#[cfg(test)]
mod tests;
