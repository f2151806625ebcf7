use event::Stream;
use expect_test::expect;
use serde_json::json;

use super::chain::{Chain, at, check_invariants, config, show, units};
use crate::{Config, Swept, Take};

#[tokio::test]
async fn r5_what_is_left_expires_once() {
    let chain = Chain::with(Config { sweep_limit: 2, ..config() }).await;
    let sold = chain.sell("S1", "P4").await;
    let others = [chain.sell("S1", "P4").await, chain.sell("S1", "P4").await];
    chain.redeem("S1", units(Take::by_code(&sold.code), 2)).await.outcome.unwrap();
    chain.redeem("S1", units(Take::by_code(&others[1].code), 5)).await.outcome.unwrap();
    let until = at("2026-06-06T04:00:00+08:00");
    chain.clock.set(event::Instant(until.0 - 1));
    assert_eq!(chain.ledger.sweep().await.unwrap().outcome, Swept::default());
    chain.clock.set(until);
    expect!["R5 expired"].assert_eq(&show(&chain.redeem("S1", Take::by_code(&sold.code)).await));
    chain.clock.advance(3_600_000_000);
    assert_eq!(chain.ledger.sweep().await.unwrap().outcome, Swept { entitlements: 2, units: 8, more: true });
    assert_eq!(chain.ledger.sweep().await.unwrap().outcome, Swept::default());
    let expired: Vec<_> = chain.events(&[Stream::Orders]).into_iter().filter(|e| e["type"] == "expired").collect();
    let first = expired.iter().find(|e| e["entitlement_id"] == json!(sold.entitlements[0].entitlement_id.to_string())).unwrap();
    assert_eq!(first["unit_ordinals"], json!([3, 4, 5]));
    assert_eq!(first["carrying_fen"], 9_900 / 5 * 3);
    assert_eq!(first["occurred_at"], "2026-06-06T04:00:00+08:00");
    expect!["R5 expired"].assert_eq(&show(&chain.redeem("S1", Take::by_code(&sold.code)).await));
    check_invariants(&chain.file());
}

#[tokio::test]
async fn old_keys_are_forgotten() {
    let chain = Chain::new().await;
    chain.sell("S1", "P1").await;
    let count = || {
        let conn = rusqlite::Connection::open(chain.file()).unwrap();
        conn.query_row("SELECT count(*) FROM idempotency", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    chain.ledger.sweep().await.unwrap();
    assert_eq!(count(), 1);
    chain.clock.advance(7 * 86_400_000_000);
    chain.ledger.sweep().await.unwrap();
    assert_eq!(count(), 0);
}
