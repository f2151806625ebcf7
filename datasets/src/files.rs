//! Writes chunks to files: one NDJSON or one Parquet file per stream.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{Event, Instant, Place, Rows, Stream};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::Chunk;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// `<stream>.ndjson`, one message per line.
    Ndjson,
    /// `<stream>.parquet` of the lake's schema; `recorded_at` is `occurred_at`, offsets count per stream.
    Parquet,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system said no.
    #[error("could not write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The Parquet writer said no.
    #[error("could not write {}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: parquet::errors::ParquetError,
    },
    /// A message that is no event.
    #[error("a message for {} is no event", path.display())]
    Message {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: event::Fault,
    },
}

/// Rows per batch and, as in the lake, per row group.
const ROW_GROUP_ROWS: usize = 128 * 1024;

#[derive(Debug)]
enum Sink {
    Ndjson(BufWriter<File>),
    Parquet { writer: Box<ArrowWriter<File>>, rows: Box<Rows>, offset: i64 },
}

/// One file per stream in a folder. A stream without events gets no file.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    format: FileFormat,
    sinks: [Option<Sink>; Stream::ALL.len()],
}

impl Files {
    /// Files in `folder`, which is made if it is not there. Files of the same names are replaced.
    pub fn create(folder: &Path, format: FileFormat) -> Result<Self, FileError> {
        fs::create_dir_all(folder).map_err(|source| FileError::Write { path: folder.to_owned(), source })?;
        Ok(Files { folder: folder.to_owned(), format, sinks: Default::default() })
    }

    fn path(&self, stream: Stream) -> PathBuf {
        let ending = match self.format {
            FileFormat::Ndjson => "ndjson",
            FileFormat::Parquet => "parquet",
        };
        self.folder.join(format!("{stream}.{ending}"))
    }

    fn open(&self, stream: Stream) -> Result<Sink, FileError> {
        let path = self.path(stream);
        let file = File::create(&path).map_err(|source| FileError::Write { path: path.clone(), source })?;
        match self.format {
            FileFormat::Ndjson => Ok(Sink::Ndjson(BufWriter::with_capacity(1 << 20, file))),
            FileFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(file, Arc::clone(&stream.schema()), Some(properties))
                    .map_err(|source| FileError::Parquet { path, source })?;
                Ok(Sink::Parquet { writer: Box::new(writer), rows: Box::new(Rows::new(stream)), offset: 0 })
            }
        }
    }

    /// Appends a chunk to its stream's file.
    pub fn write(&mut self, chunk: &Chunk) -> Result<(), FileError> {
        let path = self.path(chunk.stream);
        if self.sinks[chunk.stream as usize].is_none() {
            self.sinks[chunk.stream as usize] = Some(self.open(chunk.stream)?);
        }
        match &mut self.sinks[chunk.stream as usize] {
            Some(Sink::Ndjson(out)) => out
                .write_all(&chunk.lines)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|source| FileError::Write { path, source }),
            Some(Sink::Parquet { writer, rows, offset }) => {
                for message in chunk.messages() {
                    let event = Event::decode(chunk.stream, message, Instant(i64::MAX))
                        .map_err(|source| FileError::Message { path: path.clone(), source })?;
                    rows.push(&event, Place { partition: 0, offset: *offset, recorded_at: event.occurred_at().at });
                    *offset += 1;
                }
                if rows.len() < ROW_GROUP_ROWS {
                    return Ok(());
                }
                writer.write(&rows.finish()).map_err(|source| FileError::Parquet { path, source })
            }
            None => Ok(()),
        }
    }

    /// Finishes the files.
    pub fn close(mut self) -> Result<(), FileError> {
        for stream in Stream::ALL {
            let path = self.path(stream);
            match self.sinks[stream as usize].take() {
                Some(Sink::Ndjson(mut out)) => out.flush().map_err(|source| FileError::Write { path, source })?,
                Some(Sink::Parquet { mut writer, mut rows, .. }) => {
                    let last = rows.finish();
                    writer.write(&last).and_then(|()| writer.close()).map_err(|source| FileError::Parquet { path, source })?;
                }
                None => {}
            }
        }
        Ok(())
    }
}
