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
