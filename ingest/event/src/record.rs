//! What a stream's record is made of, and the one macro that turns its declaration into struct, columns, checks, key and row
//! builder.

use arrow::datatypes::{DataType, Field};

use crate::stream::timestamp;
use crate::streams::*;
use crate::{Fault, Instant, Moment, Stream};

/// The newest version of the messages this build understands.
pub const SCHEMA_VERSION: i16 = 1;

/// A message may have 1 MiB: the largest real one, an order line with a thousand applicable stores, has about 20 KiB.
pub const MESSAGE_BYTES_LIMIT: usize = 1 << 20;

/// Money beyond ±10^13 fen is an error: that is 100 billion yuan, more than a chain turns over in its life, and sums of 10^5
/// such amounts fit in 64 bits.
pub(crate) const FEN_LIMIT: i64 = 10_000_000_000_000;

/// Longitudes end at ±180 degrees.
pub(crate) const DEGREES_LIMIT: i64 = 180;

/// Hours a business day may start at.
const DAY_START_HOURS: (i64, i64) = (0, 23);

/// The kind of a field: its JSON form and its Arrow type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 64-bit id; a string in JSON.
    Id,
    /// Text.
    Text,
    /// A small whole number: counts, minutes, ordinals, basis points.
    Int,
    /// Money in fen.
    Fen,
    /// True or false.
    Flag,
    /// An instant; RFC 3339 in JSON.
    Instant,
    /// A day; `YYYY-MM-DD` in JSON.
    Day,
    /// Degrees of latitude or longitude.
    Degrees,
    /// A list of text ids.
    Texts,
    /// A list of small whole numbers.
    Ints,
}

impl Kind {
    /// The Arrow type in the lake.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Id | Kind::Fen => DataType::Int64,
            Kind::Text => DataType::Utf8,
            Kind::Int => DataType::Int32,
            Kind::Flag => DataType::Boolean,
            Kind::Instant => timestamp(),
            Kind::Day => DataType::Date32,
            Kind::Degrees => DataType::Float64,
            Kind::Texts => DataType::List(Field::new_list_field(DataType::Utf8, true).into()),
            Kind::Ints => DataType::List(Field::new_list_field(DataType::Int32, true).into()),
        }
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in JSON and in the lake.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// The least and the greatest value, where they are narrower than the kind's.
    pub range: Option<(i64, i64)>,
    /// What it means, one sentence.
    pub doc: &'static str,
}

impl Column {
    /// The least and the greatest value, where the field is a number or a list of numbers.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        self.range.or(match self.kind {
            Kind::Id => Some((i64::MIN, i64::MAX)),
            Kind::Int | Kind::Ints => Some((i32::MIN.into(), i32::MAX.into())),
            Kind::Fen => Some((-FEN_LIMIT, FEN_LIMIT)),
            Kind::Degrees => Some((-DEGREES_LIMIT, DEGREES_LIMIT)),
            Kind::Text | Kind::Flag | Kind::Instant | Kind::Day | Kind::Texts => None,
        })
    }
}

/// The fields that every message has before its stream's own; the first [`ENVELOPE_REQUIRED`] have no value that could stand
/// in for them.
pub const ENVELOPE: [Column; 6] = [
    Column { name: "source", kind: Kind::Text, range: None, doc: "Who produced the event; with `event_id` its identity (R20)." },
    Column {
        name: "event_id",
        kind: Kind::Id,
        range: None,
        doc: "Unique within the source; a second message with it changes nothing.",
    },
    Column { name: "type", kind: Kind::Text, range: None, doc: "What happened." },
    Column {
        name: "occurred_at",
        kind: Kind::Instant,
        range: None,
        doc: "When, with the store's own offset; from 2000 on, and at most 24 h ahead.",
    },
    Column {
        name: "schema_version",
        kind: Kind::Int,
        range: Some((1, SCHEMA_VERSION as i64)),
        doc: "Version of the message's meaning; 1 if left out.",
    },
    Column {
        name: "day_start_hour",
        kind: Kind::Int,
        range: Some(DAY_START_HOURS),
        doc: "Hour at which the store's business day starts; 4 if left out.",
    },
];

/// How many of [`ENVELOPE`] every message must have.
pub const ENVELOPE_REQUIRED: usize = 4;

/// What the messages of a stream are, as its record declares it.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// What one message is, a sentence or two.
    pub doc: &'static str,
    /// The stream's own fields, in the lake's order.
    pub columns: &'static [Column],
    /// What its messages may be.
    pub types: &'static [EventType],
    /// What some types need more, by the value of a field.
    pub cases: &'static [Case],
    /// Forms of the log's key, `{field}` standing for a field's value: the first whose fields are there is taken.
    pub key: &'static [&'static str],
}

/// A type of event.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    /// The value of `type`.
    pub name: &'static str,
    /// What happened, one sentence.
    pub doc: &'static str,
    /// Fields of its stream that it must have, and not null.
    pub needs: &'static [&'static str],
}

/// What events of a type need more where `field` is `value`; the type knows no other values of the field than its cases'.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The type.
    pub event_type: &'static str,
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: &'static str,
    /// Fields that are needed then, and not null.
    pub needs: &'static [&'static str],
}

/// Any event.
#[allow(clippy::large_enum_variant, reason = "one event lives at a time, between decoding and its row")]
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// Of the stream `orders`.
    Order(Order<'a>),
    /// Of the stream `redemptions`.
    Redemption(Redemption<'a>),
    /// Of the stream `refusals`.
    Refusal(Refusal<'a>),
    /// Of the stream `bookings`.
    Booking(Booking<'a>),
    /// Of the stream `members`.
    Member(Member<'a>),
    /// Of the stream `catalog`.
    Catalog(CatalogEntry<'a>),
    /// Of the stream `decisions`.
    Decision(Decision<'a>),
}

/// Calls `$body` with `$record` bound to the record inside an [`Event`].
macro_rules! with_record {
    ($event:expr, $record:ident => $body:expr) => {
        match $event {
            $crate::Event::Order($record) => $body,
            $crate::Event::Redemption($record) => $body,
            $crate::Event::Refusal($record) => $body,
            $crate::Event::Booking($record) => $body,
            $crate::Event::Member($record) => $body,
            $crate::Event::Catalog($record) => $body,
            $crate::Event::Decision($record) => $body,
        }
    };
}

impl<'a> Event<'a> {
    /// Reads and checks one message of `stream` (R20). Fields it does not know are ignored; `recorded_at` bounds
    /// `occurred_at`.
    pub fn decode(stream: Stream, message: &'a [u8], recorded_at: Instant) -> Result<Self, Fault> {
        if message.len() > MESSAGE_BYTES_LIMIT {
            return Err(Fault::TooLong { bytes: message.len(), limit: MESSAGE_BYTES_LIMIT });
        }
        fn read<'a, T: serde::Deserialize<'a>>(stream: Stream, message: &'a [u8]) -> Result<T, Fault> {
            // Text is checked as a whole, which is several times as fast as string by string. What is no text is left to the
            // reader of bytes, which says where, but passes over what stands in fields that the record does not have.
            let record = match std::str::from_utf8(message) {
                Ok(text) => serde_json::from_str(text),
                Err(fault) => serde_json::from_slice(message).and_then(|_: T| Err(serde::de::Error::custom(fault))),
            };
            record.map_err(|e| match unmapped_reason(message) {
                Some(reason) => Fault::Unmapped { reason },
                None => Fault::Malformed { stream, message: e.to_string() },
            })
        }
        let event = match stream {
            Stream::Orders => Event::Order(read(stream, message)?),
            Stream::Redemptions => Event::Redemption(read(stream, message)?),
            Stream::Refusals => Event::Refusal(read(stream, message)?),
            Stream::Bookings => Event::Booking(read(stream, message)?),
            Stream::Members => Event::Member(read(stream, message)?),
            Stream::Catalog => Event::Catalog(read(stream, message)?),
            Stream::Decisions => Event::Decision(read(stream, message)?),
        };
        if event.event_type() == "unmapped" {
            return Err(Fault::Unmapped { reason: unmapped_reason(message).unwrap_or_default() });
        }
        event.check(recorded_at)?;
        Ok(event)
    }

    /// Whether the event says what its type must say, within sane bounds.
    pub fn check(&self, recorded_at: Instant) -> Result<(), Fault> {
        const DAY_MICROS: i64 = 86_400_000_000;
        let occurred_at = self.occurred_at().at;
        if occurred_at < Instant::Y2000 {
            return Err(Fault::TooEarly { field: "occurred_at", at: occurred_at });
        }
        if occurred_at.0 > recorded_at.0.saturating_add(DAY_MICROS) {
            return Err(Fault::TooLate { at: occurred_at, recorded_at });
        }
        with_record!(self, r => {
            if r.schema_version > SCHEMA_VERSION {
                return Err(Fault::NewerVersion { found: r.schema_version, known: SCHEMA_VERSION });
            }
            let (first, last) = DAY_START_HOURS;
            if let Some(hour) = r.day_start_hour.map(i64::from).filter(|h| !(first..=last).contains(h)) {
                return Err(Fault::OutOfRange { field: "day_start_hour", value: hour, allowed: "0..=23" });
            }
            r.check_ranges()?;
            r.check_type()
        })
    }

    /// The message: one line of flat JSON, without a line end.
    pub fn encode(&self, out: &mut Vec<u8>) {
        with_record!(self, r => serde_json::to_writer(out, r).expect("a record is plain data"));
    }

    /// The stream it belongs to.
    pub fn stream(&self) -> Stream {
        match self {
            Event::Order(_) => Stream::Orders,
            Event::Redemption(_) => Stream::Redemptions,
            Event::Refusal(_) => Stream::Refusals,
            Event::Booking(_) => Stream::Bookings,
            Event::Member(_) => Stream::Members,
            Event::Catalog(_) => Stream::Catalog,
            Event::Decision(_) => Stream::Decisions,
        }
    }

    /// Its identity, with [`Event::event_id`] (R20).
    pub fn source(&self) -> &str {
        with_record!(self, r => r.source.as_str())
    }

    /// Its identity within the source.
    pub fn event_id(&self) -> i64 {
        with_record!(self, r => r.event_id.0)
    }

    /// Its type.
    pub fn event_type(&self) -> &str {
        with_record!(self, r => r.r#type.as_str())
    }

    /// When it happened, with the store's offset.
    pub fn occurred_at(&self) -> Moment {
        with_record!(self, r => r.occurred_at)
    }

    /// The key that keeps what belongs together in order: the entitlement, else the order, else the terminal; for members
    /// the member, for catalog `kind/id`.
    pub fn key(&self) -> String {
        with_record!(self, r => r.log_key())
    }
}

/// The importer's reason, where a message is the wrapper of a row that could not be mapped.
fn unmapped_reason(message: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Wrapper {
        r#type: String,
        #[serde(default)]
        reason: String,
    }
    serde_json::from_slice::<Wrapper>(message).ok().filter(|w| w.r#type == "unmapped").map(|w| w.reason)
}

pub(crate) use with_record;

macro_rules! field_type {
    (Id, $a:lifetime) => { Option<$crate::Id> };
    (Text, $a:lifetime) => { Option<$crate::Text<$a>> };
    (Int, $a:lifetime) => { Option<i32> };
    (Fen, $a:lifetime) => { Option<i64> };
    (Flag, $a:lifetime) => { Option<bool> };
    (Instant, $a:lifetime) => { Option<$crate::Instant> };
    (Day, $a:lifetime) => { Option<$crate::Day> };
    (Degrees, $a:lifetime) => { Option<f64> };
    (Texts, $a:lifetime) => { Option<Vec<$crate::Text<$a>>> };
    (Ints, $a:lifetime) => { Option<Vec<i32>> };
}

macro_rules! builder_type {
    (Id) => { arrow::array::Int64Builder };
    (Text) => { arrow::array::StringBuilder };
    (Int) => { arrow::array::Int32Builder };
    (Fen) => { arrow::array::Int64Builder };
    (Flag) => { arrow::array::BooleanBuilder };
    (Instant) => { arrow::array::TimestampMicrosecondBuilder };
    (Day) => { arrow::array::Date32Builder };
    (Degrees) => { arrow::array::Float64Builder };
    (Texts) => { arrow::array::ListBuilder<arrow::array::StringBuilder> };
    (Ints) => { arrow::array::ListBuilder<arrow::array::Int32Builder> };
}

macro_rules! append_field {
    (Id, $b:expr, $v:expr) => {
        $b.append_option($v.map(|id| id.0))
    };
    (Text, $b:expr, $v:expr) => {
        $b.append_option($v.as_ref().map(|t| t.as_str()))
    };
    (Int, $b:expr, $v:expr) => {
        $b.append_option($v)
    };
    (Fen, $b:expr, $v:expr) => {
        $b.append_option($v)
    };
    (Flag, $b:expr, $v:expr) => {
        $b.append_option($v)
    };
    (Instant, $b:expr, $v:expr) => {
        $b.append_option($v.map(|t| t.0))
    };
    (Day, $b:expr, $v:expr) => {
        $b.append_option($v.map(|d| d.0))
    };
    (Degrees, $b:expr, $v:expr) => {
        $b.append_option($v)
    };
    (Texts, $b:expr, $v:expr) => {
        match &$v {
            Some(list) => {
                list.iter().for_each(|t| $b.values().append_value(t.as_str()));
                $b.append(true);
            }
            None => $b.append(false),
        }
    };
    (Ints, $b:expr, $v:expr) => {
        match &$v {
            Some(list) => {
                $b.values().append_slice(list);
                $b.append(true);
            }
            None => $b.append(false),
        }
    };
}

macro_rules! check_range {
    (Fen, $name:ident, $v:expr) => {
        if let Some(value) = $v.filter(|v| v.unsigned_abs() > $crate::record::FEN_LIMIT.unsigned_abs()) {
            return Err($crate::Fault::OutOfRange { field: stringify!($name), value, allowed: "±10^13 fen" });
        }
    };
    (Degrees, $name:ident, $v:expr) => {
        if let Some(value) = $v.filter(|v| !v.is_finite() || v.abs() > $crate::record::DEGREES_LIMIT as f64) {
            return Err($crate::Fault::OutOfRange { field: stringify!($name), value: value as i64, allowed: "±180 degrees" });
        }
    };
    (Int, $name:ident, $v:expr, $least:literal) => {
        if let Some(value) = $v.filter(|v| *v < $least) {
            let allowed = concat!($least, " and more");
            return Err($crate::Fault::OutOfRange { field: stringify!($name), value: value.into(), allowed });
        }
    };
    ($kind:ident, $name:ident, $v:expr) => {};
}

/// The least and the greatest value of a field that has a least one of its own.
macro_rules! range {
    () => {
        None
    };
    ($least:literal) => {
        Some(($least, i32::MAX as i64))
    };
}

/// The log's key of a record: `prefix:value` of the first field that is there, or the values of two fields.
macro_rules! log_key {
    ($record:expr; $($prefix:literal: $field:ident),+) => {{
        $(if let Some(value) = &$record.$field {
            return format!(concat!($prefix, ":{}"), value);
        })+
        String::new()
    }};
    ($record:expr; $kind:ident / $id:ident) => {
        format!("{}/{}", $record.$kind.as_deref().unwrap_or_default(), $record.$id.as_deref().unwrap_or_default())
    };
}

/// The forms that [`log_key`] gives.
macro_rules! key_forms {
    ($($prefix:literal: $field:ident),+) => {
        &[$(concat!($prefix, ":{", stringify!($field), "}")),+]
    };
    ($kind:ident / $id:ident) => {
        &[concat!("{", stringify!($kind), "}/{", stringify!($id), "}")]
    };
}

/// Declares a record: the struct with its envelope, its columns, what its types need, its key, and the builder of its rows.
///
/// `units: Int from 1` is a field whose least value is 1. `"sold": order_id, units;` is a type that needs both fields;
/// `cases "upserted" by kind as KINDS { "price": store_id; }` says what that type needs more where `kind` is `price`. `key`
/// lists `"prefix": field`, of which the first field that is there makes the key, or two fields `a / b`.
macro_rules! record {
    (
        $(#[doc = $record_doc:literal])+
        $record:ident, $builder:ident of $stream:ident {
            $($(#[doc = $doc:literal])+ $name:ident: $kind:ident $(from $least:literal)?,)+
        }
        types { $($(#[doc = $type_doc:literal])+ $type:literal: $($need:ident),+;)+ }
        $(cases $of:literal by $by:ident as $values:ident { $($value:literal: $($case_need:ident),*;)+ })?
        key { $($key:tt)+ }
    ) => {
        $(#[doc = $record_doc])+
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
        pub struct $record<'a> {
            /// Who produced the event; with `event_id` its identity.
            pub source: $crate::Text<'a>,
            /// Unique within the source.
            pub event_id: $crate::Id,
            /// What happened.
            pub r#type: $crate::Text<'a>,
            /// When, with the store's offset.
            pub occurred_at: $crate::Moment,
            /// Version of the message's meaning.
            pub schema_version: i16,
            /// The store's day-start hour where it is not 4.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub day_start_hour: Option<i8>,
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $name: $crate::record::field_type!($kind, 'a),)+
        }

        impl<'a> $record<'a> {
            /// The record's own columns, in the lake's order.
            pub const COLUMNS: &'static [$crate::Column] = &[
                $($crate::Column {
                    name: stringify!($name),
                    kind: $crate::Kind::$kind,
                    range: $crate::record::range!($($least)?),
                    doc: concat!($($doc),+).trim_ascii(),
                },)+
            ];

            pub(crate) const CONTRACT: $crate::Contract = $crate::Contract {
                doc: concat!($($record_doc),+).trim_ascii(),
                columns: Self::COLUMNS,
                types: &[$($crate::EventType {
                    name: $type,
                    doc: concat!($($type_doc),+).trim_ascii(),
                    needs: &[$(stringify!($need)),+],
                },)+],
                cases: &[$($($crate::Case {
                    event_type: $of,
                    field: stringify!($by),
                    value: $value,
                    needs: &[$(stringify!($case_need)),*],
                },)+)?],
                key: $crate::record::key_forms!($($key)+),
            };

            $(
                #[doc = concat!("Every `", stringify!($by), "` of `", $of, "`.")]
                pub const $values: [&'static str; [$($value),+].len()] = [$($value),+];
            )?

            /// A record with its envelope filled in and nothing else.
            pub fn new(
                source: impl Into<$crate::Text<'a>>,
                event_id: i64,
                event_type: impl Into<$crate::Text<'a>>,
                occurred_at: $crate::Moment,
            ) -> Self {
                Self {
                    source: source.into(),
                    event_id: $crate::Id(event_id),
                    r#type: event_type.into(),
                    occurred_at,
                    schema_version: 1,
                    ..Self::default()
                }
            }

            pub(crate) fn check_ranges(&self) -> Result<(), $crate::Fault> {
                $($crate::record::check_range!($kind, $name, self.$name $(, $least)?);)+
                Ok(())
            }

            /// Whether the type is one of the stream's, and what it needs is there.
            pub(crate) fn check_type(&self) -> Result<(), $crate::Fault> {
                let unknown = |found: String| Err($crate::Fault::UnknownType { stream: $crate::Stream::$stream, found });
                match self.r#type.as_str() {
                    $($type => $crate::record::need!(self; $($need),+),)+
                    found => return unknown(found.to_owned()),
                }
                $(
                    if self.r#type.as_str() == $of {
                        match self.$by.as_deref().unwrap_or_default() {
                            $($value => $crate::record::need!(self; $($case_need),*),)+
                            value => return unknown(format!("{} {value}", $of)),
                        }
                    }
                )?
                Ok(())
            }

            /// The key of the log: what shares it stays in order.
            pub(crate) fn log_key(&self) -> String {
                $crate::record::log_key!(self; $($key)+)
            }
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $record<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[allow(non_camel_case_types)]
                #[derive(Clone, Copy)]
                enum Name { source, event_id, r#type, occurred_at, schema_version, day_start_hour, $($name),+ }
                const FIELDS: &[(&str, Name)] = &[
                    ($crate::ENVELOPE[0].name, Name::source),
                    ($crate::ENVELOPE[1].name, Name::event_id),
                    ($crate::ENVELOPE[2].name, Name::r#type),
                    ($crate::ENVELOPE[3].name, Name::occurred_at),
                    ($crate::ENVELOPE[4].name, Name::schema_version),
                    ($crate::ENVELOPE[5].name, Name::day_start_hour),
                    $((stringify!($name), Name::$name),)+
                ];
                struct Fields<'a>(std::marker::PhantomData<$record<'a>>);
                impl<'de: 'a, 'a> serde::de::Visitor<'de> for Fields<'a> {
                    type Value = $record<'a>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a flat object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        use serde::de::Error;
                        let mut record = $record { schema_version: 1, ..$record::default() };
                        let mut keys = $crate::fields::Keys::new(FIELDS);
                        while let Some(key) = map.next_key_seed(&mut keys)? {
                            let Some(at) = key else {
                                map.next_value::<serde::de::IgnoredAny>()?;
                                continue;
                            };
                            if !keys.note(at) {
                                return Err(A::Error::duplicate_field(FIELDS[at].0));
                            }
                            match FIELDS[at].1 {
                                Name::source => record.source = map.next_value()?,
                                Name::event_id => record.event_id = map.next_value()?,
                                Name::r#type => record.r#type = map.next_value()?,
                                Name::occurred_at => record.occurred_at = map.next_value()?,
                                Name::schema_version => record.schema_version = map.next_value()?,
                                Name::day_start_hour => record.day_start_hour = map.next_value()?,
                                $(Name::$name => record.$name = map.next_value()?,)+
                            }
                        }
                        match keys.first_missing($crate::ENVELOPE_REQUIRED) {
                            Some(missing) => Err(A::Error::missing_field(FIELDS[missing].0)),
                            None => Ok(record),
                        }
                    }
                }
                deserializer.deserialize_map(Fields(std::marker::PhantomData))
            }
        }

        /// Builds the record's own columns.
        #[derive(Debug)]
        pub(crate) struct $builder {
            $($name: $crate::record::builder_type!($kind),)+
        }

        impl Default for $builder {
            fn default() -> Self {
                Self { $($name: <$crate::record::builder_type!($kind)>::default(),)+ }
            }
        }

        impl $builder {
            pub(crate) fn append(&mut self, r: &$record<'_>) {
                $($crate::record::append_field!($kind, self.$name, r.$name);)+
            }

            pub(crate) fn finish(&mut self, out: &mut Vec<arrow::array::ArrayRef>) {
                $(out.push($crate::rows::in_lake_type(std::sync::Arc::new(self.$name.finish()), $crate::Kind::$kind));)+
            }
        }
    };
}

/// Returns [`Fault::Missing`] unless every named field is there.
macro_rules! need {
    ($record:expr; $($field:ident),*) => {{
        $(if $record.$field.is_none() {
            return Err($crate::Fault::Missing { event_type: $record.r#type.to_string(), field: stringify!($field) });
        })*
    }};
}

pub(crate) use {append_field, builder_type, check_range, field_type, key_forms, log_key, need, range, record};
