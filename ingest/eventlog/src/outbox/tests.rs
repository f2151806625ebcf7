use event::{Clock, Instant, ManualClock, Stream, SystemClock};
use expect_test::{Expect, expect};
use rusqlite::Connection;

use crate::outbox;

fn lines(from: usize, n: usize) -> Vec<Vec<u8>> {
    (from..from + n).map(|i| format!("m{i}").into_bytes()).collect()
}

/// What the log holds from `from` on, one segment a line.
fn told(conn: &Connection, from: i64, max_bytes: usize) -> String {
    let segments = match outbox::read(conn, from, max_bytes) {
        Ok(segments) => segments,
        Err(e) => return format!("{e}\n"),
    };
    let mut out = String::new();
    for s in segments {
        let messages = s.messages().unwrap();
        let all: Vec<_> = messages.iter().map(|(o, _, m)| format!("{o}={}", String::from_utf8_lossy(m).escape_debug())).collect();
        let shown = if all.len() > 4 { format!("{} … {}", all[0], all[all.len() - 1]) } else { all.join(" ") };
        out += &format!("{} at {}: {shown}\n", s.stream, s.recorded_at.0);
    }
    out
}

fn log(clock: &dyn Clock) -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    outbox::create(&conn, clock).unwrap();
    conn
}

fn check(conn: &Connection, from: i64, expect: Expect) {
    expect.assert_eq(&told(conn, from, usize::MAX));
}

#[test]
fn offsets_are_contiguous_and_a_read_may_start_inside_a_segment() {
    let clock = ManualClock::new(Instant(7));
    let conn = log(&clock);
    check(&conn, 0, expect![""]);
    outbox::append(&conn, &clock, Stream::Orders, &lines(0, 1)).unwrap();
    let appended = outbox::append(&conn, &clock, Stream::Redemptions, &lines(1, 5_000)).unwrap();
    assert_eq!((appended.first_offset, appended.next_offset), (1, 5_001));
    let packed = outbox::compress(&[b"{}".to_vec(), Vec::new()]);
    outbox::append_segment(&conn, &clock, Stream::Members, 2, &packed).unwrap();
    outbox::append(&conn, &clock, Stream::Catalog, &[b"a".to_vec(), b"b\nc".to_vec(), b"d".to_vec()]).unwrap();
    check(
        &conn,
        0,
        expect![[r#"
            orders at 7: 0=m0
            redemptions at 7: 1=m1 … 4096=m4096
            redemptions at 7: 4097=m4097 … 5000=m5000
            members at 7: 5001={} 5002=
            catalog at 7: 5003=a
            catalog at 7: 5004=b\nc
            catalog at 7: 5005=d
        "#]],
    );
    check(
        &conn,
        4_500,
        expect![[r#"
            redemptions at 7: 4097=m4097 … 5000=m5000
            members at 7: 5001={} 5002=
            catalog at 7: 5003=a
            catalog at 7: 5004=b\nc
            catalog at 7: 5005=d
        "#]],
    );
    check(&conn, 5_006, expect![""]);
    expect![[r#"
        orders at 7: 0=m0
    "#]]
    .assert_eq(&told(&conn, 0, 1));
}

#[test]
fn nothing_appended_leaves_the_counter_where_it_is() {
    let conn = log(&SystemClock);
    let appended = outbox::append(&conn, &SystemClock, Stream::Orders, &[]).unwrap();
    assert_eq!((appended.first_offset, appended.next_offset, outbox::end(&conn).unwrap()), (0, 0, 0));
    assert!(outbox::append_segment(&conn, &SystemClock, Stream::Orders, 0, b"").is_err());
}

#[test]
fn offsets_are_not_used_again_after_everything_was_pruned() {
    let conn = log(&SystemClock);
    for i in 0..10 {
        outbox::append(&conn, &SystemClock, Stream::Orders, &lines(i, 1)).unwrap();
    }
    outbox::append(&conn, &SystemClock, Stream::Orders, &lines(10, 10)).unwrap();
    assert_eq!(outbox::prune(&conn, 15, 4).unwrap(), 4, "a chunk");
    assert_eq!(outbox::pruned_to(&conn).unwrap(), 4);
    expect!["the log is needed from offset 3 and was pruned up to 4\n"].assert_eq(&told(&conn, 3, usize::MAX));
    assert_eq!(outbox::prune(&conn, 15, 100).unwrap(), 6, "the segment 10..20 is not whole below 15");
    assert_eq!(outbox::prune(&conn, 20, 100).unwrap(), 1);
    assert_eq!(outbox::prune(&conn, 20, 100).unwrap(), 0);
    assert_eq!((outbox::pruned_to(&conn).unwrap(), outbox::end(&conn).unwrap()), (20, 20));
    let appended = outbox::append(&conn, &SystemClock, Stream::Orders, &lines(20, 1)).unwrap();
    assert_eq!((appended.first_offset, appended.next_offset), (20, 21));
}

#[test]
fn a_chunk_of_pruning_is_bounded_in_bytes() {
    let conn = log(&SystemClock);
    for _ in 0..8 {
        outbox::append(&conn, &SystemClock, Stream::Orders, &[vec![b'x'; 1 << 20]]).unwrap();
    }
    let mut chunks = Vec::new();
    while let n @ 1.. = outbox::prune(&conn, 8, 1_000).unwrap() {
        chunks.push(n);
    }
    assert_eq!(chunks, [4, 4]);
}

#[test]
fn recorded_at_never_moves_back() {
    let clock = ManualClock::new(Instant(100));
    let conn = log(&clock);
    let at = |now: i64| {
        clock.set(Instant(now));
        outbox::append(&conn, &clock, Stream::Orders, &lines(0, 1)).unwrap().recorded_at.0
    };
    assert_eq!([at(100), at(90), at(101), at(50)], [100, 100, 101, 101]);
    assert_eq!(outbox::last_recorded_at(&conn).unwrap(), Instant(101));
}

#[test]
fn a_rolled_back_append_leaves_no_gap() {
    let mut conn = log(&SystemClock);
    let tx = conn.transaction().unwrap();
    outbox::append(&tx, &SystemClock, Stream::Orders, &lines(0, 3)).unwrap();
    tx.rollback().unwrap();
    assert_eq!(outbox::append(&conn, &SystemClock, Stream::Orders, &lines(0, 1)).unwrap().first_offset, 0);
}

#[test]
fn how_far_it_is_relayed_never_moves_back() {
    let conn = log(&SystemClock);
    assert_eq!(outbox::relayed_to(&conn, "kafka").unwrap(), None);
    for (noted, told) in [(3, 3), (7, 7), (5, 7)] {
        outbox::note_relayed(&conn, "kafka", noted).unwrap();
        assert_eq!(outbox::relayed_to(&conn, "kafka").unwrap(), Some(told));
    }
    assert_eq!(outbox::relayed_to(&conn, "other").unwrap(), None);
}

#[test]
fn creating_again_keeps_the_log() {
    let conn = log(&SystemClock);
    let id = outbox::log_id(&conn).unwrap();
    outbox::append(&conn, &SystemClock, Stream::Orders, &lines(0, 3)).unwrap();
    outbox::create(&conn, &SystemClock).unwrap();
    assert_eq!((outbox::log_id(&conn).unwrap(), outbox::end(&conn).unwrap()), (id, 3));
    assert_ne!(outbox::log_id(&log(&SystemClock)).unwrap(), outbox::log_id(&conn).unwrap());
}

#[test]
fn a_damaged_segment_is_named() {
    let conn = log(&SystemClock);
    outbox::append_segment(&conn, &SystemClock, Stream::Orders, 3, &outbox::compress(&lines(0, 2))).unwrap();
    outbox::append_segment(&conn, &SystemClock, Stream::Orders, 1, b"no zstd").unwrap();
    let faults: Vec<String> =
        outbox::read(&conn, 0, usize::MAX).unwrap().iter().map(|s| s.messages().unwrap_err().to_string()).collect();
    assert!(faults[0].contains("offset 0: it says 3 messages"), "{}", faults[0]);
    assert!(faults[1].contains("offset 3: its messages can't be unpacked"), "{}", faults[1]);
}
