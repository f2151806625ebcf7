//! Arrow IPC stream. Views become plain text and bytes, which every reader knows.

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use std::sync::Arc;

use super::{Encoder, Fault};

pub(super) struct ArrowStream {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub fn new(schema: &SchemaRef) -> Result<Self, Fault> {
        let schema = plain_schema(schema);
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        Ok(ArrowStream { schema, writer })
    }
}

impl Encoder for ArrowStream {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, Fault> {
        self.writer.write(&plain(batch, &self.schema)?)?;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }

    fn end(&mut self) -> Result<Bytes, Fault> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }
}

/// The schema without views.
pub(super) fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    let plain = |f: &Field| match f.data_type() {
        DataType::Utf8View => f.clone().with_data_type(DataType::Utf8),
        DataType::BinaryView => f.clone().with_data_type(DataType::Binary),
        _ => f.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(|f| plain(f)).collect::<Vec<_>>()))
}

/// The batch in the schema without views.
pub(super) fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}
