//! `system.*`: versions, files and lag of the View a statement sees, and the catalogue of relations and reports.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use event::{Instant, Stream};

use crate::library::Sources;
use crate::view::View;

/// The tables of the schema.
pub(crate) const TABLES: [&str; 7] = ["files", "lag", "log", "report_parameters", "reports", "versions", "views"];

/// What the View does not know itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub now: Instant,
}

/// A table by name.
pub(crate) fn table(name: &str, view: &View, sources: &Sources, facts: &Facts) -> Result<Option<Arc<dyn TableProvider>>> {
    let batch = match name {
        "versions" => versions(view)?,
        "files" => files(view)?,
        "lag" => lag(view, facts)?,
        "log" => log(view)?,
        "views" => catalogue(sources.views.values())?,
        "reports" => catalogue(sources.reports.values())?,
        "report_parameters" => parameters(sources)?,
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
}

fn text<S: AsRef<str>>(values: impl IntoIterator<Item = Option<S>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringViewArray>())
}

fn int(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

fn instant(values: impl IntoIterator<Item = Option<Instant>>) -> ArrayRef {
    let micros = values.into_iter().map(|at| at.map(|at| at.0)).collect::<TimestampMicrosecondArray>();
    Arc::new(micros.with_timezone("UTC"))
}

/// One row per table: its Delta version, how far the log is in it, its size, and its rows in the tail.
fn versions(view: &View) -> Result<RecordBatch> {
    let tables: Vec<_> = view.tables.iter().collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("table_name", text(tables.iter().map(|(t, _)| Some(t.name()))), false),
        ("version", int(tables.iter().map(|(_, t)| t.lake.version.map(|v| v as i64))), true),
        ("log_position", text(tables.iter().map(|(_, t)| t.lake.version.map(|_| t.lake.upto.to_string()))), true),
        ("files", int(tables.iter().map(|(_, t)| Some(t.lake.files.len() as i64))), false),
        ("rows", int(tables.iter().map(|(_, t)| Some(t.lake.files.iter().map(|f| f.rows as i64).sum()))), false),
        ("bytes", int(tables.iter().map(|(_, t)| Some(t.lake.files.iter().map(|f| f.bytes as i64).sum()))), false),
        ("tail_rows", int(tables.iter().map(|(_, t)| Some(t.tail.rows() as i64))), false),
    ])?)
}

/// One row per partition of the log: everything below `committed` is in the lake, in every table that it feeds, and everything
/// below `visible` in the answer; what lies between comes from the tail.
fn log(view: &View) -> Result<RecordBatch> {
    let (committed, visible) = (view.committed_everywhere(), &view.position.0);
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("log_partition", text(visible.keys().map(|partition| Some(partition.to_string()))), false),
        ("committed", int(visible.keys().map(|partition| Some(committed.next(*partition)))), false),
        ("visible", int(visible.values().map(|next| Some(*next))), false),
    ])?)
}

/// One row per data file.
fn files(view: &View) -> Result<RecordBatch> {
    let files: Vec<_> = view.tables.iter().flat_map(|(t, v)| v.lake.files.iter().map(move |f| (t, f))).collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("table_name", text(files.iter().map(|(t, _)| Some(t.name()))), false),
        ("path", text(files.iter().map(|(_, f)| Some(&f.path))), false),
        ("month", text(files.iter().map(|(_, f)| f.month.as_ref())), true),
        ("rows", int(files.iter().map(|(_, f)| Some(f.rows as i64))), false),
        ("bytes", int(files.iter().map(|(_, f)| Some(f.bytes as i64))), false),
    ])?)
}

/// One row per partition of the log: up to where it is included, and how old the newest entry included is.
fn lag(view: &View, facts: &Facts) -> Result<RecordBatch> {
    let partitions: Vec<_> = view.position.0.iter().collect();
    let same = |value| std::iter::repeat_n(value, partitions.len());
    let lag_ms = view.as_of.map(|at| (facts.now.0 - at.0) / 1000);
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("log_partition", Arc::new(Int32Array::from_iter_values(partitions.iter().map(|(p, _)| p.number))) as ArrayRef, false),
        ("stream", text(partitions.iter().map(|(p, _)| p.stream.map(Stream::name))), true),
        ("next_offset", int(partitions.iter().map(|(_, next)| Some(**next))), false),
        ("as_of", instant(same(view.as_of)), true),
        ("now", instant(partitions.iter().map(|_| Some(facts.now))), false),
        ("lag_ms", int(partitions.iter().map(|_| lag_ms)), true),
    ])?)
}

fn catalogue<'a>(sources: impl Iterator<Item = &'a Arc<crate::source::Source>> + Clone) -> Result<RecordBatch> {
    let roles = |s: &crate::source::Source| s.roles.iter().map(|r| r.role.as_str()).collect::<Vec<_>>().join(", ");
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("name", text(sources.clone().map(|s| Some(&s.name))), false),
        ("title", text(sources.clone().map(|s| Some(&s.title))), false),
        ("grain", text(sources.clone().map(|s| Some(&s.grain))), false),
        ("doc", text(sources.clone().map(|s| Some(&s.doc))), false),
        ("roles", text(sources.clone().map(|s| Some(roles(s)))), false),
        ("sql", text(sources.map(|s| Some(&s.sql))), false),
    ])?)
}

fn parameters(sources: &Sources) -> Result<RecordBatch> {
    let all: Vec<_> = sources.reports.values().flat_map(|r| r.parameters.iter().map(move |p| (&r.name, p))).collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("report", text(all.iter().map(|(r, _)| Some(r))), false),
        ("name", text(all.iter().map(|(_, p)| Some(&p.name))), false),
        ("type", text(all.iter().map(|(_, p)| Some(format!("{:?}", p.r#type).to_lowercase()))), false),
        ("choices", text(all.iter().map(|(_, p)| Some(p.choices.join(", ")))), false),
        ("default_value", text(all.iter().map(|(_, p)| p.default.as_ref())), true),
        ("doc", text(all.iter().map(|(_, p)| Some(&p.doc))), false),
    ])?)
}
