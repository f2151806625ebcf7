use expect_test::{Expect, expect};
use serde_json::Value;

use super::{asyncapi, json_schema};
use crate::Stream;

fn check(stream: Stream, pointer: &str, expect: Expect) {
    let schema = json_schema(stream);
    let found = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {schema:#}"));
    expect.assert_eq(&found.to_string());
}

#[test]
fn a_schema_says_what_the_record_declares() {
    check(Stream::Refusals, "/required", expect![[r#"["source","event_id","type","occurred_at"]"#]]);
    check(
        Stream::Refusals,
        "/properties/event_id",
        expect![[
            r#"{"description":"Unique within the source; a second message with it changes nothing.","maximum":9223372036854775807,"minimum":-9223372036854775808,"pattern":"^-?[0-9]{1,19}$","type":["string","integer"]}"#
        ]],
    );
    check(
        Stream::Refusals,
        "/properties/type",
        expect![[r#"{"description":"What happened.","enum":["refused","slot_full"],"type":"string"}"#]],
    );
    check(Stream::Refusals, "/properties/occurred_at/type", expect![[r#""string""#]]);
    check(
        Stream::Refusals,
        "/properties/schema_version",
        expect![[
            r#"{"description":"Version of the message's meaning; 1 if left out.","maximum":1,"minimum":1,"type":"integer"}"#
        ]],
    );
    check(
        Stream::Refusals,
        "/properties/day_start_hour",
        expect![[
            r#"{"description":"Hour at which the store's business day starts; 4 if left out.","maximum":23,"minimum":0,"type":["integer","null"]}"#
        ]],
    );
    check(
        Stream::Refusals,
        "/allOf",
        expect![[
            r#"[{"if":{"properties":{"type":{"const":"refused"}},"required":["type"]},"then":{"description":"A rule refused it.","properties":{"reason":{"type":"string"},"store_id":{"type":"string"}},"required":["store_id","reason"]}},{"if":{"properties":{"type":{"const":"slot_full"}},"required":["type"]},"then":{"description":"No slot was free.","properties":{"product_id":{"type":"string"},"store_id":{"type":"string"}},"required":["store_id","product_id"]}}]"#
        ]],
    );
    check(
        Stream::Orders,
        "/properties/units",
        expect![[r#"{"description":"Units sold.","maximum":2147483647,"minimum":1,"type":["integer","null"]}"#]],
    );
    check(
        Stream::Orders,
        "/properties/paid_fen",
        expect![[
            r#"{"description":"Money paid for the line, in fen.","maximum":10000000000000,"minimum":-10000000000000,"type":["integer","null"]}"#
        ]],
    );
    check(
        Stream::Orders,
        "/properties/unit_ordinals",
        expect![[
            r#"{"description":"Ordinals of the units concerned, from 1 (refunds, expiry, transfer).","items":{"maximum":2147483647,"minimum":-2147483648,"type":"integer"},"type":["array","null"]}"#
        ]],
    );
    check(
        Stream::Orders,
        "/properties/applicable_store_ids",
        expect![[
            r#"{"description":"Applicable stores, snapshotted at sale (R3).","items":{"type":"string"},"type":["array","null"]}"#
        ]],
    );
    check(
        Stream::Members,
        "/properties/home_lat",
        expect![[
            r#"{"description":"Latitude of the home, degrees north.","maximum":180,"minimum":-180,"type":["number","null"]}"#
        ]],
    );
    check(
        Stream::Members,
        "/properties/joined_on",
        expect![[
            r#"{"description":"Business day of joining.","format":"date","pattern":"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$","type":["string","null"]}"#
        ]],
    );
    // The kinds of the catalog: which there are, and what one of them needs.
    check(
        Stream::Catalog,
        "/allOf/0/then",
        expect![[
            r#"{"description":"The entry was put: the whole of it, in force from `effective_from` on.","properties":{"effective_from":{"type":"string"},"id":{"type":"string"},"kind":{"enum":["cross_store","store","product","applicable_stores","price","capability","clerk","technician","roster","opening_hours","holiday","slot_capacity","settlement_rule","credit_rule","breakage_policy","expiry_policy","account"],"type":"string"}},"required":["kind","id","effective_from"]}"#
        ]],
    );
    check(
        Stream::Catalog,
        "/allOf/6",
        expect![[
            r#"{"if":{"properties":{"kind":{"const":"price"},"type":{"const":"upserted"}},"required":["type","kind"]},"then":{"properties":{"list_price_fen":{"type":"integer"},"product_id":{"type":"string"},"store_id":{"type":"string"}},"required":["store_id","product_id","list_price_fen"]}}"#
        ]],
    );
}

#[test]
fn every_channel_has_a_key_and_an_example_of_every_type() {
    let document = asyncapi();
    let mut keys = String::new();
    for stream in Stream::ALL {
        let message = &document["components"]["messages"][stream.name()];
        let examples: Vec<&str> = message["examples"].as_array().unwrap().iter().filter_map(|e| e["name"].as_str()).collect();
        for t in stream.contract().types {
            assert!(examples.iter().any(|e| e.starts_with(t.name)), "{stream} has no example of {}", t.name);
        }
        let key = &message["bindings"]["kafka"]["key"];
        keys += &format!("{stream}: {} · {}\n", stream.contract().key.join(", "), key["examples"][0]);
    }
    expect![[r#"
        orders: entitlement:{entitlement_id}, order:{order_id}, store:{sold_store_id} · "entitlement:330395667136512001"
        redemptions: entitlement:{entitlement_id}, order:{order_id}, store:{redeemed_store_id} · "entitlement:329504815841280001"
        refusals: entitlement:{entitlement_id}, order:{order_id}, terminal:{terminal_id}, terminal:{store_id} · "terminal:S014-POS1"
        bookings: entitlement:{entitlement_id}, order:{order_id}, booking:{booking_id} · "entitlement:328929401372672001"
        members: member:{member_id} · "member:328264266547200140"
        catalog: {kind}/{id} · "roster/S018-T1/1"
        decisions: subject:{subject} · "subject:settlement/2024-12/E-华东"
    "#]].assert_eq(&keys);
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(at) if name == "$ref" => found.push(at),
                _ => references(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = asyncapi();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert_eq!(found.len(), 4 * Stream::ALL.len());
    for at in found {
        assert!(document.pointer(at.trim_start_matches('#')).is_some(), "{at}");
    }
}
