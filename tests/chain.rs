//! The smallest chain that redeems across stores, put through the catalog's own door.

use serde_json::{Value, json};

use crate::support::Client;

/// Head office `HQ`, stores `S1` and `S2`, the switch on, and cards of head office good at both: `ONE` of one unit, `THREE`
/// of three.
pub fn two_stores_and_cards(head: &Client) {
    let put = |kind: &str, id: &str, body: Value| {
        let answer = head.put(&format!("/v1/catalog/{kind}/{id}"), body);
        assert!(answer.status < 300, "{kind}/{id}: {}", answer.text());
    };
    for (id, head_office) in [("HQ", true), ("S1", false), ("S2", false)] {
        put(
            "store",
            id,
            json!({ "name": id, "time_zone": "Asia/Shanghai", "head_office": head_office, "opened_on": "2024-01-01" }),
        );
    }
    put("cross_store", "chain", json!({ "enabled": true }));
    for (id, units) in [("ONE", 1), ("THREE", 3)] {
        put(
            "product",
            id,
            json!({
                "name": id, "product_type": "punch_card", "sale_kind": "card", "creator_store_id": "HQ", "units": units,
                "list_price_fen": 9900 * units, "validity": "days_from_purchase", "valid_days": 365, "product_version": 1,
            }),
        );
        put("applicable_stores", id, json!({ "store_ids": ["S1", "S2"] }));
    }
}

/// Sells one card at a store; its code and the answer.
pub fn sell(till: &Client, key: &str, store: &str, product: &str) -> (String, Value) {
    let answer = till.post_once("/v1/orders", key, json!({ "store_id": store, "lines": [{ "product_id": product }] }));
    assert!(answer.status < 300, "{}", answer.text());
    let sold = answer.json();
    (sold["code"].as_str().expect("a code").to_owned(), sold)
}

/// A unit that an answer says was redeemed.
pub struct RedeemedUnit {
    /// Id of its event.
    pub event_id: String,
    /// Its entitlement.
    pub entitlement_id: String,
}

/// The units of an answer to `POST /v1/redemptions`.
pub fn redeemed_units(answer: &Value) -> Vec<RedeemedUnit> {
    let text = |v: &Value| v.as_str().expect("ids are strings").to_owned();
    let units = answer["units"].as_array().expect("units");
    units.iter().map(|u| RedeemedUnit { event_id: text(&u["event_id"]), entitlement_id: text(&u["entitlement_id"]) }).collect()
}

/// Units of an entitlement that the order's detail shows as available.
pub fn available_units(detail: &Value, entitlement: &str) -> i64 {
    let lines = detail["lines"].as_array().expect("lines");
    let line = lines.iter().find(|l| l["entitlement_id"] == entitlement).expect("the entitlement is of this order");
    line["units"]["available"].as_i64().expect("a count")
}
