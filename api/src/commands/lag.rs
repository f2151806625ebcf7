//! `hexiao lag`: how far the lake is behind the log, partition by partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use event::{Clock, Instant, SystemClock};
use eventlog::{OutboxSource, Partition, Position, Source};
use query::{Answer, Freshness, Presentation, View};

use super::Done;
use crate::config::{LogConfig, Setup};
use crate::kafka;

/// Arguments of `lag`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    shown: super::Shown,
}

/// What a lag is made of.
struct Figures {
    start: Position,
    end: Position,
    committed: Position,
    /// When the first message that is not committed was recorded.
    since: BTreeMap<Partition, Instant>,
}

/// Asks the lake, then the log, and prints the difference.
pub async fn run(setup: &Setup, args: Args) -> Done {
    // The lake comes first: it is not ahead of the log then.
    let lake = setup.data.join("lake");
    let view = if lake.is_dir() { query::Views::open(&lake).await?.current() } else { Arc::new(View::empty()) };
    let figures = match &setup.log {
        LogConfig::Kafka(log) => {
            let source = kafka::open(&log.kafka).await?;
            let (start, end) = (source.start().await?, source.end().await?);
            let committed = view.committed_of(source.log_ids());
            let since = kafka::uncommitted_since(&log.kafka, &committed, &start, &end).await?;
            Figures { start, end, committed, since }
        }
        LogConfig::Outbox => {
            crate::folder::check_readable(&setup.data)?;
            let source = OutboxSource::open(&setup.data.join("ledger.sqlite"), None)?;
            let (start, end) = (source.start().await?, source.end().await?);
            let committed = view.committed_of(source.log_ids());
            let segments = source.read(&committed, 1).await?;
            let since = segments.iter().map(|segment| (segment.partition, segment.recorded_at)).collect();
            Figures { start, end, committed, since }
        }
    };
    let batch = rows(&figures, SystemClock.now())?;
    let answer = Answer {
        schema: batch.schema(),
        freshness: Freshness { log_position: figures.committed.0, ..Freshness::default() },
        about: None,
        presentation: Presentation { additive: vec!["tail".to_owned(), "lost".to_owned()], ..Presentation::default() },
        rows: Box::pin(futures::stream::once(async { Ok(batch) })),
    };
    super::write_answer(answer.in_language(args.shown.lang), args.shown.format, &mut std::io::stdout()).await?;
    Ok(())
}

/// A row per partition. `tail` is what the log has beyond the lake, `lost` what it deleted before it was in the lake.
fn rows(figures: &Figures, now: Instant) -> Result<RecordBatch, arrow::error::ArrowError> {
    let Figures { start, end, committed, since } = figures;
    let column = |value: &dyn Fn(Partition, i64) -> Option<i64>| -> ArrayRef {
        Arc::new(end.0.iter().map(|(partition, end)| value(*partition, *end)).collect::<Int64Array>())
    };
    let from = |p: Partition| committed.next(p).max(start.next(p));
    let partitions: StringArray = end.0.keys().map(|partition| Some(partition.to_string())).collect();
    let behind = |p: Partition, end: i64| match since.get(&p).filter(|_| from(p) < end) {
        Some(at) => (now.0 - at.0).max(0) / 1_000_000,
        None => 0,
    };
    RecordBatch::try_from_iter([
        ("partition", Arc::new(partitions) as ArrayRef),
        ("start", column(&|p, _| Some(start.next(p)))),
        ("end", column(&|_, end| Some(end))),
        ("committed", column(&|p, _| committed.0.get(&p).copied())),
        ("tail", column(&|p, end| Some((end - from(p)).max(0)))),
        ("seconds_behind", column(&|p, end| Some(behind(p, end)))),
        ("lost", column(&|p, _| Some((start.next(p) - committed.next(p)).max(0)))),
    ])
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_partition_is_behind_by_what_the_lake_lacks() {
        let position = |text: &str| text.parse::<Position>().unwrap();
        let at = |text: &str| text.parse::<Partition>().unwrap();
        let figures = Figures {
            start: position("orders/0:0,orders/1:5,orders/2:9,orders/3:0"),
            end: position("orders/0:10,orders/1:10,orders/2:12,orders/3:4"),
            committed: position("orders/0:10,orders/1:7,orders/2:3"),
            since: BTreeMap::from([(at("orders/1"), Instant(1_000_000)), (at("orders/2"), Instant(9_500_000))]),
        };
        let shown = arrow::util::pretty::pretty_format_batches(&[rows(&figures, Instant(61_000_000)).unwrap()]).unwrap();
        expect![[r#"
            +-----------+-------+-----+-----------+------+----------------+------+
            | partition | start | end | committed | tail | seconds_behind | lost |
            +-----------+-------+-----+-----------+------+----------------+------+
            | orders/0  | 0     | 10  | 10        | 0    | 0              | 0    |
            | orders/1  | 5     | 10  | 7         | 3    | 60             | 0    |
            | orders/2  | 9     | 12  | 3         | 3    | 51             | 6    |
            | orders/3  | 0     | 4   |           | 4    | 0              | 0    |
            +-----------+-------+-----+-----------+------+----------------+------+
        "#]]
        .assert_eq(&format!("{shown}\n"));
    }
}
