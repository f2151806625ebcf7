//! The streams: one topic, one lake table each.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::record::{Column, Contract};
use crate::streams::*;

/// A stream of events: one topic of the log and one table of the lake, by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stream {
    /// Sales and what becomes of them besides redemption.
    Orders,
    /// Units redeemed, reversed, adjusted.
    Redemptions,
    /// Attempts that were refused.
    Refusals,
    /// Units and slots held.
    Bookings,
    /// Members; the only stream with personal fields.
    Members,
    /// What the chain is: stores, products, people, hours, rules.
    Catalog,
    /// Periods, recommendations, schedules.
    Decisions,
}

impl Stream {
    /// Every stream, in the order of their numbers.
    pub const ALL: [Stream; 7] = [
        Stream::Orders,
        Stream::Redemptions,
        Stream::Refusals,
        Stream::Bookings,
        Stream::Members,
        Stream::Catalog,
        Stream::Decisions,
    ];

    /// The topic's and the table's name.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Orders => "orders",
            Stream::Redemptions => "redemptions",
            Stream::Refusals => "refusals",
            Stream::Bookings => "bookings",
            Stream::Members => "members",
            Stream::Catalog => "catalog",
            Stream::Decisions => "decisions",
        }
    }

    /// What its messages are.
    pub fn contract(self) -> &'static Contract {
        match self {
            Stream::Orders => &Order::CONTRACT,
            Stream::Redemptions => &Redemption::CONTRACT,
            Stream::Refusals => &Refusal::CONTRACT,
            Stream::Bookings => &Booking::CONTRACT,
            Stream::Members => &Member::CONTRACT,
            Stream::Catalog => &CatalogEntry::CONTRACT,
            Stream::Decisions => &Decision::CONTRACT,
        }
    }

    /// The stream's own fields, beside the envelope.
    pub fn columns(self) -> &'static [Column] {
        self.contract().columns
    }

    /// Whether the table is partitioned by business month. Members and catalog are rewritten and read whole.
    pub fn partitioned(self) -> bool {
        !matches!(self, Stream::Members | Stream::Catalog)
    }

    /// The columns every file of the table is sorted by.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Stream::Orders => &["sold_store_id", "occurred_at"],
            Stream::Redemptions => &["redeemed_store_id", "occurred_at"],
            Stream::Refusals => &["store_id", "occurred_at"],
            Stream::Bookings => &["booked_store_id", "occurred_at"],
            Stream::Members => &["member_id", "occurred_at"],
            Stream::Catalog => &["kind", "id"],
            Stream::Decisions => &["occurred_at"],
        }
    }

    /// The columns that point look-ups go by; they get Bloom filters.
    pub fn lookup_columns(self) -> &'static [&'static str] {
        match self {
            Stream::Orders | Stream::Redemptions | Stream::Bookings => &["order_id", "member_id", "entitlement_id"],
            Stream::Refusals => &["member_id", "entitlement_id"],
            Stream::Members => &["member_id"],
            Stream::Catalog | Stream::Decisions => &[],
        }
    }

    /// The schema of the lake's table: envelope, business time, place in the log, the stream's own fields, and last the
    /// partition column `month` (`YYYY-MM`) where the table has one.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 7]> = LazyLock::new(|| Stream::ALL.map(build_schema));
        SCHEMAS[self as usize].clone()
    }
}

/// The type of every instant of the lake.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn build_schema(stream: Stream) -> SchemaRef {
    let mut fields = vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("event_id", DataType::Int64, false),
        Field::new("type", DataType::Utf8, false),
        Field::new("occurred_at", timestamp(), false),
        Field::new("utc_offset_min", DataType::Int16, false),
        Field::new("schema_version", DataType::Int16, false),
        Field::new("business_day", DataType::Date32, false),
        Field::new("local_hour", DataType::Int8, false),
        Field::new("weekday", DataType::Int8, false),
        Field::new("recorded_at", timestamp(), false),
        Field::new("log_partition", DataType::Int32, false),
        Field::new("log_offset", DataType::Int64, false),
    ];
    fields.extend(stream.columns().iter().map(|c| Field::new(c.name, c.kind.data_type(), true)));
    if stream.partitioned() {
        fields.push(Field::new("month", DataType::Utf8, false));
    }
    Arc::new(Schema::new(fields))
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stream {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Stream::ALL
            .into_iter()
            .find(|stream| stream.name() == s)
            .ok_or_else(|| format!("there is no stream `{s}`; there are {}", Stream::ALL.map(Stream::name).join(", ")))
    }
}

/// A table of the lake: a stream's, or the dead letters'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// The events of a stream.
    Events(Stream),
    /// What could not be an event.
    DeadLetters,
}

impl Table {
    /// Every table; the dead letters last.
    pub fn all() -> impl Iterator<Item = Table> {
        Stream::ALL.into_iter().map(Table::Events).chain([Table::DeadLetters])
    }

    /// Its name, and its folder in the lake.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events(stream) => stream.name(),
            Table::DeadLetters => crate::DEAD_LETTERS,
        }
    }

    /// Its schema, with the partition column `month` last where it has one.
    pub fn schema(self) -> SchemaRef {
        match self {
            Table::Events(stream) => stream.schema(),
            Table::DeadLetters => crate::dead_letter_schema(),
        }
    }

    /// Whether it is partitioned by `month`.
    pub fn partitioned(self) -> bool {
        matches!(self, Table::Events(stream) if stream.partitioned())
    }

    /// The columns every file is sorted by, ascending, nulls last.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Table::Events(stream) => stream.sort_columns(),
            Table::DeadLetters => &["log_offset"],
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
