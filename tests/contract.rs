//! The contract as producers outside read it: the schemas that are served say the same as the decoder does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use event::{Column, ENVELOPE, Event, Instant, Stream};
use expect_test::expect;
use serde_json::{Map, Value, json};

use crate::support::{self, Server};

/// When the messages are taken to be recorded; the samples are older.
const RECORDED_AT: Instant = Instant(1_780_000_000_000_000);

/// What a message of each stream may be, over HTTP and without a key.
fn schemas() -> BTreeMap<&'static str, Value> {
    let server = Server::start();
    let nobody = server.with_key("");
    Stream::ALL.map(|s| (s.name(), nobody.get(&format!("/v1/schemas/{s}.json")).expect(200).json())).into()
}

fn samples(stream: Stream) -> Vec<Map<String, Value>> {
    let file = support::workspace().join(format!("datasets/samples/chain/{stream}.ndjson"));
    let lines = std::fs::read_to_string(file).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the schemas say of messages.
fn taken_by(schemas: &BTreeMap<&str, Value>, messages: &[(Stream, String)]) -> Vec<bool> {
    let messages: Vec<_> = messages.iter().map(|(stream, text)| json!([stream.name(), text])).collect();
    let given = json!({ "schemas": schemas, "messages": messages }).to_string();
    let script = support::workspace().join("tests/contract.py");
    let out = support::run(std::process::Command::new(support::python()).arg(script), given.as_bytes());
    serde_json::from_str(&out.expect_success().stdout).unwrap()
}

/// Values that are wrong for most fields.
fn values() -> Vec<Value> {
    let texts = [
        "",
        "x",
        "12",
        "-7",
        "2026-05-06",
        "2026-13-06",
        "2026-05-06T10:00:00+08:00",
        "2026-05-06T10:00:00",
        "9".repeat(20).as_str(),
    ]
    .map(Value::from);
    let others = json!([
        null,
        7,
        -1,
        24,
        1.5,
        3_000_000_000_i64,
        10_000_000_000_001_i64,
        18_000_000_000_000_000_000_u64,
        true,
        [],
        ["x"],
        [1],
        [null],
        {}
    ]);
    texts.into_iter().chain(others.as_array().cloned().unwrap_or_default()).collect()
}

/// Every sample with each of its fields left out, and for each field of a stream one sample with each wrong value in it.
fn variants(stream: Stream) -> Vec<Map<String, Value>> {
    let samples = samples(stream);
    let mut variants = samples.clone();
    for sample in &samples {
        for name in sample.keys() {
            let mut without = sample.clone();
            without.remove(name);
            variants.push(without);
        }
    }
    for Column { name, .. } in ENVELOPE.iter().chain(stream.columns()) {
        let sample = samples.iter().find(|s| s.contains_key(*name)).unwrap_or(&samples[0]);
        variants.extend(values().into_iter().map(|value| {
            let mut with = sample.clone();
            with.insert((*name).to_owned(), value);
            with
        }));
    }
    variants
}

#[test]
fn a_schema_takes_what_decodes_and_refuses_what_does_not() {
    let messages: Vec<(Stream, String)> =
        Stream::ALL.into_iter().flat_map(|s| variants(s).into_iter().map(move |m| (s, Value::from(m).to_string()))).collect();
    let decoded: Vec<_> = messages.iter().map(|(s, text)| Event::decode(*s, text.as_bytes(), RECORDED_AT).map(drop)).collect();
    let taken = taken_by(&schemas(), &messages);
    assert!(messages.len() > 3_000 && taken.len() == messages.len(), "{} of {}", taken.len(), messages.len());
    assert!(taken.iter().filter(|taken| **taken).count() > 300 && taken.iter().filter(|taken| !**taken).count() > 2_000);
    let mut differ = String::new();
    for (((stream, text), decoded), taken) in messages.iter().zip(&decoded).zip(taken) {
        // Older than the first version there is none; the decoder does not ask.
        let version_zero = text.contains(r#""schema_version":-1"#);
        if decoded.is_ok() != taken && !version_zero {
            let _ = writeln!(differ, "{stream}: the schema takes it: {taken}, the decoder says {decoded:?}\n  {text}");
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

#[test]
fn what_is_no_object_of_the_stream_is_refused_by_both() {
    let redeemed = r#"{"source":"pos","event_id":"7","type":"redeemed","occurred_at":"2026-05-02T18:30:00+08:00","redeemed_store_id":"S1","product_id":"P1","value_fen":9900"#;
    let messages = [
        (Stream::Redemptions, format!("{redeemed}}}"), true),
        (Stream::Redemptions, format!("{redeemed},\"colour\":\"red\"}}"), true),
        (Stream::Redemptions, redeemed.to_owned(), false),
        (Stream::Orders, format!("{redeemed}}}"), false),
        (Stream::Redemptions, "[]".to_owned(), false),
        (Stream::Redemptions, "7".to_owned(), false),
        (Stream::Redemptions, String::new(), false),
    ];
    let texts: Vec<_> = messages.iter().map(|(stream, text, _)| (*stream, text.clone())).collect();
    for ((stream, text, good), taken) in messages.iter().zip(taken_by(&schemas(), &texts)) {
        assert_eq!((Event::decode(*stream, text.as_bytes(), RECORDED_AT).is_ok(), taken), (*good, *good), "{text}");
    }
}

#[test]
fn the_documents_are_served_and_printed_alike() {
    let server = Server::start();
    let nobody = server.with_key("");
    let printed = |args: &[&str]| -> Value {
        let said = support::hexiao(&server.data, args, b"").expect_success();
        serde_json::from_str(&said.stdout).unwrap()
    };
    assert_eq!(printed(&["schema", "orders"]), nobody.get("/v1/schemas/orders.json").expect(200).json());
    let document = nobody.get("/asyncapi.json").expect(200).json();
    assert_eq!(printed(&["schema"]), document);
    let mut shape = format!("AsyncAPI {}\n", document["asyncapi"].as_str().unwrap());
    for (name, channel) in document["channels"].as_object().unwrap() {
        let message = &document["components"]["messages"][name];
        let _ = writeln!(
            shape,
            "{} · {} · {}",
            channel["address"], document["operations"][name]["action"], message["bindings"]["kafka"]["key"]["description"]
        );
    }
    expect![[r#"
        AsyncAPI 3.0.0
        "bookings" · "receive" · "The first of these whose field is there: entitlement:{entitlement_id}, order:{order_id}, booking:{booking_id}"
        "catalog" · "receive" · "The first of these whose field is there: {kind}/{id}"
        "decisions" · "receive" · "The first of these whose field is there: subject:{subject}"
        "members" · "receive" · "The first of these whose field is there: member:{member_id}"
        "orders" · "receive" · "The first of these whose field is there: entitlement:{entitlement_id}, order:{order_id}, store:{sold_store_id}"
        "redemptions" · "receive" · "The first of these whose field is there: entitlement:{entitlement_id}, order:{order_id}, store:{redeemed_store_id}"
        "refusals" · "receive" · "The first of these whose field is there: entitlement:{entitlement_id}, order:{order_id}, terminal:{terminal_id}, terminal:{store_id}"
    "#]].assert_eq(&shape);
}
