//! Runs of messages of one stream, on their way to a log or a file.

use std::collections::VecDeque;

use event::Stream;

/// A chunk has at most as many messages as one segment of the log.
pub const CHUNK_EVENTS: u32 = 4096;

/// A run of messages of one stream, in the order of `occurred_at`.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Their stream.
    pub stream: Stream,
    /// How many there are, at most [`CHUNK_EVENTS`].
    pub count: u32,
    /// The messages, joined by line feeds, without one at the end.
    pub lines: Vec<u8>,
}

impl Chunk {
    fn new(stream: Stream) -> Self {
        Chunk { stream, count: 0, lines: Vec::new() }
    }

    /// The messages one by one.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.split(|b| *b == b'\n').filter(|line| !line.is_empty())
    }

    /// The lines compressed with zstd, as a segment of the log holds them. Level 1: as small as level 3 on these lines, and
    /// the fastest.
    pub fn compress(&self) -> Vec<u8> {
        zstd::bulk::compress(&self.lines, 1).expect("compressing memory into memory fails only without memory")
    }
}

/// Collects messages into chunks, one open chunk per stream.
#[derive(Debug)]
pub(crate) struct Chunks {
    open: [Chunk; Stream::ALL.len()],
    ready: VecDeque<Chunk>,
    total: u64,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Chunks { open: Stream::ALL.map(Chunk::new), ready: VecDeque::new(), total: 0 }
    }

    /// Adds one message, which `write` appends to what it is given.
    pub(crate) fn push(&mut self, stream: Stream, write: impl FnOnce(&mut Vec<u8>)) {
        let chunk = &mut self.open[stream as usize];
        if chunk.count > 0 {
            chunk.lines.push(b'\n');
        }
        write(&mut chunk.lines);
        chunk.count += 1;
        self.total += 1;
        if chunk.count == CHUNK_EVENTS {
            // The next chunk of the stream will be about as long.
            let next = Chunk { stream, count: 0, lines: Vec::with_capacity(chunk.lines.len() + chunk.lines.len() / 16) };
            self.ready.push_back(std::mem::replace(chunk, next));
        }
    }

    /// Closes every open chunk that has messages.
    pub(crate) fn flush(&mut self) {
        for chunk in &mut self.open {
            if chunk.count > 0 {
                let stream = chunk.stream;
                self.ready.push_back(std::mem::replace(chunk, Chunk::new(stream)));
            }
        }
    }

    /// The next full chunk.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// Whether a chunk is full.
    pub(crate) fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Messages so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}
