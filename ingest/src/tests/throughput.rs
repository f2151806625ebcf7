//! How fast the log becomes lake. Not a check: run it by name, with `--ignored --nocapture`, to see the figures.

use std::sync::Arc;
use std::time::Instant as Stopwatch;

use event::{Event, Id, Instant, Redemption, Stream, Table};
use eventlog::{Intake, IntakeConfig, NoneKnown, Position, Source};

use crate::tests::world::{NOW, World};
use crate::{IngestConfig, write};

/// A redemption of a chain of 500 stores, about 437 bytes.
fn redemption(i: i64) -> Vec<u8> {
    let at = Instant(NOW - 110 * 86_400_000_000 + i * 15_000_000).with_offset(480);
    let store = format!("store-{}", (i * 7919) % 500);
    let event = Event::Redemption(Redemption {
        order_id: Some(Id(i / 3 * 1_000_003)),
        entitlement_id: Some(Id(i / 5 * 1_000_033)),
        unit_ordinal: Some((i % 10) as i32 + 1),
        sold_store_id: Some(format!("store-{}", (i * 31) % 500).into()),
        redeemed_store_id: Some(store.into()),
        product_id: Some(format!("P{}", i % 300).into()),
        product_type: Some("punch_card".into()),
        member_id: Some(Id((i * 48_271) % 200_000)),
        clerk_id: Some(format!("clerk-{}", i % 2_000).into()),
        remaining_before: Some(5),
        remaining_after: Some(4),
        value_fen: Some(9_900 + i % 100),
        sold_at: Some(Instant(at.at.0 - 86_400_000_000)),
        service_minutes: Some(60),
        channel: Some("till".into()),
        ..Redemption::new("generator", i * 4_194_304, "redeemed", at)
    });
    let mut json = Vec::new();
    event.encode(&mut json);
    json
}

/// Processor time of this process so far, user and system, as Linux counts it in hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, not a check"]
async fn log_to_lake() {
    const EVENTS: i64 = 600_000;
    let world = World::new();
    let mut bytes = 0;
    for first in (0..EVENTS).step_by(4_096) {
        let run: Vec<Vec<u8>> = (first..(first + 4_096).min(EVENTS)).map(redemption).collect();
        bytes += run.iter().map(Vec::len).sum::<usize>();
        world.append_raw(Stream::Redemptions, &run);
    }
    // By processor time, all threads together: that is one core's worth, whoever else uses the machine.
    let told = |what: &str, (began, used): (Stopwatch, f64)| {
        let (s, cpu) = (began.elapsed().as_secs_f64(), processor_seconds() - used);
        println!(
            "{what:24} {s:6.2} s {cpu:6.2} CPU s {:8.0} events/CPU s {:6.1} MB/CPU s",
            EVENTS as f64 / cpu,
            bytes as f64 / 1e6 / cpu
        );
    };
    println!("{EVENTS} events of {} B", bytes as i64 / EVENTS);

    let source = world.source();
    let (mut segments, mut from) = (Vec::new(), Position::single(0));
    let began = (Stopwatch::now(), processor_seconds());
    while let Some(last) = {
        let read = source.read(&from, 1 << 20).await.unwrap();
        let last = read.last().map(|s| s.next_offset());
        segments.push(read);
        last
    } {
        from.advance(0, last);
    }
    told("read", began);
    let began = (Stopwatch::now(), processor_seconds());
    segments.iter().flatten().for_each(|s| assert!(s.messages().unwrap().iter().count() > 0));
    told("unpack", began);
    let began = (Stopwatch::now(), processor_seconds());
    let mut sum = 0;
    for segment in segments.iter().flatten() {
        for (_, message) in segment.messages().unwrap().iter() {
            sum += Event::decode(Stream::Redemptions, message, Instant(NOW)).unwrap().event_id();
        }
    }
    told("unpack, decode", began);
    assert_ne!(sum, 0);
    let began = (Stopwatch::now(), processor_seconds());
    let mut intake = Intake::new(Arc::new(NoneKnown), Default::default(), IntakeConfig::default());
    let mut batches = Vec::new();
    for segments in &segments {
        batches.extend(intake.take(segments).unwrap().batches.into_iter().map(|(_, batch)| batch));
    }
    told("unpack, decode, rows", began);
    let arrow: usize = batches.iter().map(|b| b.get_array_memory_size()).sum();
    let began = (Stopwatch::now(), processor_seconds());
    let files: usize = batches
        .chunks(8)
        .map(|some| {
            write::encode(Table::Events(Stream::Redemptions), some, Instant(NOW))
                .unwrap()
                .iter()
                .map(|f| f.bytes.len())
                .sum::<usize>()
        })
        .sum();
    told("sort and encode", began);
    let began = (Stopwatch::now(), processor_seconds());
    for some in batches.chunks(8) {
        let whole = arrow::compute::concat_batches(&some[0].schema(), some).unwrap();
        let names = ["month", "redeemed_store_id", "occurred_at"];
        assert_eq!(write::sort(&whole, &names).unwrap().num_rows(), whole.num_rows());
    }
    told("of it sort", began);
    println!("{} B/event in memory, {:.1} B/event in files", arrow as i64 / EVENTS, files as f64 / EVENTS as f64);

    for round in ["log to committed lake", "the same again"] {
        let began = (Stopwatch::now(), processor_seconds());
        let ingest = world.start(IngestConfig::default()).await.unwrap();
        ingest.stop().await.unwrap();
        told(round, began);
        for segment in segments.iter().flatten() {
            world.append_segment(segment);
        }
    }
}
