use event::{ManualClock, Stream};
use expect_test::{Expect, expect};
use redemption::{Refusal, TerminalId};
use serde_json::json;

use super::chain::{Chain, at, check_invariants, redemption, show, units};
use crate::{Error, Take};

async fn check(chain: &Chain, store: &str, take: Take, expect: Expect) {
    expect.assert_eq(&show(&chain.redeem(store, take).await));
}

#[tokio::test]
async fn r1_units_go_one_by_one_until_none_is_left() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let by_code = || Take::by_code(&sold.code);
    check(&chain, "S1", by_code(), expect!["P1#1 3->2 worth 3333"]).await;
    check(&chain, "S2", units(by_code(), 3), expect!["R1 not_enough_units"]).await;
    check(&chain, "S2", units(by_code(), 2), expect!["P1#2 2->1 worth 3333, P1#3 1->0 worth 3334"]).await;
    check(&chain, "S1", by_code(), expect!["R1 no_units_left"]).await;
    let mut event = chain.events(&[Stream::Redemptions])[2].clone();
    for name in ["event_id", "order_id", "entitlement_id", "redemption_id"] {
        event[name] = json!("*");
    }
    expect![[r#"{"bonus_fen":0,"channel":"till","coupon_fen":0,"entitlement_id":"*","event_id":"*","list_price_fen":3334,"member_id":"1","occurred_at":"2026-05-06T15:00:00+08:00","order_id":"*","points_fen":0,"principal_fen":0,"product_id":"P1","product_type":"punch_card","product_version":1,"redeemed_store_id":"S2","redemption_id":"*","remaining_after":0,"remaining_before":1,"schema_version":1,"service_minutes":60,"service_start_at":"2026-05-06T07:00:00Z","skill":"nails","sold_at":"2026-05-06T07:00:00Z","sold_store_id":"S1","source":"till","type":"redeemed","unit_ordinal":3,"value_fen":3334,"vat_rate_bp":600}"#]]
        .assert_eq(&event.to_string());
    let events = chain.events(&[Stream::Redemptions]);
    assert_eq!(events[1]["redemption_id"], events[2]["redemption_id"]);
    assert_ne!(events[0]["redemption_id"], events[1]["redemption_id"]);
    check_invariants(&chain.file());
}

#[tokio::test]
async fn r2_the_same_key_gives_the_same_outcome() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let good = redemption("S1", vec![Take::by_code(&sold.code)]);
    let bad = redemption("S3", vec![Take::by_code(&sold.code)]);
    for (command, expect) in
        [(good.clone(), expect!["P1#1 3->2 worth 3333 (again)"]), (bad.clone(), expect!["R3 store_not_applicable (again)"])]
    {
        let request = chain.request();
        let first = chain.ledger.redeem(&request, command.clone()).await.unwrap();
        let again = chain.ledger.redeem(&request, command.clone()).await.unwrap();
        assert_eq!((&first.outcome, first.position), (&again.outcome, again.position));
        expect.assert_eq(&show(&again));
        let other = redemption("S2", command.takes);
        assert!(matches!(chain.ledger.redeem(&request, other).await, Err(Error::KeyReused)));
    }
    assert_eq!(chain.events(&[Stream::Redemptions, Stream::Refusals]).len(), 2);
    // Malformed input is recorded, and not stored: typed right, the key may be used again.
    let request = chain.request();
    let mistyped = redemption("S1", vec![Take::by_code("1234 5678 9012 3456")]);
    assert_eq!(chain.ledger.redeem(&request, mistyped).await.unwrap().outcome.unwrap_err().code(), "malformed_code");
    assert!(chain.ledger.redeem(&request, good.clone()).await.unwrap().outcome.is_ok());
    assert_eq!(chain.events(&[Stream::Refusals]).len(), 2);
    // Kept for 7 days, then a new request.
    chain.clock.advance(7 * 86_400_000_000);
    assert!(!chain.ledger.redeem(&request, bad).await.unwrap().repeated);
    check_invariants(&chain.file());
}

#[tokio::test]
async fn r3_the_catalog_of_now_decides_for_what_was_sold_before() {
    let chain = Chain::new().await;
    let p1 = chain.sell("S1", "P1").await;
    let p3 = chain.sell("S1", "P3").await;
    let p4 = chain.sell("S1", "P4").await;
    check(&chain, "S3", Take::by_code(&p1.code), expect!["R3 store_not_applicable"]).await;
    check(&chain, "S2", Take::by_code(&p3.code), expect!["R3 sold_store_only"]).await;
    check(&chain, "S2", Take::by_code(&p4.code), expect!["R3 sold_store_only"]).await;
    chain.put("applicable_stores", "P1", json!({"store_ids": ["S1", "S2", "S3"]})).await;
    check(&chain, "S3", Take::by_code(&p1.code), expect!["P1#1 3->2 worth 3333"]).await;
    chain.put("applicable_stores", "P1", json!({"store_ids": ["S1", "S2"]})).await;
    check(&chain, "S3", Take::by_code(&p1.code), expect!["P1#2 2->1 worth 3333"]).await;
    let refused = chain.redeem("HQ", Take::by_code(&p1.code)).await.outcome.unwrap_err();
    assert_eq!(refused.allowed().stores.iter().map(|s| s.as_str()).collect::<Vec<_>>(), ["S1", "S2", "S3"]);
    chain.put("applicable_stores", "P1", json!({"store_ids": ["S1"], "reason": "closed"})).await;
    check(&chain, "S2", Take::by_code(&p1.code), expect!["R3 store_not_applicable"]).await;
    chain.put("cross_store", "chain", json!({"enabled": false})).await;
    check(&chain, "S3", Take::by_code(&p1.code), expect!["R3 sold_store_only"]).await;
    check(&chain, "S1", Take::by_code(&p1.code), expect!["P1#3 1->0 worth 3334"]).await;
    let refusals = chain.events(&[Stream::Refusals]);
    let told: Vec<String> = refusals.iter().map(|r| format!("{} {} {}", r["store_id"], r["rule"], r["reason"])).collect();
    expect![[r#"
        "S3" "R3" "store_not_applicable"
        "S2" "R3" "sold_store_only"
        "S2" "R3" "sold_store_only"
        "HQ" "R3" "store_not_applicable"
        "S2" "R3" "store_not_applicable"
        "S3" "R3" "sold_store_only""#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(refusals[0]["product_id"], "P1");
    assert_eq!(refusals[0]["service_minutes"], 60);
}

#[tokio::test]
async fn r8_several_orders_succeed_whole_or_not_at_all() {
    let chain = Chain::new().await;
    let (a, b) = (chain.sell("S1", "P1").await, chain.sell("S2", "P2").await);
    let both = |n| redemption("S3", vec![units(Take::by_code(&b.code), n), Take::by_code(&a.code)]);
    let refused = chain.ledger.redeem(&chain.request(), both(1)).await.unwrap();
    expect!["R3 store_not_applicable"].assert_eq(&show(&refused));
    let order = chain.ledger.order(b.order_id).await.unwrap().unwrap();
    assert_eq!((order.lines[0].units.available, order.lines[0].valid_until), (2, None));
    assert!(chain.events(&[Stream::Redemptions]).is_empty());
    // The same entitlement twice in one call: the second sees what the first leaves.
    let twice = redemption(
        "S2",
        vec![units(Take::by_code(&a.code), 2), Take::by_entitlement(a.entitlements[0].entitlement_id), Take::by_code(&b.code)],
    );
    let done = chain.ledger.redeem(&chain.request(), twice).await.unwrap();
    expect!["P1#1 3->2 worth 3333, P1#2 2->1 worth 3333, P1#3 1->0 worth 3334, P2#1 2->1 worth 2500"].assert_eq(&show(&done));
    let left = &done.outcome.unwrap().entitlements;
    assert_eq!((left[0].units.available, left[1].units.available), (0, 1));
    // The first use starts the 30 days.
    assert_eq!(left[1].valid_until, Some(at("2026-06-06T04:00:00+08:00")));
    check_invariants(&chain.file());
}

#[tokio::test]
async fn one_code_stands_for_all_lines_of_its_order() {
    let chain = Chain::new().await;
    let sold = chain.ledger.sell(&chain.request(), super::chain::sale("S1", &["P1", "P2"])).await.unwrap().outcome.unwrap();
    let named = |line: usize| Take { entitlement_id: Some(sold.entitlements[line].entitlement_id), ..Take::by_code(&sold.code) };
    let refused = chain.redeem("S1", Take::by_code(&sold.code)).await.outcome.unwrap_err();
    assert_eq!(refused.allowed().entitlements, sold.entitlements.iter().map(|l| l.entitlement_id).collect::<Vec<_>>());
    check(&chain, "S1", named(1), expect!["P2#1 2->1 worth 2500"]).await;
    // Only one of them may be used at S3: no need to name it.
    check(&chain, "S3", Take::by_code(&sold.code), expect!["P2#2 1->0 worth 2500"]).await;
    let other = chain.sell("S1", "P1").await;
    let mixed = Take { entitlement_id: Some(other.entitlements[0].entitlement_id), ..Take::by_code(&sold.code) };
    check(&chain, "S1", mixed, expect!["- unknown_entitlement"]).await;
    check(&chain, "S1", Take::by_entitlement(redemption::EntitlementId(5)), expect!["- unknown_entitlement"]).await;
    check(
        &chain,
        "S1",
        Take { code: None, order_id: Some(other.order_id), ..Take::by_code("") },
        expect!["P1#1 3->2 worth 3333"],
    )
    .await;
}

#[tokio::test]
async fn r10_wrong_codes_lock_out_the_terminal_and_the_store() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let wrong = redemption::Code::from_number(42).to_string();
    let at_terminal = |store: &str, terminal: &str, code: &str| {
        let mut command = redemption(store, vec![Take::by_code(code)]);
        command.terminal_id = Some(TerminalId::new(terminal).unwrap());
        command
    };
    for i in 0..5 {
        let tried = chain.ledger.redeem(&chain.request(), at_terminal("S1", "T1", &wrong)).await.unwrap();
        assert_eq!(tried.outcome.unwrap_err(), Refusal::UnknownCode, "{i}");
        chain.clock.advance(1_000_000);
    }
    let until = at("2026-05-06T15:10:00+08:00");
    for (terminal, store) in [("T1", "S1"), ("T2", "S1")] {
        let tried = chain.ledger.redeem(&chain.request(), at_terminal(store, terminal, &sold.code)).await.unwrap();
        assert_eq!(tried.outcome.unwrap_err(), Refusal::LockedOut { until });
    }
    // Elsewhere the code is good, and so is the id here: it is codes that are locked.
    assert!(chain.ledger.redeem(&chain.request(), at_terminal("S2", "T1", &sold.code)).await.unwrap().outcome.is_ok());
    assert!(chain.redeem("S1", Take::by_entitlement(sold.entitlements[0].entitlement_id)).await.outcome.is_ok());
    chain.clock.set(until);
    assert!(chain.ledger.redeem(&chain.request(), at_terminal("S1", "T1", &sold.code)).await.unwrap().outcome.is_ok());
    assert_eq!(chain.events(&[Stream::Refusals]).len(), 7);
}

#[tokio::test]
async fn r10_a_qr_token_is_used_once_per_step() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let scan = |token: String| Take { code: None, qr: Some(token), ..Take::by_code("") };
    let token = chain.ledger.qr_token(sold.order_id);
    assert_eq!(chain.ledger.qr_order(&token), Ok(sold.order_id));
    check(&chain, "S3", scan(token.clone()), expect!["R3 store_not_applicable"]).await;
    check(&chain, "S1", scan(token.clone()), expect!["P1#1 3->2 worth 3333"]).await;
    check(&chain, "S1", scan(token.clone()), expect!["R10 qr_used"]).await;
    chain.clock.advance(30_000_000);
    check(&chain, "S1", scan(token.clone()), expect!["R10 qr_used"]).await;
    check(&chain, "S1", scan(chain.ledger.qr_token(sold.order_id)), expect!["P1#2 2->1 worth 3333"]).await;
    chain.clock.advance(30_000_000);
    check(&chain, "S1", scan(token), expect!["R10 qr_stale"]).await;
    check(&chain, "S1", scan("HX1.1.1.00".to_owned()), expect!["R10 qr_forged"]).await;
}

#[tokio::test]
async fn ids_grow_also_when_the_clock_goes_back() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    chain.clock.set(at("2026-05-06T15:00:01+08:00"));
    chain.redeem("S1", Take::by_code(&sold.code)).await;
    chain.ledger.close().await.unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(at("2026-05-06T15:00:00+08:00")));
    let ledger = super::chain::open(chain.folder.path(), &clock, super::chain::config()).unwrap();
    let request = crate::Request::new("test", "after").unwrap();
    ledger.redeem(&request, redemption("S1", vec![Take::by_code(&sold.code)])).await.unwrap().outcome.unwrap();
    let ids: Vec<i64> =
        chain.events(&event::Stream::ALL).iter().map(|e| e["event_id"].as_str().unwrap().parse().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
}

#[tokio::test]
async fn r10_looking_up_counts_wrong_codes_too() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let look_up = async |code: &str| chain.ledger.look_up(redemption("S1", vec![Take::by_code(code)])).await.unwrap().outcome;
    assert_eq!(look_up(&sold.code).await.unwrap().order_id, sold.order_id);
    for _ in 0..5 {
        assert_eq!(look_up(&redemption::Code::from_number(1).to_string()).await.unwrap_err(), Refusal::UnknownCode);
    }
    assert_eq!(look_up(&sold.code).await.unwrap_err().code(), "locked_out");
    assert_eq!(chain.events(&[Stream::Refusals]).len(), 6);
}
