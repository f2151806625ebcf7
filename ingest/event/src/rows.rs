//! Events into rows: one builder per stream, appended to only by events that decoded whole.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};

use crate::streams::*;
use crate::{DEFAULT_DAY_START_HOUR, Event, Instant, Kind, Stream};

/// Where in the log an event stands, and when the log took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Partition of the log.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// When the log recorded it.
    pub recorded_at: Instant,
}

/// Collects events of one stream into a batch of [`Stream::schema`].
#[derive(Debug)]
pub struct Rows {
    stream: Stream,
    len: usize,
    source: StringBuilder,
    event_id: Int64Builder,
    event_type: StringBuilder,
    occurred_at: TimestampMicrosecondBuilder,
    utc_offset_min: Int16Builder,
    schema_version: Int16Builder,
    business_day: Date32Builder,
    local_hour: Int8Builder,
    weekday: Int8Builder,
    recorded_at: TimestampMicrosecondBuilder,
    log_partition: Int32Builder,
    log_offset: Int64Builder,
    own: Own,
    month: StringBuilder,
    /// The month of the last day seen: neighbours mostly share it.
    last_month: (i32, String),
}

#[derive(Debug)]
enum Own {
    Orders(Box<OrderRows>),
    Redemptions(Box<RedemptionRows>),
    Refusals(Box<RefusalRows>),
    Bookings(Box<BookingRows>),
    Members(Box<MemberRows>),
    Catalog(Box<CatalogRows>),
    Decisions(Box<DecisionRows>),
}

impl Rows {
    /// No rows yet, of `stream`.
    pub fn new(stream: Stream) -> Self {
        let own = match stream {
            Stream::Orders => Own::Orders(Box::default()),
            Stream::Redemptions => Own::Redemptions(Box::default()),
            Stream::Refusals => Own::Refusals(Box::default()),
            Stream::Bookings => Own::Bookings(Box::default()),
            Stream::Members => Own::Members(Box::default()),
            Stream::Catalog => Own::Catalog(Box::default()),
            Stream::Decisions => Own::Decisions(Box::default()),
        };
        Rows {
            stream,
            len: 0,
            source: StringBuilder::new(),
            event_id: Int64Builder::new(),
            event_type: StringBuilder::new(),
            occurred_at: TimestampMicrosecondBuilder::new(),
            utc_offset_min: Int16Builder::new(),
            schema_version: Int16Builder::new(),
            business_day: Date32Builder::new(),
            local_hour: Int8Builder::new(),
            weekday: Int8Builder::new(),
            recorded_at: TimestampMicrosecondBuilder::new(),
            log_partition: Int32Builder::new(),
            log_offset: Int64Builder::new(),
            own,
            month: StringBuilder::new(),
            last_month: (i32::MIN, String::new()),
        }
    }

    /// The stream.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Rows appended since the last [`Rows::finish`].
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends one event.
    ///
    /// # Panics
    /// If the event is of another stream.
    pub fn push(&mut self, event: &Event<'_>, place: Place) {
        crate::record::with_record!(event, r => {
            let time = r.occurred_at.business_time(r.day_start_hour.unwrap_or(DEFAULT_DAY_START_HOUR));
            self.source.append_value(r.source.as_str());
            self.event_id.append_value(r.event_id.0);
            self.event_type.append_value(r.r#type.as_str());
            self.occurred_at.append_value(r.occurred_at.at.0);
            self.utc_offset_min.append_value(r.occurred_at.offset_min);
            self.schema_version.append_value(r.schema_version);
            self.business_day.append_value(time.day.0);
            self.local_hour.append_value(time.local_hour);
            self.weekday.append_value(time.weekday);
            if self.stream.partitioned() {
                if self.last_month.0 != time.day.0 {
                    self.last_month = (time.day.0, time.day.month());
                }
                self.month.append_value(&self.last_month.1);
            }
        });
        self.recorded_at.append_value(place.recorded_at.0);
        self.log_partition.append_value(place.partition);
        self.log_offset.append_value(place.offset);
        match (&mut self.own, event) {
            (Own::Orders(rows), Event::Order(r)) => rows.append(r),
            (Own::Redemptions(rows), Event::Redemption(r)) => rows.append(r),
            (Own::Refusals(rows), Event::Refusal(r)) => rows.append(r),
            (Own::Bookings(rows), Event::Booking(r)) => rows.append(r),
            (Own::Members(rows), Event::Member(r)) => rows.append(r),
            (Own::Catalog(rows), Event::Catalog(r)) => rows.append(r),
            (Own::Decisions(rows), Event::Decision(r)) => rows.append(r),
            _ => panic!("an event of `{}` among rows of `{}`", event.stream(), self.stream),
        }
        self.len += 1;
    }

    /// The rows so far; none are left.
    pub fn finish(&mut self) -> RecordBatch {
        let instants = |b: &mut TimestampMicrosecondBuilder| in_lake_type(Arc::new(b.finish()), Kind::Instant);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.source.finish()),
            Arc::new(self.event_id.finish()),
            Arc::new(self.event_type.finish()),
            instants(&mut self.occurred_at),
            Arc::new(self.utc_offset_min.finish()),
            Arc::new(self.schema_version.finish()),
            Arc::new(self.business_day.finish()),
            Arc::new(self.local_hour.finish()),
            Arc::new(self.weekday.finish()),
            instants(&mut self.recorded_at),
            Arc::new(self.log_partition.finish()),
            Arc::new(self.log_offset.finish()),
        ];
        match &mut self.own {
            Own::Orders(rows) => rows.finish(&mut columns),
            Own::Redemptions(rows) => rows.finish(&mut columns),
            Own::Refusals(rows) => rows.finish(&mut columns),
            Own::Bookings(rows) => rows.finish(&mut columns),
            Own::Members(rows) => rows.finish(&mut columns),
            Own::Catalog(rows) => rows.finish(&mut columns),
            Own::Decisions(rows) => rows.finish(&mut columns),
        }
        if self.stream.partitioned() {
            columns.push(Arc::new(self.month.finish()));
        }
        self.len = 0;
        RecordBatch::try_new(self.stream.schema(), columns).expect("builders follow the schema")
    }
}

/// Gives a finished array the exact type the schema names: builders leave out the time zone.
pub(crate) fn in_lake_type(array: ArrayRef, kind: Kind) -> ArrayRef {
    match kind {
        Kind::Instant => {
            let times = arrow::array::AsArray::as_primitive::<arrow::datatypes::TimestampMicrosecondType>(&array);
            Arc::new(times.clone().with_timezone("UTC"))
        }
        _ => array,
    }
}
