//! Days as a store counts them (R20), and opening hours as bits (R14).

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, Int64Builder, ListBuilder};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ScalarUDF;
use event::Instant;

use super::scalar_function;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![BusinessDay::udf(), HourMask::udf(), HoursOf::udf()]
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

scalar_function! {
    /// `business_day(at, zone, day_start_hour)`: the business day an instant falls on at a store in an IANA zone; a day
    /// start of 0 gives the calendar day.
    BusinessDay, "business_day", [instant(), DataType::Utf8View, DataType::Int64] -> DataType::Date32, business_day
}

scalar_function! {
    /// `hour_mask(from_minute, to_minute)`: bit h is set if the local hour h is open for at least a minute. Minutes count
    /// from local midnight, the end is exclusive, beyond 1440 it is after midnight.
    HourMask, "hour_mask", [DataType::Int64, DataType::Int64] -> DataType::Int64, hour_mask
}

scalar_function! {
    /// `hours_of(mask)`: the hours whose bits are set, ascending.
    HoursOf, "hours_of", [DataType::Int64] -> DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))), hours_of
}

fn business_day(args: &[ArrayRef]) -> Result<ArrayRef> {
    let at = args[0].as_primitive::<TimestampMicrosecondType>();
    let (zones, starts) = (args[1].as_string_view(), args[2].as_primitive::<Int64Type>());
    let mut last: (String, Tz) = (String::new(), Tz::UTC);
    let mut days = Vec::with_capacity(at.len());
    for i in 0..at.len() {
        if at.is_null(i) || zones.is_null(i) || starts.is_null(i) {
            days.push(None);
            continue;
        }
        if last.0 != zones.value(i) {
            let Ok(zone) = Tz::from_str(zones.value(i)) else {
                return exec_err!("`{}` is no IANA time zone", zones.value(i));
            };
            last = (zones.value(i).to_owned(), zone);
        }
        let at = Instant(at.value(i));
        let offset_min = last.1.offset_from_utc_datetime(&at.to_utc().naive_utc()).fix().local_minus_utc() / 60;
        days.push(Some(at.with_offset(offset_min as i16).business_time(starts.value(i) as i8).day.0));
    }
    Ok(Arc::new(Date32Array::from(days)))
}

fn hour_mask(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (from, to) = (args[0].as_primitive::<Int64Type>(), args[1].as_primitive::<Int64Type>());
    let masks = (0..from.len()).map(|i| (from.is_valid(i) && to.is_valid(i)).then(|| mask(from.value(i), to.value(i))));
    Ok(Arc::new(masks.collect::<Int64Array>()))
}

fn hours_of(args: &[ArrayRef]) -> Result<ArrayRef> {
    let masks = args[0].as_primitive::<Int64Type>();
    let mut lists = ListBuilder::new(Int64Builder::with_capacity(masks.len() * 12));
    for mask in masks {
        (0..24).filter(|hour| mask.unwrap_or(0) >> hour & 1 == 1).for_each(|hour| lists.values().append_value(hour));
        lists.append(mask.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

/// The local hours that [from, to) touches, as bits 0..=23.
fn mask(from: i64, to: i64) -> i64 {
    let (first, end) = (from.clamp(0, 2880) / 60, (to.clamp(0, 2880) + 59) / 60);
    (first..end.min(first + 24)).fold(0, |mask, hour| mask | 1 << (hour % 24))
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn r14_an_hour_is_open_if_a_minute_of_it_is() {
        assert_eq!(mask(600, 660), 1 << 10);
        assert_eq!(mask(600, 661), 1 << 10 | 1 << 11);
        assert_eq!(mask(659, 660), 1 << 10);
        assert_eq!(mask(600, 600), 0);
        assert_eq!(mask(1380, 1500), 1 << 23 | 1);
        assert_eq!(mask(0, 1440), (1 << 24) - 1);
        assert_eq!(mask(600, 2880), (1 << 24) - 1);
    }
}
