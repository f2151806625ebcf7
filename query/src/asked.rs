//! What any report may be asked, beside its own parameters: another period, another day's knowledge, how figures came about.

use std::collections::BTreeMap;

use event::{Day, Instant};

use crate::params::{Params, Type, Value};
use crate::period::{self, Period};
use crate::source::Source;
use crate::{Error, Result};

/// The general parameters, as every door takes them.
pub const GENERAL: [(&str, &str); 5] = [
    ("last", "The period: as 30d, 8w or 3m, days, weeks or months that are over. Instead of from and to."),
    ("compare", "Another period beside it: previous, last-year (the same weekdays) or YYYY-MM-DD..YYYY-MM-DD."),
    ("as_known_on", "The answer as it was at the beginning of this business day, from what was recorded before it."),
    ("diff_known_on", "Only the rows that have changed since the beginning of this business day, with what was known then."),
    (
        "explain",
        "true: a row per figure with its formula, the formula with the numbers filled in, and where its pieces are listed.",
    ),
];

/// A report's question.
pub(crate) struct Asked {
    own: BTreeMap<String, String>,
    pub compare: Option<String>,
    pub as_known_on: Option<Day>,
    pub diff_known_on: Option<Day>,
    pub explain: bool,
    last: Option<String>,
}

impl Asked {
    /// Tells the general parameters from the report's own.
    pub fn new(source: &Source, given: &BTreeMap<String, String>) -> Result<Self> {
        let mut own = given.clone();
        let mut take = |name: &str| match source.parameters.iter().any(|p| p.name == name) {
            true => None,
            false => own.remove(name),
        };
        let day = |name: &str, text: Option<String>| -> Result<Option<Day>> {
            let parse = |text: String| match Type::Day.parse(name, &text)? {
                Value::Day(day) => Ok(day),
                _ => Err(Error::parameter(name, "is no day")),
            };
            text.map(parse).transpose()
        };
        let (last, compare) = (take("last"), take("compare"));
        let (as_known_on, diff_known_on) = (take("as_known_on"), take("diff_known_on"));
        let explain = match take("explain").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(Error::parameter("explain", format!("is `{other}`; expected true or false"))),
        };
        let asked = Asked {
            own,
            compare,
            as_known_on: day("as_known_on", as_known_on)?,
            diff_known_on: day("diff_known_on", diff_known_on)?,
            explain,
            last,
        };
        for (name, asked_for) in [("last", &asked.last), ("compare", &asked.compare)] {
            if asked_for.is_some() && !source.has_period() {
                return Err(Error::parameter(name, format!("needs a period, and `{}` has none", source.name)));
            }
        }
        if asked.last.is_some() && (asked.own.contains_key("from") || asked.own.contains_key("to")) {
            return Err(Error::parameter("last", "stands for from and to: give one or the other"));
        }
        let beside = [asked.compare.is_some(), asked.diff_known_on.is_some(), asked.explain];
        if beside.into_iter().filter(|b| *b).count() > 1 {
            return Err(Error::parameter("compare", "diff_known_on and explain each give another answer: ask for one of them"));
        }
        if asked.as_known_on.is_some() && asked.diff_known_on.is_some() {
            return Err(Error::parameter("as_known_on", "and diff_known_on: ask for one of them"));
        }
        let names_rows = !source.key.is_empty();
        if beside.into_iter().any(|b| b) && !names_rows {
            let why = format!("needs rows that have names, and `{}` has no `-- Key:`", source.name);
            return Err(Error::parameter(if asked.explain { "explain" } else { "compare" }, why));
        }
        Ok(asked)
    }

    /// The report's own parameters with their values.
    pub fn params(&self, source: &Source, today: Day) -> Result<Params> {
        let mut own = self.own.clone();
        if let Some(last) = &self.last {
            let period = period::last(last, today)?;
            own.insert("from".to_owned(), period.from.to_string());
            own.insert("to".to_owned(), period.to.to_string());
        }
        source.bind(&own, today)
    }

    /// The two periods of a comparison: the one `params` have, and the other.
    pub fn periods(&self, params: &Params) -> Result<Option<(Period, Period)>> {
        let Some(compare) = &self.compare else { return Ok(None) };
        match (params.get("from"), params.get("to")) {
            (Some(Value::Day(from)), Some(Value::Day(to))) => {
                let this = Period { from: *from, to: *to };
                Ok(Some((this, period::other(compare, this)?)))
            }
            _ => Err(Error::parameter("compare", "needs from and to")),
        }
    }
}

/// The beginning of a business day in the chain's zone: what was recorded before was known on it.
pub(crate) fn beginning(day: Day, zone: chrono_tz::Tz) -> Instant {
    use chrono::{Duration, TimeZone};
    let start = day.to_naive().and_hms_opt(0, 0, 0).unwrap_or_default() + Duration::hours(event::DEFAULT_DAY_START_HOUR.into());
    // Where clocks skip the hour the day begins with the first one there is.
    let at = (0..=24).find_map(|quarter| zone.from_local_datetime(&(start + Duration::minutes(15 * quarter))).earliest());
    Instant(at.map_or(0, |at| at.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn what_does_not_go_together_is_said() {
        fn check(header: &str, given: &[(&str, &str)], expected: Expect) {
            let source = Source::parse("r", &format!("-- r\n-- Grain: store.\n{header}\nSELECT 1")).unwrap();
            let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let today = Day::parse("2026-03-18").unwrap();
            let asked = Asked::new(&source, &given).and_then(|a| a.params(&source, today));
            expected.assert_eq(&asked.map_or_else(|e| e.to_string(), |p| format!("{p:?}")));
        }
        let period = "-- Param from: day = today. F.\n-- Param to: day = today. T.\n-- Key: a";
        check(
            period,
            &[("last", "1m")],
            expect![[r#"Params({"from": Day(Day(20485)), "to": Day(Day(20512)), "today": Day(Day(20530))})"#]],
        );
        check(
            period,
            &[("last", "1m"), ("to", "2026-03-01")],
            expect!["parameter `last` stands for from and to: give one or the other"],
        );
        check("", &[("last", "1m")], expect!["parameter `last` needs a period, and `r` has none"]);
        check("", &[("compare", "previous")], expect!["parameter `compare` needs a period, and `r` has none"]);
        check("", &[("explain", "true")], expect!["parameter `explain` needs rows that have names, and `r` has no `-- Key:`"]);
        check(period, &[("explain", "yes")], expect!["parameter `explain` is `yes`; expected true or false"]);
        check(
            period,
            &[("compare", "previous"), ("diff_known_on", "2026-03-01")],
            expect!["parameter `compare` diff_known_on and explain each give another answer: ask for one of them"],
        );
        check(period, &[("as_known_on", "March")], expect!["parameter `as_known_on` is `March`; expected a day as YYYY-MM-DD"]);
        check(
            "-- Param last: text = none. Own.",
            &[("last", "x")],
            expect![[r#"Params({"last": Text("x"), "today": Day(Day(20530))})"#]],
        );
    }

    #[test]
    fn a_day_begins_at_four() {
        let check = |zone: Tz, day: &str, expected: Expect| {
            expected.assert_eq(&beginning(Day::parse(day).unwrap(), zone).to_string());
        };
        check(Tz::Asia__Shanghai, "2026-03-01", expect!["2026-02-28T20:00:00Z"]);
        check(Tz::America__New_York, "2026-03-08", expect!["2026-03-08T08:00:00Z"]);
    }
}
