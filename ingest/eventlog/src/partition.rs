//! The parts of a log that are read each in its own order.

use std::fmt;
use std::str::FromStr;

use event::{Stream, Table};
use serde::{Serialize, Serializer};

/// A partition of the log: of the whole log where all streams share one sequence (the outbox), else of one stream's topic.
/// Written `0` or `orders/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The stream whose topic it belongs to; `None` where all streams share one sequence.
    pub stream: Option<Stream>,
    /// Its number; the `log_partition` of its rows.
    pub number: i32,
}

impl Partition {
    /// The one partition of a log in which all streams share one sequence.
    pub const WHOLE: Partition = Partition { stream: None, number: 0 };

    /// A partition of a stream's topic.
    pub const fn of(stream: Stream, number: i32) -> Self {
        Partition { stream: Some(stream), number }
    }

    /// Whether rows of `table` come from it: all of the whole log's, else those of the stream's table and dead letters.
    pub fn feeds(self, table: Table) -> bool {
        match (self.stream, table) {
            (None, _) | (_, Table::DeadLetters) => true,
            (Some(stream), Table::Events(of)) => stream == of,
        }
    }

    /// What people call it: `the log`, or `the log's partition orders/3`.
    pub fn log(self) -> String {
        match self.stream {
            None => "the log".to_owned(),
            Some(_) => format!("the log's partition {self}"),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stream {
            None => write!(f, "{}", self.number),
            Some(stream) => write!(f, "{stream}/{}", self.number),
        }
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no partition, such as 0 or orders/3");
        let (stream, number) = match text.split_once('/') {
            Some((stream, number)) => (Some(stream.parse().map_err(|_| wrong())?), number),
            None => (None, text),
        };
        let number = number.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)?;
        Ok(Partition { stream, number })
    }
}

impl Serialize for Partition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_reads_back() {
        let read = |text: &str| text.parse::<Partition>().map_or_else(|e| e, |p| p.to_string());
        for text in ["0", "7", "orders/3"] {
            assert_eq!(read(text), text);
        }
        assert_eq!(read("order/3"), "`order/3` is no partition, such as 0 or orders/3");
        assert_eq!(read("-1"), "`-1` is no partition, such as 0 or orders/3");
        assert_eq!(read("orders/"), "`orders/` is no partition, such as 0 or orders/3");
    }

    #[test]
    fn a_topic_feeds_its_table_and_the_dead_letters() {
        let fed = |p: Partition| Table::all().filter(|t| p.feeds(*t)).map(Table::name).collect::<Vec<_>>().join(" ");
        assert_eq!(fed(Partition::of(Stream::Orders, 3)), "orders dead_letters");
        assert_eq!(fed(Partition::WHOLE).split(' ').count(), Table::all().count());
    }
}
