//! A run of messages of one stream, as the log stores and hands it out.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use event::{Instant, Stream};

use crate::error::Result;
use crate::{Error, Partition, outbox};

/// A run of messages of one stream and one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Partition of the log.
    pub partition: Partition,
    /// Where it begins.
    pub first_offset: i64,
    /// Where the next segment begins: everything below it has been handed out.
    pub next_offset: i64,
    /// Their stream.
    pub stream: Stream,
    /// When the log recorded the last of them.
    pub recorded_at: Instant,
    /// The messages.
    pub body: Body,
}

/// The bytes of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// One message, as it is.
    One(Vec<u8>),
    /// A message at each offset, recorded at one instant: joined by line feeds, compressed with zstd. A message holds no
    /// line feed.
    ZstdLines(Vec<u8>),
    /// Messages one behind the other in `bytes`, each with its place. Offsets without one hold no message: tombstones,
    /// markers of transactions, what was compacted away.
    Placed {
        /// All messages.
        bytes: Vec<u8>,
        /// The place of each, offsets ascending.
        places: Vec<MessagePlace>,
    },
}

/// Where a message of a [`Body::Placed`] stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MessagePlace {
    /// Its offset.
    pub offset: i64,
    /// When the log recorded it.
    pub recorded_at: Instant,
    /// Where it ends in the bytes; the next one begins there.
    pub end: usize,
}

impl Body {
    /// As stored.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::One(bytes) | Body::ZstdLines(bytes) | Body::Placed { bytes, .. } => bytes,
        }
    }
}

/// The messages of a segment, unpacked.
#[derive(Debug)]
pub struct Messages<'a> {
    bytes: Cow<'a, [u8]>,
    places: Places<'a>,
}

#[derive(Debug)]
enum Places<'a> {
    /// One at each offset from the first on: the end of each in the bytes; a line feed lies between two.
    Lines {
        first_offset: i64,
        recorded_at: Instant,
        ends: Vec<u32>,
    },
    Each(&'a [MessagePlace]),
}

impl Segment {
    /// Offsets it covers.
    pub fn offsets(&self) -> std::ops::Range<i64> {
        self.first_offset..self.next_offset
    }

    /// Unpacks the messages.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the body is not what a writer of ours writes.
    pub fn messages(&self) -> Result<Messages<'_>> {
        let damaged = |what: String| Error::Damaged { offset: self.first_offset, what };
        let places = |ends| Places::Lines { first_offset: self.first_offset, recorded_at: self.recorded_at, ends };
        let lines = match &self.body {
            Body::One(message) => {
                return Ok(Messages { bytes: Cow::Borrowed(message), places: places(vec![message.len() as u32]) });
            }
            Body::Placed { bytes, places } => return Ok(Messages { bytes: Cow::Borrowed(bytes), places: Places::Each(places) }),
            Body::ZstdLines(packed) => unpack(packed).map_err(|e| damaged(format!("its messages can't be unpacked: {e}")))?,
        };
        let count = (self.next_offset - self.first_offset) as usize;
        let mut ends = Vec::with_capacity(count);
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
        if ends.len() < count {
            ends.push(lines.len() as u32);
        }
        if ends.len() != count || ends.last().is_some_and(|end| (*end as usize) + 1 < lines.len()) {
            return Err(damaged(format!("it says {count} messages and has another number of lines")));
        }
        Ok(Messages { bytes: Cow::Owned(lines), places: places(ends) })
    }
}

impl Messages<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match &self.places {
            Places::Lines { ends, .. } => ends.len(),
            Places::Each(places) => places.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each message with its offset and when it was recorded, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Instant, &[u8])> {
        (0..self.len()).map(|i| self.nth(i))
    }

    /// The message at `offset` and when it was recorded.
    pub fn at(&self, offset: i64) -> Option<(Instant, &[u8])> {
        let i = match &self.places {
            Places::Lines { first_offset, .. } => usize::try_from(offset - first_offset).ok().filter(|i| *i < self.len())?,
            Places::Each(places) => places.binary_search_by_key(&offset, |place| place.offset).ok()?,
        };
        let (_, recorded_at, message) = self.nth(i);
        Some((recorded_at, message))
    }

    /// Bytes of all messages together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn nth(&self, i: usize) -> (i64, Instant, &[u8]) {
        match &self.places {
            Places::Lines { first_offset, recorded_at, ends } => {
                let start = if i == 0 { 0 } else { ends[i - 1] as usize + 1 };
                (first_offset + i as i64, *recorded_at, &self.bytes[start..ends[i] as usize])
            }
            Places::Each(places) => {
                let start = if i == 0 { 0 } else { places[i - 1].end };
                (places[i].offset, places[i].recorded_at, &self.bytes[start..places[i].end])
            }
        }
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
