//! A run of messages of one stream, as the log stores and hands it out.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use event::{Instant, Stream};

use crate::error::Result;
use crate::{Error, outbox};

/// A run of consecutive messages of one stream, recorded at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Partition of the log.
    pub partition: i32,
    /// Offset of the first message.
    pub first_offset: i64,
    /// How many messages; their offsets are consecutive.
    pub count: u32,
    /// Their stream.
    pub stream: Stream,
    /// When the log recorded them.
    pub recorded_at: Instant,
    /// The messages.
    pub body: Body,
}

/// The bytes of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// One message, as it is.
    One(Vec<u8>),
    /// Messages joined by line feeds, compressed with zstd. A message holds no line feed.
    ZstdLines(Vec<u8>),
}

impl Body {
    /// As stored.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::One(bytes) | Body::ZstdLines(bytes) => bytes,
        }
    }
}

/// The messages of a segment, unpacked.
#[derive(Debug)]
pub struct Messages<'a> {
    first_offset: i64,
    bytes: Cow<'a, [u8]>,
    /// End of each message in `bytes`; a line feed lies between two.
    ends: Vec<u32>,
}

impl Segment {
    /// Offset after the last message.
    pub fn next_offset(&self) -> i64 {
        self.first_offset + i64::from(self.count)
    }

    /// Unpacks the messages.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the body is not what a writer of ours writes.
    pub fn messages(&self) -> Result<Messages<'_>> {
        let damaged = |what: String| Error::Damaged { offset: self.first_offset, what };
        let lines = match &self.body {
            Body::One(message) => {
                let whole = vec![message.len() as u32];
                return Ok(Messages { first_offset: self.first_offset, bytes: Cow::Borrowed(message), ends: whole });
            }
            Body::ZstdLines(packed) => unpack(packed).map_err(|e| damaged(format!("its messages can't be unpacked: {e}")))?,
        };
        let mut ends = Vec::with_capacity(self.count as usize);
        // `skip_until` is the one search of the standard library that goes by the system's `memchr`: ten times as fast as a
        // loop over the bytes.
        let mut rest = lines.as_slice();
        while let Ok(1..) = rest.skip_until(b'\n') {
            let end = lines.len() - rest.len();
            if lines[end - 1] != b'\n' {
                break;
            }
            ends.push(end as u32 - 1);
        }
        // A line feed may also stand at the very end, as NDJSON has it.
        if ends.len() < self.count as usize {
            ends.push(lines.len() as u32);
        }
        if ends.len() != self.count as usize || ends.last().is_some_and(|end| (*end as usize) + 1 < lines.len()) {
            return Err(damaged(format!("it says {} messages and has another number of lines", self.count)));
        }
        Ok(Messages { first_offset: self.first_offset, bytes: Cow::Owned(lines), ends })
    }
}

impl Messages<'_> {
    /// Each message with its offset, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &[u8])> {
        self.ends.iter().enumerate().map(|(i, end)| {
            let start = if i == 0 { 0 } else { self.ends[i - 1] as usize + 1 };
            (self.first_offset + i as i64, &self.bytes[start..*end as usize])
        })
    }

    /// Bytes of all messages together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Unpacks within the limit a segment has; a body that claims or holds more is damaged.
fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    // One message may exceed the limit by itself: it was let in before the cut.
    const LIMIT: usize = outbox::SEGMENT_BYTES_LIMIT * 2;
    match zstd::zstd_safe::get_frame_content_size(packed) {
        Ok(Some(bytes)) if bytes <= LIMIT as u64 => zstd::bulk::decompress(packed, bytes as usize),
        _ => {
            let mut lines = Vec::new();
            zstd::stream::read::Decoder::new(packed)?.take(LIMIT as u64 + 1).read_to_end(&mut lines)?;
            if lines.len() > LIMIT {
                return Err(std::io::Error::other(format!("more than {LIMIT} bytes")));
            }
            Ok(lines)
        }
    }
}
