//! A Parquet file, compressed with zstd.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::arrow_stream::{plain, plain_schema};
use super::{Encoder, Fault};

pub(super) struct ParquetFile {
    schema: SchemaRef,
    /// `None` once the footer is written.
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl ParquetFile {
    pub fn new(schema: &SchemaRef) -> Result<Self, Fault> {
        let schema = plain_schema(schema);
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
        Ok(ParquetFile { schema, writer: Some(writer) })
    }
}

impl Encoder for ParquetFile {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, Fault> {
        if let Some(writer) = &mut self.writer {
            writer.write(&plain(batch, &self.schema)?)?;
        }
        // A file's offsets count from its start, so the bytes stay with the writer until the end.
        Ok(Bytes::new())
    }

    fn end(&mut self) -> Result<Bytes, Fault> {
        match self.writer.take() {
            Some(writer) => Ok(writer.into_inner()?.into()),
            None => Ok(Bytes::new()),
        }
    }
}
