//! `hexiao dead-letters replay`: repaired messages, checked and sent once more.
//!
//! Sending twice changes nothing: whoever reads the log drops what it knows by (source, event_id). Nothing is deleted from
//! `dead_letters`; a letter whose event stands is no longer open.

use std::io::Read;
use std::path::{Path, PathBuf};

use datasets::{CHUNK_EVENTS, Chunk};
use event::{Clock, Event, Instant, Stream, SystemClock};
use query::Engine;
use tokio::sync::mpsc;

use super::letter::{Letter, Place};
use crate::commands::{self, Done};
use crate::config::Setup;
use crate::log::Log;

/// The input is held whole, because it is checked whole before anything is sent: 256 MiB are 600,000 messages of 437 bytes,
/// more than anybody mends.
const INPUT_BYTES_LIMIT: u64 = 256 << 20;

/// Bytes of a chunk, so that messages of a megabyte don't make one of gigabytes; ten thousand of the usual ones.
const CHUNK_BYTES: usize = 4 << 20;

/// Bad messages that are listed when the input is refused: they mostly lack the same.
const LISTED: usize = 20;

/// Arguments of `replay`.
#[derive(clap::Args)]
pub struct Args {
    /// Repaired messages, one JSON object per line, as `show --raw` gives them; `-` reads stdin.
    #[arg(required_unless_present = "places", requires = "topic")]
    file: Option<PathBuf>,
    /// Stream the messages are for.
    #[arg(long, value_name = "STREAM")]
    topic: Option<Stream>,
    /// Dead letters to send as they are, for when a newer version understands them; to the stream they came for, unless
    /// --topic names another.
    #[arg(long = "place", value_name = "TOPIC/PARTITION/OFFSET", num_args = 1.., conflicts_with = "file")]
    places: Vec<Place>,
    /// Send the good ones and list the others, instead of sending nothing if one is bad.
    #[arg(long)]
    skip_bad: bool,
}

/// A message to send.
#[derive(Debug, PartialEq)]
struct Message {
    /// Where it comes from, for whoever has to mend it.
    from: String,
    stream: Stream,
    bytes: Vec<u8>,
}

/// Checks every message, then sends them.
pub async fn run(setup: &Setup, engine: &Engine, args: Args) -> Done {
    let messages = match (args.file, args.topic) {
        (Some(file), Some(stream)) => lines(stream, &read(&file)?),
        _ => letters(setup, engine, &args.places, args.topic).await?,
    };
    let given = messages.len();
    let (good, bad) = sort_out(messages, SystemClock.now());
    if !bad.is_empty() && !args.skip_bad {
        return Err(refusal(given, &bad).into());
    }
    let sent = if good.is_empty() { 0 } else { send(setup, good).await? };
    commands::write(format!("Sent {sent} of {given} messages; what the lake knows already changes nothing.\n").as_bytes())?;
    bad.iter().for_each(|said| eprintln!("not sent, {said}"));
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut bytes = Vec::new();
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).map_err(|e| format!("could not open {}: {e}", file.display()))?),
    };
    input.take(INPUT_BYTES_LIMIT + 1).read_to_end(&mut bytes).map_err(|e| format!("could not read {}: {e}", file.display()))?;
    if bytes.len() as u64 > INPUT_BYTES_LIMIT {
        return Err(format!("the input has more than {INPUT_BYTES_LIMIT} bytes; send it in parts").into());
    }
    Ok(bytes)
}

/// A message per line; empty lines are none.
fn lines(stream: Stream, input: &[u8]) -> Vec<Message> {
    let numbered = input.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let message = |(i, line): (usize, &[u8])| Message { from: format!("line {}", i + 1), stream, bytes: line.to_vec() };
    numbered.filter(|(_, line)| !line.is_empty()).map(message).collect()
}

/// The messages of dead letters, as they are.
async fn letters(
    setup: &Setup,
    engine: &Engine,
    places: &[Place],
    to: Option<Stream>,
) -> Result<Vec<Message>, Box<dyn std::error::Error + Send + Sync>> {
    let view = commands::view(setup).await?;
    let mut messages = Vec::with_capacity(places.len());
    for place in places {
        let stream = match to {
            Some(stream) => stream,
            None => place.topic.parse().map_err(|said| format!("{place}: {said}; name one with --topic"))?,
        };
        let letter = Letter::find(engine, &view, place).await?;
        // A line feed in JSON is a blank between two tokens; in the log it would end the message.
        let bytes = letter.payload.into_iter().map(|b| if b == b'\n' { b' ' } else { b }).collect();
        messages.push(Message { from: place.to_string(), stream, bytes });
    }
    Ok(messages)
}

/// The messages that are events, and what is wrong with the others.
fn sort_out(messages: Vec<Message>, now: Instant) -> (Vec<Message>, Vec<String>) {
    let (mut good, mut bad) = (Vec::with_capacity(messages.len()), Vec::new());
    for message in messages {
        match Event::decode(message.stream, &message.bytes, now).err() {
            None => good.push(message),
            Some(fault) => bad.push(format!("{}: {fault}", message.from)),
        }
    }
    (good, bad)
}

fn refusal(given: usize, bad: &[String]) -> String {
    let listed: String = bad.iter().take(LISTED).map(|said| format!("\n  {said}")).collect();
    let more = bad.len().saturating_sub(LISTED);
    let more = if more == 0 { String::new() } else { format!("\n  and {more} more") };
    format!("nothing was sent: {} of {given} messages are no events (--skip-bad sends the others){listed}{more}", bad.len())
}

async fn send(setup: &Setup, messages: Vec<Message>) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let chunks = chunks(messages);
    let (sender, receiver) = mpsc::channel(chunks.len());
    for chunk in chunks {
        sender.try_send(chunk)?;
    }
    drop(sender);
    let log = Log::open(setup).await?;
    let sent = log.append_all(receiver, |_| {}).await?;
    log.close().await?;
    Ok(sent)
}

/// Runs of one stream, in the order of the input.
fn chunks(messages: Vec<Message>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for Message { stream, bytes, .. } in messages {
        match chunks.last_mut() {
            Some(last) if last.stream == stream && last.count < CHUNK_EVENTS && last.lines.len() + bytes.len() < CHUNK_BYTES => {
                last.lines.push(b'\n');
                last.lines.extend_from_slice(&bytes);
                last.count += 1;
            }
            _ => chunks.push(Chunk { stream, count: 1, lines: bytes }),
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const REFUSED: &str =
        r#"{"source":"x","event_id":"1","type":"refused","occurred_at":"2026-05-01T01:00:00Z","store_id":"S","reason":"r"}"#;

    #[test]
    fn bad_lines_are_told_by_number_and_reason() {
        let input = format!("{REFUSED}\r\n\n{{}}\n  {REFUSED}\n{}", REFUSED.replace("refused", "lost"));
        let (good, bad) = sort_out(lines(Stream::Refusals, input.as_bytes()), Instant(1_780_000_000_000_000));
        assert_eq!(
            good.iter().map(|m| (m.from.as_str(), m.bytes.as_slice())).collect::<Vec<_>>(),
            [("line 1", REFUSED.as_bytes()), ("line 4", REFUSED.as_bytes())]
        );
        expect![[r#"
            nothing was sent: 2 of 4 messages are no events (--skip-bad sends the others)
              line 3: not a valid `refusals` message: missing field `source` at line 1 column 2
              line 5: `refusals` has no type `lost`"#]]
        .assert_eq(&refusal(4, &bad));
        let many: Vec<String> = (1..=22).map(|n| format!("line {n}: bad")).collect();
        assert!(refusal(30, &many).ends_with("\n  line 20: bad\n  and 2 more"));
    }

    #[test]
    fn messages_stay_in_order_and_chunks_small() {
        let message = |stream, bytes: usize| Message { from: String::new(), stream, bytes: vec![b'x'; bytes] };
        let of = |messages: Vec<Message>| -> Vec<(Stream, u32, usize)> {
            chunks(messages).iter().map(|c| (c.stream, c.count, c.lines.len())).collect()
        };
        let (orders, members) = (Stream::Orders, Stream::Members);
        let mixed = vec![message(orders, 2), message(orders, 3), message(members, 1), message(orders, 1)];
        assert_eq!(of(mixed), [(orders, 2, 6), (members, 1, 1), (orders, 1, 1)]);
        let many = (0..=CHUNK_EVENTS).map(|_| message(orders, 1)).collect();
        assert_eq!(of(many), [(orders, CHUNK_EVENTS, 2 * CHUNK_EVENTS as usize - 1), (orders, 1, 1)]);
        let large = (0..5).map(|_| message(orders, 1 << 20)).collect();
        assert_eq!(of(large), [(orders, 3, (3 << 20) + 2), (orders, 2, (2 << 20) + 1)]);
    }
}
