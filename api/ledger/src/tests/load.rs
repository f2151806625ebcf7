use std::sync::Arc;

use event::{Id, Stream};
use expect_test::expect;
use redemption::*;

use super::chain::{Chain, at, show, store};
use crate::{Error, LoadChunk, LoadLine, LoadOrder, LogSegment, Take, catalog_entry, first_id_at};

fn chunk(code: &Code) -> LoadChunk {
    let terms = Arc::new(Terms {
        product_id: ProductId::new("P1").unwrap(),
        product_version: 1,
        product_type: ProductType::PunchCard,
        sale_kind: SaleKind::Card,
        head_office_product: true,
        units: 3,
        applicable_stores: vec![store("S1"), store("S2")],
        vat_rate_bp: None,
        skill: None,
        service_minutes: None,
        validity: Validity::Permanent,
        blackouts: vec![],
    });
    let line = |id: i64, states: &str, holds: Vec<Hold>| LoadLine {
        entitlement_id: EntitlementId(id),
        terms: terms.clone(),
        list_price_fen: 10_000,
        payment: Payment::cash(10_000),
        window: Window { valid_from: at("2026-01-01T00:00:00Z"), valid_until: None },
        units: Units::parse(states).unwrap(),
        holds,
    };
    let order = |id: i64, code: Option<Code>, lines: Vec<LoadLine>| LoadOrder {
        order_id: OrderId(id),
        sold_store_id: store("S1"),
        sold_at: at("2026-01-01T00:00:00Z"),
        member_id: Some(MemberId(1)),
        clerk_id: None,
        seller_id: None,
        channel: Channel::Till,
        code,
        lines,
    };
    let hold = Hold { unit_ordinal: 2, booked_store: store("S2"), booking_id: Id(9), start_at: None };
    let message = br#"{"source":"till","event_id":"77","type":"sold","occurred_at":"2026-01-01T00:00:00Z","order_id":"1","entitlement_id":"11","sold_store_id":"S1","product_id":"P1","units":3,"paid_fen":10000}"#.to_vec();
    let removed = serde_json::json!({"store_ids": ["S1", "S2"], "effective_from": "2025-01-01T00:00:00Z"});
    LoadChunk {
        catalog: vec![catalog_entry("applicable_stores", "P1", super::chain::fields(removed)).unwrap()],
        members: vec![],
        orders: vec![
            order(1, Some(code.clone()), vec![line(11, "rha", vec![hold])]),
            order(2, None, vec![line(12, "aaa", vec![]), line(13, "qaa", vec![])]),
        ],
        segments: vec![LogSegment { stream: Stream::Orders, count: 1, zstd_lines: eventlog::outbox::compress(&[message]) }],
        highest_id: first_id_at(at("2026-05-06T14:00:00+08:00")) + 5,
    }
}

#[tokio::test]
async fn a_load_is_taken_in_once_and_its_units_obey_the_rules() {
    let chain = Chain::new().await;
    let code = Code::generate().unwrap();
    assert!(!chain.ledger.loaded("demo", 0).await.unwrap());
    let end = *chain.ledger.end().borrow();
    let written = chain.ledger.load("demo", 0, chunk(&code)).await.unwrap();
    assert_eq!((written.outcome, written.position), (true, end + 1));
    let again = chain.ledger.load("demo", 0, chunk(&code)).await.unwrap();
    assert_eq!((again.outcome, again.position), (false, end + 1));
    assert!(chain.ledger.loaded("demo", 0).await.unwrap() && !chain.ledger.loaded("demo", 1).await.unwrap());
    let by_code = || Take::by_code(code.to_string());
    let by_id = |id| Take::by_entitlement(EntitlementId(id));
    for (store, take, expect) in [
        ("S1", super::chain::units(by_code(), 2), expect!["R1 not_enough_units"]),
        ("S1", by_code(), expect!["P1#3 2->1 worth 3334"]),
        ("S1", by_code(), expect!["R3 held_elsewhere"]),
        // R6: a refund requested for one line blocks the order.
        ("S1", by_id(12), expect!["R6 refund_open"]),
        ("S1", by_id(13), expect!["R6 refund_open"]),
        ("S2", by_code(), expect!["P1#2 1->0 worth 3333"]),
        ("S2", by_code(), expect!["R1 no_units_left"]),
    ] {
        expect.assert_eq(&show(&chain.redeem(store, take).await));
    }
    let redeemed = chain.events(&[Stream::Redemptions]);
    assert_eq!(redeemed[1]["booked_store_id"], "S2");
    let holds: i64 =
        rusqlite::Connection::open(chain.file()).unwrap().query_row("SELECT count(*) FROM holds", [], |r| r.get(0)).unwrap();
    assert_eq!(holds, 0);
}

#[tokio::test]
async fn a_bad_chunk_leaves_nothing_behind() {
    let chain = Chain::new().await;
    let code = Code::generate().unwrap();
    let broken: [fn(&mut LoadChunk); 4] = [
        |c| c.orders[0].lines[0].holds.clear(),
        |c| c.orders[1].lines[1].payment.coupon_fen = 99_999,
        |c| c.highest_id = i64::MAX,
        |c| c.segments[0].count = 0,
    ];
    for breaks in broken {
        let mut bad = chunk(&code);
        breaks(&mut bad);
        assert!(matches!(chain.ledger.load("demo", 0, bad).await, Err(Error::Invalid { .. })));
    }
    assert_eq!(chain.ledger.order(OrderId(1)).await.unwrap(), None);
    assert!(chain.ledger.load("demo", 0, chunk(&code)).await.unwrap().outcome);
    // Another chunk with a code that is in use.
    assert!(chain.ledger.load("demo", 1, chunk(&code)).await.is_err());
}
