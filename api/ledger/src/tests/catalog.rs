use event::{CatalogEntry, Stream};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::chain::{Chain, at, config, fields, open, store};
use crate::{Error, MemberEntry, Role};

async fn refused(chain: &Chain, kind: &str, id: &str, entry: Value, expect: Expect) {
    match chain.ledger.put_catalog(kind, id, fields(entry)).await {
        Err(Error::Invalid { what, .. }) => expect.assert_eq(&what),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_kind_can_be_put_read_and_removed() {
    let chain = Chain::new().await;
    let about = json!({"store_id": "S1", "product_id": "P1", "technician_id": "T", "name": "N", "enabled": true, "on_day": "2026-10-01",
        "holiday_kind": "holiday", "capacity": 3, "rule_kind": "share", "share_bp": 6_000, "from_minute": 540, "to_minute": 1_260,
        "list_price_fen": 100, "store_ids": ["S1"]});
    for kind in CatalogEntry::KINDS.into_iter().filter(|kind| !["store", "product", "cross_store"].contains(kind)) {
        let written = chain.ledger.put_catalog(kind, "X", fields(about.clone())).await.unwrap();
        assert!(written.outcome.created && written.outcome.changed, "{kind}");
        let again = chain.ledger.put_catalog(kind, "X", fields(about.clone())).await.unwrap();
        assert!(!again.outcome.changed && again.position == written.position, "{kind}");
        let entry = chain.ledger.catalog_entry(kind, "X").await.unwrap().unwrap();
        assert_eq!(entry.fields.get("store_id"), Some(&json!("S1")), "{kind}");
        assert!(chain.ledger.remove_catalog(kind, "X", None).await.unwrap().outcome.changed);
        assert_eq!(chain.ledger.catalog_entry(kind, "X").await.unwrap(), None);
        assert!(matches!(chain.ledger.remove_catalog(kind, "X", None).await, Err(Error::NotFound(_))));
    }
    assert_eq!(chain.ledger.catalog_entries("store").await.unwrap().len(), 4);
    let events = chain.events(&[Stream::Catalog]);
    assert_eq!(events.last().unwrap()["type"], "removed");
}

#[tokio::test]
async fn faulty_entries_are_named() {
    let chain = Chain::new().await;
    refused(&chain, "shop", "S1", json!({}), expect!["there is no catalog kind `shop`; there are cross_store, store, product, applicable_stores, price, capability, clerk, technician, roster, opening_hours, holiday, slot_capacity, settlement_rule, credit_rule, breakage_policy, expiry_policy, account"]).await;
    refused(
        &chain,
        "store",
        "",
        json!({}),
        expect!["`` is not an id: 1 to 64 bytes, no control characters, no blank at either end"],
    )
    .await;
    refused(
        &chain,
        "store",
        "S9",
        json!({"name": "x", "time_zone": "Mars/Olympus"}),
        expect!["store S9: `time_zone` is `Mars/Olympus`: there is no such time zone"],
    )
    .await;
    refused(&chain, "store", "S9", json!({"name": "x", "timezone": "UTC"}), expect!["a catalog entry has no field `timezone`"])
        .await;
    refused(&chain, "cross_store", "S1", json!({"enabled": true}), expect!["the switch is the chain's: its id is `chain`"]).await;
    refused(&chain, "store", "S9", json!({"time_zone": "UTC"}), expect!["`upserted` needs `name`"]).await;
    refused(
        &chain,
        "store",
        "S9",
        json!({"name": "x", "time_zone": "UTC", "lat": 1.0}),
        expect!["store S9: `lat` and `lon` come together"],
    )
    .await;
    refused(
        &chain,
        "store",
        "S9",
        json!({"name": "x", "time_zone": 8}),
        expect!["store S9: invalid type: integer `8`, expected a string"],
    )
    .await;
    refused(
        &chain,
        "store",
        "S9",
        json!({"id": "S8", "name": "x", "time_zone": "UTC"}),
        expect!["`id` must be `S9`, as in the path"],
    )
    .await;
    let product = |field: &str, value: Value| {
        let mut product = json!({"name": "x", "product_type": "card", "creator_store_id": "HQ"});
        product[field] = value;
        product
    };
    refused(
        &chain,
        "product",
        "P9",
        product("product_type", json!("voucher")),
        expect!["product P9: `product_type`: `voucher` is none of booking, card, punch_card, service, goods, stored_value"],
    )
    .await;
    refused(
        &chain,
        "product",
        "P9",
        product("creator_store_id", json!("S9")),
        expect!["product P9: `creator_store_id` names store S9, which is not in the catalog"],
    )
    .await;
    refused(&chain, "product", "P9", product("units", json!(0)), expect!["product P9: `units` is 0, outside 1..=10000"]).await;
    refused(
        &chain,
        "product",
        "P9",
        product("validity", json!("fixed")),
        expect!["product P9: needs `valid_from_on` for a fixed validity"],
    )
    .await;
    refused(
        &chain,
        "product",
        "P9",
        product("validity", json!("forever")),
        expect!["product P9: `validity` `forever` is none of permanent, fixed, days_from_purchase, days_from_first_use"],
    )
    .await;
    refused(
        &chain,
        "product",
        "P9",
        product("blackouts", json!(["2026-10-01"])),
        expect!["product P9: `2026-10-01` is no blackout window: YYYY-MM-DD/YYYY-MM-DD, the first not after the last"],
    )
    .await;
    refused(
        &chain,
        "applicable_stores",
        "P1",
        json!({"store_ids": ["S1", "S9"]}),
        expect!["applicable_stores P1: `store_ids` names store S9, which is not in the catalog"],
    )
    .await;
    refused(
        &chain,
        "applicable_stores",
        "P9",
        json!({"store_ids": []}),
        expect!["applicable_stores P9: `product_id` names product P9, which is not in the catalog"],
    )
    .await;
    refused(
        &chain,
        "applicable_stores",
        "P1",
        json!({"store_ids": [], "product_id": "P2"}),
        expect!["applicable_stores P1 is about something else already; use another id"],
    )
    .await;
    chain.put("settlement_rule", "A", json!({"rule_kind": "share", "sold_store_id": "S1"})).await;
    chain.put("settlement_rule", "B", json!({"rule_kind": "share", "sold_store_id": "S1", "product_id": "P1"})).await;
    refused(
        &chain,
        "settlement_rule",
        "C",
        json!({"rule_kind": "fixed", "sold_store_id": "S1"}),
        expect!["settlement_rule C ties with A: both have the same scope (R11)"],
    )
    .await;
}

#[tokio::test]
async fn entries_hold_from_their_time_on() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let usable = async || {
        let order = chain.ledger.order(sold.order_id).await.unwrap().unwrap();
        order.lines[0].usable_store_ids.iter().map(|s| s.to_string()).collect::<Vec<_>>().join(" ")
    };
    let tomorrow = "2026-05-07T04:00:00+08:00";
    chain.put("applicable_stores", "P1", json!({"store_ids": ["S1", "S2", "S3"], "effective_from": tomorrow})).await;
    chain.put("cross_store", "chain", json!({"enabled": false, "effective_from": "2026-05-08T04:00:00+08:00"})).await;
    assert_eq!(usable().await, "S1 S2");
    chain.clock.set(at(tomorrow));
    assert_eq!(usable().await, "S1 S2 S3");
    chain.clock.set(at("2026-05-08T04:00:00+08:00"));
    assert_eq!(usable().await, "S1");
    // What was in memory is what is in the file.
    chain.ledger.close().await.unwrap();
    let ledger = open(chain.folder.path(), &chain.clock, config()).unwrap();
    let order = ledger.order(sold.order_id).await.unwrap().unwrap();
    assert_eq!(order.lines[0].usable_store_ids, [store("S1")]);
}

#[tokio::test]
async fn members_join_change_and_stay() {
    let chain = Chain::new().await;
    let entry = MemberEntry { tier: Some("gold".to_owned()), phone: Some("138 0013 8000".to_owned()), ..MemberEntry::default() };
    let request = chain.request();
    let joined = chain.ledger.put_member(Some(&request), None, entry.clone()).await.unwrap().outcome;
    assert!(joined.created);
    assert_eq!(chain.ledger.put_member(Some(&request), None, entry.clone()).await.unwrap().outcome, joined);
    let id = Some(joined.member_id);
    chain.clock.advance(86_400_000_000);
    assert!(!chain.ledger.put_member(None, id, entry.clone()).await.unwrap().outcome.changed);
    let silver = MemberEntry { tier: Some("silver".to_owned()), ..entry };
    assert!(chain.ledger.put_member(None, id, silver).await.unwrap().outcome.changed);
    let types: Vec<Value> = chain.events(&[Stream::Members]).iter().map(|e| e["type"].clone()).collect();
    assert_eq!(types, ["joined", "joined", "changed"]);
    let member = chain.ledger.member(joined.member_id).await.unwrap().unwrap();
    assert_eq!(member.fields["joined_on"], "2026-05-06");
    assert!(member.fields["phone_hash"].as_str().is_some_and(|hash| hash.len() == 64) && !member.fields.contains_key("phone"));
    let far = MemberEntry { home_lat: Some(91.0), home_lon: Some(0.0), ..MemberEntry::default() };
    assert!(matches!(chain.ledger.put_member(None, None, far).await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn keys_open_until_they_are_revoked() {
    let chain = Chain::new().await;
    let clerk = Role::Clerk { store_id: store("S1"), clerk_id: redemption::ClerkId::new("C1").unwrap() };
    let key = chain.ledger.create_key("till 1", clerk.clone()).await.unwrap();
    assert_eq!(chain.ledger.authenticate(&key.secret).unwrap().role, clerk);
    assert_eq!(chain.ledger.authenticate("hx_00"), None);
    assert!(matches!(chain.ledger.create_key("x", Role::Store { store_id: store("S9") }).await, Err(Error::Invalid { .. })));
    let head = chain.ledger.create_key("head office", Role::HeadOffice).await.unwrap();
    chain.ledger.close().await.unwrap();
    let ledger = open(chain.folder.path(), &chain.clock, config()).unwrap();
    assert_eq!(ledger.authenticate(&key.secret).as_deref(), Some(&key.principal));
    ledger.revoke_key(&key.principal.key_id).await.unwrap();
    assert_eq!(ledger.authenticate(&key.secret), None);
    assert!(ledger.authenticate(&head.secret).is_some());
    assert!(matches!(ledger.revoke_key("nobody").await, Err(Error::NotFound(_))));
    assert_eq!(ledger.keys().await.unwrap().iter().filter(|k| k.revoked_at.is_some()).count(), 1);
    drop(ledger);
    let bytes = std::fs::read(chain.file()).unwrap();
    assert!(!bytes.windows(key.secret.len()).any(|w| w == key.secret.as_bytes()));
    expect![[r#"{"role":"clerk","store_id":"S1","clerk_id":"C1"}"#]].assert_eq(&serde_json::to_string(&clerk).unwrap());
}

#[tokio::test]
async fn r3_closing_a_store_lists_the_stranded_holders() {
    let chain = Chain::new().await;
    let product = redemption::ProductId::new("P1").unwrap();
    let sold = chain.sell("S1", "P1").await;
    chain.redeem("S2", crate::Take::by_code(&sold.code)).await.outcome.unwrap();
    chain.sell("S1", "P2").await;
    let narrow = async |stores: &[&str], reason: Option<&str>| {
        let mut entry = json!({"store_ids": stores});
        if let Some(reason) = reason {
            entry["reason"] = json!(reason);
        }
        chain.put("applicable_stores", "P1", entry).await;
        let stranded = chain.ledger.stranded(&product, 10).await.unwrap();
        (stranded.entitlements, stranded.units, stranded.holders.len())
    };
    assert_eq!(narrow(&[], Some("rent")).await, (0, 0, 0));
    assert_eq!(narrow(&["S1", "S2"], None).await, (0, 0, 0));
    assert_eq!(narrow(&["S1"], Some("closed")).await, (0, 0, 0));
    assert_eq!(narrow(&[], Some("cannot_serve")).await, (1, 2, 1));
    assert_eq!(narrow(&["S3"], None).await, (0, 0, 0));
}
