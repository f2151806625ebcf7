//! When people come: holidays, seasons, weekdays and hours.

use event::Day;

/// What a special day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// A public holiday.
    Holiday,
    /// A weekend day that is worked to make up for one (调休).
    MakeupWorkday,
    /// The days around the lunar new year on which the chain is closed.
    Closed,
}

type MonthDay = (u32, u32);

/// (year, first day, last day, what): days that move from year to year, as the State Council announced them.
const MOVING: [(i32, MonthDay, MonthDay, Special); 43] = {
    use Special::{Closed, Holiday, MakeupWorkday};
    [
        (2023, (1, 21), (1, 24), Closed),
        (2023, (1, 25), (1, 27), Holiday),
        (2023, (4, 5), (4, 5), Holiday),
        (2023, (6, 22), (6, 24), Holiday),
        (2023, (9, 29), (9, 30), Holiday),
        (2024, (2, 9), (2, 12), Closed),
        (2024, (2, 13), (2, 17), Holiday),
        (2024, (4, 4), (4, 6), Holiday),
        (2024, (6, 8), (6, 10), Holiday),
        (2024, (9, 15), (9, 17), Holiday),
        (2024, (2, 4), (2, 4), MakeupWorkday),
        (2024, (2, 18), (2, 18), MakeupWorkday),
        (2024, (4, 7), (4, 7), MakeupWorkday),
        (2024, (4, 28), (4, 28), MakeupWorkday),
        (2024, (5, 11), (5, 11), MakeupWorkday),
        (2024, (9, 14), (9, 14), MakeupWorkday),
        (2024, (9, 29), (9, 29), MakeupWorkday),
        (2024, (10, 12), (10, 12), MakeupWorkday),
        (2025, (1, 28), (1, 31), Closed),
        (2025, (2, 1), (2, 4), Holiday),
        (2025, (4, 4), (4, 6), Holiday),
        (2025, (5, 31), (6, 2), Holiday),
        (2025, (10, 8), (10, 8), Holiday),
        (2025, (1, 26), (1, 26), MakeupWorkday),
        (2025, (2, 8), (2, 8), MakeupWorkday),
        (2025, (4, 27), (4, 27), MakeupWorkday),
        (2025, (9, 28), (9, 28), MakeupWorkday),
        (2025, (10, 11), (10, 11), MakeupWorkday),
        (2026, (2, 16), (2, 19), Closed),
        (2026, (2, 20), (2, 23), Holiday),
        (2026, (4, 4), (4, 6), Holiday),
        (2026, (6, 19), (6, 21), Holiday),
        (2026, (9, 25), (9, 27), Holiday),
        (2026, (1, 4), (1, 4), MakeupWorkday),
        (2026, (2, 14), (2, 14), MakeupWorkday),
        (2026, (2, 28), (2, 28), MakeupWorkday),
        (2026, (5, 9), (5, 9), MakeupWorkday),
        (2026, (9, 20), (9, 20), MakeupWorkday),
        (2026, (10, 10), (10, 10), MakeupWorkday),
        (2027, (2, 5), (2, 8), Closed),
        (2027, (2, 9), (2, 12), Holiday),
        (2027, (6, 9), (6, 9), Holiday),
        (2027, (9, 15), (9, 15), Holiday),
    ]
};

/// What is special about `day`, if anything.
pub(crate) fn special(day: Day) -> Option<Special> {
    let (year, month, of_month) = day.ymd();
    let found = MOVING.iter().find(|(y, from, to, _)| *y == year && *from <= (month, of_month) && (month, of_month) <= *to);
    match ((month, of_month), found) {
        (_, Some((.., special))) => Some(*special),
        ((1, 1) | (5, 1..=5) | (10, 1..=7), None) => Some(Special::Holiday),
        _ => None,
    }
}

/// How busy a month is against the average one: low after the new year's festival, high in early summer and December.
pub(crate) fn season(day: Day) -> f64 {
    const BY_MONTH: [f64; 12] = [1.06, 0.82, 0.92, 0.98, 1.06, 1.08, 1.04, 1.0, 0.98, 1.0, 0.99, 1.07];
    BY_MONTH[(day.ymd().1 - 1) as usize]
}

/// What kind of store it is; it decides when people come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Flagship,
    Mall,
    Community,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Flagship => "flagship",
            Format::Mall => "mall",
            Format::Community => "community",
        }
    }

    /// How busy each weekday is against the average one, Monday first.
    pub(crate) fn weekdays(self) -> [f64; 7] {
        match self {
            Format::Flagship => [0.78, 0.8, 0.86, 0.9, 1.1, 1.32, 1.24],
            Format::Mall => [0.66, 0.7, 0.76, 0.82, 1.14, 1.52, 1.4],
            // Members' day is Wednesday there.
            Format::Community => [0.9, 0.88, 1.3, 0.9, 0.96, 1.08, 0.98],
        }
    }

    /// How busy the hour is that starts at `hour`, against the busiest.
    pub(crate) fn hour(self, hour: u32) -> f64 {
        match (self == Format::Community, hour) {
            (true, 9..=11) => 0.55,
            (true, 12..=16) => 0.5,
            (true, 17..=20) => 1.0,
            (false, 10..=11) => 0.35,
            (false, 12..=13) => 0.75,
            (false, 14..=17) => 0.85,
            (false, 18..=20) => 1.0,
            _ => 0.3,
        }
    }

    /// Opening minutes of the day.
    pub(crate) fn hours(self) -> (u32, u32) {
        match self {
            Format::Flagship => (10 * 60, 22 * 60),
            Format::Mall => (10 * 60, 22 * 60),
            Format::Community => (9 * 60, 21 * 60),
        }
    }
}
