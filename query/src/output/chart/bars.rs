//! Horizontal bars, in the order of the rows, each with its figure.

use maud::html;

use super::data::{Categories, Data, Met, note_of_met, short};
use super::{Drawing, FAINT, INK, SIZE, px, scale, tip};

/// More bars than this are longer than a printed page.
const BARS_LIMIT: usize = 60;

const BAR: f64 = 14.0;
const STEP: f64 = 20.0;
/// Room of the bars alone.
const LENGTH: f64 = 480.0;

const ABOVE: &str = "#225ea8";
const BELOW: &str = "#b35806";

pub(super) fn draw(data: &Data<'_>, label: &str, value: &str) -> Result<Drawing, String> {
    let (label, value) = (data.field(label)?, data.figure(value)?);
    let mut bars = Categories::default();
    let mut met: Vec<Met> = Vec::new();
    for (batch, row) in data.rows() {
        // A row without either is a note, not a bar.
        let (Some(label), figure) = (label.label(batch, row), value.value(batch, row)) else { continue };
        let place = bars.place(&label);
        met.resize(bars.labels.len(), Met::default());
        if let Some(figure) = figure {
            met[place].add(figure);
        }
    }
    let more = bars.labels.len().saturating_sub(BARS_LIMIT);
    met.truncate(BARS_LIMIT);
    let figures: Vec<Option<f64>> = met.iter().map(|m| m.value(value.column)).collect();
    let known = || figures.iter().flatten().copied();
    let ticks = scale::ticks(known().fold(0.0, f64::min), known().fold(0.0, f64::max), 5);
    let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
    let at = |figure: f64| (figure - first) / (last - first) * LENGTH;

    let left = bars.labels.iter().take(BARS_LIMIT).map(|l| scale::width(&short(l, 30), SIZE)).fold(0.0, f64::max) + 8.0;
    let room = known().map(|f| scale::width(&value.text(f), SIZE)).fold(0.0, f64::max) + 10.0;
    let high = figures.len() as f64 * STEP;
    let top = 22.0;
    let marks = html! {
        text x=(px(left)) y="12" font-weight="600" { (value.column.heading) }
        g transform={ "translate(" (px(left)) " " (px(top)) ")" } {
            @for tick in &ticks {
                line x1=(px(at(*tick))) x2=(px(at(*tick))) y1="0" y2=(px(high)) stroke=(FAINT) {}
                text x=(px(at(*tick))) y=(px(high + 15.0)) text-anchor="middle" font-size="11" { (scale::brief(*tick, data.language)) }
            }
            @for (i, figure) in figures.iter().enumerate() {
                @let y = i as f64 * STEP + (STEP - BAR) / 2.0;
                @let name = &bars.labels[i];
                text x="-8" y=(px(y + BAR - 3.0)) text-anchor="end" { (short(name, 30)) }
                @if let Some(figure) = figure {
                    @let (from, to) = (at(figure.min(0.0)), at(figure.max(0.0)));
                    g {
                        (tip(&format!("{name}: {}", value.text(*figure))))
                        rect x=(px(from)) y=(px(y)) width=(px((to - from).max(0.5))) height=(px(BAR)) fill=(if *figure < 0.0 { BELOW } else { ABOVE }) {}
                    }
                    text x=(px(to + 5.0)) y=(px(y + BAR - 3.0)) { (value.text(*figure)) }
                } @else {
                    text x=(px(at(0.0) + 5.0)) y=(px(y + BAR - 3.0)) fill="#555555" { "–" }
                }
            }
            line x1=(px(at(0.0))) x2=(px(at(0.0))) y1="0" y2=(px(high)) stroke=(INK) {}
        }
    };
    let mut notes: Vec<String> = note_of_met(&met, value.column, data.language).into_iter().collect();
    if more > 0 {
        notes.push(data.language.pick(format!("{more} more are in the table."), format!("其余 {more} 个见表格。")));
    }
    let named = |i: usize| Some(format!("{} {}", bars.labels[i], value.text(figures[i]?)));
    let listed: Vec<String> = (0..figures.len()).filter_map(named).take(10).collect();
    let (of, by) = (&value.column.heading, &label.column.heading);
    let spoken = data.language.pick(
        format!("{} bars: {of} by {by}. {}.", figures.len(), listed.join("; ")),
        format!("条形图，共 {} 条：按{by}的{of}。{}。", figures.len(), listed.join("；")),
    );
    Ok(Drawing { width: left + LENGTH + room, height: top + high + 26.0, marks, spoken, notes })
}
