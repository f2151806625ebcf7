//! A message that is no event: read, mended and sent again, beside a running process and without one.

use std::path::Path;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::support::{self, Client, Server};

/// A redemption of the former system.
fn redeemed(id: u32) -> Value {
    json!({
        "source": "old till", "event_id": id.to_string(), "type": "redeemed", "occurred_at": "2026-03-04T10:00:00+08:00",
        "redeemed_store_id": "S1", "product_id": "P1", "value_fen": 5_000,
    })
}

fn with(mut message: Value, name: &str, value: Value) -> String {
    message[name] = value;
    message.to_string()
}

/// Six messages, of which the first is one event and the others are none.
fn messages() -> Vec<Vec<u8>> {
    vec![
        redeemed(1).to_string().into_bytes(),
        with(redeemed(2), "product_id", Value::Null).into_bytes(),
        with(redeemed(3), "value_fen", "50.00".into()).into_bytes(),
        b"not JSON".to_vec(),
        b"\xff\xfe{}".to_vec(),
        with(redeemed(1), "value_fen", 1.into()).into_bytes(),
    ]
}

fn append(head: &Client, stream: &str, messages: &[Vec<u8>]) {
    let headers = [("content-type", "application/x-ndjson")];
    head.send("POST", &format!("/v1/log/{stream}"), &headers, Some(&messages.join(&b'\n'))).expect(201);
}

/// What the list says of each letter, in short.
fn check_list(data: &Path, args: &[&str], expect: Expect) {
    let args: Vec<&str> = ["dead-letters", "list", "--format", "json"].into_iter().chain(args.iter().copied()).collect();
    let said = support::hexiao(data, &args, b"").expect_success();
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    let mut lines = String::new();
    for row in answer["rows"].as_array().unwrap() {
        let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        let identity = format!("{}/{}", text("source"), text("event_id"));
        let start: String = text("payload_start").chars().take(12).collect();
        let done = if row["repaired"] == true { " · repaired" } else { "" };
        lines += &format!("{} {identity} · {} · {} bytes {start}{done}\n", text("place"), text("reason"), text("payload_bytes"));
    }
    expect.assert_eq(&lines);
}

fn replay(data: &Path, args: &[&str], input: &str) -> support::Said {
    let args: Vec<&str> = ["dead-letters", "replay"].into_iter().chain(args.iter().copied()).collect();
    support::hexiao(data, &args, input.as_bytes())
}

#[test]
fn a_dead_letter_is_read_mended_and_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_with(&data, "", &[]);
    let head = server.head_office();
    append(&head, "redemptions", &messages());
    append(&head, "orders", &[redeemed(4).to_string().into_bytes()]);
    let counts = || {
        let count = |table: &str| head.sql(&format!("SELECT count(*) AS n FROM log.{table}"))[0]["n"].as_i64().unwrap();
        (count("redemptions"), count("dead_letters"))
    };
    assert_eq!(counts(), (1, 6));
    check_list(
        &data,
        &[],
        expect![[r#"
        orders/0/6 old till/4 · `orders` has no type `redeemed` · 156 bytes {"event_id":
        redemptions/0/5 old till/1 · event old till/1 exists with other content · 153 bytes {"event_id":
        redemptions/0/4 null/null · not a valid `redemptions` message: expected value at line 1 column 1 · 4 bytes ��{}
        redemptions/0/3 null/null · not a valid `redemptions` message: expected ident at line 1 column 2 · 8 bytes not JSON
        redemptions/0/2 old till/3 · not a valid `redemptions` message: invalid type: string "50.00", expected i64 at line 1 column 158 · 159 bytes {"event_id":
        redemptions/0/1 old till/2 · `redeemed` needs `product_id` · 156 bytes {"event_id":
    "#]],
    );
    check_list(
        &data,
        &["--topic", "orders"],
        expect![[r#"
        orders/0/6 old till/4 · `orders` has no type `redeemed` · 156 bytes {"event_id":
    "#]],
    );
    check_list(
        &data,
        &["--limit", "1", "--since", "2026-01-01"],
        expect![[r#"
        orders/0/6 old till/4 · `orders` has no type `redeemed` · 156 bytes {"event_id":
    "#]],
    );
    check_list(&data, &["--since", "2200-01-01"], expect![""]);

    // One of them, whole.
    let show = |args: &[&str]| {
        let args: Vec<&str> = ["dead-letters", "show"].into_iter().chain(args.iter().copied()).collect();
        support::hexiao(&data, &args, b"")
    };
    let shown = show(&["redemptions/0/2"]).expect_success().stdout;
    let shown: Vec<&str> = shown.lines().filter(|line| !line.starts_with("recorded_at")).collect();
    expect![[r#"
        place        redemptions/0/2
        source       old till
        event_id     3
        reason       not a valid `redemptions` message: invalid type: string "50.00", expected i64 at line 1 column 158
        repaired     no
        payload      159 bytes
        {"event_id":"3","occurred_at":"2026-03-04T10:00:00+08:00","product_id":"P1","redeemed_store_id":"S1","source":"old till","type":"redeemed","value_fen":"50.00"}"#]].assert_eq(&shown.join("\n"));
    assert!(
        show(&["redemptions/0/4"])
            .expect_success()
            .stdout
            .ends_with("payload      4 bytes that are no UTF-8, in hex\nfffe7b7d\n")
    );
    assert_eq!(show(&["--raw", "redemptions/0/4"]).expect_success().bytes, b"\xff\xfe{}");
    expect![[r#"
        error: no dead letter stands at redemptions/0/0; `hexiao dead-letters list --all` says where they do
    "#]]
    .assert_eq(&show(&["redemptions/0/0"]).stderr);

    // Mended, all but one: nothing is sent until that one is left out.
    let mended = |id: u32, name: &str, value: Value| {
        let raw = show(&["--raw", &format!("redemptions/0/{}", id - 1)]).expect_success().stdout;
        with(serde_json::from_str(&raw).unwrap(), name, value)
    };
    let input = format!("{}\n\n{}\nnot JSON\n", mended(2, "product_id", "P1".into()), mended(3, "value_fen", 5_000.into()));
    let before = counts();
    expect![[r#"
        error: nothing was sent: 1 of 3 messages are no events (--skip-bad sends the others)
          line 4: not a valid `redemptions` message: expected ident at line 1 column 2
    "#]]
    .assert_eq(&replay(&data, &["-", "--topic", "redemptions"], &input).stderr);
    assert_eq!(counts(), before);
    for _ in 0..2 {
        let said = replay(&data, &["-", "--topic", "redemptions", "--skip-bad"], &input).expect_success();
        expect![[r#"
            Sent 2 of 3 messages; what the lake knows already changes nothing.
            not sent, line 4: not a valid `redemptions` message: expected ident at line 1 column 2
        "#]]
        .assert_eq(&format!("{}{}", said.stdout, said.stderr));
        assert_eq!(counts(), (3, 6), "a second time changes nothing");
    }
    // It came to the wrong topic: as it is, to the right one.
    expect![[r#"
        error: nothing was sent: 1 of 1 messages are no events (--skip-bad sends the others)
          orders/0/6: `orders` has no type `redeemed`
    "#]]
    .assert_eq(&replay(&data, &["--place", "orders/0/6"], "").stderr);
    for _ in 0..2 {
        let said = replay(&data, &["--place", "orders/0/6", "--topic", "redemptions"], "").expect_success();
        expect![[r#"
            Sent 1 of 1 messages; what the lake knows already changes nothing.
        "#]]
        .assert_eq(&said.stdout);
        assert_eq!(counts(), (4, 6));
    }
    check_list(
        &data,
        &[],
        expect![[r#"
        orders/0/6 old till/4 · `orders` has no type `redeemed` · 156 bytes {"event_id":
        redemptions/0/5 old till/1 · event old till/1 exists with other content · 153 bytes {"event_id":
        redemptions/0/4 null/null · not a valid `redemptions` message: expected value at line 1 column 1 · 4 bytes ��{}
        redemptions/0/3 null/null · not a valid `redemptions` message: expected ident at line 1 column 2 · 8 bytes not JSON
    "#]],
    );
    check_list(
        &data,
        &["--all"],
        expect![[r#"
        orders/0/6 old till/4 · `orders` has no type `redeemed` · 156 bytes {"event_id":
        redemptions/0/5 old till/1 · event old till/1 exists with other content · 153 bytes {"event_id":
        redemptions/0/4 null/null · not a valid `redemptions` message: expected value at line 1 column 1 · 4 bytes ��{}
        redemptions/0/3 null/null · not a valid `redemptions` message: expected ident at line 1 column 2 · 8 bytes not JSON
        redemptions/0/2 old till/3 · not a valid `redemptions` message: invalid type: string "50.00", expected i64 at line 1 column 158 · 159 bytes {"event_id": · repaired
        redemptions/0/1 old till/2 · `redeemed` needs `product_id` · 156 bytes {"event_id": · repaired
    "#]],
    );

    // The same without a process, from a file: the other content is a dead letter already, and stays one.
    server.stop();
    let file = folder.path().join("mended.ndjson");
    std::fs::write(&file, format!("{}\n{}", redeemed(5), with(redeemed(1), "value_fen", 1.into()))).unwrap();
    let said = replay(&data, &[file.to_str().unwrap(), "--topic", "redemptions"], "").expect_success();
    expect![[r#"
        Sent 2 of 2 messages; what the lake knows already changes nothing.
    "#]]
    .assert_eq(&said.stdout);
    let count = "SELECT (SELECT count(*) FROM log.redemptions) AS redemptions, (SELECT count(*) FROM dead_letters) AS letters";
    let said = support::hexiao(&data, &["sql", count, "--format", "csv"], b"").expect_success();
    assert_eq!(said.stdout, "redemptions,letters\r\n5,6\r\n");
}
