//! The HTTP door of a running server: the till's life, every refusal, who may do what, formats, and what was just written.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::chain::{available_units, redeemed_units, sell, two_stores_and_cards};
use crate::support::{Answer, Client, Server};

/// Ids, times and digits differ from run to run: what stays is shown.
fn steady(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        // Years, codes and ids have four digits and more; counts and store numbers stay.
        out.push_str(if digits.len() >= 4 { "#" } else { &digits });
        digits.clear();
        out.push(c);
    }
    out.pop();
    // `#-01-02T03:04:05.#Z` and the like.
    let mut shown = String::new();
    let mut rest = out.as_str();
    while let Some(at) = rest.find("#-") {
        let end = rest[at..].find([' ', '"', ',', '`', ';', ')']).map_or(rest.len(), |e| at + e);
        let _ = write!(shown, "{}TIME", &rest[..at]);
        rest = &rest[end..];
    }
    shown + rest
}

/// A chain of three stores where everything can be refused.
struct Chain {
    server: Server,
    head: Client,
}

impl Chain {
    fn start() -> Chain {
        let server = Server::start();
        let head = server.head_office();
        two_stores_and_cards(&head);
        let put = |path: &str, body: Value| {
            head.put(path, body).expect(201);
        };
        put("/v1/catalog/store/S3", json!({ "name": "Store S3", "time_zone": "Asia/Shanghai" }));
        let product = |id: &str, more: Value| {
            let mut body = json!({ "name": id, "product_type": "punch_card", "creator_store_id": "HQ", "units": 3, "list_price_fen": 29_900 });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            put(&format!("/v1/catalog/product/{id}"), body);
            put(&format!("/v1/catalog/applicable_stores/{id}"), json!({ "product_id": id, "store_ids": ["S1", "S2"] }));
        };
        product("LOCAL", json!({ "creator_store_id": "S1" }));
        product("SERVICE", json!({ "product_type": "service" }));
        product("PAST", json!({ "validity": "fixed", "valid_from_on": "2020-01-01", "valid_to_on": "2020-12-31" }));
        product("FUTURE", json!({ "validity": "fixed", "valid_from_on": "2090-01-01", "valid_to_on": "2090-12-31" }));
        product("NEVER", json!({ "blackouts": ["2020-01-01/2089-12-31"] }));
        product("VALUE", json!({ "product_type": "stored_value" }));
        put("/v1/members/7211002", json!({ "joined_store_id": "S1", "home_lat": 31.21, "home_lon": 121.51, "tier": "gold" }));
        Chain { server, head }
    }

    fn key(&self, role: &str, store: Option<&str>, clerk: Option<&str>) -> Client {
        let mut body = json!({ "name": format!("{role} for tests"), "role": role });
        if let Some(store) = store {
            body["store_id"] = store.into();
        }
        if let Some(clerk) = clerk {
            body["clerk_id"] = clerk.into();
        }
        let made = self.head.post("/v1/keys", body).expect(201).json();
        self.server.with_key(made["key"].as_str().unwrap())
    }

    fn code(&self, product: &str) -> String {
        sell(&self.head, &format!("sell-{product}"), "S1", product).0
    }
}

#[test]
fn a_card_lives_from_sale_to_record() {
    let chain = Chain::start();
    let clerk = chain.key("clerk", Some("S2"), Some("C2"));
    let store = chain.key("store", Some("S1"), None);

    let sale = json!({ "member_id": "7211002", "clerk_id": "C1", "lines": [{ "product_id": "THREE", "payment": { "paid_fen": 25_000 } }] });
    let sold = store.post_once("/v1/orders", "s", sale).expect(201);
    assert!(sold.header("hexiao-position").starts_with("0:"), "{sold:?}");
    let sold = sold.json();
    let (order, code) = (sold["order_id"].as_str().unwrap(), sold["code"].as_str().unwrap());
    let entitlement = sold["entitlements"][0]["entitlement_id"].as_str().unwrap();
    assert_eq!(code.len(), 19, "15 digits and a check digit in groups of four (R10)");
    assert_eq!(sold["entitlements"][0]["applicable_store_ids"], json!(["S1", "S2"]));

    // The clerk of another store looks up what the member shows, and redeems two units of the three.
    let seen = clerk.post("/v1/lookups", json!({ "code": code.replace(' ', "-") })).expect(200).json();
    assert_eq!((&seen["order_id"], &seen["lines"][0]["usable_store_ids"]), (&json!(order), &json!(["S1", "S2"])));
    assert_eq!(seen["code_last_four"], code[15..], "all that is left of the code");
    let redeemed = clerk.post_once("/v1/redemptions", "r", json!({ "code": code, "units": 2, "terminal_id": "T1" })).expect(201);
    let position = redeemed.header("hexiao-position").to_owned();
    let redeemed = redeemed.json();
    assert_eq!(redeemed_units(&redeemed).len(), 2);
    let values: Vec<&Value> = redeemed["units"].as_array().unwrap().iter().map(|u| &u["value_fen"]).collect();
    assert_eq!(values, [8_333, 8_333], "R9: 25,000 fen over three units, the last takes the remainder");
    assert_eq!(redeemed["entitlements"][0]["units"]["available"], 1);

    let detail = clerk.get(&format!("/v1/orders/{order}")).expect(200).json();
    assert_eq!(available_units(&detail, entitlement), 1);
    assert_eq!((&detail["lines"][0]["unit_states"], &detail["member_id"]), (&json!("rra"), &json!("7211002")));

    // The records of the order, for the clerk and by every way of asking.
    let shown = |client: &Client, query: &str| {
        let records = client.get_with(&format!("/v1/redemptions{query}"), &[("hexiao-wait-for", &position)]).expect(200).json();
        let row = |r: &Value| {
            let what = ["redeemed_store_id", "sold_store_id", "clerk_id", "member_id"]
                .map(|name| r[name].as_str().unwrap_or("-").to_owned());
            format!(
                "{} unit {} {}→{} {} fen",
                what.join(" "),
                r["unit_ordinal"],
                r["remaining_before"],
                r["remaining_after"],
                r["value_fen"]
            )
        };
        records["rows"].as_array().unwrap().iter().map(row).collect::<Vec<_>>().join("\n")
    };
    let both = expect![[r#"
        S2 S1 C2 7211002 unit 1 3→2 8333 fen
        S2 S1 C2 7211002 unit 2 2→1 8333 fen"#]];
    both.assert_eq(&shown(&clerk, &format!("?order={order}")));
    for query in ["", "?store=S2", "?clerk=C2", "?member=7211002", "?from=2020-01-01", &format!("?entitlement={entitlement}")] {
        both.assert_eq(&shown(&chain.head, query));
    }
    for query in ["?store=S1", "?clerk=C1", "?member=1", "?to=2020-01-01", "?order=1"] {
        assert_eq!(shown(&chain.head, query), "", "{query}");
    }
    // The selling store sees its own redemptions, of which there are none, and where this order's units went.
    assert_eq!(shown(&store, ""), "");
    both.assert_eq(&shown(&store, &format!("?order={order}")));
}

#[test]
fn several_cards_go_in_one_call_or_not_at_all() {
    let chain = Chain::start();
    let (one, three) = (chain.code("ONE"), chain.code("THREE"));
    let takes = |units: u32| json!({ "store_id": "S1", "takes": [{ "code": one }, { "code": three, "units": units }] });
    let refused = chain.head.post_once("/v1/redemptions", "too-many", takes(4));
    expect![[r#"409 not_enough_units [rule R1]: 4 units wanted, 3 available · allowed {"units":3}"#]]
        .assert_eq(&refused.problem());
    let redeemed = chain.head.post_once("/v1/redemptions", "all", takes(3)).expect(201).json();
    assert_eq!(redeemed_units(&redeemed).len(), 4, "the refused call took nothing (R8)");
}

#[test]
fn a_refusal_names_its_rule_and_what_would_be_allowed() {
    let chain = Chain::start();
    let check = |case: &str, body: Value, expected: Expect| {
        let answer = chain.head.post_once("/v1/redemptions", &case.replace(' ', "-"), body);
        assert!(answer.header("hexiao-position").starts_with("0:"), "a refusal is recorded: {answer:?}");
        expected.assert_eq(&steady(&answer.problem()));
    };
    let at = |store: &str, product: &str| json!({ "store_id": store, "code": chain.code(product) });
    check(
        "elsewhere",
        at("S3", "THREE"),
        expect![[
            r#"403 store_not_applicable [rule R3]: not applicable at store S3; may be redeemed at S1, S2 · allowed {"stores":["S1","S2"]}"#
        ]],
    );
    check(
        "a store's own",
        at("S2", "LOCAL"),
        expect![[
            r#"403 sold_store_only [rule R3]: redeems only at S1, where it was sold: the product does not cross stores · allowed {"stores":["S1"]}"#
        ]],
    );
    check(
        "a service",
        at("S2", "SERVICE"),
        expect![[
            r#"403 sold_store_only [rule R3]: redeems only at S1, where it was sold: the product does not cross stores · allowed {"stores":["S1"]}"#
        ]],
    );
    check("expired", at("S1", "PAST"), expect!["410 expired [rule R5]: expired at TIME"]);
    check(
        "not yet",
        at("S1", "FUTURE"),
        expect![[r#"409 not_yet_valid [rule R5]: valid only from TIME on · allowed {"from":"TIME"}"#]],
    );
    check(
        "blackout",
        at("S1", "NEVER"),
        expect![[r#"409 blacked_out [rule R5]: not valid from TIME to TIME; again from TIME on · allowed {"from":"TIME"}"#]],
    );
    check("stored value", at("S1", "VALUE"), expect!["409 not_redeemable [rule R9]: stored value is not redeemed by unit"]);
    chain.head.post_once("/v1/redemptions", "first", at("S1", "ONE")).expect(201);
    check("last unit gone", at("S1", "ONE"), expect!["409 no_units_left [rule R1]: no units left"]);
    check(
        "no such order",
        json!({ "store_id": "S1", "order_id": "1" }),
        expect!["404 unknown_entitlement: no such order or entitlement"],
    );
    check(
        "no such entitlement",
        json!({ "store_id": "S1", "entitlement_id": "1" }),
        expect!["404 unknown_entitlement: no such order or entitlement"],
    );
    check(
        "mistyped",
        json!({ "store_id": "S1", "code": "1234 5678 9012 3451" }),
        expect!["400 malformed_code [rule R10] [field code]: the check digit does not fit: a digit is wrong or two are swapped"],
    );
    check(
        "short",
        json!({ "store_id": "S1", "code": "1234" }),
        expect!["400 malformed_code [rule R10] [field code]: a redemption code has 16 digits"],
    );
    check(
        "forged",
        json!({ "store_id": "S1", "qr": "not a token" }),
        expect!["403 qr_forged [rule R10]: not a QR code of this chain"],
    );

    chain.head.put("/v1/catalog/cross_store/chain", json!({ "enabled": false })).expect(200);
    check(
        "switched off",
        at("S2", "THREE"),
        expect![[
            r#"403 sold_store_only [rule R3]: redeems only at S1, where it was sold: the cross-store switch is off · allowed {"stores":["S1"]}"#
        ]],
    );
    let sale = |case: &str, body: Value, expected: Expect| {
        expected.assert_eq(&steady(&chain.head.post_once("/v1/orders", &case.replace(' ', "-"), body).problem()));
    };
    let line = |product: &str| json!([{ "product_id": product }]);
    sale(
        "not on sale",
        json!({ "store_id": "S1", "lines": line("NOTHING") }),
        expect!["409 product_not_on_sale: product NOTHING is not on sale"],
    );
    sale(
        "another's own",
        json!({ "store_id": "S2", "lines": line("LOCAL") }),
        expect![[r#"403 product_not_sold_here [rule R3]: product LOCAL is sold only at S1 · allowed {"stores":["S1"]}"#]],
    );
    sale(
        "nobody",
        json!({ "store_id": "S1", "member_id": "9", "lines": line("ONE") }),
        expect!["404 unknown_member: no such member"],
    );
    chain
        .head
        .put("/v1/catalog/store/S3", json!({ "name": "S3", "time_zone": "Asia/Shanghai", "closed_on": "2020-01-01" }))
        .expect(200);
    sale("closed", json!({ "store_id": "S3", "lines": line("ONE") }), expect!["409 store_closed: store S3 closed on TIME"]);

    // All of them are in the lake or its tail, with their reasons.
    let rows = chain.head.sql("SELECT reason, count(*) AS n FROM log.refusals GROUP BY reason ORDER BY reason");
    let reasons: Vec<String> = rows.iter().map(|r| format!("{} {}", r["reason"].as_str().unwrap_or("?"), r["n"])).collect();
    expect!["blacked_out 1, expired 1, malformed_code 2, no_units_left 1, not_redeemable 1, not_yet_valid 1, product_not_on_sale 1, product_not_sold_here 1, qr_forged 1, sold_store_only 3, store_closed 1, store_not_applicable 1, unknown_entitlement 2, unknown_member 1"].assert_eq(&reasons.join(", "));
}

#[test]
fn r3_closing_a_store_lists_who_is_left_without_one() {
    let chain = Chain::start();
    let narrow = |stores: Value, reason: &str| {
        let body = json!({ "product_id": "THREE", "store_ids": stores, "reason": reason });
        chain.head.put("/v1/catalog/applicable_stores/THREE", body).expect(200).json()
    };
    let sale = json!({ "store_id": "S1", "member_id": "7211002", "lines": [{ "product_id": "THREE" }] });
    let sold = chain.head.post_once("/v1/orders", "s", sale).expect(201).json();
    assert_eq!(narrow(json!(["S1"]), "renovation")["stranded"], Value::Null, "a reason that does not bind takes nothing away");
    assert_eq!(narrow(json!([]), "closed")["stranded"]["units"], 0, "sold while S2 was applicable: it still is");
    narrow(json!(["S1", "S2"]), "");
    let stranded = &narrow(json!([]), "closed")["stranded"];
    let holder = json!({
        "member_id": "7211002", "order_id": sold["order_id"], "units": 3,
        "entitlement_id": sold["entitlements"][0]["entitlement_id"],
    });
    assert_eq!(*stranded, json!({ "entitlements": 1, "units": 3, "holders": [holder] }));
}

#[test]
fn r10_wrong_codes_lock_a_terminal_out_wherever_they_are_tried() {
    let chain = Chain::start();
    let clerk = chain.key("clerk", Some("S1"), Some("C1"));
    // A code with a right check digit that nobody has: found by trying the ten last digits of a number.
    let mut wrong = (0..).map(|n| format!("{n:016}")).filter_map(|code| {
        let answer = chain.head.post("/v1/lookups", json!({ "store_id": "S2", "code": code }));
        (answer.json()["code"] == "unknown_code").then_some(code)
    });
    let code = wrong.next().unwrap();
    for n in 0..5 {
        let body = json!({ "code": code, "terminal_id": "T1" });
        let answer =
            if n % 2 == 0 { clerk.post("/v1/lookups", body) } else { clerk.post_once("/v1/redemptions", &format!("w{n}"), body) };
        expect!["404 unknown_code [rule R10]: unknown redemption code"].assert_eq(&answer.problem());
    }
    let right = chain.code("ONE");
    let locked = clerk.post_once("/v1/redemptions", "right", json!({ "code": right, "terminal_id": "T1" }));
    expect![[r#"429 locked_out [rule R10]: too many wrong codes; codes are taken again from TIME on · allowed {"from":"TIME"}"#]]
        .assert_eq(&steady(&locked.problem()));
    assert!(locked.header("retry-after").ends_with(" GMT"), "{locked:?}");
    // Another store is not affected.
    chain.head.post_once("/v1/redemptions", "there", json!({ "store_id": "S2", "code": right })).expect(201);
}

#[test]
fn r2_the_same_key_gives_the_same_answer() {
    let chain = Chain::start();
    let sale = |store: &str| json!({ "store_id": store, "lines": [{ "product_id": "THREE" }] });
    let first = chain.head.post_once("/v1/orders", "k", sale("S1")).expect(201);
    let again = chain.head.post_once("/v1/orders", "k", sale("S1")).expect(201);
    assert_eq!((first.json(), first.header("hexiao-position")), (again.json(), again.header("hexiao-position")), "code included");
    assert_eq!((first.header("hexiao-repeated"), again.header("hexiao-repeated")), ("", "true"));
    expect!["422 idempotency_key_reused [rule R2] [field Idempotency-Key]: This idempotency key was used for another request"]
        .assert_eq(&chain.head.post_once("/v1/orders", "k", sale("S2")).problem());

    let body = json!({ "store_id": "S1", "code": first.json()["code"], "units": 2 });
    let once = chain.head.post_once("/v1/redemptions", "r", body.clone()).expect(201).json();
    assert_eq!(chain.head.post_once("/v1/redemptions", "r", body.clone()).expect(201).json(), once);
    let refused = chain.head.post_once("/v1/redemptions", "r2", body.clone());
    expect![[r#"409 not_enough_units [rule R1]: 2 units wanted, 1 available · allowed {"units":1}"#]]
        .assert_eq(&refused.problem());
    assert_eq!(
        chain.head.post_once("/v1/redemptions", "r2", body.clone()).problem(),
        refused.problem(),
        "a refusal is an outcome"
    );
    let rows = chain.head.sql("SELECT count(*) AS n FROM log.redemptions");
    assert_eq!(rows, [json!({ "n": 2 })]);
    // Another caller's equal key is another key.
    let other = chain.key("store", Some("S1"), None);
    other.post_once("/v1/orders", "k", sale("S1")).expect(201);
    expect!["400 bad_input [field Idempotency-Key]: This write needs the header Idempotency-Key: a key that you make, the same on each retry (R2)"].assert_eq(&chain.head.post("/v1/redemptions", body.clone()).problem());
    expect!["400 bad_input [field Idempotency-Key]: An Idempotency-Key has 1 to 255 visible ASCII characters"]
        .assert_eq(&chain.head.post_once("/v1/redemptions", &"x".repeat(256), body).problem());
}

#[test]
fn bad_input_names_the_field() {
    let chain = Chain::start();
    let mut shown = String::new();
    let mut show = |case: &str, answer: Answer| {
        let problem = steady(&answer.problem());
        // What follows lists what there is, which grows.
        let end = problem.char_indices().nth(150).map_or(problem.len(), |(end, _)| end);
        let _ = writeln!(
            shown,
            "{case}: {}",
            problem[..end].lines().next().and_then(|line| line.split("; there are").next()).unwrap_or_default()
        );
    };
    let head = &chain.head;
    let redeem = |body: Value| head.post_once("/v1/redemptions", "k", body);
    let json_type = ("content-type", "application/json");
    show("no JSON", head.send("POST", "/v1/orders", &[("idempotency-key", "k"), json_type], Some(b"{")));
    show("not JSON", head.send("POST", "/v1/sql", &[("content-type", "image/png")], Some(b"{}")));
    show("no lines", head.post_once("/v1/orders", "k", json!({ "store_id": "S1" })));
    show("empty lines", head.post_once("/v1/orders", "k", json!({ "store_id": "S1", "lines": [] })));
    show("unknown field", redeem(json!({ "store_id": "S1", "codes": "1" })));
    show("zero units", redeem(json!({ "store_id": "S1", "code": "1", "units": 0 })));
    show("units as text", redeem(json!({ "store_id": "S1", "takes": [{ "code": "1", "units": "two" }] })));
    show("two ways", redeem(json!({ "store_id": "S1", "code": "1", "takes": [] })));
    show("nothing named", redeem(json!({ "store_id": "S1" })));
    show("no store", redeem(json!({ "code": "1" })));
    show("store id", redeem(json!({ "store_id": " ", "code": "1" })));
    show("unknown store", redeem(json!({ "store_id": "S9", "code": "1234 5678 9012 3450" })));
    show("member id", head.put("/v1/members/abc", json!({})));
    show("half a home", head.put("/v1/members/1", json!({ "home_lat": 1.0 })));
    show("catalog kind", head.put("/v1/catalog/stores/S1", json!({})));
    show("catalog field", head.put("/v1/catalog/store/S1", json!({ "nam": "x" })));
    show("catalog need", head.put("/v1/catalog/store/S1", json!({ "name": "x" })));
    show("catalog zone", head.put("/v1/catalog/store/S1", json!({ "name": "x", "time_zone": "Mars/Base" })));
    show("catalog reference", head.put("/v1/catalog/applicable_stores/ONE", json!({ "product_id": "ONE", "store_ids": ["S9"] })));
    show("catalog removal", head.delete("/v1/catalog/store/S9"));
    show("catalog entry", head.get("/v1/catalog/store/S9"));
    show("key role", head.post("/v1/keys", json!({ "name": "x", "role": "boss" })));
    show("key store", head.post("/v1/keys", json!({ "name": "x", "role": "store" })));
    show("key of a store", head.post("/v1/keys", json!({ "name": "x", "role": "store", "store_id": "S9" })));
    show("revoke", head.delete("/v1/keys/nobody"));
    show("order", head.get("/v1/orders/1"));
    show("order id", head.get("/v1/orders/x"));
    show("records", head.get("/v1/redemptions?from=yesterday"));
    show("records field", head.get("/v1/redemptions?shop=S1"));
    show("report", head.get("/v1/reports/nothing"));
    show("report parameter", head.get("/v1/reports/redemption_records?shop=S1"));
    show("report value", head.get("/v1/reports/redemption_records?from=yesterday"));
    show("bad SQL", head.post("/v1/sql", json!({ "sql": "SELEC 1" })));
    show("no column", head.post("/v1/sql", json!({ "sql": "SELECT nothing FROM redemptions" })));
    show("write", head.post("/v1/sql", json!({ "sql": "DELETE FROM redemptions" })));
    show("copy", head.post("/v1/sql", json!({ "sql": "COPY (SELECT 1) TO '/tmp/x.csv'" })));
    show("no value", head.post("/v1/sql", json!({ "sql": "SELECT $day" })));
    show("wait for", head.get_with("/v1/reports/redemption_records", &[("hexiao-wait-for", "soon")]));
    show("wait beyond", head.get_with("/v1/reports/redemption_records", &[("hexiao-wait-for", "0:999")]));
    show("accept", head.get_with("/v1/reports/redemption_records", &[("accept", "image/png")]));
    show("stream", head.send("POST", "/v1/log/payments", &[], Some(b"{}")));
    show("no message", head.send("POST", "/v1/log/orders", &[], Some(b"\n")));
    show("no route", head.get("/v1/nothing"));
    show("method", head.delete("/v1/orders"));
    show("too large", head.put_too_large("/v1/members/1", &json!({ "tier": "x".repeat(2 << 20) })));
    expect![[r#"
        no JSON: 400 bad_input: Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1
        not JSON: 415 not_json: The body must be application/json
        no lines: 400 bad_input [field lines]: missing field `lines`
        empty lines: 400 bad_input [field lines]: an order has 1 to 100 lines
        unknown field: 400 bad_input [field codes]: unknown field `codes`, expected one of `store_id`, `code`, `qr`, `order_id`, `entitlement_id`, `units`, `takes`, `clerk_i
        zero units: 400 bad_input [field units]: invalid value: integer `0`, expected a nonzero u32
        units as text: 400 bad_input [field takes[0].units]: invalid type: string "two", expected a nonzero u32
        two ways: 400 bad_input [field takes]: Name what is redeemed either in `takes` or beside it, not both
        nothing named: 400 bad_input [field code]: name what is redeemed by one of `code`, `qr`, `order_id`, or by `entitlement_id`
        no store: 400 bad_input [field store_id]: A head-office key must name the store it acts at
        store id: 400 bad_input [field store_id]: ` ` is not a store id: 1 to 64 bytes, no control characters, no blank at either end
        unknown store: 400 bad_input [field store_id]: there is no store S9
        member id: 400 bad_input [field id]: invalid value: string "abc", expected a 64-bit id as a decimal string
        half a home: 400 bad_input [field home_lat]: `home_lat` and `home_lon` come together
        catalog kind: 400 bad_input [field kind]: there is no catalog kind `stores`
        catalog field: 400 bad_input [field nam]: a catalog entry has no field `nam`
        catalog need: 400 bad_input [field time_zone]: store S1: needs `time_zone`
        catalog zone: 400 bad_input [field time_zone]: store S1: `time_zone` is `Mars/Base`: there is no such time zone
        catalog reference: 400 bad_input [field store_ids]: applicable_stores ONE: `store_ids` names store S9, which is not in the catalog
        catalog removal: 404 not_found: There is no store S9 in the catalog
        catalog entry: 404 not_found: There is no store S9 in the catalog
        key role: 400 bad_input [field role]: unknown variant `boss`, expected one of `head_office`, `store`, `clerk`
        key store: 400 bad_input [field store_id]: A key of this role needs `store_id`
        key of a store: 400 bad_input [field store_id]: there is no store S9
        revoke: 404 not_found: There is no API key nobody
        order: 404 not_found: There is no order 1
        order id: 400 bad_input [field id]: invalid value: string "x", expected a 64-bit id as a decimal string
        records: 400 bad_input [field from]: invalid value: string "yesterday", expected a day as YYYY-MM-DD
        records field: 400 bad_input [field shop]: unknown field `shop`, expected one of `order`, `entitlement`, `store`, `clerk`, `member`, `from`, `to`, `limit`
        report: 404 unknown_report: there is no report `nothing`
        report parameter: 400 bad_parameter [field shop]: parameter `shop` is none of `redemption_records`; it has order_id, entitlement_id, member_id, store, clerk, from, to, 
        report value: 400 bad_parameter [field from]: parameter `from` is `yesterday`; expected a day as YYYY-MM-DD
        bad SQL: 400 bad_sql: not valid SQL: ParserError("Expected: an SQL statement, found: SELEC at Line: 1, Column: 1")
        no column: 400 bad_sql: not valid SQL: No field named nothing.
        write: 403 forbidden_statement: `DELETE FROM` is not allowed: only one statement that reads is (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE)
        copy: 403 forbidden_statement: `COPY (SELECT` is not allowed: only one statement that reads is (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE)
        no value: 400 bad_parameter [field $day]: parameter `$day` stands in the statement but was given no value
        wait for: 400 bad_input [field Hexiao-Wait-For]: Hexiao-Wait-For takes a position as Hexiao-Position gives it, such as 0:#
        wait beyond: 400 bad_input [field Hexiao-Wait-For]: This log has no position 0:999 yet
        accept: 406 not_acceptable: Answers come as application/json | text/csv; charset=utf-8; header=present | text/html; charset=utf-8 | application/vnd.apache.arr
        stream: 404 unknown_stream: there is no stream `payments`
        no message: 400 bad_input: There is no message in the body; send one per line
        no route: 404 no_such_route: There is no /v1/nothing; /openapi.json lists the routes, /docs shows them
        method: 405 method_not_allowed: /v1/orders does not take DELETE
        too large: 413 body_too_large: The body is larger than this route takes
    "#]].assert_eq(&shown);
}

#[test]
fn who_may_do_what() {
    let chain = Chain::start();
    let keys = [
        ("nobody", chain.server.with_key("")),
        ("unknown", chain.server.with_key("hx_0000")),
        ("clerk", chain.key("clerk", Some("S1"), Some("C1"))),
        ("store", chain.key("store", Some("S1"), None)),
        ("head office", chain.server.head_office()),
    ];
    let (order, _) = {
        let sold =
            chain.head.post_once("/v1/orders", "s", json!({ "store_id": "S1", "lines": [{ "product_id": "THREE" }] })).json();
        (sold["order_id"].as_str().unwrap().to_owned(), ())
    };
    let revoked = chain.head.post("/v1/keys", json!({ "name": "x", "role": "head_office" })).expect(201).json();
    let line = json!([{ "product_id": "THREE" }]);
    type Ask<'a> = Box<dyn Fn(&str, &Client) -> Answer + 'a>;
    let asks: Vec<(&str, Ask)> = vec![
        ("read the catalog", Box::new(|_, c| c.get("/v1/catalog/store"))),
        ("read an entry", Box::new(|_, c| c.get("/v1/catalog/store/S1"))),
        (
            "change the catalog",
            Box::new(|_, c| c.put("/v1/catalog/store/S1", json!({ "name": "S1", "time_zone": "Asia/Shanghai" }))),
        ),
        ("remove an entry", Box::new(|_, c| c.delete("/v1/catalog/price/none"))),
        ("put a member", Box::new(|_, c| c.put("/v1/members/5", json!({})))),
        ("make a key", Box::new(|_, c| c.post("/v1/keys", json!({ "name": "x", "role": "head_office" })))),
        ("list keys", Box::new(|_, c| c.get("/v1/keys"))),
        ("revoke a key", Box::new(|_, c| c.delete(&format!("/v1/keys/{}", revoked["key_id"].as_str().unwrap())))),
        ("sell at S1", Box::new(|who, c| c.post_once("/v1/orders", who, json!({ "store_id": "S1", "lines": line })))),
        (
            "sell at S2",
            Box::new(|who, c| c.post_once("/v1/orders", &format!("2{who}"), json!({ "store_id": "S2", "lines": line }))),
        ),
        ("see an order", Box::new(|_, c| c.get(&format!("/v1/orders/{order}")))),
        (
            "redeem by id",
            Box::new(|who, c| c.post_once("/v1/redemptions", &format!("r{who}"), json!({ "store_id": "S1", "order_id": order }))),
        ),
        (
            "redeem as C9",
            Box::new(|who, c| {
                c.post_once("/v1/redemptions", &format!("c{who}"), json!({ "store_id": "S1", "code": "1", "clerk_id": "C9" }))
            }),
        ),
        ("look up", Box::new(|_, c| c.post("/v1/lookups", json!({ "store_id": "S1", "code": "1" })))),
        ("records of S1", Box::new(|_, c| c.get("/v1/redemptions?store=S1"))),
        ("records of S2", Box::new(|_, c| c.get("/v1/redemptions?store=S2"))),
        ("list reports", Box::new(|_, c| c.get("/v1/reports"))),
        ("report on S1", Box::new(|_, c| c.get("/v1/reports/redemption_records?store=S1"))),
        ("report on S2", Box::new(|_, c| c.get("/v1/reports/redemption_records?store=S2"))),
        ("SQL", Box::new(|_, c| c.post("/v1/sql", json!({ "sql": "SELECT 1 AS one" })))),
        ("append to the log", Box::new(|_, c| c.send("POST", "/v1/log/orders", &[], Some(b"{}")))),
        ("health", Box::new(|_, c| c.get("/healthz"))),
        ("readiness", Box::new(|_, c| c.get("/readyz"))),
        ("metrics", Box::new(|_, c| c.get("/metrics"))),
        ("OpenAPI", Box::new(|_, c| c.get("/openapi.json"))),
        ("AsyncAPI", Box::new(|_, c| c.get("/asyncapi.json"))),
        ("a schema", Box::new(|_, c| c.get("/v1/schemas/orders.json"))),
        ("no schema", Box::new(|_, c| c.get("/v1/schemas/sold.json"))),
    ];
    let mut matrix = format!("{:<20}{}\n", "", keys.iter().map(|(who, _)| format!("{who:>12}")).collect::<String>());
    for (what, ask) in &asks {
        let _ = write!(matrix, "{what:<20}");
        for (who, client) in &keys {
            let _ = write!(matrix, "{:>12}", ask(who.split(' ').next().unwrap_or(who), client).status);
        }
        matrix.push('\n');
    }
    expect![[r#"
                                  nobody     unknown       clerk       store head office
        read the catalog             401         401         200         200         200
        read an entry                401         401         200         200         200
        change the catalog           401         401         403         403         200
        remove an entry              401         401         403         403         404
        put a member                 401         401         201         200         200
        make a key                   401         401         403         403         201
        list keys                    401         401         403         403         200
        revoke a key                 401         401         403         403         204
        sell at S1                   401         401         201         201         201
        sell at S2                   401         401         403         403         201
        see an order                 401         401         200         200         200
        redeem by id                 401         401         403         403         201
        redeem as C9                 401         401         403         400         400
        look up                      401         401         400         400         400
        records of S1                401         401         200         200         200
        records of S2                401         401         403         403         200
        list reports                 401         401         200         200         200
        report on S1                 401         401         200         200         200
        report on S2                 401         401         403         403         200
        SQL                          401         401         403         403         200
        append to the log            401         401         403         403         201
        health                       200         200         200         200         200
        readiness                    200         200         200         200         200
        metrics                      200         200         200         200         200
        OpenAPI                      200         200         200         200         200
        AsyncAPI                     200         200         200         200         200
        a schema                     200         200         200         200         200
        no schema                    404         404         404         404         404
    "#]]
    .assert_eq(&matrix);
    let forbidden = keys[2].1.post("/v1/sql", json!({ "sql": "SELECT 1" }));
    expect!["403 forbidden: This needs a head-office key; yours is a clerk key"].assert_eq(&forbidden.problem());
    let unknown = keys[1].1.get("/v1/keys");
    expect!["401 unauthorized: This key is not known or no longer valid"].assert_eq(&unknown.problem());
    assert_eq!(unknown.header("www-authenticate"), "Bearer");
    // A key that is revoked opens nothing, from the answer on.
    let bearer = chain.server.with_key(revoked["key"].as_str().unwrap());
    assert_eq!(bearer.get("/v1/keys").status, 401);
}

#[test]
fn answers_come_in_the_format_asked_for() {
    let chain = Chain::start();
    let code = chain.code("THREE");
    chain.head.post_once("/v1/redemptions", "r", json!({ "store_id": "S2", "code": code })).expect(201);
    let sql = json!({ "sql": "SELECT redeemed_store_id, value_fen, unit_ordinal FROM log.redemptions" }).to_string();
    let ask = |accept: &str| chain.head.send("POST", "/v1/sql", &[("accept", accept)], Some(sql.as_bytes())).expect(200);
    for accept in ["application/json", "*/*", "text/turtle, */*;q=0.1"] {
        let answer = ask(accept);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(
            answer.json()["rows"],
            json!([{ "redeemed_store_id": "S2", "value_fen": 9_900, "unit_ordinal": 1 }]),
            "fen (R23)"
        );
        assert!(
            answer.json()["as_of"].is_string() && answer.json()["lake_versions"]["redemptions"].is_number(),
            "{}",
            answer.text()
        );
    }
    let csv = ask("text/csv");
    assert_eq!(
        csv.text(),
        "redeemed_store_id,value_yuan,unit_ordinal\r\nS2,99.00,1\r\n",
        "yuan, and no metadata in the rows (R23)"
    );
    let table = ask("text/plain");
    assert!(table.text().contains("99.00") && table.text().ends_with("1 row\n"), "{}", table.text());
    assert_eq!(&ask("application/vnd.apache.parquet").body[..4], b"PAR1");
    assert_eq!(
        &ask("application/vnd.apache.arrow.stream").body[..4],
        [0xff; 4],
        "an IPC stream begins with its continuation mark"
    );
    for answer in [ask("application/json"), csv] {
        let position = answer.header("hexiao-log-position");
        assert!(position.starts_with("0:") && answer.header("hexiao-lake-versions").contains("redemptions="), "{answer:?}");
        assert!(answer.header("hexiao-as-of").starts_with("20") && !answer.header("hexiao-tail-rows").is_empty(), "{answer:?}");
    }
    // The statement itself as the body, and values for its names.
    let plain = chain.head.send("POST", "/v1/sql", &[("content-type", "application/sql")], Some(b"SELECT 1 AS one")).expect(200);
    assert_eq!(plain.json()["rows"], json!([{ "one": 1 }]));
    let bound = chain
        .head
        .post("/v1/sql", json!({ "sql": "SELECT $a || '!' AS a, $b + 1 AS b", "params": { "a": "x", "b": 2 } }))
        .expect(200);
    assert_eq!(bound.json()["rows"], json!([{ "a": "x!", "b": 3 }]));
}

#[test]
fn reports_say_what_they_take() {
    let chain = Chain::start();
    let listed = chain.head.get("/v1/reports").expect(200).json();
    let names: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    for name in ["coverage_gap", "redemption_records", "store_performance", "weekday_load"] {
        assert!(names.contains(&name), "{names:?}");
        let answer = chain.head.get(&format!("/v1/reports/{name}?from=2026-01-01&to=2026-01-31"));
        assert!(answer.status == 200 || answer.json()["code"] == "bad_parameter", "{name}: {}", answer.text());
    }
    let store = chain.key("store", Some("S1"), None).get("/v1/reports").expect(200).json();
    assert!(store.as_array().unwrap().len() <= names.len());
    // A store's key sees itself, whether it says so or not.
    let clerk = chain.key("clerk", Some("S1"), Some("C1"));
    expect!["403 forbidden [field store]: This key sees store S1 only, not S2"]
        .assert_eq(&clerk.get("/v1/reports/redemption_records?store=S2").problem());
    assert_eq!(clerk.get("/v1/reports/redemption_records").expect(200).json()["rows"], json!([]));
}

#[test]
fn an_acknowledged_redemption_is_in_the_next_answer() {
    const CARDS: usize = 1_000;
    let chain = Chain::start();
    let sql = "SELECT count(*) AS n, max(event_id) AS event_id FROM log.redemptions";
    for n in 1..=CARDS {
        let (code, _) = sell(&chain.head, &format!("s{n}"), "S1", "ONE");
        let answer =
            chain.head.post_once("/v1/redemptions", &format!("r{n}"), json!({ "store_id": "S2", "code": code })).expect(201);
        let last = &answer.json()["units"][0]["event_id"];
        assert_eq!(chain.head.sql(sql), [json!({ "n": n, "event_id": last })], "redemption {n}");
    }
}

#[test]
fn the_log_takes_messages_in_bulk_once() {
    let chain = Chain::start();
    let message = |id: i64, product: &str| {
        json!({
            "source": "old till", "event_id": id.to_string(), "type": "redeemed", "occurred_at": "2026-03-04T10:00:00+08:00",
            "redeemed_store_id": "S1", "product_id": product, "value_fen": 5_000,
        })
        .to_string()
    };
    let lines: Vec<String> = (0..5_000).map(|id| message(id, "OLD")).chain(["not an event".to_owned()]).collect();
    let body = lines.join("\n");
    let plain = chain
        .head
        .send("POST", "/v1/log/redemptions", &[("content-type", "application/x-ndjson")], Some(body.as_bytes()))
        .expect(201);
    assert_eq!(plain.json(), json!({ "appended": 5_001 }));
    let counts = || {
        let count = |table: &str| chain.head.sql(&format!("SELECT count(*) AS n FROM log.{table}"))[0]["n"].as_i64().unwrap();
        (count("redemptions"), count("dead_letters"))
    };
    assert_eq!(counts(), (5_000, 1));
    let packed = zstd::bulk::compress(body.as_bytes(), 1).unwrap();
    let headers = [("content-type", "application/x-ndjson"), ("content-encoding", "zstd")];
    chain.head.send("POST", "/v1/log/redemptions", &headers, Some(&packed)).expect(201);
    assert_eq!(counts().0, 5_000, "second copies change nothing (R20)");
}

#[test]
fn the_door_describes_itself() {
    let server = Server::start();
    let nobody = server.with_key("");
    let document = nobody.get("/openapi.json").expect(200).json();
    let mut routes = String::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
        let _ = writeln!(routes, "{path} {}", methods.join(" "));
        for operation in item.as_object().unwrap().values() {
            let open = !path.starts_with("/v1/") || path.starts_with("/v1/schemas/");
            assert!(operation["summary"].is_string() && operation["responses"]["default"].is_object(), "{path}: {operation}");
            assert_eq!(operation["security"].is_null(), open, "{path}: {operation}");
        }
    }
    expect![[r#"
        /asyncapi.json get
        /healthz get
        /metrics get
        /readyz get
        /v1/catalog/{kind} get
        /v1/catalog/{kind}/{id} delete get put
        /v1/check get
        /v1/keys get post
        /v1/keys/{id} delete
        /v1/log/{stream} post
        /v1/lookups post
        /v1/members/{id} put
        /v1/orders post
        /v1/orders/{id} get
        /v1/redemptions get post
        /v1/reports get
        /v1/reports/{name} get
        /v1/schemas/{file} get
        /v1/sql post
    "#]]
    .assert_eq(&routes);
    // Every field says what it means.
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let described = ["description", "$ref"].iter().any(|key| property[key].is_string()) || property["oneOf"].is_array();
            assert!(described, "{name}.{field} has no description: {property}");
        }
    }
    let page = nobody.get("/docs/").expect(200);
    assert!(page.header("content-type").starts_with("text/html") && page.text().contains("swagger-ui"), "{}", page.text());
    assert!(nobody.get("/docs/swagger-ui-bundle.js").expect(200).body.len() > 100_000, "vendored, not fetched from elsewhere");

    assert_eq!(nobody.get("/healthz").expect(200).text(), "ok\n");
    assert!(nobody.get("/readyz").expect(200).json()["log_end"].is_number());
    let head = server.head_office();
    two_stores_and_cards(&head);
    sell(&head, "s", "S1", "ONE");
    head.sql("SELECT 1");
    let metrics = nobody.get("/metrics").expect(200).text();
    for figure in [
        r#"hexiao_http_requests_total{route="/v1/orders",method="POST",status="201"} 1"#,
        r#"hexiao_queries_total{kind="sql",outcome="answered"} 1"#,
        "hexiao_sold_orders_total 1",
        "hexiao_ingest_ended 0",
    ] {
        assert!(metrics.lines().any(|line| line == figure), "{figure} is missing in\n{metrics}");
    }
    assert!(metrics.contains(r#"hexiao_committed_offset{table="orders"}"#) && metrics.contains("hexiao_log_end "), "{metrics}");
}
