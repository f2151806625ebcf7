//! Random commands: whatever comes, counters equal states, nothing goes below zero, values sum, the log tells all.

use proptest::prelude::*;

use super::chain::{Chain, check_invariants, redemption, sale, units};
use crate::{Request, Take};

#[derive(Clone, Debug)]
enum Step {
    Sell { product: usize, paid: i64, bonus: i64 },
    Redeem { store: usize, card: usize, units: u32, key: u8 },
    Both { card: usize, other: usize },
    Pass { hours: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0usize..4, 0i64..20_000, 0i64..500).prop_map(|(product, paid, bonus)| Step::Sell { product, paid: paid + bonus, bonus }),
        6 => (0usize..3, 0usize..8, 1u32..4, any::<u8>()).prop_map(|(store, card, units, key)| Step::Redeem { store, card, units, key }),
        1 => (0usize..8, 0usize..8).prop_map(|(card, other)| Step::Both { card, other }),
        1 => (1i64..400).prop_map(|hours| Step::Pass { hours }),
    ];
    prop::collection::vec(step, 1..60)
}

async fn run(steps: Vec<Step>) {
    let chain = Chain::new().await;
    let mut codes: Vec<String> = Vec::new();
    for step in steps {
        let code = |at: usize| codes.get(at % codes.len().max(1)).cloned();
        match step {
            Step::Sell { product, paid, bonus } => {
                let mut command = sale("S1", &[["P1", "P2", "P3", "P4"][product]]);
                command.lines[0].payment = Some(redemption::Payment { bonus_fen: bonus, ..redemption::Payment::cash(paid) });
                codes.push(chain.ledger.sell(&chain.request(), command).await.unwrap().outcome.unwrap().code);
            }
            Step::Redeem { store, card, units: n, key } => {
                let Some(code) = code(card) else { continue };
                let command = redemption(["S1", "S2", "S3"][store], vec![units(Take::by_code(code), n)]);
                // Few keys, so that some come twice, with the same parameters or with others.
                let request = Request::new("random", &key.to_string()).unwrap();
                let _ = chain.ledger.redeem(&request, command).await;
            }
            Step::Both { card, other } => {
                let (Some(a), Some(b)) = (code(card), code(other)) else { continue };
                let command = redemption("S1", vec![Take::by_code(a), Take::by_code(b)]);
                chain.ledger.redeem(&chain.request(), command).await.unwrap().outcome.ok();
            }
            Step::Pass { hours } => {
                chain.clock.advance(hours * 3_600_000_000);
                chain.ledger.sweep().await.unwrap();
            }
        }
    }
    check_invariants(&chain.file());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn r1_r4_r9_hold_whatever_comes(steps in steps()) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(run(steps));
    }
}
