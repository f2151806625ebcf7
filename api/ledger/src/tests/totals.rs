//! Totals: as the log tells them, at every cut, and for a file from before there were any.

use event::Day;
use rusqlite::Connection;

use super::chain::{Chain, at, config, open, totals_of_log, units};
use crate::{Cut, Days, Error, Take, Totals, cut, rows_of};

const ALL: (Day, Day) = (Day(0), Day(100_000));

fn days() -> Days {
    Days { from: ALL.0, to: ALL.1, store_id: None }
}

fn look(chain: &Chain, relayed: bool) -> Cut {
    cut(&chain.file(), &days(), relayed, at(super::chain::NOON)).unwrap()
}

/// Sales at two stores, units of two days, something that expires.
async fn busy() -> Chain {
    let chain = Chain::new().await;
    let card = chain.sell("S1", "P1").await;
    chain.sell("S2", "P2").await;
    let own = chain.sell("S1", "P4").await;
    chain.redeem("S2", units(Take::by_code(card.code.clone()), 2)).await.outcome.unwrap();
    chain.redeem("S1", Take::by_code(own.code)).await.outcome.unwrap();
    // 03:59 belongs to the day before, 04:00 is the next (R20).
    chain.clock.set(at("2026-05-07T03:59:00+08:00"));
    chain.redeem("S1", Take::by_code(card.code)).await.outcome.unwrap();
    chain.clock.set(at("2026-06-30T04:00:00+08:00"));
    chain.sell("S1", "P1").await;
    chain.ledger.sweep().await.unwrap();
    chain
}

#[tokio::test]
async fn totals_are_those_of_the_log() {
    let chain = busy().await;
    let whole = look(&chain, false);
    assert_eq!(whole.totals, totals_of_log(&chain.file()));
    let shown: Vec<String> = whole
        .totals
        .iter()
        .map(|(of, t)| {
            format!(
                "{} {} {}: {} events, {} units, {} fen",
                of.store_id, of.business_day, of.event_type, t.events, t.units, t.fen
            )
        })
        .collect();
    expect_test::expect![[r#"
        S1 2026-05-06 redeemed: 2 events, 2 units, 5314 fen
        S1 2026-05-06 sold: 2 events, 8 units, 19900 fen
        S1 2026-06-06 expired: 1 events, 4 units, 7920 fen
        S1 2026-06-30 sold: 1 events, 3 units, 10000 fen
        S2 2026-05-06 redeemed: 2 events, 2 units, 6666 fen
        S2 2026-05-06 sold: 1 events, 2 units, 5000 fen"#]]
    .assert_eq(&shown.join("\n"));
    // The rows of a day add up to its totals.
    for (of, total) in whole.totals.iter().filter(|(of, _)| of.event_type != "expired") {
        let mut rows = rows_of(&chain.file(), &whole, &of.store_id, of.business_day).unwrap();
        rows.retain(|row| row.event_type == of.event_type);
        let sums = (rows.len() as i64, rows.iter().map(|r| r.units).sum::<i64>(), rows.iter().map(|r| r.fen).sum::<i64>());
        assert_eq!(sums, (total.events, total.units, total.fen), "{of:?}");
    }
    let part = cut(
        &chain.file(),
        &Days { to: Day::parse("2026-05-06").unwrap(), store_id: Some("S2".into()), ..days() },
        false,
        at(super::chain::NOON),
    );
    assert_eq!(part.unwrap().totals.len(), 2);
}

#[tokio::test]
async fn what_is_not_relayed_yet_is_told_apart() {
    let chain = busy().await;
    let whole = look(&chain, false);
    let nothing_relayed = look(&chain, true);
    assert_eq!(nothing_relayed.pending.len() as i64, whole.totals.values().map(|t| t.events).sum::<i64>());
    assert!(nothing_relayed.totals.values().all(|t| *t == crate::Total::ZERO), "{:?}", nothing_relayed.totals);
    let (of, _) = whole.totals.first_key_value().unwrap();
    assert_eq!(rows_of(&chain.file(), &nothing_relayed, &of.store_id, of.business_day).unwrap(), []);
    let conn = Connection::open(chain.file()).unwrap();
    eventlog::outbox::note_relayed(&conn, "kafka", whole.end).unwrap();
    assert_eq!(look(&chain, true).totals, whole.totals);
    chain.sell("S3", "P2").await;
    let late = look(&chain, true);
    assert_eq!((late.pending.len(), late.pending[0].of.store_id.as_str()), (1, "S3"));
}

/// The file as the format before totals had it.
fn older(conn: &Connection) {
    conn.execute_batch(
        "DROP TABLE totals; DROP TABLE totals_since; DROP INDEX orders_of_day; DROP INDEX redemptions_of_day;
         ALTER TABLE orders DROP COLUMN business_day; ALTER TABLE redemptions DROP COLUMN business_day; PRAGMA user_version = 1",
    )
    .unwrap();
}

#[tokio::test]
async fn an_older_file_is_filled_from_its_rows() {
    let chain = busy().await;
    let before = look(&chain, false);
    chain.ledger.close().await.unwrap();
    older(&Connection::open(chain.file()).unwrap());
    let refused = cut(&chain.file(), &days(), false, at(super::chain::NOON));
    assert!(matches!(refused, Err(Error::Older { found: 1, .. })), "{refused:?}");
    let open_again = || open(chain.folder.path(), &chain.clock, config()).unwrap();
    open_again().close().await.unwrap();
    let filled = look(&chain, false);
    // Of sales the ids of events are not known, of what expired nothing.
    let mut expected: Totals = before.totals.clone();
    expected.retain(|of, _| of.event_type != "expired");
    expected.iter_mut().filter(|(of, _)| of.event_type == "sold").for_each(|(_, total)| total.fingerprint = None);
    assert_eq!(filled.totals, expected);
    assert_eq!((filled.since("redeemed"), filled.since("sold")), (i64::MIN, i64::MIN));
    assert_eq!(filled.since("expired"), before.last_id + 1);
    let (of, total) = filled.totals.iter().find(|(of, _)| of.event_type == "redeemed").unwrap();
    let rows = rows_of(&chain.file(), &filled, &of.store_id, of.business_day).unwrap();
    assert_eq!(rows.iter().filter(|row| row.event_type == "redeemed").count() as i64, total.events);

    // Of history that was loaded there are no rows: redemptions count from the ledger's own first one on.
    let conn = Connection::open(chain.file()).unwrap();
    older(&conn);
    conn.execute("INSERT INTO loads (load_id, chunk, loaded_at) VALUES ('demo', 0, 0)", []).unwrap();
    let first: i64 = conn.query_row("SELECT min(event_id) FROM redemptions", [], |row| row.get(0)).unwrap();
    drop(conn);
    open_again().close().await.unwrap();
    assert_eq!(look(&chain, false).since("redeemed"), first);
}
