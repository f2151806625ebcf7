//! A store's own time: its zone and the hour its business day starts.

use chrono::{LocalResult, NaiveTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use event::{BusinessTime, Day, Instant, Moment};

/// How a store counts its days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    tz: Tz,
    day_start_hour: i8,
}

impl Zone {
    /// A zone by IANA name and day-start hour (0..=23); `None` if either is not one.
    pub fn new(name: &str, day_start_hour: i8) -> Option<Self> {
        let tz = name.parse().ok()?;
        (0..24).contains(&day_start_hour).then_some(Zone { tz, day_start_hour })
    }

    /// The hour its business day starts.
    pub fn day_start_hour(self) -> i8 {
        self.day_start_hour
    }

    /// `at` as the store's clock tells it.
    pub fn moment(self, at: Instant) -> Moment {
        let offset = self.tz.offset_from_utc_datetime(&at.to_utc().naive_utc()).fix().local_minus_utc();
        at.with_offset((offset / 60) as i16)
    }

    /// Business day, hour and weekday of `at` (R20).
    pub fn business_time(self, at: Instant) -> BusinessTime {
        self.moment(at).business_time(self.day_start_hour)
    }

    /// The first instant of a business day. Where the clocks jump over it, the first instant after the jump; where they
    /// show it twice, the first time.
    pub fn start_of(self, day: Day) -> Instant {
        let time = NaiveTime::from_hms_opt(self.day_start_hour as u32, 0, 0).unwrap_or_default();
        let mut local = day.to_naive().and_time(time);
        // No zone ever jumped by more than a day.
        for _ in 0..=(24 * 4) {
            match self.tz.from_local_datetime(&local) {
                LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => return Instant(t.timestamp_micros()),
                LocalResult::None => local += TimeDelta::minutes(15),
            }
        }
        Instant(local.and_utc().timestamp_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(zone: &str, hour: i8, day: &str, expected: &str) {
        let zone = Zone::new(zone, hour).unwrap();
        let day = Day::parse(day).unwrap();
        let start = zone.start_of(day);
        assert_eq!(zone.moment(start).to_string(), expected);
        assert_eq!(zone.business_time(start).day, day);
    }

    #[test]
    fn a_business_day_starts_at_its_hour_also_when_clocks_change() {
        check("Asia/Shanghai", 4, "2026-05-01", "2026-05-01T04:00:00+08:00");
        check("America/New_York", 2, "2026-03-08", "2026-03-08T03:00:00-04:00");
        check("America/New_York", 1, "2026-11-01", "2026-11-01T01:00:00-04:00");
        assert_eq!(Zone::new("Asia/Nowhere", 4), None);
        assert_eq!(Zone::new("Asia/Shanghai", 24), None);
    }
}
