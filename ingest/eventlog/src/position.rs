//! How far a log was read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use event::{Stream, Table};

use crate::Partition;

/// The next offset per partition: everything below it is included, nothing at or above it. Written `0:1234`, or
/// `orders/3:17,redemptions/0:4`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub BTreeMap<Partition, i64>);

impl Position {
    /// The next offset of one partition; 0 for one that was never read.
    pub fn next(&self, partition: Partition) -> i64 {
        self.0.get(&partition).copied().unwrap_or(0)
    }

    /// A position in a log of one partition, the embedded one.
    pub fn single(next_offset: i64) -> Self {
        Position(BTreeMap::from([(Partition::WHOLE, next_offset)]))
    }

    /// Whether everything below `other` is included here too.
    pub fn covers(&self, other: &Position) -> bool {
        other.0.iter().all(|(partition, next)| self.next(*partition) >= *next)
    }

    /// Moves one partition on; never back.
    pub fn advance(&mut self, partition: Partition, next_offset: i64) {
        let at = self.0.entry(partition).or_insert(0);
        *at = (*at).max(next_offset);
    }

    /// The part of it that says how far `table` is.
    pub fn feeding(&self, table: Table) -> Position {
        Position(self.0.iter().filter(|(partition, _)| partition.feeds(table)).map(|(p, next)| (*p, *next)).collect())
    }

    /// Where a row of `stream` was read whose `log_partition` is `number`: the stream's own partition if this position has
    /// it, else the whole log's.
    pub fn of_row(&self, stream: Stream, number: i32) -> Partition {
        let own = Partition::of(stream, number);
        if self.0.contains_key(&own) { own } else { Partition { stream: None, number } }
    }

    /// How many offsets `other` is ahead, all partitions together; where it is behind counts nothing.
    pub fn lag(&self, other: &Position) -> i64 {
        other.0.iter().map(|(partition, next)| (next - self.next(*partition)).max(0)).sum()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (partition, next)) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{partition}:{next}")?;
        }
        Ok(())
    }
}

/// Reads what `Display` writes; a bare offset is one of the partition `0`.
impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut position = Position::default();
        for part in text.split(',').map(str::trim) {
            let (partition, next) = part.split_once(':').unwrap_or(("0", part));
            let wrong = || format!("`{next}` is no offset");
            let next = next.parse().ok().filter(|next: &i64| *next >= 0).ok_or_else(wrong)?;
            position.advance(partition.parse()?, next);
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn a_position_reads_back() {
        fn check(text: &str, expected: Expect) {
            expected.assert_eq(&text.parse::<Position>().map_or_else(|e| e, |p| p.to_string()));
        }
        check("0:12", expect!["0:12"]);
        check("12", expect!["0:12"]);
        check("0:12, 3:4", expect!["0:12,3:4"]);
        check("redemptions/0:4,orders/3:17", expect!["orders/3:17,redemptions/0:4"]);
        check("0:-1", expect!["`-1` is no offset"]);
        check("", expect!["`` is no offset"]);
        check("x:1", expect!["`x` is no partition, such as 0 or orders/3"]);
    }

    #[test]
    fn a_row_belongs_to_its_topic_or_to_the_whole_log() {
        let (orders, whole) = (Partition::of(Stream::Orders, 1), Partition { stream: None, number: 1 });
        let position = Position(BTreeMap::from([(orders, 5)]));
        assert_eq!(position.of_row(Stream::Orders, 1), orders);
        assert_eq!(position.of_row(Stream::Members, 1), whole);
        assert_eq!(Position::single(5).of_row(Stream::Orders, 1), whole);
    }

    #[test]
    fn a_table_is_fed_by_its_own_partitions() {
        let position: Position = "orders/0:1,orders/1:2,members/0:3".parse().unwrap();
        assert_eq!(position.feeding(Table::Events(Stream::Orders)).to_string(), "orders/0:1,orders/1:2");
        assert_eq!(position.feeding(Table::DeadLetters), position);
        assert_eq!(Position::single(4).feeding(Table::Events(Stream::Orders)), Position::single(4));
    }
}
