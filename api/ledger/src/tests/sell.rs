use event::Stream;
use expect_test::expect;
use redemption::{Payment, ProductId};
use serde_json::json;

use super::chain::{Chain, at, check_invariants, fields, redemption, sale};
use crate::{Error, Take};

#[tokio::test]
async fn a_sale_gives_entitlements_one_code_and_one_event_per_line() {
    let chain = Chain::new().await;
    let sold = chain.ledger.sell(&chain.request(), sale("S1", &["P1", "P4"])).await.unwrap();
    assert_eq!(*chain.ledger.end().borrow(), sold.position);
    let sold = sold.outcome.unwrap();
    assert_eq!(sold.code.len(), 19);
    let events = chain.events(&[Stream::Orders]);
    let mut event = events[0].clone();
    for name in ["event_id", "order_id", "entitlement_id"] {
        event[name] = json!("*");
    }
    expect![[r#"{"applicable_store_ids":["S1","S2"],"bonus_fen":0,"channel":"till","coupon_fen":0,"entitlement_id":"*","event_id":"*","head_office_product":true,"kind":"card","list_price_fen":10000,"member_id":"1","occurred_at":"2026-05-06T15:00:00+08:00","order_id":"*","paid_fen":10000,"points_fen":0,"principal_fen":0,"product_id":"P1","product_type":"punch_card","product_version":1,"schema_version":1,"service_minutes":60,"sold_store_id":"S1","source":"till","type":"sold","units":3,"valid_from":"2026-05-06T07:00:00Z","vat_rate_bp":600}"#]]
        .assert_eq(&event.to_string());
    assert_eq!(events.len(), 2);
    assert_eq!(sold.entitlements[1].valid_until, Some(at("2026-06-06T04:00:00+08:00")));
    let order = chain.ledger.order(sold.order_id).await.unwrap().unwrap();
    assert_eq!(order.code_last_four.as_deref(), sold.code.get(15..));
    let usable = |line: usize| order.lines[line].usable_store_ids.iter().map(|s| s.as_str()).collect::<Vec<_>>();
    assert_eq!((usable(0), usable(1)), (vec!["S1", "S2"], vec!["S1"]));
    assert_eq!(chain.ledger.order_by_code(&sold.code).await.unwrap(), Some(order.clone()));
    assert_eq!(chain.ledger.order_of(sold.entitlements[1].entitlement_id).await.unwrap(), Some(order));
}

#[tokio::test]
async fn r9_a_package_is_split_by_list_prices() {
    let chain = Chain::new().await;
    let mut command = sale("S1", &["P1", "P2", "P3"]);
    command.package = Some(Payment { paid_fen: 9_999, coupon_fen: 100, ..Payment::default() });
    let sold = chain.ledger.sell(&chain.request(), command).await.unwrap().outcome.unwrap();
    let paid: Vec<_> = sold.entitlements.iter().map(|l| (l.payment.paid_fen, l.payment.coupon_fen)).collect();
    assert_eq!(paid, [(5_555, 55), (2_778, 28), (1_666, 17)]);
}

#[tokio::test]
async fn what_cannot_be_sold_is_refused_and_recorded() {
    let chain = Chain::new().await;
    chain.put("store", "S3", json!({"name": "S3", "time_zone": "Asia/Shanghai", "closed_on": "2026-05-05"})).await;
    for (store, product, member, code) in [
        ("S2", "P4", Some(1), "product_not_sold_here"),
        ("S2", "P9", Some(1), "product_not_on_sale"),
        ("S1", "P1", Some(2), "unknown_member"),
        ("S3", "P1", Some(1), "store_closed"),
    ] {
        let mut command = sale(store, &[product]);
        command.member_id = member.map(redemption::MemberId);
        let refusal = chain.ledger.sell(&chain.request(), command).await.unwrap().outcome.unwrap_err();
        assert_eq!(refusal.code(), code);
    }
    assert_eq!(chain.events(&[Stream::Refusals]).len(), 4);
    assert_eq!(chain.events(&[Stream::Orders]).len(), 0);
    let invalid = |edit: fn(&mut crate::Sell)| {
        let mut command = sale("S1", &["P1"]);
        edit(&mut command);
        command
    };
    for command in [
        invalid(|c| c.lines.clear()),
        invalid(|c| c.lines[0].quantity = 0),
        invalid(|c| c.lines[0].quantity = i32::MAX),
        invalid(|c| c.lines[0].payment = Some(Payment::cash(-1))),
        invalid(|c| c.lines[0].payment = Some(Payment::cash(i64::MAX))),
        invalid(|c| c.lines[0].payment = Some(Payment { coupon_fen: 2, ..Payment::cash(1) })),
        invalid(|c| c.store_id = super::chain::store("S9")),
    ] {
        let fault = chain.ledger.sell(&chain.request(), command.clone()).await.unwrap_err();
        assert!(matches!(fault, Error::Invalid { .. }), "{command:?}: {fault}");
    }
    assert_eq!(chain.events(&[Stream::Orders]).len(), 0);
}

#[tokio::test]
async fn r2_a_repeated_sale_gives_the_same_code_which_lies_nowhere_in_clear() {
    let chain = Chain::new().await;
    let request = chain.request();
    let first = chain.ledger.sell(&request, sale("S1", &["P1"])).await.unwrap();
    let again = chain.ledger.sell(&request, sale("S1", &["P1"])).await.unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!((&first.outcome, first.position), (&again.outcome, again.position));
    assert!(matches!(chain.ledger.sell(&request, sale("S1", &["P2"])).await, Err(Error::KeyReused)));
    assert!(matches!(chain.ledger.redeem(&request, redemption("S1", vec![Take::by_code("")])).await, Err(Error::KeyReused)));
    assert_eq!(chain.events(&[Stream::Orders]).len(), 1);
    // Another caller's equal key is another key.
    let other = crate::Request::new("other", "key-0").unwrap();
    assert!(!chain.ledger.sell(&other, sale("S1", &["P1"])).await.unwrap().repeated);
    let code = first.outcome.unwrap().code;
    let digits = code.replace(' ', "");
    let file = chain.file();
    chain.ledger.close().await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds("applicable_stores") && !holds(&code) && !holds(&digits) && !holds(&digits[..15]));
    check_invariants(&file);
}

#[tokio::test]
async fn terms_are_those_of_the_sale_for_good() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    chain.put("product", "P1", json!({"name": "Nails", "product_type": "punch_card", "creator_store_id": "HQ", "units": 9, "list_price_fen": 1, "product_version": 2})).await;
    let order = chain.ledger.order(sold.order_id).await.unwrap().unwrap();
    assert_eq!((order.lines[0].product_version, order.lines[0].units.total), (1, 3));
    let newer = chain.sell("S1", "P1").await;
    assert_eq!((newer.entitlements[0].units, newer.entitlements[0].list_price_fen), (9, 1));
    chain.ledger.remove_catalog("product", "P1", None).await.unwrap();
    assert!(chain.ledger.sell(&chain.request(), sale("S1", &["P1"])).await.unwrap().outcome.is_err());
    // Prices per store go before the product's.
    chain
        .ledger
        .put_catalog("price", "S1/P2", fields(json!({"store_id": "S1", "product_id": "P2", "list_price_fen": 4_000})))
        .await
        .unwrap();
    assert_eq!(chain.sell("S1", "P2").await.entitlements[0].payment, Payment::cash(4_000));
    assert_eq!(chain.sell("S2", "P2").await.entitlements[0].payment, Payment::cash(5_000));
    assert_eq!(ProductId::new("P2").unwrap(), chain.sell("S2", "P2").await.entitlements[0].product_id);
}
