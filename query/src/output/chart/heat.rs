//! Heat maps: weekday × hour and other pairs, a number in each cell beside its colour.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::data::{Categories, Data, Field, Met, note_of_met, short};
use super::scale::{self, Shades};
use super::{Drawing, FAINT, SIZE, nothing, px, tip};
use crate::output::{Language, words};

/// More panels than fill two printed pages are a table's work.
const PANELS_LIMIT: usize = 12;
/// More rows or columns than this leave no room for a number in a cell.
const AXIS_LIMIT: usize = 60;

const DAY_START: i64 = event::DEFAULT_DAY_START_HOUR as i64;

const CELL_WIDTH: f64 = 42.0;
const CELL_HEIGHT: f64 = 26.0;

/// The places along one side of a heat map.
pub(crate) struct Axis {
    pub labels: Vec<String>,
    order: Order,
    places: Categories,
}

/// Where a cell's text lies on an [`Axis`].
enum Order {
    /// Whole numbers from this one on.
    From(i64),
    /// Hours from this one of the business day on, which starts at 04:00: what is after midnight comes last.
    FromHour(i64),
    /// As the rows have them.
    Rows,
}

impl Axis {
    /// Weekdays are all seven, hours all from the first to the last; others are in the order of the rows.
    pub(crate) fn of(name: &str, labels: &[String], language: Language) -> Axis {
        let places = Categories::default();
        let whole: Option<Vec<i64>> = labels.iter().map(|l| l.parse().ok()).collect();
        let within = |first: i64, last: i64| whole.as_ref().is_some_and(|w| w.iter().all(|n| (first..=last).contains(n)));
        let span = |of: fn(i64) -> i64| {
            let whole = whole.as_ref()?;
            Some((whole.iter().copied().map(of).min()?, whole.iter().copied().map(of).max()?))
        };
        if name.ends_with("weekday") && within(1, 7) {
            return Axis { labels: words::weekdays(language).map(str::to_owned).to_vec(), order: Order::From(1), places };
        }
        if let Some((first, last)) = span(hour_of_day).filter(|_| name.ends_with("hour") && within(0, 23)) {
            let labels = (first..=last).map(|n| format!("{:02}", (n + DAY_START) % 24)).collect();
            return Axis { labels, order: Order::FromHour(first), places };
        }
        if let Some((first, last)) = span(|n| n).filter(|(first, last)| last - first < AXIS_LIMIT as i64) {
            return Axis { labels: (first..=last).map(|n| n.to_string()).collect(), order: Order::From(first), places };
        }
        let mut places = places;
        for label in labels {
            places.place(label);
        }
        places.labels.truncate(AXIS_LIMIT);
        Axis { labels: places.labels.clone(), order: Order::Rows, places }
    }

    pub(crate) fn place(&mut self, label: &str) -> Option<usize> {
        let place = match self.order {
            Order::From(first) => usize::try_from(label.parse::<i64>().ok()? - first).ok()?,
            Order::FromHour(first) => usize::try_from(hour_of_day(label.parse().ok()?) - first).ok()?,
            Order::Rows => self.places.place(label),
        };
        (place < self.labels.len()).then_some(place)
    }
}

/// Hours of the business day that have passed when a local hour begins.
fn hour_of_day(hour: i64) -> i64 {
    (hour - DAY_START).rem_euclid(24)
}

pub(super) fn draw(data: &Data<'_>, row: &str, column: &str, value: &str, by: Option<&str>) -> Result<Drawing, String> {
    let (down, across, value) = (data.field(row)?, data.field(column)?, data.figure(value)?);
    let by = by.map(|by| data.field(by)).transpose()?;
    let labels = |field: Field<'_>| data.rows().filter_map(|(b, r)| field.label(b, r)).collect::<Vec<_>>();
    let mut rows = Axis::of(row, &labels(down), data.language);
    let mut columns = Axis::of(column, &labels(across), data.language);

    let mut panels = Categories::default();
    let mut cells: BTreeMap<(usize, usize, usize), Met> = BTreeMap::new();
    let mut left_out = 0usize;
    for (batch, at) in data.rows() {
        let Some(value) = value.value(batch, at) else { continue };
        let place = |axis: &mut Axis, field: Field<'_>| field.label(batch, at).and_then(|label| axis.place(&label));
        let (Some(row), Some(column)) = (place(&mut rows, down), place(&mut columns, across)) else {
            left_out += 1;
            continue;
        };
        let panel = panels.place(&by.and_then(|by| by.label(batch, at)).unwrap_or_default());
        cells.entry((panel, row, column)).or_default().add(value);
    }
    let more = panels.labels.len().saturating_sub(PANELS_LIMIT);
    cells.retain(|(panel, ..), _| *panel < PANELS_LIMIT);
    let figures: BTreeMap<_, f64> = cells.iter().filter_map(|(at, met)| Some((*at, met.value(value.column)?))).collect();
    let shades = Shades::of(figures.values().copied());

    let left = rows.labels.iter().map(|l| scale::width(&short(l, 24), SIZE)).fold(0.0, f64::max) + 8.0;
    let (wide, high) = (columns.labels.len() as f64 * CELL_WIDTH, rows.labels.len() as f64 * CELL_HEIGHT);
    let drawn = panels.labels.len().clamp(1, PANELS_LIMIT);
    let head = if by.is_some() { 24.0 } else { 0.0 };
    let panel_height = head + SIZE * 1.6 + high + 14.0;
    let panel = |panel: usize| -> Markup {
        html! {
            g transform={ "translate(0 " (px(panel as f64 * panel_height)) ")" } {
                @if by.is_some() {
                    text x=(px(left)) y="14" font-weight="600" { (panels.labels.get(panel).map_or("", String::as_str)) }
                }
                g transform={ "translate(" (px(left)) " " (px(head + SIZE * 1.6)) ")" } {
                    @for (i, label) in columns.labels.iter().enumerate() {
                        text x=(px((i as f64 + 0.5) * CELL_WIDTH)) y="-5" text-anchor="middle" { (short(label, 7)) }
                    }
                    @for (i, label) in rows.labels.iter().enumerate() {
                        text x="-8" y=(px((i as f64 + 0.5) * CELL_HEIGHT + 4.0)) text-anchor="end" { (short(label, 24)) }
                    }
                    rect width=(px(wide)) height=(px(high)) fill="#ffffff" stroke=(FAINT) {}
                    @for (at, figure) in figures.range((panel, 0, 0)..(panel + 1, 0, 0)) {
                        (cell(value, *figure, &shades, &rows.labels[at.1], &columns.labels[at.2], (at.1, at.2), data.language))
                    }
                }
            }
        }
    };
    let legend_top = drawn as f64 * panel_height + 6.0;
    let marks = html! {
        @for i in 0..drawn { (panel(i)) }
        g transform={ "translate(" (px(left)) " " (px(legend_top)) ")" } { (legend(&shades, value, data.language)) }
    };

    let mut notes: Vec<String> = note_of_met(cells.values(), value.column, data.language).into_iter().collect();
    if more > 0 {
        notes.push(data.language.pick(format!("{more} more are in the table."), format!("其余 {more} 个见表格。")));
    }
    if left_out > 0 {
        let chinese = format!("有 {left_out} 行没有位置，未绘出。");
        notes.push(data.language.pick(format!("{left_out} rows have no place here and are not drawn."), chinese));
    }
    let spoken = spoken(data, (down, across, value), &figures, &panels, (&rows, &columns));
    let width = (left + wide).max(left + LEGEND_WIDTH);
    Ok(Drawing { width, height: legend_top + LEGEND_HEIGHT, marks, spoken, notes })
}

fn cell(
    value: Field<'_>,
    figure: f64,
    shades: &Shades,
    row: &str,
    column: &str,
    at: (usize, usize),
    language: Language,
) -> Markup {
    let (fill, ink) = shades.colour(figure);
    let (x, y) = (at.1 as f64 * CELL_WIDTH, at.0 as f64 * CELL_HEIGHT);
    html! {
        g {
            (tip(&format!("{row} {column}: {} {}", value.text(figure), value.column.heading)))
            rect x=(px(x)) y=(px(y)) width=(px(CELL_WIDTH)) height=(px(CELL_HEIGHT)) fill=(fill) stroke="#ffffff" {}
            text x=(px(x + CELL_WIDTH / 2.0)) y=(px(y + CELL_HEIGHT / 2.0 + 4.0)) text-anchor="middle" font-size="11" fill=(ink) {
                (scale::brief(figure, language))
            }
        }
    }
}

pub(super) const LEGEND_WIDTH: f64 = 260.0;
pub(super) const LEGEND_HEIGHT: f64 = 52.0;

/// What the colours mean: five steps with their figures.
pub(super) fn legend(shades: &Shades, value: Field<'_>, language: Language) -> Markup {
    if shades.most <= shades.least && shades.most == 0.0 {
        return nothing();
    }
    html! {
        text x="0" y="12" { (value.column.heading) }
        @for (i, step) in shades.steps().into_iter().enumerate() {
            rect x=(px(i as f64 * LEGEND_WIDTH / 5.0)) y="18" width=(px(LEGEND_WIDTH / 5.0)) height="12"
                fill=(shades.colour(step).0) stroke=(FAINT) {}
            text x=(px((i as f64 + 0.5) * LEGEND_WIDTH / 5.0)) y="43" text-anchor="middle" font-size="11" {
                (scale::brief(step, language))
            }
        }
    }
}

fn spoken(
    data: &Data<'_>,
    (down, across, value): (Field<'_>, Field<'_>, Field<'_>),
    figures: &BTreeMap<(usize, usize, usize), f64>,
    panels: &Categories,
    (rows, columns): (&Axis, &Axis),
) -> String {
    let (down, across, of) = (&down.column.heading, &across.column.heading, &value.column.heading);
    let what =
        data.language.pick(format!("Heat map of {of} by {down} and {across}."), format!("{of}的热力图，按{down}和{across}。"));
    let ends = [figures.iter().max_by(|a, b| a.1.total_cmp(b.1)), figures.iter().min_by(|a, b| a.1.total_cmp(b.1))];
    let [Some(most), Some(least)] = ends else { return what + data.language.pick(" No figures.", "没有数据。") };
    let at = |((panel, row, column), figure): (&(usize, usize, usize), &f64)| {
        let panel = panels.labels.get(*panel).map_or("", String::as_str);
        format!("{panel} {} {}: {}", rows.labels[*row], columns.labels[*column], value.text(*figure)).trim().to_owned()
    };
    let (count, most, least) = (figures.len(), at(most), at(least));
    what + &data
        .language
        .pick(format!(" {count} cells. Most at {most}. Least at {least}."), format!("共 {count} 格。最高 {most}，最低 {least}。"))
}
