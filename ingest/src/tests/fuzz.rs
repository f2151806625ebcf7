//! A million messages with something wrong among good ones, over a real Kafka into the lake: each stands where it belongs.
//!
//! What belongs where is known without the decoder: of most mutations by what was done, of the others by a second reader of
//! the contract. `HEXIAO_FUZZ_SEED` begins with another seed, `HEXIAO_FUZZ_MESSAGES` mutates fewer or more.

mod mutate;
mod second_reader;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use event::{Event, Instant, Stream, Table};
use eventlog::kafka::{KafkaConfig, KafkaSource};
use fastrand::Rng;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::kafka::broker::Broker;
use super::world::{World, config};
use mutate::{STREAMS, good, line, mutate};
use second_reader::{Verdict, identity, read};

const PARTITIONS: usize = 3;

/// Messages made at a time.
const CHUNK: usize = 10_000;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Where a message is to stand.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Nowhere: it has no payload.
    Tombstone,
    /// In its table, unless the same event stands there.
    Event { identity: u64, month: i32, content: u64 },
    /// Among the dead letters, unless it has an identity and stands there already.
    Letter { identity: Option<u64>, reason: &'static str },
}

struct Sent {
    fate: Fate,
    bytes: u64,
}

fn fate(stream: Stream, message: &[u8], now: i64) -> Fate {
    let identity = identity(message).map(hash);
    match read(stream, message, now) {
        Verdict::Letter(reason) => Fate::Letter { identity, reason },
        Verdict::Event(read) => {
            let identity = identity.expect("an event has one");
            Fate::Event { identity, month: read.month, content: hash(read.content) }
        }
    }
}

/// A message, where it goes, and what it is to come to.
struct Made {
    stream: usize,
    partition: usize,
    message: Option<Vec<u8>>,
    fate: Fate,
}

/// Makes messages until `mutated` of them were mutated.
fn make(seed: u64, mutated: usize) -> Receiver<Vec<Made>> {
    let (sender, receiver) = sync_channel(4);
    std::thread::spawn(move || {
        let (mut left, mut next_id, now) = (mutated, 1, now());
        let mut random = Rng::with_seed(seed);
        while left > 0 {
            let mut chunk: Vec<Made> = Vec::with_capacity(CHUNK + 1);
            for _ in 0..CHUNK {
                let (at, partition) = (random.usize(..STREAMS.len()), random.usize(..PARTITIONS));
                let stream = STREAMS[at];
                next_id += 1;
                let (message, fate) = match random.u16(..1000) {
                    0..2 => (None, Fate::Tombstone),
                    2..40 if !chunk.is_empty() => {
                        // Something that was sent comes again, perhaps in another partition.
                        let Made { stream, message, fate, .. } = &chunk[random.usize(..chunk.len())];
                        chunk.push(Made { stream: *stream, partition, message: message.clone(), fate: *fate });
                        continue;
                    }
                    40..50 => {
                        // One event told in two ways: which of them stands is a matter of luck.
                        let first = good(&mut random, stream, "till", next_id);
                        let mut second = first.clone();
                        let field = if stream == Stream::Members { "tier" } else { "channel" };
                        second.push((field.to_owned(), "\"other\"".to_owned()));
                        let [first, second] = [first, second].map(|members| line(&members));
                        let at_first = fate(stream, &first, now);
                        chunk.push(Made {
                            stream: at,
                            partition: random.usize(..PARTITIONS),
                            message: Some(first),
                            fate: at_first,
                        });
                        let fate = fate(stream, &second, now);
                        (Some(second), fate)
                    }
                    50..250 => {
                        let message = line(&good(&mut random, stream, "till", next_id));
                        let fate = fate(stream, &message, now);
                        assert!(matches!(fate, Fate::Event { .. }), "{}", String::from_utf8_lossy(&message));
                        (Some(message), fate)
                    }
                    _ => {
                        left = left.saturating_sub(1);
                        let members = good(&mut random, stream, "fuzz", next_id);
                        let mutated = mutate(&mut random, stream, members);
                        let fate = fate(stream, &mutated.bytes, now);
                        let agree = mutated.good.is_none_or(|good| good == matches!(fate, Fate::Event { .. }));
                        assert!(agree, "{:?} is {fate:?}: {}", mutated.good, String::from_utf8_lossy(&mutated.bytes));
                        (Some(mutated.bytes), fate)
                    }
                };
                chunk.push(Made { stream: at, partition, message, fate });
            }
            if sender.send(chunk).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Sends it all; what stands in each partition, by offset.
fn send(kafka: &KafkaConfig, made: Receiver<Vec<Made>>) -> Vec<Vec<Sent>> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &kafka.brokers).set("message.max.bytes", "12000000");
    // In order and once, so that a message's offset is its number.
    client.set("enable.idempotence", "true").set("compression.type", "lz4").set("linger.ms", "20");
    let producer: BaseProducer = client.create().unwrap();
    let mut sent: Vec<Vec<Sent>> = (0..STREAMS.len() * PARTITIONS).map(|_| Vec::new()).collect();
    let long = Made {
        stream: 1,
        partition: 1,
        message: Some(vec![b'['; 10_000_000]),
        fate: Fate::Letter { identity: None, reason: "a message may have" },
    };
    for made in [long].into_iter().chain(made.into_iter().flatten()) {
        let topic = kafka.topic(STREAMS[made.stream]);
        let mut record = BaseRecord::<[u8], [u8]>::to(&topic).partition(made.partition as i32);
        record.payload = made.message.as_deref();
        while let Err((error, back)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            record = back;
            producer.poll(Duration::from_millis(20));
        }
        let bytes = hash(made.message.as_deref().unwrap_or_default());
        sent[made.stream * PARTITIONS + made.partition].push(Sent { fate: made.fate, bytes });
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    sent
}

/// What stands in the lake of each message, and what is wrong with it.
#[derive(Default)]
struct Found {
    rows: Vec<Vec<u8>>,
    letters: Vec<Vec<u8>>,
    faults: Vec<String>,
}

impl Found {
    fn check(&mut self, right: bool, fault: impl FnOnce() -> String) {
        if !right {
            self.faults.push(fault());
        }
    }

    async fn rows(&mut self, world: &World, sent: &[Vec<Sent>]) {
        for (at, stream) in STREAMS.into_iter().enumerate() {
            for (batch, _) in world.files(Table::Events(stream)).await {
                let numbers = batch["log_partition"].as_primitive::<Int32Type>().values();
                let offsets = batch["log_offset"].as_primitive::<Int64Type>().values();
                let (sources, ids) = (batch["source"].as_string::<i32>(), batch["event_id"].as_primitive::<Int64Type>());
                for row in 0..batch.num_rows() {
                    let (partition, offset) = (at * PARTITIONS + numbers[row] as usize, offsets[row] as usize);
                    self.rows[partition][offset] += 1;
                    let (source, id) = (sources.value(row), ids.value(row));
                    let told = hash((source.to_owned(), id));
                    let fate = sent[partition][offset].fate;
                    let right = matches!(fate, Fate::Event { identity, .. } if identity == told);
                    self.check(right, || format!("{stream} holds {source}/{id} for {fate:?} at {}/{offset}", numbers[row]));
                }
            }
        }
    }

    async fn letters(&mut self, world: &World, sent: &[Vec<Sent>]) {
        for (batch, _) in world.files(Table::DeadLetters).await {
            let numbers = batch["log_partition"].as_primitive::<Int32Type>().values();
            let offsets = batch["log_offset"].as_primitive::<Int64Type>().values();
            let (topics, reasons) = (batch["topic"].as_string::<i32>(), batch["reason"].as_string::<i32>());
            let (sources, ids) = (batch["source"].as_string::<i32>(), batch["event_id"].as_primitive::<Int64Type>());
            let payloads = batch["payload"].as_binary::<i32>();
            for row in 0..batch.num_rows() {
                let at = STREAMS.iter().position(|stream| stream.name() == topics.value(row)).expect("a topic that was sent to");
                let (partition, offset) = (at * PARTITIONS + numbers[row] as usize, offsets[row] as usize);
                self.letters[partition][offset] += 1;
                let Sent { fate, bytes } = &sent[partition][offset];
                let told = sources.is_valid(row).then(|| hash((sources.value(row).to_owned(), ids.value(row))));
                let (expected, words) = match fate {
                    Fate::Letter { identity, reason } => (*identity, *reason),
                    Fate::Event { identity, .. } => (Some(*identity), "exists with other content"),
                    Fate::Tombstone => (None, "it has no payload"),
                };
                let (reason, payload) = (reasons.value(row), payloads.value(row));
                let right = *bytes == hash(payload) && told == expected && reason.contains(words);
                let text = || String::from_utf8_lossy(&payload[..payload.len().min(1_000)]).into_owned();
                self.check(right, || format!("{}: {reason} for {fate:?}, identity {told:?}: {}", topics.value(row), text()));
            }
        }
    }

    /// Each message stands as often as it should.
    fn compare(&mut self, sent: &[Vec<Sent>]) {
        let mut events: HashMap<(usize, u64, i32), Vec<(usize, usize)>> = HashMap::new();
        let mut letters: HashMap<(usize, u64, u64), Vec<(usize, usize)>> = HashMap::new();
        for (partition, sent) in sent.iter().enumerate() {
            for (offset, Sent { fate, bytes }) in sent.iter().enumerate() {
                let stream = partition / PARTITIONS;
                match *fate {
                    Fate::Event { identity, month, .. } => {
                        events.entry((stream, identity, month)).or_default().push((partition, offset));
                    }
                    Fate::Letter { identity: Some(identity), .. } => {
                        letters.entry((stream, identity, *bytes)).or_default().push((partition, offset));
                    }
                    _ => {
                        let expected = u8::from(matches!(fate, Fate::Letter { .. }));
                        let found = (self.rows[partition][offset], self.letters[partition][offset]);
                        self.check(found == (0, expected), || format!("{found:?} of {fate:?} in {partition} at {offset}"));
                    }
                }
            }
        }
        let count = |all: &[Vec<u8>], places: &[(usize, usize)]| places.iter().map(|(p, o)| u32::from(all[*p][*o])).sum::<u32>();
        for places in letters.values() {
            let found = (count(&self.rows, places), count(&self.letters, places));
            self.check(found == (0, 1), || format!("a letter stands {found:?} times: {places:?}"));
        }
        for places in events.values() {
            // One of them stands. Those that say the same are nothing, the others dead letters, each content once.
            let standing = places.iter().find(|(p, o)| self.rows[*p][*o] > 0);
            let content = |(p, o): &(usize, usize)| match sent[*p][*o].fate {
                Fate::Event { content, .. } => content,
                _ => unreachable!("only events are here"),
            };
            let mut others: HashMap<u64, Vec<(usize, usize)>> = HashMap::new();
            let mut same = Vec::new();
            for place in places {
                match standing.is_some_and(|standing| content(standing) == content(place)) {
                    true => same.push(*place),
                    false => others.entry(sent[place.0][place.1].bytes).or_default().push(*place),
                }
            }
            let (rows, of_same) = (count(&self.rows, places), count(&self.letters, &same));
            let of_others = others.values().all(|places| count(&self.letters, places) == 1);
            self.check(rows == 1 && of_same == 0 && of_others, || format!("{rows} rows of one event: {places:?}"));
        }
    }
}

#[test]
fn the_decoder_agrees_with_a_second_reader() {
    let seed = number("HEXIAO_FUZZ_SEED", 1) as u64;
    let (mut events, mut letters, mut faults, now) = (0, 0, Vec::new(), now());
    for made in make(seed, 60_000).into_iter().flatten() {
        let Some(message) = made.message else { continue };
        let decoded = Event::decode(STREAMS[made.stream], &message, Instant(now));
        let agree = match (&decoded, made.fate) {
            (Ok(event), Fate::Event { identity, .. }) => {
                events += 1;
                hash((event.source().to_owned(), event.event_id())) == identity
            }
            (Err(fault), Fate::Letter { reason, .. }) => {
                letters += 1;
                fault.to_string().contains(reason)
            }
            _ => false,
        };
        if !agree {
            faults.push(format!("{decoded:?} for {:?}: {}", made.fate, String::from_utf8_lossy(&message)));
        }
    }
    assert!(faults.is_empty(), "seed {seed}, {} faults:\n{}", faults.len(), faults[..faults.len().min(30)].join("\n"));
    assert!(events > 20_000 && letters > 30_000, "{events} events, {letters} letters");
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_a_million_bad_messages_cost_nothing() {
    let (seed, mutated) = (number("HEXIAO_FUZZ_SEED", 7) as u64, number("HEXIAO_FUZZ_MESSAGES", 1_000_000));
    let (world, kafka) = (World::new(), Broker::shared().topics(PARTITIONS as i32).await);
    let source = async || std::sync::Arc::new(KafkaSource::open(kafka.clone(), None).await.unwrap());
    // The first ingest reads along and ends without a word once there is half of it.
    let ingest = world.start_from(source().await, config()).await.unwrap();
    let sending = tokio::task::spawn_blocking({
        let kafka = kafka.clone();
        move || send(&kafka, make(seed, mutated))
    });
    let handled = || {
        let counts = ingest.status().counts;
        counts.accepted + counts.copies + counts.dead_letters + counts.dead_copies
    };
    while handled() < mutated as u64 / 2 && !sending.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(ingest);
    let sent = sending.await.unwrap();
    let ingest = world.start_from(source().await, config()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(300), ingest.stop()).await.expect("nothing stalls").unwrap();
    let counts = ingest.status().counts;
    let none = || sent.iter().map(|sent| vec![0; sent.len()]).collect();
    let mut found = Found { rows: none(), letters: none(), faults: Vec::new() };
    found.rows(&world, &sent).await;
    found.letters(&world, &sent).await;
    found.compare(&sent);
    let total = |all: &[Vec<u8>]| all.iter().flatten().map(|n| u64::from(*n)).sum::<u64>();
    let (messages, rows, letters) = (sent.iter().map(Vec::len).sum::<usize>(), total(&found.rows), total(&found.letters));
    println!("seed {seed}: {messages} messages, {rows} events, {letters} dead letters; after the restart {counts:?}");
    let faults = &found.faults;
    assert!(faults.is_empty(), "seed {seed}, {} faults:\n{}", faults.len(), faults[..faults.len().min(30)].join("\n"));
    assert!(rows as usize > mutated / 4 && letters as usize > mutated / 2, "{rows} events, {letters} letters");
}
