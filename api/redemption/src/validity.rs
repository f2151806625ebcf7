//! When a unit is valid (R5): a half-open window, and blackout windows inside it.

use std::fmt;
use std::str::FromStr;

use event::{Day, Instant};
use serde::{Deserialize, Serialize};

use crate::Zone;

/// How long a product is valid, fixed by the version that was sold (R5). Days are the selling store's business days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "validity", rename_all = "snake_case")]
pub enum Validity {
    /// From the sale on, without end.
    Permanent,
    /// From the start of the first day to the end of the last.
    Fixed {
        /// First business day.
        from_on: Day,
        /// Last business day, inclusive.
        to_on: Day,
    },
    /// From the sale to the end of the `days`-th day after it: never less than `days` × 24 hours, and the last day is whole.
    DaysFromPurchase {
        /// How many.
        days: i32,
    },
    /// As long, counted from the first redemption; open-ended until then.
    DaysFromFirstUse {
        /// How many.
        days: i32,
    },
}

/// When an entitlement is valid: `[valid_from, valid_until)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First instant.
    pub valid_from: Instant,
    /// First instant after; `None` without end.
    pub valid_until: Option<Instant>,
}

impl Validity {
    /// The window of a sale at `sold_at` in the selling store's zone.
    pub fn window(self, sold_at: Instant, zone: Zone) -> Window {
        match self {
            Validity::Permanent | Validity::DaysFromFirstUse { .. } => Window { valid_from: sold_at, valid_until: None },
            Validity::Fixed { from_on, to_on } => {
                Window { valid_from: zone.start_of(from_on), valid_until: Some(zone.start_of(Day(to_on.0.saturating_add(1)))) }
            }
            Validity::DaysFromPurchase { days } => {
                Window { valid_from: sold_at, valid_until: Some(end_after(sold_at, days, zone)) }
            }
        }
    }

    /// The window once the first unit was redeemed at `used_at`; it changes only where the days count from there.
    pub fn after_first_use(self, window: Window, used_at: Instant, zone: Zone) -> Window {
        match (self, window.valid_until) {
            (Validity::DaysFromFirstUse { days }, None) => Window { valid_until: Some(end_after(used_at, days, zone)), ..window },
            _ => window,
        }
    }

    /// The catalog's word for it.
    pub fn kind(self) -> &'static str {
        match self {
            Validity::Permanent => "permanent",
            Validity::Fixed { .. } => "fixed",
            Validity::DaysFromPurchase { .. } => "days_from_purchase",
            Validity::DaysFromFirstUse { .. } => "days_from_first_use",
        }
    }
}

fn end_after(start: Instant, days: i32, zone: Zone) -> Instant {
    let last = zone.business_time(start).day.0.saturating_add(days);
    zone.start_of(Day(last.saturating_add(1)))
}

/// Days on which a product is not valid, both inclusive, as business days of the serving store (R5). `YYYY-MM-DD/YYYY-MM-DD`
/// as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Blackout {
    /// First day.
    pub from_on: Day,
    /// Last day, inclusive.
    pub to_on: Day,
}

impl Blackout {
    /// Whether `day` is inside.
    pub fn covers(self, day: Day) -> bool {
        self.from_on <= day && day <= self.to_on
    }

    /// The first of `blackouts` that covers `day`, and the first day after it that none covers. Each window is tested: one
    /// may begin where another ends.
    pub fn blocking(blackouts: &[Blackout], day: Day) -> Option<(Blackout, Day)> {
        let first = *blackouts.iter().find(|b| b.covers(day))?;
        let mut next = Day(first.to_on.0.saturating_add(1));
        while let Some(again) = blackouts.iter().find(|b| b.covers(next)) {
            next = Day(again.to_on.0.saturating_add(1));
        }
        Some((first, next))
    }
}

impl fmt::Display for Blackout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.from_on, self.to_on)
    }
}

impl FromStr for Blackout {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.split_once('/').and_then(|(from, to)| Some((Day::parse(from)?, Day::parse(to)?)));
        match days {
            Some((from_on, to_on)) if from_on <= to_on => Ok(Blackout { from_on, to_on }),
            _ => Err(format!("`{text}` is no blackout window: YYYY-MM-DD/YYYY-MM-DD, the first not after the last")),
        }
    }
}

impl TryFrom<String> for Blackout {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Blackout> for String {
    fn from(blackout: Blackout) -> String {
        blackout.to_string()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(validity: Validity, sold_at: &str, first_used_at: Option<&str>, expect: Expect) {
        let zone = Zone::new("Asia/Shanghai", 4).unwrap();
        let mut window = validity.window(Instant::parse(sold_at).unwrap(), zone);
        if let Some(used_at) = first_used_at {
            window = validity.after_first_use(window, Instant::parse(used_at).unwrap(), zone);
        }
        let until = window.valid_until.map_or("no end".to_owned(), |t| zone.moment(t).to_string());
        expect.assert_eq(&format!("{} .. {until}", zone.moment(window.valid_from)));
    }

    #[test]
    fn r5_windows_are_half_open_in_the_stores_zone() {
        let day = |text| Day::parse(text).unwrap();
        check(Validity::Permanent, "2026-05-01T10:00:00Z", None, expect!["2026-05-01T18:00:00+08:00 .. no end"]);
        check(
            Validity::Fixed { from_on: day("2026-05-03"), to_on: day("2026-05-31") },
            "2026-05-01T10:00:00Z",
            None,
            expect!["2026-05-03T04:00:00+08:00 .. 2026-06-01T04:00:00+08:00"],
        );
        check(
            Validity::DaysFromPurchase { days: 30 },
            "2026-05-01T10:00:00Z",
            None,
            expect!["2026-05-01T18:00:00+08:00 .. 2026-06-01T04:00:00+08:00"],
        );
        // 03:59 local still is the business day before.
        check(
            Validity::DaysFromPurchase { days: 1 },
            "2026-05-01T19:59:00Z",
            None,
            expect!["2026-05-02T03:59:00+08:00 .. 2026-05-03T04:00:00+08:00"],
        );
        check(
            Validity::DaysFromFirstUse { days: 7 },
            "2026-05-01T10:00:00Z",
            None,
            expect!["2026-05-01T18:00:00+08:00 .. no end"],
        );
        check(
            Validity::DaysFromFirstUse { days: 7 },
            "2026-05-01T10:00:00Z",
            Some("2026-07-01T10:00:00Z"),
            expect!["2026-05-01T18:00:00+08:00 .. 2026-07-09T04:00:00+08:00"],
        );
    }

    #[test]
    fn r5_every_blackout_window_is_tested() {
        let windows: Vec<Blackout> = ["2026-10-01/2026-10-03", "2026-02-10/2026-02-20", "2026-10-04/2026-10-07"]
            .iter()
            .map(|w| w.parse().unwrap())
            .collect();
        let at = |day: &str| Blackout::blocking(&windows, Day::parse(day).unwrap()).map(|(w, next)| format!("{w}, next {next}"));
        assert_eq!(at("2026-09-30"), None);
        assert_eq!(at("2026-02-20").as_deref(), Some("2026-02-10/2026-02-20, next 2026-02-21"));
        assert_eq!(at("2026-10-01").as_deref(), Some("2026-10-01/2026-10-03, next 2026-10-08"));
        assert_eq!(at("2026-10-07").as_deref(), Some("2026-10-04/2026-10-07, next 2026-10-08"));
        assert_eq!(at("2026-10-08"), None);
        for bad in ["2026-10-01", "2026-10-02/2026-10-01", "a/b", "2026-02-29/2026-03-01"] {
            assert!(bad.parse::<Blackout>().is_err(), "{bad}");
        }
    }
}
