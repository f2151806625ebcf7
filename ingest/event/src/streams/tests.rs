use expect_test::{Expect, expect};

use crate::{Event, Instant, Place, Rows, Stream};

const RECORDED_AT: Instant = Instant(1_780_000_000_000_000);

fn check(stream: Stream, message: &str, expect: Expect) {
    let text = match Event::decode(stream, message.as_bytes(), RECORDED_AT) {
        Ok(event) => {
            let mut json = Vec::new();
            event.encode(&mut json);
            let again = Event::decode(stream, &json, RECORDED_AT).expect("what was written reads back");
            assert_eq!(event, again);
            format!("{} · {}", event.key(), String::from_utf8(json).unwrap())
        }
        Err(fault) => fault.to_string(),
    };
    expect.assert_eq(&text);
}

#[test]
fn good_messages_read_back_and_unknown_fields_are_ignored() {
    check(
        Stream::Redemptions,
        r#"{"source":"till","event_id":"9007199254740993","type":"redeemed","occurred_at":"2026-05-06T15:04:05+08:00","entitlement_id":"7",
            "redeemed_store_id":"S1","product_id":"P\u0031","value_fen":9900,"unit_ordinal":3,"colour":"red"}"#,
        expect![[
            r#"entitlement:7 · {"source":"till","event_id":"9007199254740993","type":"redeemed","occurred_at":"2026-05-06T15:04:05+08:00","schema_version":1,"entitlement_id":"7","unit_ordinal":3,"redeemed_store_id":"S1","product_id":"P1","value_fen":9900}"#
        ]],
    );
    check(
        Stream::Catalog,
        r#"{"source":"head","event_id":3,"type":"upserted","occurred_at":"2026-01-01T00:00:00Z","kind":"applicable_stores","id":"P1",
            "effective_from":"2026-01-01T00:00:00Z","store_ids":["S1","S2"]}"#,
        expect![[
            r#"applicable_stores/P1 · {"source":"head","event_id":"3","type":"upserted","occurred_at":"2026-01-01T00:00:00Z","schema_version":1,"kind":"applicable_stores","id":"P1","effective_from":"2026-01-01T00:00:00Z","store_ids":["S1","S2"]}"#
        ]],
    );
}

#[test]
fn r20_bad_messages_say_what_is_wrong() {
    let redeemed = |extra: &str| {
        format!(
            r#"{{"source":"till","event_id":"1","type":"redeemed","occurred_at":"2026-05-06T15:04:05+08:00","redeemed_store_id":"S1"{extra}}}"#
        )
    };
    check(Stream::Redemptions, &redeemed(""), expect!["`redeemed` needs `product_id`"]);
    check(
        Stream::Redemptions,
        &redeemed(r#","product_id":"P","value_fen":99999999999999"#),
        expect!["`value_fen` is 99999999999999, outside ±10^13 fen"],
    );
    check(
        Stream::Redemptions,
        &redeemed(r#","product_id":"P","value_fen":"9""#),
        expect![[r#"not a valid `redemptions` message: invalid type: string "9", expected i64 at line 1 column 149"#]],
    );
    check(Stream::Redemptions, "", expect!["not a valid `redemptions` message: EOF while parsing a value at line 1 column 0"]);
    check(
        Stream::Refusals,
        r#"{"source":"x","event_id":"1","type":"refused","occurred_at":"1999-12-31T23:59:59Z","store_id":"S","reason":"r"}"#,
        expect!["`occurred_at` is 1999-12-31T23:59:59Z, before 2000"],
    );
    check(
        Stream::Refusals,
        r#"{"source":"x","event_id":"1","type":"refused","occurred_at":"2026-06-01T23:59:59Z","store_id":"S","reason":"r"}"#,
        expect!["`occurred_at` is 2026-06-01T23:59:59Z, more than 24 h after it was recorded (2026-05-28T20:26:40Z)"],
    );
    check(
        Stream::Refusals,
        r#"{"source":"x","event_id":"1","type":"stolen","occurred_at":"2026-05-01T00:00:00Z"}"#,
        expect!["`refusals` has no type `stolen`"],
    );
    check(
        Stream::Orders,
        r#"{"source":"x","event_id":"1","type":"unmapped","occurred_at":"2026-05-01T00:00:00Z","reason":"row 7: no store","raw":"a,b"}"#,
        expect!["could not be mapped: row 7: no store"],
    );
}

#[test]
fn fields_are_found_in_any_order_and_each_once() {
    let envelope = r#""source":"x","event_id":"1","type":"refused","occurred_at":"2026-05-01T01:00:00Z""#;
    check(
        Stream::Refusals,
        &format!(r#"{{"reason":"r","\u0073tore_id":"S","new":[{{}}],{envelope},"member_id":null}}"#),
        expect![[
            r#"terminal:S · {"source":"x","event_id":"1","type":"refused","occurred_at":"2026-05-01T01:00:00Z","schema_version":1,"store_id":"S","reason":"r"}"#
        ]],
    );
    check(
        Stream::Refusals,
        &format!(r#"{{{envelope},"store_id":"S","reason":"r","source":"y"}}"#),
        expect!["not a valid `refusals` message: duplicate field `source` at line 1 column 119"],
    );
    check(
        Stream::Refusals,
        r#"{"source":"x","type":"refused","occurred_at":"2026-05-01T01:00:00Z"}"#,
        expect!["not a valid `refusals` message: missing field `event_id` at line 1 column 68"],
    );
    check(
        Stream::Refusals,
        "[]",
        expect!["not a valid `refusals` message: invalid type: sequence, expected a flat object at line 1 column 0"],
    );
}

#[test]
fn rows_follow_the_schema_of_every_stream() {
    for stream in Stream::ALL {
        let mut rows = Rows::new(stream);
        assert_eq!(rows.finish().schema(), stream.schema());
    }
    let event = Event::decode(
        Stream::Refusals,
        br#"{"source":"x","event_id":"1","type":"refused","occurred_at":"2026-05-01T01:00:00+08:00","store_id":"S","reason":"r"}"#,
        RECORDED_AT,
    )
    .unwrap();
    let mut rows = Rows::new(Stream::Refusals);
    rows.push(&event, Place { partition: 0, offset: 5, recorded_at: RECORDED_AT });
    assert_eq!(rows.len(), 1);
    let batch = rows.finish();
    let text =
        arrow::util::pretty::pretty_format_batches(&[batch.project(&[1, 6, 7, 8, 11, 12, batch.num_columns() - 1]).unwrap()])
            .unwrap();
    expect![[r#"
        +----------+--------------+------------+---------+------------+----------+---------+
        | event_id | business_day | local_hour | weekday | log_offset | store_id | month   |
        +----------+--------------+------------+---------+------------+----------+---------+
        | 1        | 2026-04-30   | 1          | 4       | 5          | S        | 2026-04 |
        +----------+--------------+------------+---------+------------+----------+---------+"#]]
    .assert_eq(&text.to_string());
}
