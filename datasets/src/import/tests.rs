use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use event::{Event, Instant, Stream};
use expect_test::{Expect, expect};

use super::{Import, ImportError, Map};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/import")
}

fn open(map: &str, inputs: &[PathBuf]) -> Result<Import, ImportError> {
    Import::open(Map::parse(map)?, inputs, &mut |_| {})
}

fn run(map: &str, inputs: &[PathBuf]) -> (Vec<(Stream, String)>, Import) {
    let mut import = open(map, inputs).unwrap();
    let mut messages = Vec::new();
    for chunk in import.by_ref() {
        let chunk = chunk.unwrap();
        messages.extend(chunk.messages().map(|m| (chunk.stream, String::from_utf8(m.to_vec()).unwrap())));
    }
    (messages, import)
}

#[test]
fn rows_become_events_and_bad_rows_dead_letters() {
    let map = fs::read_to_string(samples().join("map.toml")).unwrap();
    let (messages, import) = run(&map, &[samples()]);
    let mut shown = String::new();
    for (stream, message) in &messages {
        shown.push_str(&match Event::decode(*stream, message.as_bytes(), Instant(i64::MAX)) {
            Ok(_) => format!("{stream} {message}\n"),
            Err(fault) => format!("{stream} dead letter: {fault}\n    {message}\n"),
        });
    }
    expect![[r#"
        orders dead letter: could not be mapped: row 1: paid_fen: paid: `980,00` is no amount in whole hundredths
            {"event_id":"1960797995552390051","occurred_at":"2000-01-01T00:00:00Z","raw":"1001;1;02.05.2026 18:30;S1;nails10;CT;10;980,00;501;;","reason":"row 1: paid_fen: paid: `980,00` is no amount in whole hundredths","source":"former-pos","type":"unmapped"}
        orders {"source":"former-pos","event_id":"2478784267312504412","type":"sold","occurred_at":"2026-05-02T18:30:00+08:00","schema_version":1,"order_id":"1001","entitlement_id":"5942656570509789115","sold_store_id":"S1","product_id":"nails10","product_type":"punch_card","units":10,"paid_fen":98000,"member_id":"501","valid_until":"2026-12-30T16:00:00Z","applicable_store_ids":["S1","S2"],"channel":"import"}
        orders {"source":"former-pos","event_id":"8760019260284592909","type":"sold","occurred_at":"2026-05-02T18:30:00+08:00","schema_version":1,"order_id":"1001","entitlement_id":"1861169797299199715","sold_store_id":"S1","product_id":"cream","product_type":"goods","units":1,"paid_fen":5990,"member_id":"501","channel":"import"}
        orders {"source":"former-pos","event_id":"8761313845063056847","type":"sold","occurred_at":"2026-05-03T09:05:00+08:00","schema_version":1,"order_id":"1002","entitlement_id":"5667410142983185737","sold_store_id":"S2","product_id":"facial","product_type":"booking","units":1,"paid_fen":16800,"valid_until":"2026-06-01T16:00:00Z","applicable_store_ids":["S2"],"channel":"import"}
        orders dead letter: could not be mapped: row 5: sold: `31.02.2026 9:05` is no time like `%d.%m.%Y %H:%M`
            {"event_id":"7187079970014707633","occurred_at":"2000-01-01T00:00:00Z","raw":"1003;1;31.02.2026 9:05;S2;facial;BK;1;168;502;02.06.2026;S2","reason":"row 5: sold: `31.02.2026 9:05` is no time like `%d.%m.%Y %H:%M`","source":"former-pos","type":"unmapped"}
        orders dead letter: could not be mapped: row 7: `units` is 0, outside 1 and more
            {"event_id":"4152174374553049223","occurred_at":"2000-01-01T00:00:00Z","raw":"1005;1;05.05.2026 9:05;S2;facial;BK;0;168;502;02.06.2026;S2","reason":"row 7: `units` is 0, outside 1 and more","source":"former-pos","type":"unmapped"}
        redemptions {"source":"former-pos","event_id":"2281428160846141438","type":"redeemed","occurred_at":"2026-05-03T18:30:00+08:00","schema_version":1,"redemption_id":"71","order_id":"1001","entitlement_id":"5942656570509789115","redeemed_store_id":"S2","product_id":"nails10","value_fen":9800,"channel":"import"}
        redemptions dead letter: could not be mapped: row 3: value_fen: amount: `98.5` is no whole number
            {"event_id":"6471972276323806521","occurred_at":"2000-01-01T00:00:00Z","raw":"{\"id\": 73, \"at\": 1777890600000, \"shop\": \"S2\", \"item\": \"nails10\", \"amount\": 98.5, \"order\": {\"id\": 1001, \"line\": 1}}","reason":"row 3: value_fen: amount: `98.5` is no whole number","source":"former-pos","type":"unmapped"}
        redemptions dead letter: could not be mapped: row 4: no JSON object: EOF while parsing a value at line 1 column 53
            {"event_id":"2698442100273887610","occurred_at":"2000-01-01T00:00:00Z","raw":"{\"id\": 74, \"at\": 1777890600000, \"shop\": \"S2\", \"item\":","reason":"row 4: no JSON object: EOF while parsing a value at line 1 column 53","source":"former-pos","type":"unmapped"}
        catalog {"source":"former-pos","event_id":"8957388572816855738","type":"upserted","occurred_at":"2026-01-01T00:00:00+08:00","schema_version":1,"kind":"store","id":"S1","effective_from":"2025-12-31T16:00:00Z","name":"Shop S1","time_zone":"Asia/Shanghai"}
        catalog {"source":"former-pos","event_id":"1209320934536478535","type":"upserted","occurred_at":"2026-01-01T00:00:00+08:00","schema_version":1,"kind":"store","id":"S2","effective_from":"2025-12-31T16:00:00Z","name":"Shop S2","time_zone":"Asia/Shanghai"}
        catalog dead letter: could not be mapped: row 6: 9 fields where the header has 11
            {"event_id":"311003730898779582","occurred_at":"2000-01-01T00:00:00Z","raw":"1004;1;04.05.2026 9:05;S2;facial;BK;1;168;502","reason":"row 6: 9 fields where the header has 11","source":"former-pos","type":"unmapped"}
    "#]].assert_eq(&shown);
    let s = import.summary();
    let rejected = messages.iter().filter(|(_, m)| m.contains("unmapped")).count() as u64;
    assert_eq!((s.rows, s.accepted, s.rejected, s.without_event, s.repeated), (12, 4, rejected, 2, 1));
    assert_eq!(s.events.values().sum::<u64>() + rejected, messages.len() as u64);

    // Again, and from another folder: the same events, byte for byte.
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["orders.csv", "redemptions.ndjson"] {
        let to = if name == "orders.csv" { "orders-2026.csv" } else { name };
        fs::copy(samples().join(name), elsewhere.path().join(to)).unwrap();
    }
    assert_eq!(run(&map, &[elsewhere.path().to_owned()]).0, messages);
}

/// A map of one input and one event; `edit` replaces a line of it.
fn map_with(line: &str, instead: &str) -> String {
    let map = r#"
source = "x"
time_zone = "Asia/Shanghai"
[[input]]
name = "in"
[[event]]
input = "in"
stream = "redemptions"
type = "redeemed"
key = ["{id}"]
occurred_at = { column = "at" }
[event.fields]
redeemed_store_id = "{store}"
product_id = "P"
value_fen = { column = "value", money = "major" }
"#;
    assert!(map.contains(line), "{line}");
    map.replace(line, instead)
}

fn check(map: &str, csv: &str, expect: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.csv");
    fs::write(&file, csv).unwrap();
    let said = match open(map, &[file]) {
        Ok(import) => format!("{:?}", import.map(|chunk| String::from_utf8(chunk.unwrap().lines).unwrap()).collect::<Vec<_>>()),
        Err(error) => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    expect.assert_eq(&said.replace(&*folder.path().to_string_lossy(), "DIR"));
}

const GOOD: &str = "id,at,store,value\n1,2026-05-02 18:30,S1,9.5\n";

#[test]
fn a_map_that_cannot_be_is_refused_before_there_is_any_event() {
    let (same, _) = ("source = \"x\"", ());
    check(
        &map_with(same, same),
        GOOD,
        expect![[
            r#"["{\"source\":\"x\",\"event_id\":\"3922313155544757063\",\"type\":\"redeemed\",\"occurred_at\":\"2026-05-02T18:30:00+08:00\",\"schema_version\":1,\"redeemed_store_id\":\"S1\",\"product_id\":\"P\",\"value_fen\":950}"]"#
        ]],
    );
    check(
        &map_with(same, "sauce = \"x\""),
        GOOD,
        expect![[r#"
        the map is not valid: TOML parse error at line 2, column 1
          |
        2 | sauce = "x"
          | ^^^^^
        unknown field `sauce`, expected one of `source`, `description`, `time_zone`, `day_start_hour`, `input`, `event`
        : TOML parse error at line 2, column 1
          |
        2 | sauce = "x"
          | ^^^^^
        unknown field `sauce`, expected one of `source`, `description`, `time_zone`, `day_start_hour`, `input`, `event`
    "#]],
    );
    check(&map_with("Asia/Shanghai", "Asia/Nowhere"), GOOD, expect!["time_zone: there is no time zone `Asia/Nowhere`"]);
    check(
        &map_with("\"redemptions\"", "\"refunds\""),
        GOOD,
        expect![
            "event 1 (`refunds` `redeemed`): there is no stream `refunds`; there are orders, redemptions, refusals, bookings, members, catalog, decisions"
        ],
    );
    check(
        &map_with("\"redeemed\"", "\"redemed\""),
        GOOD,
        expect!["event 1 (`redemptions` `redemed`): `redemptions` has no type `redemed`"],
    );
    check(
        &map_with("product_id = \"P\"", ""),
        GOOD,
        expect!["event 1 (`redemptions` `redeemed`): `redeemed` needs `product_id`"],
    );
    check(
        &map_with("product_id = \"P\"", "product = \"P\""),
        GOOD,
        expect![
            "event 1 (`redemptions` `redeemed`), `product`: `redemptions` has no such field; it has redemption_id, order_id, entitlement_id, unit_ordinal, sold_store_id, booked_store_id, redeemed_store_id, product_id, product_version, product_type, skill, member_id, clerk_id, seller_id, technician_id, remaining_before, remaining_after, valid_until, value_fen, principal_fen, bonus_fen, points_fen, coupon_fen, vat_rate_bp, list_price_fen, sold_at, service_start_at, service_minutes, channel, original_event_id, original_redeemed_at, bearing_entity_id, reason"
        ],
    );
    check(
        &map_with("product_id = \"P\"", "product_id = 7"),
        GOOD,
        expect!["event 1 (`redemptions` `redeemed`), `product_id`: `7` does not fit: the field is text"],
    );
    check(
        &map_with(", money = \"major\"", ""),
        GOOD,
        expect![[
            r#"event 1 (`redemptions` `redeemed`), `value_fen`: say whether it is `money = "major"` (yuan) or "minor" (fen)"#
        ]],
    );
    check(
        &map_with("{store}", "{shop}"),
        GOOD,
        expect!["could not read DIR/in.csv: there is no column `shop`; there are id, at, store, value"],
    );
    check(
        &map_with("{store}", "{store"),
        GOOD,
        expect!["event 1 (`redemptions` `redeemed`), `redeemed_store_id`: `{store`: a brace without its other half"],
    );
    check(
        &map_with("{id}", "row"),
        GOOD,
        expect!["event 1 (`redemptions` `redeemed`), `key`: it names no column, so all rows would be one event"],
    );
    check(
        &map_with("input = \"in\"", "input = \"out\""),
        GOOD,
        expect!["event 1 (`redemptions` `redeemed`): there is no input `out`"],
    );
    check(
        &map_with("name = \"in\"", "name = \"in\"\nfile = \"*.parquet\""),
        GOOD,
        expect!["no input is *.parquet, which the map needs for `in`"],
    );
}

#[test]
fn two_rows_of_one_key_are_one_event_or_a_collision() {
    let same = "source = \"x\"";
    check(
        &map_with(same, same),
        "id,at,store,value\n1,2026-05-02 18:30,S1,9.5\n1,2026-05-02 18:30,S1,9.50\n",
        expect![[
            r#"["{\"source\":\"x\",\"event_id\":\"3922313155544757063\",\"type\":\"redeemed\",\"occurred_at\":\"2026-05-02T18:30:00+08:00\",\"schema_version\":1,\"redeemed_store_id\":\"S1\",\"product_id\":\"P\",\"value_fen\":950}"]"#
        ]],
    );
    check(
        &map_with(same, same),
        "id,at,store,value\n1,2026-05-02 18:30,S1,9.5\n1,2026-05-02 18:30,S1,8\n",
        expect![
            "row 2 of DIR/in.csv makes the same `redemptions` event as an earlier row, with other content: its key [1] does not tell them apart"
        ],
    );
}

#[test]
fn built_in_maps_are_valid() {
    for name in Map::BUILT_IN {
        let map = Map::built_in(name).unwrap();
        super::bind::bind(&map).unwrap();
    }
    assert!(Map::built_in("nothing").is_none());
}

#[test]
fn a_map_that_fits_no_row_is_refused_and_what_is_made_once_is_made_once() {
    let bad: String = (0..30).map(|n| format!("{n},soon,S1,9.5\n")).collect();
    let same = "source = \"x\"";
    check(
        &map_with(same, same),
        &format!("id,at,store,value\n{bad}"),
        expect![
            "none of the first 30 rows of DIR/in.csv could be mapped; the first: at: `soon` is no time; give its `format` or `epoch`"
        ],
    );
    // A store by its sales, and by another rule for every row: still one.
    let store = r#"
[[event]]
input = "in"
stream = "catalog"
type = "removed"
key = ["{store}"]
ONCE
occurred_at = "2026-05-02T00:00:00Z"
[event.fields]
kind = "store"
id = "{store}"
effective_from = "2026-05-02T00:00:00Z"
"#;
    let both = map_with(same, same) + &store.replace("ONCE", "once = true") + &store.replace("ONCE", "");
    let rows = "id,at,store,value\n1,2026-05-02 18:30,S1,9.5\n2,2026-05-02 18:31,S1,9.5\n3,2026-05-02 18:31,S2,9.5\n";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), rows).unwrap();
    let (messages, import) = run(&both, &[folder.path().join("in.csv")]);
    let removed = messages.iter().filter(|(stream, _)| *stream == Stream::Catalog).count();
    assert_eq!((removed, messages.len(), import.summary().accepted), (2, 5, 3));
}
