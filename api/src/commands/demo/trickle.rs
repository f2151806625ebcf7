//! Live traffic: now and then a sale, now and then a redemption, through the same door that a till uses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::Keys;

/// Codes kept for redemption; older ones stay unused, as some cards do.
const CODES_LIMIT: usize = 200;

/// Sells and redeems until the task is dropped.
pub async fn run(address: SocketAddr, keys: Keys) {
    let agent = crate::log::agent(Duration::from_secs(10));
    let mut till =
        Till { agent, address, key: keys.head_office, sold: VecDeque::new(), stores: Vec::new(), products: Vec::new() };
    loop {
        let step = tokio::task::spawn_blocking(move || {
            let done = till.step();
            (till, done)
        });
        let Ok((back, done)) = step.await else { return };
        till = back;
        if let Err(e) = done {
            tracing::warn!(error = %e, "The demo's till got no answer");
        }
        // 0.4 to 1.6 s: gentle, and not in step with anything.
        tokio::time::sleep(Duration::from_millis(random(400, 1_600))).await;
    }
}

struct Till {
    agent: ureq::Agent,
    address: SocketAddr,
    key: String,
    /// Code and stores of what was sold in this run.
    sold: VecDeque<(String, Vec<String>)>,
    stores: Vec<String>,
    products: Vec<String>,
}

impl Till {
    fn step(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if self.products.is_empty() {
            self.stores = self.ids("store", |entry| entry["head_office"] != true && entry["closed_on"].is_null())?;
            self.products =
                self.ids("product", |entry| entry["product_type"] == "punch_card" || entry["product_type"] == "card")?;
        }
        match self.sold.pop_front() {
            Some((code, stores)) if self.sold.len() >= 3 => {
                let store = pick(&stores).or_else(|| pick(&self.stores)).unwrap_or_default();
                let (status, answer) = self.post("/v1/redemptions", json!({ "store_id": store, "takes": [{ "code": code }] }))?;
                let left = answer["entitlements"][0]["units"]["available"].as_i64().unwrap_or(0);
                if status < 300 && left > 0 {
                    self.sold.push_back((code, stores));
                }
            }
            waiting => {
                self.sold.extend(waiting);
                let (Some(store), Some(product)) = (pick(&self.stores), pick(&self.products)) else { return Ok(()) };
                let (status, answer) =
                    self.post("/v1/orders", json!({ "store_id": store, "lines": [{ "product_id": product }] }))?;
                if let (true, Some(code)) = (status < 300, answer["code"].as_str()) {
                    let stores = answer["entitlements"][0]["applicable_store_ids"].as_array().cloned().unwrap_or_default();
                    let stores = stores.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect();
                    self.sold.push_back((code.to_owned(), stores));
                    self.sold.truncate(CODES_LIMIT);
                }
            }
        }
        Ok(())
    }

    fn ids(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
        let url = format!("http://{}/v1/catalog/{kind}", self.address);
        let mut answer = self.agent.get(&url).header("authorization", format!("Bearer {}", self.key)).call()?;
        let entries: Value = answer.body_mut().read_json()?;
        let entries = entries.as_array().cloned().unwrap_or_default();
        Ok(entries.iter().filter(|e| wanted(e)).filter_map(|e| e["id"].as_str().map(str::to_owned)).collect())
    }

    fn post(&self, path: &str, body: Value) -> Result<(u16, Value), Box<dyn std::error::Error + Send + Sync>> {
        let mut key = [0u8; 16];
        getrandom::fill(&mut key)?;
        let key: String = key.iter().map(|b| format!("{b:02x}")).collect();
        let request = self.agent.post(format!("http://{}{path}", self.address));
        let request = request.header("authorization", format!("Bearer {}", self.key)).header("idempotency-key", key);
        let mut answer = request.send_json(&body)?;
        Ok((answer.status().as_u16(), answer.body_mut().read_json()?))
    }
}

fn pick(from: &[String]) -> Option<String> {
    (!from.is_empty()).then(|| from[random(0, from.len() as u64) as usize].clone())
}

/// A number in `low..high`, from the system.
fn random(low: u64, high: u64) -> u64 {
    low + getrandom::u64().unwrap_or(0) % (high - low)
}
