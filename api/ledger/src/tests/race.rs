use std::time::Instant as Stopwatch;

use redemption::Refusal;

use super::chain::{Chain, check_invariants, redemption, units};
use crate::{Request, Take};

/// R1: 64 clients race for the last unit of each of 40 cards (1,000 in the end-to-end tests): one success each, every
/// other a clear refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r1_one_winner_among_64() {
    let chain = Chain::new().await;
    for card in 0..40 {
        let sold = chain.sell("S1", "P1").await;
        chain.redeem("S1", units(Take::by_code(&sold.code), 2)).await.outcome.unwrap();
        let racers: Vec<_> = (0..64)
            .map(|racer| {
                let (ledger, code) = (chain.ledger.clone(), sold.code.clone());
                tokio::spawn(async move {
                    let request = Request::new("race", &format!("{card}-{racer}")).unwrap();
                    let store = if racer % 2 == 0 { "S1" } else { "S2" };
                    ledger.redeem(&request, redemption(store, vec![Take::by_code(code)])).await.unwrap().outcome
                })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(redeemed) => {
                    winners += 1;
                    assert_eq!(redeemed.units[0].unit_ordinal, 3);
                }
                Err(refusal) => assert_eq!(refusal, Refusal::NoUnitsLeft),
            }
        }
        assert_eq!(winners, 1);
    }
    check_invariants(&chain.file());
}

/// R2: the same request 64 times at once is one redemption.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r2_one_redemption_for_64_copies_of_a_request() {
    let chain = Chain::new().await;
    let sold = chain.sell("S1", "P1").await;
    let copies: Vec<_> = (0..64)
        .map(|_| {
            let (ledger, code) = (chain.ledger.clone(), sold.code.clone());
            tokio::spawn(async move {
                let request = Request::new("copy", "one").unwrap();
                ledger.redeem(&request, redemption("S1", vec![Take::by_code(code)])).await.unwrap()
            })
        })
        .collect();
    let mut first = 0;
    let mut ids = std::collections::BTreeSet::new();
    for copy in copies {
        let written = copy.await.unwrap();
        first += usize::from(!written.repeated);
        ids.insert(written.outcome.unwrap().redemption_id);
    }
    assert_eq!((first, ids.len()), (1, 1));
    check_invariants(&chain.file());
}

/// A bench for the eye: `hx test ledger throughput -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "prints a figure, proves nothing"]
async fn throughput() {
    let chain = Chain::new().await;
    let mut cards = Vec::new();
    for _ in 0..500 {
        cards.push(chain.sell("S1", "P4").await);
    }
    for clients in [1, 16, 64, 256] {
        let per_client = if clients == 1 { 300 } else { 20_000 / clients };
        let started = Stopwatch::now();
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let (ledger, cards) = (chain.ledger.clone(), cards.iter().map(|c| c.code.clone()).collect::<Vec<_>>());
                tokio::spawn(async move {
                    let mut waits = Vec::new();
                    for i in 0..per_client {
                        let request = Request::new("bench", &format!("{clients}-{client}-{i}")).unwrap();
                        let code = &cards[(client * 31 + i) % cards.len()];
                        let asked = Stopwatch::now();
                        let _ = ledger.redeem(&request, redemption("S1", vec![Take::by_code(code)])).await.unwrap();
                        waits.push(asked.elapsed());
                    }
                    waits
                })
            })
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await.unwrap());
        }
        waits.sort();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        let rate = f64::from(clients as u32 * per_client as u32) / started.elapsed().as_secs_f64();
        println!("{clients} clients: {rate:.0} calls/s, p50 {:?} p99 {:?} slowest {:?}", at(0.5), at(0.99), at(1.0));
        cards.clear();
        for _ in 0..5_000 / 100 {
            let batch = futures_sell(&chain).await;
            cards.extend(batch);
        }
    }
}

async fn futures_sell(chain: &Chain) -> Vec<crate::Sold> {
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (ledger, request) = (chain.ledger.clone(), chain.request());
            tokio::spawn(async move { ledger.sell(&request, super::chain::sale("S1", &["P4"])).await.unwrap().outcome.unwrap() })
        })
        .collect();
    let mut sold = Vec::new();
    for task in tasks {
        sold.push(task.await.unwrap());
    }
    sold
}
