//! Nothing acknowledged is lost, nothing happens twice, whatever dies in between (invariants 1–3, R2, R20).

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chain;
use crate::support::{Client, Server};

const KILLS: usize = 30;
const TILLS: usize = 4;

/// A request whose answer may be lost: asked again with its key until the truth is known (R2).
#[derive(Clone)]
struct Asked {
    path: &'static str,
    key: String,
    body: Value,
}

/// What the tills were told.
#[derive(Default)]
struct Told {
    /// Per order: its code and its entitlement.
    orders: BTreeMap<String, (String, String)>,
    /// Ids of the events of acknowledged redemptions, with their entitlement.
    redeemed: BTreeMap<String, String>,
    /// Requests without an answer.
    open: Vec<Asked>,
}

impl Told {
    fn note(&mut self, asked: &Asked, answer: &Value) {
        match asked.path {
            "/v1/orders" => {
                let entitlement = answer["entitlements"][0]["entitlement_id"].as_str().unwrap().to_owned();
                let code = answer["code"].as_str().unwrap().to_owned();
                self.orders.insert(answer["order_id"].as_str().unwrap().to_owned(), (code, entitlement));
            }
            _ => {
                for unit in chain::redeemed_units(answer) {
                    let before = self.redeemed.insert(unit.event_id, unit.entitlement_id);
                    assert!(before.is_none(), "one event acknowledged for two requests");
                }
            }
        }
    }
}

#[test]
fn thirty_kills_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Commits every 0.2 s, so that kills meet ingest at every step.
    let options = [("HEXIAO_COMMIT_EVERY", "0.2")];
    let mut server = Server::start_with(&data, "", &options);
    chain::two_stores_and_cards(&server.head_office());
    let told = Mutex::new(Told::default());
    let (next, mut seed) = (AtomicU64::new(0), 20_261_122u64);
    for _ in 0..KILLS {
        // xorshift: the moments differ between rounds and are the same in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let stop = AtomicBool::new(false);
        let key = server.key.clone();
        server = std::thread::scope(|scope| {
            for _ in 0..TILLS {
                let client = server.head_office();
                scope.spawn(|| till(client, &told, &next, &stop));
            }
            std::thread::sleep(Duration::from_millis(100 + seed % 500));
            let (data, _, _) = server.kill();
            stop.store(true, Ordering::Relaxed);
            Server::start_with(&data, &key, &options)
        });
        // What was in the air when it died: the same keys give the truth.
        let open = std::mem::take(&mut told.lock().unwrap().open);
        for asked in open {
            let answer = server.head_office().post_once(asked.path, &asked.key, asked.body.clone());
            assert!(answer.status < 300, "{}", answer.text());
            told.lock().unwrap().note(&asked, &answer.json());
        }
    }
    let told = told.into_inner().unwrap();
    assert!(told.redeemed.len() > KILLS, "the tills got something done: {} redemptions", told.redeemed.len());
    agree(&server.head_office(), &told);
    // Stopped in order, the lake alone must say the same as the tail did.
    let key = server.key.clone();
    server.stop();
    lake_alone(&data, &told);
    agree(&Server::start_with(&data, &key, &options).head_office(), &told);
}

/// Sells cards of three units and redeems them, until the server is gone.
fn till(client: Client, told: &Mutex<Told>, next: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let sale = Asked {
            path: "/v1/orders",
            key: format!("sell-{n}"),
            body: json!({ "store_id": "S1", "lines": [{ "product_id": "THREE" }] }),
        };
        let Some(sold) = ask(&client, told, sale) else { return };
        for i in 0..3 {
            let redemption = Asked {
                path: "/v1/redemptions",
                key: format!("redeem-{n}-{i}"),
                body: json!({ "store_id": if i == 1 { "S2" } else { "S1" }, "takes": [{ "code": sold["code"] }] }),
            };
            if ask(&client, told, redemption).is_none() {
                return;
            }
        }
    }
}

fn ask(client: &Client, told: &Mutex<Told>, asked: Asked) -> Option<Value> {
    match client.try_post_once(asked.path, &asked.key, asked.body.clone()) {
        Some(answer) => {
            assert!(answer.status < 300, "{}", answer.text());
            let answer = answer.json();
            told.lock().unwrap().note(&asked, &answer);
            Some(answer)
        }
        None => {
            told.lock().unwrap().open.push(asked);
            None
        }
    }
}

/// Acknowledged answers, ledger and lake ∪ tail agree exactly.
fn agree(client: &Client, told: &Told) {
    let rows = client.sql("SELECT event_id, entitlement_id, remaining_after FROM log.redemptions WHERE type = 'redeemed'");
    let in_lake: BTreeMap<String, String> = rows
        .iter()
        .map(|r| (r["event_id"].as_str().unwrap().to_owned(), r["entitlement_id"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(rows.len(), in_lake.len(), "an event stands twice");
    assert!(in_lake == told.redeemed, "{} in the lake, {} acknowledged", in_lake.len(), told.redeemed.len());
    let sold: BTreeSet<String> = client
        .sql("SELECT order_id FROM log.orders WHERE type = 'sold'")
        .iter()
        .map(|r| r["order_id"].as_str().unwrap().to_owned())
        .collect();
    assert!(sold.iter().eq(told.orders.keys()), "{} orders in the lake, {} acknowledged", sold.len(), told.orders.len());
    let mut used = BTreeMap::<&str, i64>::new();
    told.redeemed.values().for_each(|entitlement| *used.entry(entitlement).or_default() += 1);
    for (order, (_, entitlement)) in &told.orders {
        let detail = client.get(&format!("/v1/orders/{order}")).expect(200).json();
        let available = chain::available_units(&detail, entitlement);
        assert_eq!(available, 3 - used.get(entitlement.as_str()).copied().unwrap_or(0), "order {order}: {detail}");
    }
    assert_eq!(client.sql("SELECT count(*) AS n FROM log.dead_letters"), [json!({ "n": 0 })]);
}

/// `hexiao sql` on the folder that nobody serves.
fn lake_alone(data: &Path, told: &Told) {
    let out = Command::new(env!("CARGO_BIN_EXE_hexiao"))
        .args(["sql", "SELECT count(*) AS n, count(DISTINCT event_id) AS events FROM log.redemptions WHERE type = 'redeemed'"])
        .args(["--format", "csv", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let expected = format!("n,events\n{0},{0}\n", told.redeemed.len());
    assert_eq!(String::from_utf8_lossy(&out.stdout).replace('\r', ""), expected);
    let freshness = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(freshness.contains("0 rows from the tail"), "an orderly stop commits everything: {freshness}");
}

/// A kill -9 cannot show a missing fsync, because the page cache survives the process: the system calls can.
#[test]
fn every_acknowledgement_comes_after_its_fsync() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let server = Server::start_traced(&folder.path().join("data"), &trace);
    let client = server.head_office();
    chain::two_stores_and_cards(&client);
    for i in 0..40 {
        let (code, _) = chain::sell(&client, &format!("sell-{i}"), "S1", "ONE");
        let body = json!({ "store_id": "S1", "takes": [{ "code": code }] });
        assert!(client.post_once("/v1/redemptions", &format!("redeem-{i}"), body).status < 300);
    }
    server.stop();

    // One request at a time: between the arrival of each write and its answer stands a finished sync of the ledger's WAL.
    let (mut waiting, mut synced, mut proved) = (false, false, 0);
    let mut syncing = BTreeSet::new();
    for line in std::io::BufReader::new(std::fs::File::open(&trace).unwrap()).lines().map_while(Result::ok) {
        let pid = line.split_whitespace().next().unwrap_or_default().to_owned();
        if line.contains("POST /v1/redemptions") || line.contains("POST /v1/orders") {
            (waiting, synced) = (true, false);
        } else if line.contains("sync(") && line.contains("ledger.sqlite-wal") {
            if line.contains("unfinished") {
                syncing.insert(pid);
            } else {
                synced |= line.trim_end().ends_with("= 0");
            }
        } else if line.contains("sync resumed") && syncing.remove(&pid) {
            synced |= line.trim_end().ends_with("= 0");
        } else if waiting && line.contains("HTTP/1.1 20") {
            assert!(synced, "acknowledged before its fsync: {line}");
            (waiting, proved) = (false, proved + 1);
        }
    }
    assert_eq!(proved, 80, "every sale and redemption was seen in the trace");
}
