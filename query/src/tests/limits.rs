//! What a statement may not do, and what stops it.

use std::sync::Arc;
use std::time::Duration;

use event::Instant;
use expect_test::{Expect, expect};

use super::fixture::{Events, engine};
use crate::{EngineConfig, Params, Value, View};

const NOW: Instant = Instant(1_780_000_000_000_000);

async fn outcome(config: EngineConfig, view: &Arc<View>, sql: &str, params: &Params) -> String {
    let rows = match engine(NOW, config).sql(view, sql, params).await {
        Ok(answer) => answer.collect().await,
        Err(error) => Err(error),
    };
    match rows {
        Ok(batches) => arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

async fn check(sql: &str, expect: Expect) {
    expect.assert_eq(&outcome(EngineConfig::default(), &Arc::new(View::empty()), sql, &Params::new()).await);
}

#[tokio::test]
async fn only_one_statement_that_reads() {
    check(
        "SELECT 1 AS one",
        expect![[r#"
        +-----+
        | one |
        +-----+
        | 1   |
        +-----+"#]],
    )
    .await;
    check("INSERT INTO log.orders VALUES (1)", expect!["Forbidden: `INSERT INTO` is not allowed: only one statement that reads is (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE)"]).await;
    check("SELECT 1; SELECT 2", expect!["Forbidden: more than one statement (2) is not allowed: only one statement that reads is (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE)"]).await;
    for forbidden in [
        "COPY log.orders TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "DROP TABLE log.orders",
        "UPDATE log.orders SET units = 1",
        "DELETE FROM log.orders",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "EXPLAIN ANALYZE INSERT INTO log.orders SELECT * FROM log.orders",
        "EXPLAIN COPY log.orders TO '/tmp/x.csv'",
        "SELECT 1 INTO t",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "TRUNCATE TABLE log.orders",
    ] {
        let said = outcome(EngineConfig::default(), &Arc::new(View::empty()), forbidden, &Params::new()).await;
        assert!(said.starts_with("Forbidden"), "{forbidden}: {said}");
    }
    check("", expect!["BadSql: not valid SQL: there is no statement"]).await;
    check(
        "SELEC 1",
        expect![[r#"BadSql: not valid SQL: ParserError("Expected: an SQL statement, found: SELEC at Line: 1, Column: 1")"#]],
    )
    .await;
    check(
        "SELECT nothing FROM (SELECT 1 AS one) AS t",
        expect![[r#"
        BadSql: not valid SQL: No field named nothing.
        Valid fields are t.one."#]],
    )
    .await;
    check("SELECT * FROM nowhere", expect!["BadSql: not valid SQL: table 'hexiao.public.nowhere' not found"]).await;
    check("SELECT * FROM '/etc/passwd'", expect!["BadSql: not valid SQL: table 'hexiao.public./etc/passwd' not found"]).await;
    check("SELECT 1 / 0", expect!["BadSql: the statement failed on these data: Divide by zero error"]).await;
}

#[tokio::test]
async fn values_enter_as_literals() {
    let mut params = Params::new();
    params.set("who", Value::Text("x' OR '1' = '1".to_owned()));
    params.set("n", Value::Int(-3));
    params.set("1", Value::Day(event::Day(0)));
    let view = Arc::new(View::empty());
    let sql = "SELECT $who AS who, $n + 1 AS n, $1 AS day";
    expect![[r#"
        +----------------+----+------------+
        | who            | n  | day        |
        +----------------+----+------------+
        | x' OR '1' = '1 | -2 | 1970-01-01 |
        +----------------+----+------------+"#]]
    .assert_eq(&outcome(EngineConfig::default(), &view, sql, &params).await);
    expect!["BadParameter: parameter `$gone` stands in the statement but was given no value"]
        .assert_eq(&outcome(EngineConfig::default(), &view, "SELECT $gone", &params).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_stop_statements() {
    let view = Arc::new(View::empty());
    let none = Params::new();
    let endless = "SELECT sum(value) FROM generate_series(1, 100000000000)";
    let started = std::time::Instant::now();
    let config = EngineConfig { deadline: Duration::from_millis(300), ..EngineConfig::default() };
    expect!["Limit: stopped after 0.3 s, the longest a statement may take"]
        .assert_eq(&outcome(config, &view, endless, &none).await);
    assert!(started.elapsed() < Duration::from_secs(10), "the caller is told in time");
    let pairs = "SELECT count(*) FROM generate_series(1, 10) a, generate_series(1, 10) b, generate_series(1, 10) c WHERE a.value < b.value";
    let said = outcome(EngineConfig::default(), &view, pairs, &none).await;
    assert!(said.starts_with("Limit: it would compare every one of about"), "{said}");
    let few = "SELECT count(*) FROM (VALUES (1), (2), (3)) AS a (v), (VALUES (1), (2), (3)) AS b (v) WHERE a.v < b.v";
    let said = outcome(EngineConfig::default(), &view, few, &none).await;
    assert!(said.contains("| 3 "), "{said}");
    let config = EngineConfig { rows_limit: 10, ..EngineConfig::default() };
    expect!["Limit: stopped after 10 rows, the most an answer may have; aggregate, or add a LIMIT"]
        .assert_eq(&outcome(config, &view, "SELECT * FROM generate_series(1, 100)", &none).await);
    let config = EngineConfig { statement_memory_bytes: 1 << 20, spill_bytes: 1 << 20, ..EngineConfig::default() };
    let said =
        outcome(config, &view, "SELECT count(*) FROM (SELECT DISTINCT value FROM generate_series(1, 3000000))", &none).await;
    assert!(said.starts_with("Limit: stopped: it needed more memory"), "{said}");
    let config = EngineConfig { statement_bytes_limit: 5, ..EngineConfig::default() };
    expect!["Limit: the statement has 8 bytes, more than the 5 one may have"]
        .assert_eq(&outcome(config, &view, "SELECT 1", &none).await);
    let config = EngineConfig { running: 1, waiting: 0, ..EngineConfig::default() };
    let engine = engine(NOW, config);
    let busy = engine.sql(&view, "SELECT * FROM generate_series(1, 1000000)", &none).await.unwrap();
    let second = engine.sql(&view, "SELECT 1", &none).await.unwrap_err();
    expect!["1 statements are running and 0 wait already; try again"].assert_eq(&second.to_string());
    drop(busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_materialized_is_computed_once_and_within_the_limits() {
    let twice = |word: &str| {
        format!(
            "WITH lot AS (SELECT value FROM generate_series(1, 3)), drawn AS {word} (SELECT value, random() AS x FROM lot)
             SELECT count(DISTINCT x) AS draws FROM (SELECT x FROM drawn UNION ALL SELECT x FROM drawn)"
        )
    };
    let view = Arc::new(View::empty());
    let none = Params::new();
    for (word, draws) in [("MATERIALIZED", "| 3 "), ("NOT MATERIALIZED", "| 6 "), ("", "| 6 ")] {
        let said = outcome(EngineConfig::default(), &view, &twice(word), &none).await;
        assert!(said.contains(draws), "{word}: {said}");
    }
    // It has the statement's deadline and memory, reads as all of it does, and is nobody else's.
    let with = |inner: &str| format!("WITH a AS MATERIALIZED ({inner}) SELECT count(*) FROM a");
    let config = EngineConfig { deadline: Duration::from_millis(300), ..EngineConfig::default() };
    let endless = with("SELECT sum(value) FROM generate_series(1, 100000000000)");
    expect!["Limit: stopped after 0.3 s, the longest a statement may take"]
        .assert_eq(&outcome(config, &view, &endless, &none).await);
    let config = EngineConfig { statement_memory_bytes: 1 << 20, ..EngineConfig::default() };
    let said = outcome(config, &view, &with("SELECT * FROM generate_series(1, 3000000)"), &none).await;
    assert!(said.starts_with("Limit: stopped: it needed more memory"), "{said}");
    let said = outcome(EngineConfig::default(), &view, &with("DELETE FROM log.orders RETURNING 1"), &none).await;
    assert!(said.starts_with("BadSql") || said.starts_with("Forbidden"), "{said}");
    check("SELECT * FROM kept.\"0\"", expect!["BadSql: not valid SQL: table 'hexiao.kept.0' not found"]).await;
}

#[tokio::test]
async fn now_is_the_clocks_and_answers_say_how_fresh_they_are() {
    let mut events = Events::default();
    events.add(r#"{"stream":"refusals","type":"refused","occurred_at":"2026-05-01T10:00:00+08:00","store_id":"S1","reason":"expired"}"#).unwrap();
    let view = events.view();
    let answer = engine(NOW, EngineConfig::default()).sql(&view, "SELECT now(), current_date", &Params::new()).await.unwrap();
    assert_eq!(
        serde_json::to_string(&answer.freshness).unwrap(),
        r#"{"as_of":"2026-05-01T02:00:00Z","lake_versions":{},"log_position":{"0":1},"tail_rows":1}"#
    );
    let text = arrow::util::pretty::pretty_format_batches(&answer.collect().await.unwrap()).unwrap().to_string();
    assert!(text.contains("2026-05-28T20:26:40Z") && text.contains("2026-05-28 "), "{text}");
}
