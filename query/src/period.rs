//! Days said in words, and one period beside another.

use event::Day;

use crate::{Error, Result};

/// Both ends are business days, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub from: Day,
    pub to: Day,
}

/// `today`, `today-27`; `month` is the first day of this month, `month-2` of two months before; `month_end-1` the last day
/// of the month before.
pub(crate) fn relative_day(text: &str, today: Day) -> Option<Day> {
    let (word, ago) = match text.split_once('-') {
        Some((word, ago)) if ago.len() <= 5 => (word, ago.parse::<i32>().ok().filter(|ago| *ago >= 0)?),
        Some(_) => return None,
        None => (text, 0),
    };
    match word {
        "today" => Some(Day(today.0 - ago)),
        "month" => Some(month_start(today, -ago)),
        "month_end" => Some(Day(month_start(today, 1 - ago).0 - 1)),
        _ => None,
    }
}

/// `30d`, `8w` or `3m`: so many days, ISO weeks or months that are over.
pub(crate) fn last(text: &str, today: Day) -> Result<Period> {
    let wrong =
        || Error::parameter("last", format!("is `{text}`; expected as 30d, 8w or 3m: days, weeks or months that are over"));
    let unit = text.chars().last().ok_or_else(wrong)?;
    let count: i32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    if !(1..=36_500).contains(&count) {
        return Err(wrong());
    }
    let until = match unit {
        'd' => today,
        'w' => monday(today),
        'm' => month_start(today, 0),
        _ => return Err(wrong()),
    };
    let from = match unit {
        'd' => Day(until.0 - count),
        'w' => Day(until.0 - 7 * count),
        _ => month_start(until, -count),
    };
    Ok(Period { from, to: Day(until.0 - 1) })
}

/// The period that `compare` names: `previous`, `last-year` (the same weekdays a year earlier, R21) or `FROM..TO`.
pub(crate) fn other(text: &str, this: Period) -> Result<Period> {
    let days = this.to.0 - this.from.0 + 1;
    match text {
        "previous" if whole_months(this) => {
            let months = months_between(this.from, Day(this.to.0 + 1));
            Ok(Period { from: month_start(this.from, -months), to: Day(this.from.0 - 1) })
        }
        "previous" => Ok(Period { from: Day(this.from.0 - days), to: Day(this.from.0 - 1) }),
        // 52 weeks are 364 days.
        "last-year" => Ok(Period { from: Day(this.from.0 - 364), to: Day(this.to.0 - 364) }),
        _ => text
            .split_once("..")
            .and_then(|(from, to)| Some(Period { from: Day::parse(from)?, to: Day::parse(to)? }))
            .filter(|other| other.from <= other.to)
            .ok_or_else(|| {
                Error::parameter("compare", format!("is `{text}`; expected previous, last-year or YYYY-MM-DD..YYYY-MM-DD"))
            }),
    }
}

/// Where a day of the period `that` lies in `this`: its days, weeks or months in order.
pub(crate) fn laid_on(day: Day, per: Option<&str>, that: Period, this: Period) -> Day {
    match per {
        Some("month") => {
            let moved = month_start(day, months_between(that.from, this.from));
            let (_, _, of_month) = day.ymd();
            // The 31st of a month of 30 days is its last.
            let last = month_start(moved, 1).0 - 1;
            Day((moved.0 + of_month as i32 - 1).min(last))
        }
        Some("week") => Day(day.0 + monday(this.from).0 - monday(that.from).0),
        _ => Day(day.0 + this.from.0 - that.from.0),
    }
}

fn monday(day: Day) -> Day {
    Day(day.0 - i32::from(day.iso_weekday()) + 1)
}

/// The first day of the month that is `months` after that of `day`.
fn month_start(day: Day, months: i32) -> Day {
    let (year, month, _) = day.ymd();
    let index = year * 12 + month as i32 - 1 + months;
    Day::from_ymd(index.div_euclid(12), index.rem_euclid(12) as u32 + 1, 1).unwrap_or(day)
}

fn months_between(a: Day, b: Day) -> i32 {
    let index = |day: Day| day.ymd().0 * 12 + day.ymd().1 as i32;
    index(b) - index(a)
}

fn whole_months(p: Period) -> bool {
    p.from.ymd().2 == 1 && Day(p.to.0 + 1).ymd().2 == 1
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn shown(period: Result<Period>) -> String {
        period.map_or_else(|e| e.to_string(), |p| format!("{} {}", p.from, p.to))
    }

    #[test]
    fn days_said_in_words() {
        fn check(text: &str, expected: Expect) {
            expected.assert_eq(&relative_day(text, day("2026-03-30")).map_or("none".to_owned(), |d| d.to_string()));
        }
        check("today", expect!["2026-03-30"]);
        check("today-30", expect!["2026-02-28"]);
        check("month", expect!["2026-03-01"]);
        check("month-1", expect!["2026-02-01"]);
        check("month-14", expect!["2025-01-01"]);
        check("month_end-1", expect!["2026-02-28"]);
        check("month_end", expect!["2026-03-31"]);
        check("2026-03-01", expect!["none"]);
        check("today--1", expect!["none"]);
        check("yesterday", expect!["none"]);
    }

    #[test]
    fn last_counts_what_is_over() {
        fn check(text: &str, expected: Expect) {
            // A Wednesday.
            expected.assert_eq(&shown(last(text, day("2026-03-18"))));
        }
        check("30d", expect!["2026-02-16 2026-03-17"]);
        check("1d", expect!["2026-03-17 2026-03-17"]);
        check("2w", expect!["2026-03-02 2026-03-15"]);
        check("3m", expect!["2025-12-01 2026-02-28"]);
        for bad in ["", "d", "0d", "30", "3y", "-1d", "九d"] {
            assert!(last(bad, day("2026-03-18")).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_period_beside_this_one() {
        fn check(text: &str, from: &str, to: &str, expected: Expect) {
            expected.assert_eq(&shown(other(text, Period { from: day(from), to: day(to) })));
        }
        check("previous", "2026-03-02", "2026-03-08", expect!["2026-02-23 2026-03-01"]);
        check("previous", "2026-03-01", "2026-03-31", expect!["2026-02-01 2026-02-28"]);
        check("previous", "2026-01-01", "2026-03-31", expect!["2025-10-01 2025-12-31"]);
        check("last-year", "2026-03-02", "2026-03-08", expect!["2025-03-03 2025-03-09"]);
        check("2024-02-29..2024-02-29", "2026-03-02", "2026-03-08", expect!["2024-02-29 2024-02-29"]);
        check(
            "2024-03-01..2024-02-01",
            "2026-03-02",
            "2026-03-08",
            expect!["parameter `compare` is `2024-03-01..2024-02-01`; expected previous, last-year or YYYY-MM-DD..YYYY-MM-DD"],
        );
    }

    #[test]
    fn days_of_the_other_period_lie_on_this_one_in_order() {
        fn check(d: &str, per: Option<&str>, that: (&str, &str), this: (&str, &str), expected: Expect) {
            let period = |p: (&str, &str)| Period { from: day(p.0), to: day(p.1) };
            expected.assert_eq(&laid_on(day(d), per, period(that), period(this)).to_string());
        }
        let (that, this) = (("2025-03-03", "2025-03-09"), ("2026-03-02", "2026-03-08"));
        check("2025-03-05", Some("day"), that, this, expect!["2026-03-04"]);
        check("2025-03-03", None, that, this, expect!["2026-03-02"]);
        check("2025-03-03", Some("week"), ("2025-03-05", "2025-03-20"), ("2026-03-04", "2026-03-19"), expect!["2026-03-02"]);
        check("2026-01-01", Some("month"), ("2026-01-01", "2026-02-28"), ("2026-03-01", "2026-04-30"), expect!["2026-03-01"]);
        check("2026-01-31", Some("month"), ("2026-01-01", "2026-01-31"), ("2026-02-01", "2026-02-28"), expect!["2026-02-28"]);
    }
}
