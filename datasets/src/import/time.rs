//! Times of other systems, as instants.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use event::{Day, Instant, Moment};

use super::cell::Cell;

/// How a file writes its times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TimeFormat {
    /// RFC 3339, or `YYYY-MM-DD[ T]HH:MM[:SS[.f]]` on the zone's clock.
    Usual,
    /// A pattern of chrono's, on the zone's clock unless it has an offset itself.
    Pattern(String),
    /// A count since 1970, in so many per second.
    Epoch(i64),
}

/// A cell as an instant; a time without an offset is read on `zone`'s clock.
pub(crate) fn instant(cell: &Cell<'_>, format: &TimeFormat, zone: Tz) -> Result<Instant, String> {
    match (cell, format) {
        (Cell::Time { micros, utc: true }, _) => Ok(Instant(*micros)),
        (Cell::Time { micros, utc: false }, _) if zone == Tz::UTC => Ok(Instant(*micros)),
        (Cell::Time { micros, utc: false }, _) => {
            let local = DateTime::from_timestamp_micros(*micros).ok_or("a time outside the calendar")?.naive_utc();
            on_clock(local, zone)
        }
        (cell, TimeFormat::Epoch(per_second)) => {
            let n = cell.whole()?;
            n.checked_mul(1_000_000 / per_second).map(Instant).ok_or_else(|| format!("`{n}` is no time"))
        }
        (Cell::Text(text), TimeFormat::Pattern(pattern)) => {
            if let Ok(told) = DateTime::parse_from_str(text.trim(), pattern) {
                return Ok(Instant(told.timestamp_micros()));
            }
            let local = NaiveDateTime::parse_from_str(text.trim(), pattern)
                .or_else(|_| NaiveDate::parse_from_str(text.trim(), pattern).map(|day| day.and_time(chrono::NaiveTime::MIN)))
                .map_err(|_| format!("`{text}` is no time like `{pattern}`"))?;
            on_clock(local, zone)
        }
        (Cell::Text(text), TimeFormat::Usual) => {
            let text = text.trim();
            if let Some(moment) = Moment::parse(text) {
                return Ok(moment.at);
            }
            let read = |pattern| NaiveDateTime::parse_from_str(text, pattern).ok();
            let local = read("%Y-%m-%d %H:%M:%S%.f")
                .or_else(|| read("%Y-%m-%dT%H:%M:%S%.f"))
                .or_else(|| read("%Y-%m-%d %H:%M"))
                .or_else(|| read("%Y-%m-%dT%H:%M"))
                .ok_or_else(|| format!("`{text}` is no time; give its `format` or `epoch`"))?;
            on_clock(local, zone)
        }
        (other, _) => Err(format!("`{}` is no time", other.clone().text())),
    }
}

/// The instant at which the zone's clock shows `local`. A time that a clock change skips does not exist; of one that it
/// repeats the first is taken.
fn on_clock(local: NaiveDateTime, zone: Tz) -> Result<Instant, String> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Ok(Instant(at.timestamp_micros())),
        LocalResult::None => Err(format!("{local} does not exist in {zone}: the clocks were put forward")),
    }
}

/// The instant as the zone's clock tells it.
pub(crate) fn told(at: Instant, zone: Tz) -> Moment {
    let offset = zone.offset_from_utc_datetime(&at.to_utc().naive_utc()).fix().local_minus_utc();
    at.with_offset((offset / 60) as i16)
}

/// A cell as a calendar day.
pub(crate) fn day(cell: &Cell<'_>, format: &TimeFormat, zone: Tz) -> Result<Day, String> {
    match (cell, format) {
        (Cell::Day(day), _) => Ok(*day),
        (Cell::Text(text), TimeFormat::Usual) if text.trim().len() == 10 => {
            Day::parse(text.trim()).ok_or_else(|| format!("`{text}` is no day"))
        }
        (Cell::Text(text), TimeFormat::Pattern(pattern)) if NaiveDate::parse_from_str(text.trim(), pattern).is_ok() => {
            let date = NaiveDate::parse_from_str(text.trim(), pattern).map_err(|e| e.to_string())?;
            Day::parse(&date.to_string()).ok_or_else(|| format!("`{text}` is no day"))
        }
        // A file's time without a zone names its day itself.
        (Cell::Time { micros, utc: false }, _) => Ok(Day(micros.div_euclid(86_400_000_000) as i32)),
        _ => Ok(told(instant(cell, format, zone)?, zone).business_time(0).day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: TimeFormat, zone: Tz, expected: &str) {
        let read = instant(&Cell::Text(text.into()), &format, zone).map(|at| told(at, zone).to_string());
        assert_eq!(read.unwrap_or_else(|e| e), expected);
    }

    #[test]
    fn times_are_read_on_the_clock_they_were_written_by() {
        let (shanghai, new_york) = (Tz::Asia__Shanghai, Tz::America__New_York);
        check("2026-05-02 18:30", TimeFormat::Usual, shanghai, "2026-05-02T18:30:00+08:00");
        check("2026-05-02T10:30:00Z", TimeFormat::Usual, shanghai, "2026-05-02T18:30:00+08:00");
        check(
            "2017-03-12 02:30:00",
            TimeFormat::Usual,
            new_york,
            "2017-03-12 02:30:00 does not exist in America/New_York: the clocks were put forward",
        );
        check("2017-11-05 01:30:00", TimeFormat::Usual, new_york, "2017-11-05T01:30:00-04:00");
        check("2/5/2026 6:30", TimeFormat::Pattern("%d/%m/%Y %H:%M".into()), shanghai, "2026-05-02T06:30:00+08:00");
        check("1777717800", TimeFormat::Epoch(1), shanghai, "2026-05-02T18:30:00+08:00");
        check("1777717800500", TimeFormat::Epoch(1000), Tz::UTC, "2026-05-02T10:30:00.500000Z");
        check("soon", TimeFormat::Usual, shanghai, "`soon` is no time; give its `format` or `epoch`");
    }
}
