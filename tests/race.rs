//! R1 over HTTP: many tills, one unit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::chain;
use crate::support::Server;

const CARDS: usize = 1_000;
const CLIENTS: usize = 64;

#[test]
fn r1_64_clients_race_for_the_last_unit_of_1000_cards() {
    let server = Server::start();
    let head = server.head_office();
    chain::two_stores_and_cards(&head);
    let codes: Vec<String> = (0..CARDS).map(|i| chain::sell(&head, &format!("sell-{i}"), "S1", "ONE").0).collect();

    // Every client tries every card, all in the same order, so that they meet at each.
    let won: Vec<AtomicUsize> = (0..CARDS).map(|_| AtomicUsize::new(0)).collect();
    let answers: BTreeMap<String, usize> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (till, codes, won) = (server.head_office(), &codes, &won);
                scope.spawn(move || {
                    let mut answers = BTreeMap::<String, usize>::new();
                    for (card, code) in codes.iter().enumerate() {
                        let store = if client % 2 == 0 { "S1" } else { "S2" };
                        let answer = till.post_once(
                            "/v1/redemptions",
                            &format!("race-{client}-{card}"),
                            json!({ "store_id": store, "takes": [{ "code": code }], "terminal_id": format!("T{client}") }),
                        );
                        if answer.status < 300 {
                            won[card].fetch_add(1, Ordering::Relaxed);
                            *answers.entry("redeemed".to_owned()).or_default() += 1;
                        } else {
                            let problem = answer.json();
                            let said = format!("{} {}", answer.status, problem["code"].as_str().unwrap_or("no code"));
                            *answers.entry(said).or_default() += 1;
                        }
                    }
                    answers
                })
            })
            .collect();
        clients.into_iter().map(|c| c.join().unwrap()).fold(BTreeMap::new(), |mut all, one| {
            one.into_iter().for_each(|(k, n)| *all.entry(k).or_default() += n);
            all
        })
    });

    assert!(won.iter().all(|n| n.load(Ordering::Relaxed) == 1), "each card has one winner: {answers:?}");
    let expected = BTreeMap::from([("redeemed".to_owned(), CARDS), ("409 no_units_left".to_owned(), CARDS * (CLIENTS - 1))]);
    assert_eq!(answers, expected);
    let rows =
        head.sql("SELECT count(*) AS n, count(DISTINCT entitlement_id) AS cards FROM log.redemptions WHERE type = 'redeemed'");
    assert_eq!(rows, [json!({ "n": CARDS, "cards": CARDS })], "the lake and its tail say the same");
}
