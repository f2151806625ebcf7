//! Instants, days, and the business time that R20 derives from an event alone.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// Late-night stores close their books at 04:00 local time; an event may name another hour (R20).
pub const DEFAULT_DAY_START_HOUR: i8 = 4;

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// 1970-01-01 in days since 0001-01-01, chrono's day zero.
const EPOCH_FROM_CE: i32 = 719_163;

/// A point in time, in microseconds since 1970-01-01 UTC. RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(pub i64);

/// A point in time and the local offset it was told with, in minutes east of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment {
    /// The instant.
    pub at: Instant,
    /// The store's offset at that instant, minutes east of UTC.
    pub offset_min: i16,
}

/// A calendar day, in days since 1970-01-01. `YYYY-MM-DD` in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i32);

/// Business time of an event, derived from its own offset (R20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusinessTime {
    /// The store's local day, starting at the day-start hour.
    pub day: Day,
    /// The local hour on the clock, 0..=23 (an hour after midnight belongs to the day before).
    pub local_hour: i8,
    /// ISO weekday of the business day, Monday 1 to Sunday 7.
    pub weekday: i8,
}

impl Instant {
    /// 2000-01-01T00:00:00Z; anything earlier is a broken clock (R20).
    pub const Y2000: Instant = Instant(946_684_800 * MICROS);

    /// From whole seconds since 1970.
    pub fn from_secs(secs: i64) -> Self {
        Instant(secs * MICROS)
    }

    /// This instant as chrono knows it.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// This instant, told with the offset a store has then.
    pub fn with_offset(self, offset_min: i16) -> Moment {
        Moment { at: self, offset_min }
    }

    /// Reads RFC 3339, any offset.
    pub fn parse(s: &str) -> Option<Self> {
        Moment::parse(s).map(|m| m.at)
    }
}

impl Moment {
    /// Reads RFC 3339: `2026-05-02T18:30:00[.frac](Z|±hh:mm)`. Fractions beyond microseconds are cut off.
    pub fn parse(s: &str) -> Option<Self> {
        let b = s.as_bytes();
        let digits = |from: usize, n: usize| -> Option<i64> {
            b.get(from..from + n)?.iter().try_fold(0i64, |v, c| c.is_ascii_digit().then(|| v * 10 + i64::from(c - b'0')))
        };
        if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || !matches!(b[10], b'T' | b't' | b' ') || b[13] != b':' || b[16] != b':'
        {
            return None;
        }
        let day = Day::from_ymd(digits(0, 4)? as i32, digits(5, 2)? as u32, digits(8, 2)? as u32)?;
        let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut at = 19;
        let mut fraction = 0i64;
        if b[at] == b'.' {
            let start = at + 1;
            at = start;
            let mut scale = MICROS / 10;
            while let Some(c) = b.get(at).filter(|c| c.is_ascii_digit()) {
                fraction += i64::from(c - b'0') * scale;
                scale /= 10;
                at += 1;
            }
            if at == start {
                return None;
            }
        }
        let offset_min = match b.get(at)? {
            b'Z' | b'z' if b.len() == at + 1 => 0,
            sign @ (b'+' | b'-') if b.len() == at + 6 && b[at + 3] == b':' => {
                let (h, m) = (digits(at + 1, 2)?, digits(at + 4, 2)?);
                if h > 23 || m > 59 {
                    return None;
                }
                let minutes = (h * 60 + m) as i16;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        let local = i64::from(day.0) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        let secs = local - i64::from(offset_min) * 60;
        Some(Moment { at: Instant(secs * MICROS + fraction), offset_min })
    }

    /// Business day, local hour and weekday at the store where the event happened (R20).
    pub fn business_time(self, day_start_hour: i8) -> BusinessTime {
        let local = self.at.0.div_euclid(MICROS) + i64::from(self.offset_min) * 60;
        let day = (local - i64::from(day_start_hour) * 3600).div_euclid(DAY_SECONDS) as i32;
        BusinessTime { day: Day(day), local_hour: (local.rem_euclid(DAY_SECONDS) / 3600) as i8, weekday: Day(day).iso_weekday() }
    }

    /// Writes RFC 3339 with this offset into `out`; returns how many of its bytes are used. Microseconds are written only
    /// when there are any.
    fn write(self, out: &mut [u8; 32]) -> usize {
        let local = self.at.0 + i64::from(self.offset_min) * 60 * MICROS;
        let (secs, micros) = (local.div_euclid(MICROS), local.rem_euclid(MICROS));
        let (year, month, day) = Day(secs.div_euclid(DAY_SECONDS) as i32).ymd();
        let of_day = secs.rem_euclid(DAY_SECONDS);
        let mut n = 0;
        let mut put = |value: i64, width: usize, before: Option<u8>| {
            if let Some(c) = before {
                out[n] = c;
                n += 1;
            }
            let mut rest = value;
            for i in (0..width).rev() {
                out[n + i] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            n += width;
        };
        put(i64::from(year.clamp(0, 9999)), 4, None);
        put(i64::from(month), 2, Some(b'-'));
        put(i64::from(day), 2, Some(b'-'));
        put(of_day / 3600, 2, Some(b'T'));
        put(of_day / 60 % 60, 2, Some(b':'));
        put(of_day % 60, 2, Some(b':'));
        if micros != 0 {
            put(micros, 6, Some(b'.'));
        }
        if self.offset_min == 0 {
            out[n] = b'Z';
            return n + 1;
        }
        let sign = if self.offset_min < 0 { b'-' } else { b'+' };
        let minutes = i64::from(self.offset_min.unsigned_abs());
        put(minutes / 60, 2, Some(sign));
        put(minutes % 60, 2, Some(b':'));
        n
    }
}

impl Day {
    /// From year, month, day; `None` for a day the calendar does not have.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, day).map(|d| Day(d.num_days_from_ce() - EPOCH_FROM_CE))
    }

    /// Reads `YYYY-MM-DD`, digits only: chrono takes signs and spaces for digits too.
    pub fn parse(s: &str) -> Option<Self> {
        let shape = |(at, c): (usize, u8)| if at == 4 || at == 7 { c == b'-' } else { c.is_ascii_digit() };
        let fits = s.len() == 10 && s.bytes().enumerate().all(shape);
        let date = NaiveDate::parse_from_str(s, "%Y-%m-%d").ok().filter(|_| fits)?;
        Some(Day(date.num_days_from_ce() - EPOCH_FROM_CE))
    }

    /// Year, month (1..=12), day (1..=31).
    pub fn ymd(self) -> (i32, u32, u32) {
        let date = self.to_naive();
        (date.year(), date.month(), date.day())
    }

    /// This day as chrono knows it.
    pub fn to_naive(self) -> NaiveDate {
        NaiveDate::from_num_days_from_ce_opt(self.0.saturating_add(EPOCH_FROM_CE)).unwrap_or_default()
    }

    /// Monday 1 to Sunday 7. Day 0 was a Thursday.
    pub fn iso_weekday(self) -> i8 {
        ((self.0 + 3).rem_euclid(7) + 1) as i8
    }

    /// `YYYY-MM`, the partition of the lake that holds this day.
    pub fn month(self) -> String {
        let (year, month, _) = self.ymd();
        format!("{year:04}-{month:02}")
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = [0; 32];
        let n = self.write(&mut out);
        f.write_str(std::str::from_utf8(&out[..n]).expect("RFC 3339 is ASCII"))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut out = [0; 32];
        let n = self.write(&mut out);
        s.serialize_str(std::str::from_utf8(&out[..n]).expect("RFC 3339 is ASCII"))
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.with_offset(0).serialize(s)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Deserialises a string by `parse`, naming what was expected.
fn from_text<'de, D: Deserializer<'de>, T>(d: D, expected: &'static str, parse: fn(&str) -> Option<T>) -> Result<T, D::Error> {
    struct TextOf<T>(&'static str, fn(&str) -> Option<T>);
    impl<T> Visitor<'_> for TextOf<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: de::Error>(self, s: &str) -> Result<T, E> {
            (self.1)(s).ok_or_else(|| E::invalid_value(de::Unexpected::Str(s), &self))
        }
    }
    d.deserialize_str(TextOf(expected, parse))
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        from_text(d, "an RFC 3339 time with offset", Moment::parse)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        from_text(d, "an RFC 3339 time", Instant::parse)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        from_text(d, "a day as YYYY-MM-DD", Day::parse)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn check(input: &str, expect: Expect) {
        let text = match Moment::parse(input) {
            None => "not a time".to_owned(),
            Some(m) => {
                let b = m.business_time(DEFAULT_DAY_START_HOUR);
                format!("{m} = {} · day {} hour {} weekday {}", m.at, b.day, b.local_hour, b.weekday)
            }
        };
        expect.assert_eq(&text);
    }

    #[test]
    fn r20_business_time_comes_from_the_event_alone() {
        check(
            "2026-05-02T18:30:00+08:00",
            expect!["2026-05-02T18:30:00+08:00 = 2026-05-02T10:30:00Z · day 2026-05-02 hour 18 weekday 6"],
        );
        check(
            "2026-05-03T03:59:59+08:00",
            expect!["2026-05-03T03:59:59+08:00 = 2026-05-02T19:59:59Z · day 2026-05-02 hour 3 weekday 6"],
        );
        check(
            "2026-05-03T04:00:00+08:00",
            expect!["2026-05-03T04:00:00+08:00 = 2026-05-02T20:00:00Z · day 2026-05-03 hour 4 weekday 7"],
        );
        check(
            "2024-02-29T12:00:00.5Z",
            expect!["2024-02-29T12:00:00.500000Z = 2024-02-29T12:00:00.500Z · day 2024-02-29 hour 12 weekday 4"],
        );
        check(
            "2026-01-01T01:00:00-05:30",
            expect!["2026-01-01T01:00:00-05:30 = 2026-01-01T06:30:00Z · day 2025-12-31 hour 1 weekday 3"],
        );
        check("2026-02-29T12:00:00Z", expect!["not a time"]);
        check("2026-02-28T24:00:00Z", expect!["not a time"]);
        check("2026-02-28T12:00:00", expect!["not a time"]);
        check("2026-02-28T12:00:00.Z", expect!["not a time"]);
        check("2026-02-28 12:00", expect!["not a time"]);
    }

    #[test]
    fn a_day_is_ten_characters() {
        let days = ["2026-02-28", "2026-02-30", "+026-02-28", "2026- 2-28", "2026-2-028", "02026-02-8"];
        assert_eq!(
            days.map(|text| Day::parse(text).map(|day| day.to_string())),
            [Some("2026-02-28".to_owned()), None, None, None, None, None]
        );
    }

    proptest! {
        #[test]
        fn a_written_moment_reads_back(secs in 0i64..4_000_000_000, micros in 0i64..1_000_000, offset in -840i16..=840) {
            let moment = Instant(secs * MICROS + micros).with_offset(offset);
            prop_assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
            prop_assert_eq!(Instant::parse(&moment.at.to_string()), Some(moment.at));
        }

        #[test]
        fn any_text_is_a_time_or_refused(text in "\\PC{0,40}") {
            let _ = Moment::parse(&text);
        }
    }
}
