use std::sync::Arc;

use event::{ManualClock, Stream};
use redemption::Code;

use super::chain::{Chain, NOON, at, check_invariants, config, open, redemption};
use crate::{Config, Error, LogSegment, Request, Take};

/// What was answered is there after a restart, and the same key gives it again (R2).
#[tokio::test]
async fn a_reopened_ledger_knows_everything() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let request = chain.request();
    let command = redemption("S2", vec![Take::by_code(&sold.code)]);
    let first = chain.ledger.redeem(&request, command.clone()).await.unwrap();
    let (end, log_id) = (*chain.ledger.end().borrow(), chain.ledger.log_id().to_owned());
    chain.ledger.close().await.unwrap();
    assert!(matches!(chain.ledger.redeem(&request, command.clone()).await, Err(Error::Closed)));
    let ledger = open(chain.folder.path(), &chain.clock, config()).unwrap();
    assert_eq!((*ledger.end().borrow(), ledger.log_id()), (end, log_id.as_str()));
    let again = ledger.redeem(&request, command).await.unwrap();
    assert_eq!((again.outcome, again.position, again.repeated), (first.outcome, first.position, true));
    check_invariants(&chain.file());
}

/// A copy of the files at any moment is what a crash leaves; whatever was answered before is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_keeps_what_was_answered() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P4").await;
    for i in 0..5 {
        let answered = chain.redeem("S1", Take::by_code(&sold.code)).await.outcome.unwrap();
        let copy = tempfile::tempdir().unwrap();
        for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
            std::fs::copy(chain.folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let ledger = open(copy.path(), &chain.clock, config()).unwrap();
        let order = ledger.order(sold.order_id).await.unwrap().unwrap();
        assert_eq!(order.lines[0].units, answered.entitlements[0].units);
        assert_eq!(order.lines[0].units.redeemed, i + 1);
        drop(ledger);
        check_invariants(&copy.path().join("ledger.sqlite"));
    }
}

#[tokio::test]
async fn files_of_others_are_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at(NOON)));
    let file = folder.path().join("ledger.sqlite");
    let own_secret = Config { secret: None, ..Config::default() };
    drop(open(folder.path(), &clock, own_secret.clone()).unwrap());
    let secret = file.with_extension("secret");
    assert_eq!(std::fs::read_to_string(&secret).unwrap().len(), 64);
    drop(open(folder.path(), &clock, own_secret.clone()).unwrap());
    let refused = |config: Config, source: &str| {
        let fault = crate::Ledger::open(&file, clock.clone(), source, config).unwrap_err().to_string();
        fault.replace(folder.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(refused(own_secret.clone(), "other"), "the ledger DIR/ledger.sqlite writes as `till`, not as `other`");
    assert_eq!(
        refused(config(), "till"),
        "the secret in the configuration is not the one this ledger was made with: no code would be found"
    );
    std::fs::write(&secret, "zz").unwrap();
    assert_eq!(refused(own_secret.clone(), "till"), "could not read or make the secret DIR/ledger.secret");
    std::fs::remove_file(&secret).unwrap();
    assert_eq!(refused(own_secret.clone(), "till"), "could not read or make the secret DIR/ledger.secret");
    assert!(!secret.exists());
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(
        refused(own_secret, "till"),
        "the ledger DIR/ledger.sqlite has format 99, this build knows up to 2: use a newer build"
    );
}

#[tokio::test]
async fn the_file_is_set_up_to_be_durable_and_to_shrink() {
    let chain = Chain::new().await;
    let conn = rusqlite::Connection::open(chain.file()).unwrap();
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".to_owned()));
    // 2 is INCREMENTAL.
    assert_eq!(pragma("auto_vacuum"), rusqlite::types::Value::Integer(2));
}

/// One bad command among good ones takes nothing of theirs with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failures_stay_in_their_savepoint() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P4").await;
    let before = chain.events(&Stream::ALL).len();
    let tasks: Vec<_> = (0..60)
        .map(|i| {
            let (ledger, code) = (chain.ledger.clone(), sold.code.clone());
            tokio::spawn(async move {
                let request = Request::new("mix", &i.to_string()).unwrap();
                match i % 3 {
                    // Too much money for an event: malformed, rolled back after its order was written.
                    0 => {
                        let mut command = super::chain::sale("S1", &["P1"]);
                        command.lines[0].payment = Some(redemption::Payment::cash(i64::MAX));
                        assert!(matches!(ledger.sell(&request, command).await, Err(Error::Invalid { .. })));
                        0
                    }
                    1 => {
                        let wrong = redemption("S3", vec![Take::by_code(Code::from_number(i).to_string())]);
                        usize::from(ledger.redeem(&request, wrong).await.unwrap().outcome.is_err())
                    }
                    _ => {
                        let take = redemption("S1", vec![Take::by_code(code)]);
                        let _ = ledger.redeem(&request, take).await.unwrap();
                        1
                    }
                }
            })
        })
        .collect();
    let mut events = 0;
    for task in tasks {
        events += task.await.unwrap();
    }
    assert_eq!(chain.events(&Stream::ALL).len(), before + events);
    assert_eq!(chain.events(&[Stream::Redemptions]).len(), 5);
    check_invariants(&chain.file());
}

#[tokio::test]
async fn the_log_takes_segments_and_is_pruned() {
    let chain = Chain::new().await;
    let end = *chain.ledger.end().borrow();
    let message =
        br#"{"source":"pos","event_id":"1","type":"refused","occurred_at":"2026-05-01T00:00:00Z","store_id":"S","reason":"r"}"#
            .to_vec();
    let segment = |count: u32| LogSegment {
        stream: Stream::Refusals,
        count,
        zstd_lines: eventlog::outbox::compress(&vec![message.clone(); count as usize]),
    };
    let written = chain.ledger.append(vec![segment(100), segment(2)]).await.unwrap();
    assert_eq!(written.position, end + 102);
    assert_eq!(chain.events(&[Stream::Refusals]).len(), 102);
    assert!(matches!(chain.ledger.append(vec![segment(0)]).await, Err(Error::Invalid { .. })));
    assert!(chain.ledger.prune(end + 100).await.unwrap() > 0);
    let conn = rusqlite::Connection::open(chain.file()).unwrap();
    assert_eq!(eventlog::outbox::pruned_to(&conn).unwrap(), end + 100);
    assert_eq!(eventlog::outbox::end(&conn).unwrap(), end + 102);
}
