//! `/v1/log`: messages straight into the log, from importers and generators that run beside this process.
//!
//! What is appended is not looked at here: ingest decodes it, drops second copies and keeps what is no event as dead
//! letters (R20).

use std::io::{BufRead, BufReader, Read};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use event::Stream;
use eventlog::outbox::{SEGMENT_BYTES_LIMIT, SEGMENT_MESSAGES_LIMIT};
use ledger::LogSegment;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::auth::HeadOffice;
use super::extract::{Path, Raw};
use super::problem::Problem;
use super::recorded::Recorded;

/// What was appended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Appended {
    /// Messages appended.
    appended: u64,
}

/// Appends messages to a stream of the log.
///
/// One message per line; `Content-Encoding: zstd` for a compressed body. All of them or none are appended, durably, before
/// the answer. A message that is no event goes to the dead letters, a second copy is dropped: see `dead_letters`.
#[utoipa::path(
    post, path = "/v1/log/{stream}", tag = "log",
    params(
        ("stream" = String, Path, description = "orders, redemptions, refusals, bookings, members, catalog or decisions"),
        ("Content-Encoding" = Option<String>, Header, description = "`zstd`, or nothing"),
    ),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 201, body = Appended))
)]
pub async fn append(
    State(app): State<App>,
    _: HeadOffice,
    Path(stream): Path<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Recorded<Appended>, Problem> {
    let stream: Stream = stream.parse().map_err(|said: String| Problem::not_found("unknown_stream", said))?;
    let compressed = match headers.get(header::CONTENT_ENCODING).map(|v| v.as_bytes()) {
        None | Some(b"identity") => false,
        Some(b"zstd") => true,
        Some(_) => {
            let said = "Bodies may be encoded with zstd, or not at all";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_encoding", said));
        }
    };
    let limit = app.limits.log_body_bytes;
    // Megabytes to decompress and compress: not on a thread that tills wait for.
    let segments = tokio::task::spawn_blocking(move || segments(stream, &body, compressed, limit)).await;
    let segments = segments.map_err(|e| Problem::internal(&e))??;
    let appended = segments.iter().map(|s| u64::from(s.count)).sum();
    let written = app.ledger.append(segments).await?;
    Ok(Recorded::created(written.map(|_| Appended { appended })))
}

/// The messages as segments of the log; in memory are only these and one segment's lines.
fn segments(stream: Stream, body: &[u8], compressed: bool, limit: usize) -> Result<Vec<LogSegment>, Problem> {
    let bad = |e: std::io::Error| Problem::bad_input(format!("The body can't be read: {e}"));
    let too_large =
        || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body decompresses to more than this route takes");
    let plain: Box<dyn Read + '_> = if compressed { Box::new(zstd::Decoder::new(body).map_err(bad)?) } else { Box::new(body) };
    // Kilobytes of zstd can hold gigabytes.
    let limit = limit as u64 * ZSTD_RATIO;
    let mut lines = BufReader::with_capacity(128 << 10, plain.take(limit + 1));
    let (mut segments, mut open, mut total) = (Vec::new(), Open::default(), 0);
    loop {
        let start = open.bytes.len();
        let read = lines.read_until(b'\n', &mut open.bytes).map_err(bad)?;
        total += read as u64;
        if total > limit {
            return Err(too_large());
        }
        let line = open.bytes[start..].trim_ascii_end().len();
        open.bytes.truncate(start + line);
        if line > SEGMENT_BYTES_LIMIT {
            return Err(Problem::bad_input(format!("A message has {line} bytes; none may have more than {SEGMENT_BYTES_LIMIT}")));
        }
        if line > 0 {
            open.count += 1;
            open.bytes.push(b'\n');
        }
        let full = open.count as usize == SEGMENT_MESSAGES_LIMIT || open.bytes.len() >= SEGMENT_BYTES_LIMIT;
        if open.count > 0 && (full || read == 0) {
            let Open { count, mut bytes } = std::mem::take(&mut open);
            bytes.pop();
            let zstd_lines = zstd::bulk::compress(&bytes, ZSTD_LEVEL).map_err(|e| Problem::internal(&e))?;
            segments.push(LogSegment { stream, count, zstd_lines });
        }
        if read == 0 {
            break;
        }
    }
    match segments.is_empty() {
        true => Err(Problem::bad_input("There is no message in the body; send one per line")),
        false => Ok(segments),
    }
}

/// A segment that still takes messages.
#[derive(Default)]
struct Open {
    count: u32,
    bytes: Vec<u8>,
}

/// Events compress 8 to 12 times.
const ZSTD_RATIO: u64 = 16;

/// As the log itself compresses.
const ZSTD_LEVEL: i32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(body: &[u8], compressed: bool) -> Result<Vec<u32>, String> {
        let segments = segments(Stream::Orders, body, compressed, 1 << 20).map_err(|p| p.detail)?;
        for segment in &segments {
            let plain = zstd::bulk::decompress(&segment.zstd_lines, 64 << 20).unwrap();
            assert_eq!(plain.split(|b| *b == b'\n').count(), segment.count as usize);
            assert!(plain.split(|b| *b == b'\n').all(|line| !line.is_empty() && !line.ends_with(b"\r")));
        }
        Ok(segments.iter().map(|s| s.count).collect())
    }

    #[test]
    fn lines_become_segments() {
        assert_eq!(counts(b"{}\n{}", false), Ok(vec![2]));
        assert_eq!(counts(b"\n{}\r\n\n{}\n\n", false), Ok(vec![2]));
        assert_eq!(counts("{}\n".repeat(SEGMENT_MESSAGES_LIMIT).as_bytes(), false), Ok(vec![4096]));
        let many = "{\"a\":1}\n".repeat(SEGMENT_MESSAGES_LIMIT + 1);
        assert_eq!(counts(many.as_bytes(), false), Ok(vec![4096, 1]));
        assert_eq!(counts(&zstd::bulk::compress(many.as_bytes(), 1).unwrap(), true), Ok(vec![4096, 1]));
        assert_eq!(counts(b"\n\n", false), Err("There is no message in the body; send one per line".into()));
        assert!(counts(b"not zstd", true).unwrap_err().starts_with("The body can't be read"));
        let bomb = zstd::bulk::compress(&vec![b'\n'; 17 << 20], 1).unwrap();
        assert_eq!(counts(&bomb, true), Err("The body decompresses to more than this route takes".into()));
        let long = zstd::bulk::compress(&vec![b'x'; SEGMENT_BYTES_LIMIT], 1).unwrap();
        assert_eq!(counts(&long, true), Ok(vec![1]));
    }
}
