//! `hexiao check`: what agrees agrees at every moment, and each damage is named.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use expect_test::{Expect, expect};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::chain::{redeemed_units, sell, two_stores_and_cards};
use crate::support::{self, Client, Server};

/// A commit by hand that changes one file of a table; taken back when this is dropped.
struct Damage {
    commit: PathBuf,
}

impl Drop for Damage {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.commit);
    }
}

/// Replaces the file of `table` that holds the event by one that `edit` made of its rows, given the event's row.
fn damage(data: &Path, table: &str, event_id: i64, edit: fn(&RecordBatch, usize) -> Vec<RecordBatch>) -> Damage {
    let folder = data.join("lake").join(table);
    let mut commits: Vec<PathBuf> = std::fs::read_dir(folder.join("_delta_log")).unwrap().map(|e| e.unwrap().path()).collect();
    commits.retain(|path| path.extension().is_some_and(|e| e == "json"));
    commits.sort();
    let mut live: BTreeMap<String, Value> = BTreeMap::new();
    for commit in &commits {
        for line in std::fs::read_to_string(commit).unwrap().lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            if let Some(path) = action["add"]["path"].as_str() {
                live.insert(path.to_owned(), action["add"].clone());
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                live.remove(path);
            }
        }
    }
    for (path, add) in live {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(folder.join(&path)).unwrap()).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let rows = concat_batches(&schema, &batches).unwrap();
        let ids = rows.column_by_name("event_id").unwrap().as_primitive::<Int64Type>();
        let Some(row) = ids.values().iter().position(|id| *id == event_id) else { continue };
        let version = commits.len();
        let new = Path::new(&path).with_file_name(format!("by-hand-{version}.parquet"));
        let mut writer = ArrowWriter::try_new(File::create(folder.join(&new)).unwrap(), schema, None).unwrap();
        let edited = edit(&rows, row);
        edited.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        let rows: usize = edited.iter().map(RecordBatch::num_rows).sum();
        let add_new = json!({ "add": {
            "path": new, "partitionValues": add["partitionValues"], "modificationTime": 0, "dataChange": true,
            "size": std::fs::metadata(folder.join(&new)).unwrap().len(), "stats": json!({ "numRecords": rows }).to_string(),
        }});
        let remove = json!({ "remove": { "path": path, "dataChange": true, "deletionTimestamp": 0 } });
        let commit = folder.join("_delta_log").join(format!("{version:020}.json"));
        std::fs::write(&commit, format!("{remove}\n{add_new}\n")).unwrap();
        return Damage { commit };
    }
    panic!("no file of {table} holds event {event_id}");
}

fn lost(rows: &RecordBatch, row: usize) -> Vec<RecordBatch> {
    vec![rows.slice(0, row), rows.slice(row + 1, rows.num_rows() - row - 1)]
}

fn doubled(rows: &RecordBatch, row: usize) -> Vec<RecordBatch> {
    vec![rows.clone(), rows.slice(row, 1)]
}

fn a_fen_more(rows: &RecordBatch, row: usize) -> Vec<RecordBatch> {
    let (at, _) = rows.schema().column_with_name("value_fen").unwrap();
    let values = rows.column(at).as_primitive::<Int64Type>();
    let more: Int64Array = values.iter().enumerate().map(|(i, v)| v.map(|v| v + i64::from(i == row))).collect();
    let mut columns = rows.columns().to_vec();
    columns[at] = std::sync::Arc::new(more);
    vec![RecordBatch::try_new(rows.schema(), columns).unwrap()]
}

/// Runs `check`; its rows and its exit code.
fn rows(data: &Path, args: &[&str]) -> (Vec<Value>, Option<i32>) {
    let args: Vec<&str> = ["check", "--format", "json"].into_iter().chain(args.iter().copied()).collect();
    let said = support::hexiao(data, &args, b"");
    let answer: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", said.stdout, said.stderr));
    (answer["rows"].as_array().unwrap().clone(), said.code)
}

fn agrees(data: &Path, args: &[&str]) {
    let (rows, code) = rows(data, args);
    assert_eq!((rows, code), (vec![], Some(0)));
}

/// `difference event | ledger | lake`, a line per row; ids by the names that `known` gives them.
fn show(rows: &[Value], known: &[(&str, &str)]) -> String {
    let mut shown = String::new();
    for row in rows {
        let side = |name: &str| match row[format!("{name}_events")].as_i64() {
            Some(events) => {
                format!("{events} events, {} units, {} fen", row[format!("{name}_units")], row[format!("{name}_fen")])
            }
            None => "-".to_owned(),
        };
        let text = |name: &str| row[name].as_str().map(|text| format!("{text} ")).unwrap_or_default();
        let (store, kind, event) = (text("store_id"), text("type"), text("event_id"));
        let detail = row["detail"].as_str().map(|text| format!(" · {text}")).unwrap_or_default();
        shown += &format!(
            "{store}{kind}{} {event}| {} | {}{detail}\n",
            row["difference"].as_str().unwrap(),
            side("ledger"),
            side("lake")
        );
    }
    known.iter().fold(shown, |shown, (id, name)| shown.replace(id, name))
}

fn one(data: &Path, sql: &str) -> Value {
    let said = support::hexiao(data, &["sql", sql, "--format", "json"], b"").expect_success();
    serde_json::from_str::<Value>(&said.stdout).unwrap()["rows"][0].clone()
}

#[test]
fn the_demo_agrees_and_each_damage_is_named_without_rows_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    support::hexiao(&data, &["demo", "--once", "--events", "20000"], b"").expect_success();
    agrees(&data, &[]);
    let said = support::hexiao(&data, &["check"], b"").expect_success();
    assert!(said.stdout.contains("0 rows") && said.stderr.contains("Ledger and lake agree: "), "{said:?}");

    let event = |of: &str| {
        let row = one(
            &data,
            &format!("SELECT event_id, store_id, business_day, fen FROM accounted_events WHERE {of} LIMIT 1 OFFSET 500"),
        );
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("event_id"), text("store_id"), text("business_day"), row["fen"].as_i64().unwrap())
    };
    let check = |table: &str, edit, (id, store, day, fen): &(String, String, String, i64), kind: &str| {
        let damage = damage(&data, table, id.parse().unwrap(), edit);
        let (found, code) = rows(&data, &[]);
        assert_eq!(code, Some(1), "{found:?}");
        assert_eq!(found.len(), 2, "{kind}: {found:?}");
        for row in &found {
            assert_eq!((row["store_id"].as_str(), row["business_day"].as_str()), (Some(store.as_str()), Some(day.as_str())));
        }
        assert_eq!(found[0]["difference"], "totals differ");
        assert_eq!((found[1]["difference"].as_str(), found[1]["event_id"].as_str()), (Some(kind), Some(id.as_str())));
        // Only there.
        assert_eq!(rows(&data, &["--store", store, "--from", day, "--to", day]), (found.clone(), Some(1)));
        agrees(&data, &["--store", "no such store"]);
        agrees(&data, &["--to", "2000-01-01"]);
        drop(damage);
        agrees(&data, &["--store", store]);
        (found[1]["ledger_fen"].as_i64(), found[1]["lake_fen"].as_i64(), *fen)
    };
    let redeemed = event("type = 'redeemed' AND fen > 0 ORDER BY event_id");
    let (ledger, lake, fen) = check("redemptions", lost, &redeemed, "not in the lake");
    assert_eq!((ledger, lake), (Some(fen), None));
    let (_, lake, fen) = check("redemptions", doubled, &redeemed, "more than once in the lake");
    assert_eq!(lake, Some(2 * fen));
    let (ledger, lake, fen) = check("redemptions", a_fen_more, &redeemed, "other value in the lake");
    assert_eq!((ledger, lake), (Some(fen), Some(fen + 1)));
    let sold = event("type = 'sold' AND fen > 0 ORDER BY event_id");
    let (_, lake, fen) = check("orders", doubled, &sold, "more than once in the lake");
    assert_eq!(lake, Some(2 * fen));
}

/// A chain with cards sold; `THREE` has units left.
fn till(server: &Server) -> (Client, Vec<String>) {
    let head = server.head_office();
    two_stores_and_cards(&head);
    let codes = (0..4).map(|i| sell(&head, &format!("sell-{i}"), "S1", "THREE").0).collect();
    (head, codes)
}

fn redeem(head: &Client, key: &str, code: &str) -> String {
    let answer = head.post_once("/v1/redemptions", key, json!({ "store_id": "S2", "takes": [{ "code": code }] })).expect(201);
    redeemed_units(&answer.json()).remove(0).event_id
}

#[test]
fn what_a_till_recorded_is_named_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_with(&data, "", &[("HEXIAO_COMMIT_EVERY", "0.1")]);
    let (head, codes) = till(&server);
    let ids: Vec<String> = codes.iter().enumerate().map(|(i, code)| redeem(&head, &format!("redeem-{i}"), code)).collect();
    server.stop();
    agrees(&data, &[]);
    let known = [(&*ids[0], "A"), (&*ids[1], "B"), (&*ids[2], "C"), (&*ids[3], "D")];
    let id = |at: usize| ids[at].parse::<i64>().unwrap();
    let check = |damages: Vec<Damage>, expected: Expect| {
        let (found, code) = rows(&data, &[]);
        assert_eq!(code, Some(1));
        expected.assert_eq(&show(&found, &known));
        // The last commit goes first.
        damages.into_iter().rev().for_each(drop);
        agrees(&data, &[]);
    };
    check(
        vec![
            damage(&data, "redemptions", id(0), lost),
            damage(&data, "redemptions", id(1), lost),
            damage(&data, "redemptions", id(2), a_fen_more),
        ],
        expect![[r#"
            S2 redeemed totals differ | 4 events, 4 units, 39600 fen | 2 events, 2 units, 19801 fen
            S2 redeemed not in the lake A | 1 events, 1 units, 9900 fen | -
            S2 redeemed not in the lake B | 1 events, 1 units, 9900 fen | -
            S2 redeemed other value in the lake C | 1 events, 1 units, 9900 fen | 1 events, 1 units, 9901 fen
        "#]],
    );
    // As many and as much as before, and yet not the same.
    check(
        vec![damage(&data, "redemptions", id(0), lost), damage(&data, "redemptions", id(3), doubled)],
        expect![[r#"
            S2 redeemed totals differ | 4 events, 4 units, 39600 fen | 4 events, 4 units, 39600 fen
            S2 redeemed not in the lake A | 1 events, 1 units, 9900 fen | -
            S2 redeemed more than once in the lake D | 1 events, 1 units, 9900 fen | 2 events, 2 units, 19800 fen
        "#]],
    );
    let sold = one(&data, "SELECT event_id, entitlement_id FROM sales ORDER BY event_id LIMIT 1");
    let damage = damage(&data, "orders", sold["event_id"].as_str().unwrap().parse().unwrap(), lost);
    let (found, code) = rows(&data, &[]);
    assert_eq!((found.len(), code), (2, Some(1)), "{found:?}");
    assert_eq!((&found[1]["difference"], &found[1]["entitlement_id"]), (&json!("not in the lake"), &sold["entitlement_id"]));
    drop(damage);

    // What can't be compared is neither equal nor different.
    let said = support::hexiao(&folder.path().join("elsewhere"), &["check"], b"");
    assert_eq!(said.code, Some(2), "{said:?}");
    // A write-ahead log that was not taken in yet would restore the file.
    for beside in ["ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let _ = std::fs::remove_file(data.join(beside));
    }
    std::fs::write(data.join("ledger.sqlite"), "no ledger").unwrap();
    assert_eq!(support::hexiao(&data, &["check"], b"").code, Some(2));
}

#[test]
fn a_ledger_restored_from_a_backup_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    let server = Server::start_with(&data, "", &[]);
    let (head, codes) = till(&server);
    redeem(&head, "redeem-0", &codes[0]);
    let key = server.key.clone();
    server.stop();
    // A copy of the file alone would lack what is in its write-ahead log.
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for file in ["ledger.sqlite", "ledger.sqlite-wal"] {
            let _ = std::fs::remove_file(to.join(file));
            if from.join(file).exists() {
                std::fs::copy(from.join(file), to.join(file)).unwrap();
            }
        }
    };
    copy(&data, &backup);
    let server = Server::start_with(&data, &key, &[]);
    let lost = redeem(&server.head_office(), "redeem-1", &codes[1]);
    server.stop();
    agrees(&data, &[]);
    let _ = std::fs::remove_file(data.join("ledger.sqlite-shm"));
    copy(&backup, &data);
    let (found, code) = rows(&data, &[]);
    assert_eq!(code, Some(1));
    let said = show(&found, &[(&lost, "LOST")]);
    let (first, rest) = said.split_once('\n').unwrap();
    assert!(first.starts_with("ledger older than the lake | - | - · the ledger's log ends at "), "{first}");
    expect![[r#"
        S2 redeemed totals differ | 1 events, 1 units, 9900 fen | 2 events, 2 units, 19800 fen
        S2 redeemed not in the ledger LOST | - | 1 events, 1 units, 9900 fen
    "#]]
    .assert_eq(rest);
}

#[test]
fn copies_in_another_month_and_dead_letters_are_listed_also_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_with(&data, "", &[]);
    let (head, codes) = till(&server);
    let id = redeem(&head, "redeem-0", &codes[0]);
    let differences = |head: &Client, path: &str| {
        let answer = head.get(path).expect(200);
        let rows = answer.json()["rows"].as_array().unwrap().clone();
        assert_eq!(answer.header("hexiao-differences"), rows.len().to_string());
        rows
    };
    let figure = || {
        let text = head.get("/metrics").expect(200).text();
        text.lines().find_map(|line| line.strip_prefix("hexiao_check_differences ").map(str::to_owned))
    };
    assert_eq!(figure(), None, "nobody has looked yet");
    assert_eq!(differences(&head, "/v1/check"), Vec::<Value>::new());
    assert_eq!(figure().as_deref(), Some("0"));

    let event = |source: &str, id: &str, at: &str| {
        json!({ "source": source, "event_id": id, "type": "redeemed", "occurred_at": at, "redeemed_store_id": "S1",
            "product_id": "THREE", "value_fen": 9_900 })
        .to_string()
    };
    let now = one(&data, "SELECT occurred_at FROM redemptions")["occurred_at"].as_str().unwrap().to_owned();
    let messages = [
        event("old till", "7", "2025-03-04T10:00:00+08:00"),
        event("old till", "7", "2025-04-04T10:00:00+08:00"),
        event("hexiao", &id, "2025-04-04T10:00:00+08:00"),
        event("hexiao", &id, &now),
    ];
    let headers = [("content-type", "application/x-ndjson")];
    head.send("POST", "/v1/log/redemptions", &headers, Some(messages.join("\n").as_bytes())).expect(201);
    let found = differences(&head, "/v1/check");
    let today = found.iter().find_map(|row| row["detail"].as_str()?.split(" on ").nth(1)).unwrap_or("?").to_owned();
    let place =
        |row: &Value| row["detail"].as_str().and_then(|d| d.split_once(": ")).map_or("?".into(), |(place, _)| place.to_owned());
    let place = found.last().map_or("?".into(), place);
    expect![[r#"
        S1 redeemed totals differ | 0 events, 0 units, 0 fen | 1 events, 1 units, 9900 fen
        S1 redeemed not in the ledger ID | - | 1 events, 1 units, 9900 fen · it stands also as redeemed at S2 on TODAY
        in two months 7 | - | 2 events, 0 units, 0 fen · source old till, on 2025-03-04 and on 2025-04-04
        dead letter ID | - | - · PLACE: event hexiao/ID exists with other content
    "#]]
    .assert_eq(&show(&found, &[(&id, "ID"), (&today, "TODAY"), (&place, "PLACE")]));
    assert_eq!(figure().as_deref(), Some("4"));
    // A look at a part says nothing of the whole.
    assert_eq!(differences(&head, "/v1/check?store=S2").len(), 1, "the dead letter belongs to no store");
    assert_eq!(figure().as_deref(), Some("4"));
    assert_eq!(head.get("/v1/check?from=soon").status, 400);
    let table = head.get_with("/v1/check", &[("accept", "text/plain")]).expect(200).text();
    assert!(table.contains("not in the ledger"), "{table}");
    let role = json!({ "name": "S1", "role": "store", "store_id": "S1" });
    let made = head.post("/v1/keys", role);
    let store = server.with_key(made.json()["key"].as_str().expect("a key"));
    assert_eq!(store.get("/v1/check").status, 403);
    // The command says the same beside the running process.
    assert_eq!(show(&rows(&data, &[]).0, &[]), show(&found, &[]));
}

/// The till sells and redeems as fast as it can; the check looks again and again, by both doors.
#[test]
fn beside_a_busy_till_nothing_ever_differs() {
    const LOOKS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_with(&data, "", &[("HEXIAO_COMMIT_EVERY", "0.1")]);
    let head = server.head_office();
    two_stores_and_cards(&head);
    let (done, redeemed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen: Vec<i64> = std::thread::scope(|scope| {
        for till in 0..3 {
            let (head, done, redeemed) = (server.head_office(), &done, &redeemed);
            scope.spawn(move || {
                for i in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let (code, _) = sell(&head, &format!("sell-{till}-{i}"), "S1", "ONE");
                    redeem(&head, &format!("redeem-{till}-{i}"), &code);
                    redeemed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let look = || {
            let said = support::hexiao(&data, &["check", "--format", "csv"], b"");
            assert_eq!((said.stdout.lines().count(), said.code), (1, Some(0)), "{}{}", said.stdout, said.stderr);
            let answer = head.get("/v1/check").expect(200);
            assert_eq!(answer.json()["rows"], json!([]));
            let events = said.stderr.lines().find_map(|line| line.strip_prefix("Ledger and lake agree: ")).expect("a summary");
            events.split(' ').next().unwrap().parse::<i64>().expect("how many")
        };
        // Ended also when a look fails, else the scope would wait for the tills for good.
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (0..LOOKS).map(|_| look()).collect()));
        done.store(true, Ordering::Relaxed);
        seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "the till was busy all the time: {seen:?}");
    server.stop();
    agrees(&data, &[]);
    let said = support::hexiao(&data, &["check"], b"").expect_success();
    let all = 2 * redeemed.load(Ordering::Relaxed);
    assert!(said.stderr.contains(&format!("agree: {all} events")), "{all}: {}", said.stderr);
}
