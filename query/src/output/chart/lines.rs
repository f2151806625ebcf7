//! Lines over time. A figure that is not there breaks its line, it is never zero.

use std::collections::BTreeMap;

use event::Day;
use maud::{Markup, html};

use super::data::{Categories, Data, Field, Met, note_of_met, short};
use super::scale::{self, SERIES};
use super::{Drawing, FAINT, INK, SIZE, px, tip};

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 280.0;

/// Where rows lie along the axis, and what is written there.
struct Along {
    /// Places in order, with their labels.
    labels: BTreeMap<i64, String>,
    /// The distance of places that follow each other: a longer one is a gap. `None` where places only have an order.
    step: Option<i64>,
}

pub(super) fn draw(data: &Data<'_>, along: &str, value: &str, by: Option<&str>) -> Result<Drawing, String> {
    let (along, value) = (data.field(along)?, data.figure(value)?);
    let by = by.map(|by| data.field(by)).transpose()?;
    let (axis, place) = axis(data, along);
    let mut names = Categories::default();
    let mut points: BTreeMap<(usize, i64), Met> = BTreeMap::new();
    for (batch, row) in data.rows() {
        let Some(at) = along.label(batch, row).and_then(|label| place(&label)) else { continue };
        let name = names.place(&by.and_then(|by| by.label(batch, row)).unwrap_or_default());
        let met = points.entry((name, at)).or_default();
        if let Some(figure) = value.value(batch, row) {
            met.add(figure);
        }
    }
    let more = names.labels.len().saturating_sub(SERIES.len());
    points.retain(|(name, _), _| *name < SERIES.len());
    let known = || points.values().filter_map(|m| m.value(value.column));
    let ticks = scale::ticks(known().fold(0.0, f64::min), known().fold(0.0, f64::max), 5);
    let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
    let (first, last) = (axis.labels.keys().next().copied().unwrap_or(0), axis.labels.keys().last().copied().unwrap_or(0));
    let x = |at: i64| if last > first { (at - first) as f64 / (last - first) as f64 * WIDTH } else { WIDTH / 2.0 };
    let y = |figure: f64| HEIGHT - (figure - low) / (high - low) * HEIGHT;

    let left = ticks.iter().map(|t| scale::width(&scale::brief(*t, data.language), SIZE)).fold(0.0, f64::max) + 8.0;
    let right = names.labels.iter().take(SERIES.len()).map(|n| scale::width(&short(n, 20), SIZE)).fold(0.0, f64::max) + 48.0;
    let top = 24.0;
    let drawn: Vec<usize> = (0..names.labels.len().min(SERIES.len())).collect();
    let line = |name: usize| -> Markup {
        let (colour, dash) = SERIES[name];
        let mine: Vec<(i64, Option<f64>)> =
            points.range((name, i64::MIN)..=(name, i64::MAX)).map(|((_, at), m)| (*at, m.value(value.column))).collect();
        let mut path = String::new();
        let mut before: Option<i64> = None;
        for (at, figure) in &mine {
            let Some(figure) = figure else {
                before = None;
                continue;
            };
            let goes_on = before.is_some_and(|b| axis.step.is_none_or(|step| at - b <= step));
            path += &format!("{}{} {}", if goes_on { "L" } else { "M" }, px(x(*at)), px(y(*figure)));
            before = Some(*at);
        }
        html! {
            path d=(path) fill="none" stroke=(colour) stroke-width="2" stroke-dasharray=(dash) stroke-linejoin="round" {}
            @for (at, figure) in mine.iter().filter_map(|(at, f)| Some((at, (*f)?))) {
                circle cx=(px(x(*at))) cy=(px(y(figure))) r="3" fill=(colour) {
                    (tip(&format!("{} {}: {}", names.labels[name], axis.labels.get(at).map_or("", String::as_str), value.text(figure))))
                }
            }
        }
    };
    // As many labels as have room.
    let widest = axis.labels.values().map(|l| scale::width(l, 11.0)).fold(30.0, f64::max) + 10.0;
    let every = (axis.labels.len() as f64 * widest / WIDTH).ceil().max(1.0) as usize;
    let marks = html! {
        text x=(px(left)) y="12" font-weight="600" { (value.column.heading) }
        g transform={ "translate(" (px(left)) " " (px(top)) ")" } {
            @for tick in &ticks {
                line x1="0" x2=(px(WIDTH)) y1=(px(y(*tick))) y2=(px(y(*tick))) stroke=(if *tick == 0.0 { INK } else { FAINT }) {}
                text x="-6" y=(px(y(*tick) + 4.0)) text-anchor="end" font-size="11" { (scale::brief(*tick, data.language)) }
            }
            @for (at, label) in axis.labels.iter().step_by(every) {
                line x1=(px(x(*at))) x2=(px(x(*at))) y1=(px(HEIGHT)) y2=(px(HEIGHT + 4.0)) stroke=(INK) {}
                text x=(px(x(*at))) y=(px(HEIGHT + 17.0)) text-anchor="middle" font-size="11" { (label) }
            }
            @for name in &drawn { (line(*name)) }
            @if by.is_some() {
                @for name in &drawn {
                    @let y = *name as f64 * 20.0 + 6.0;
                    line x1=(px(WIDTH + 12.0)) x2=(px(WIDTH + 38.0)) y1=(px(y)) y2=(px(y))
                        stroke=(SERIES[*name].0) stroke-width="2" stroke-dasharray=(SERIES[*name].1) {}
                    text x=(px(WIDTH + 43.0)) y=(px(y + 4.0)) { (short(&names.labels[*name], 20)) }
                }
            }
        }
    };
    let mut notes: Vec<String> = note_of_met(points.values(), value.column, data.language).into_iter().collect();
    if more > 0 {
        notes.push(data.language.pick(format!("{more} more are in the table."), format!("其余 {more} 个见表格。")));
    }
    let spoken = spoken(data, (along, value), &drawn, &names, &points, &axis);
    Ok(Drawing { width: left + WIDTH + right, height: top + HEIGHT + 28.0, marks, spoken, notes })
}

/// The place of a label along the axis.
type Place = Box<dyn Fn(&str) -> Option<i64>>;

/// Days and months lie as far apart as they are; whole numbers too; anything else only has the rows' order.
fn axis(data: &Data<'_>, along: Field<'_>) -> (Along, Place) {
    fn day(label: &str) -> Option<i64> {
        Day::parse(label).map(|day| day.0.into())
    }
    fn month(label: &str) -> Option<i64> {
        let (year, month) = label.split_once('-').filter(|(y, m)| y.len() == 4 && m.len() == 2)?;
        Some(year.parse::<i64>().ok()? * 12 + month.parse::<i64>().ok().filter(|m| (1..=12).contains(m))? - 1)
    }
    fn whole(label: &str) -> Option<i64> {
        label.parse().ok().filter(|n: &i64| n.abs() < 1_000_000)
    }
    let labels: Vec<String> = data.rows().filter_map(|(batch, row)| along.label(batch, row)).collect();
    for place in [day as fn(&str) -> Option<i64>, month, whole] {
        let places: Option<BTreeMap<i64, String>> = labels.iter().map(|l| Some((place(l)?, l.clone()))).collect();
        if let Some(places) = places.filter(|p| !p.is_empty()) {
            let distances = places.keys().zip(places.keys().skip(1)).map(|(a, b)| b - a);
            let step = distances.min();
            return (Along { labels: places, step }, Box::new(place));
        }
    }
    let mut order = Categories::default();
    for label in &labels {
        order.place(label);
    }
    let labels = order.labels.iter().enumerate().map(|(i, l)| (i as i64, l.clone())).collect();
    let places: BTreeMap<String, i64> = order.labels.into_iter().enumerate().map(|(i, l)| (l, i as i64)).collect();
    (Along { labels, step: None }, Box::new(move |label| places.get(label).copied()))
}

fn spoken(
    data: &Data<'_>,
    (along, value): (Field<'_>, Field<'_>),
    drawn: &[usize],
    names: &Categories,
    points: &BTreeMap<(usize, i64), Met>,
    axis: &Along,
) -> String {
    let one = |name: usize| {
        let mut mine = points
            .range((name, i64::MIN)..=(name, i64::MAX))
            .filter_map(|((_, at), m)| Some((axis.labels.get(at)?, m.value(value.column)?)));
        let first = mine.next()?;
        let last = mine.next_back().unwrap_or(first);
        let said = format!("{} {}: {} → {}: {}", names.labels[name], first.0, value.text(first.1), last.0, value.text(last.1));
        Some(said.trim().to_owned())
    };
    let said: Vec<String> = drawn.iter().filter_map(|name| one(*name)).collect();
    let (of, over) = (&value.column.heading, &along.column.heading);
    data.language
        .pick(format!("Lines: {of} along {over}. {}.", said.join("; ")), format!("折线图：{of}，沿{over}。{}。", said.join("；")))
}
