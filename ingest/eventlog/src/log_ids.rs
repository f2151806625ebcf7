//! Which log filled a table of the lake.

use std::collections::BTreeMap;

use event::{Stream, Table};

use crate::Partition;

/// The table property that names the log a table is filled from; of a log with a topic per stream, `hexiao.log.<stream>`
/// names each topic that feeds the table.
const PROPERTY: &str = "hexiao.log";

/// The ids of a log: one where all streams share one sequence, else one per stream's topic. A log or a topic that is made
/// anew has another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogIds(pub BTreeMap<Option<Stream>, String>);

impl LogIds {
    /// The id of a log in which all streams share one sequence.
    pub fn single(id: impl Into<String>) -> Self {
        LogIds(BTreeMap::from([(None, id.into())]))
    }

    /// The id of the log, or of the topic, that a partition belongs to.
    pub fn of(&self, partition: Partition) -> Option<&str> {
        self.0.get(&partition.stream).map(String::as_str)
    }

    /// The name under which a commit of the lake records how far a partition was read.
    pub fn app_id(&self, partition: Partition) -> Option<String> {
        self.of(partition).map(|id| app_id(id, partition.number))
    }

    /// The ids of what feeds `table`.
    pub fn feeding(&self, table: Table) -> LogIds {
        let feeds = |stream: Option<Stream>| Partition { stream, number: 0 }.feeds(table);
        LogIds(self.0.iter().filter(|(stream, _)| feeds(**stream)).map(|(stream, id)| (*stream, id.clone())).collect())
    }

    /// As properties of a table.
    pub fn properties(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().map(|(stream, id)| (property(*stream), id.clone()))
    }

    /// The ids that stand in a table's properties. What no stream of this build is named by is left out.
    pub fn from_properties(value: impl Fn(&str) -> Option<String>) -> Self {
        let streams = [None].into_iter().chain(Stream::ALL.map(Some));
        LogIds(streams.filter_map(|stream| Some((stream, value(&property(stream))?))).collect())
    }
}

/// `0a1b…`, or `orders 0a1b…, redemptions 2c3d…`.
impl std::fmt::Display for LogIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |(stream, id): (&Option<Stream>, &String)| match stream {
            None => id.clone(),
            Some(stream) => format!("{stream} {id}"),
        };
        match self.0.is_empty() {
            true => f.write_str("(none)"),
            false => f.write_str(&self.0.iter().map(told).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn property(stream: Option<Stream>) -> String {
    stream.map_or_else(|| PROPERTY.to_owned(), |stream| format!("{PROPERTY}.{stream}"))
}

/// The name under which a commit of the lake records how far a partition of a log or topic was read.
pub fn app_id(log_id: &str, number: i32) -> String {
    format!("{log_id}/{number}")
}
