//! A map of H3 cells, drawn from their boundaries. Cities lie far apart: each cluster of cells has a map of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::PI;

use arrow::array::{Array, ArrayRef};
use h3o::{CellIndex, LatLng, Resolution};
use maud::{Markup, html};

use super::data::{Categories, Data, Field, Met, note_of_met};
use super::heat::{LEGEND_HEIGHT, legend};
use super::scale::{self, Shades};
use super::{Drawing, FAINT, INK, px, tip};
use crate::output::{Language, cells};

/// More maps than fill two printed pages are left out, those with the least figures first.
const MAPS_LIMIT: usize = 6;
/// Two cells are of one cluster if their ancestors of this resolution (edges of about 26 km) are the same or neighbours.
const CLUSTER: Resolution = Resolution::Four;

const SIDE: f64 = 330.0;
const GAP: f64 = 20.0;
const HEAD: f64 = 22.0;
const FOOT: f64 = 24.0;
/// Kilometres of a degree of latitude: the circumference of the earth (mean radius 6,371 km) by 360.
const KM_PER_DEGREE: f64 = 2.0 * PI * 6_371.0 / 360.0;

struct Map {
    name: String,
    cells: Vec<(CellIndex, f64)>,
}

pub(super) fn draw(data: &Data<'_>, cell: &str, value: &str, by: Option<&str>) -> Result<Drawing, String> {
    let (cell, value) = (data.field(cell)?, data.figure(value)?);
    let by = by.map(|by| data.field(by)).transpose()?;
    let mut names = Categories::default();
    let mut met: BTreeMap<(usize, CellIndex), Met> = BTreeMap::new();
    let mut without = 0usize;
    for (batch, row) in data.rows() {
        let (at, figure) = (cell_of(cell.values(batch), row), value.value(batch, row));
        match (at, figure) {
            (Some(at), Some(figure)) => {
                let name = names.place(&by.and_then(|by| by.label(batch, row)).unwrap_or_default());
                met.entry((name, at)).or_default().add(figure);
            }
            (None, Some(_)) => without += 1,
            _ => {}
        }
    }
    let figures: Vec<(usize, CellIndex, f64)> =
        met.iter().filter_map(|((name, at), m)| Some((*name, *at, m.value(value.column)?))).collect();
    let mut maps: Vec<Map> = match by {
        Some(_) => {
            let of = |name: usize| figures.iter().filter(|f| f.0 == name).map(|f| (f.1, f.2)).collect();
            names.labels.iter().enumerate().map(|(i, name)| Map { name: name.clone(), cells: of(i) }).collect()
        }
        None => clusters(figures.iter().map(|f| (f.1, f.2)).collect()),
    };
    maps.sort_by(|a, b| total(b).total_cmp(&total(a)));
    let more = maps.len().saturating_sub(MAPS_LIMIT);
    maps.truncate(MAPS_LIMIT);
    let shades = Shades::of(maps.iter().flat_map(|m| m.cells.iter().map(|c| c.1)));

    let across = maps.len().clamp(1, 2);
    let down = maps.len().div_ceil(across);
    let height = down as f64 * (HEAD + SIDE + FOOT);
    let marks = html! {
        @for (i, map) in maps.iter().enumerate() {
            @let (x, y) = ((i % across) as f64 * (SIDE + GAP), (i / across) as f64 * (HEAD + SIDE + FOOT));
            g transform={ "translate(" (px(x)) " " (px(y)) ")" } { (drawn(map, value, &shades, data.language)) }
        }
        g transform={ "translate(0 " (px(height + 6.0)) ")" } { (legend(&shades, value, data.language)) }
    };
    let mut notes: Vec<String> = note_of_met(met.values(), value.column, data.language).into_iter().collect();
    if more > 0 {
        notes.push(
            data.language
                .pick(format!("{more} more maps are not drawn; the table has them."), format!("其余 {more} 幅未绘出，见表格。")),
        );
    }
    if without > 0 {
        let chinese = format!("有 {without} 行没有六边形位置，未绘出。");
        notes.push(data.language.pick(format!("{without} rows have no cell and are not drawn."), chinese));
    }
    let spoken = spoken(data, &maps, value);
    let width = across as f64 * (SIDE + GAP) - GAP;
    Ok(Drawing { width, height: height + 6.0 + LEGEND_HEIGHT, marks, spoken, notes })
}

/// A cell's corners as longitude and latitude, the cell, and its figure.
type Outline = (Vec<(f64, f64)>, CellIndex, f64);

fn total(map: &Map) -> f64 {
    map.cells.iter().map(|c| c.1).sum()
}

/// The cell of a row: a number, or text in hexadecimal; names of neighbourhoods are none.
fn cell_of(values: &ArrayRef, row: usize) -> Option<CellIndex> {
    if values.is_null(row) {
        return None;
    }
    let number = match cells::text(values, row) {
        Some(text) => u64::from_str_radix(text, 16).ok()?,
        None => u64::try_from(cells::whole(values, row)?).ok()?,
    };
    CellIndex::try_from(number).ok()
}

/// Cells that lie near each other together; named after the middle of the cluster.
fn clusters(cells: Vec<(CellIndex, f64)>) -> Vec<Map> {
    let ancestor = |cell: CellIndex| cell.parent(CLUSTER).unwrap_or(cell);
    let mut left: BTreeSet<CellIndex> = cells.iter().map(|c| ancestor(c.0)).collect();
    let mut maps = Vec::new();
    while let Some(first) = left.pop_first() {
        let (mut found, mut todo) = (BTreeSet::from([first]), vec![first]);
        while let Some(next) = todo.pop() {
            for near in next.grid_disk::<Vec<_>>(1) {
                if left.remove(&near) {
                    found.insert(near);
                    todo.push(near);
                }
            }
        }
        let cells: Vec<_> = cells.iter().copied().filter(|c| found.contains(&ancestor(c.0))).collect();
        let (count, middle) = (cells.len() as f64, cells.iter().map(|c| LatLng::from(c.0)));
        let (lat, lng) = middle.fold((0.0, 0.0), |sum, at| (sum.0 + at.lat() / count, sum.1 + at.lng() / count));
        let side = |degrees: f64, positive: &str, negative: &str| {
            format!("{:.1}°{}", degrees.abs(), if degrees < 0.0 { negative } else { positive })
        };
        maps.push(Map { name: format!("{} {}", side(lat, "N", "S"), side(lng, "E", "W")), cells });
    }
    maps
}

/// One map. Degrees of longitude are as long as they are in the middle of it, which over a city is exact enough to look at.
fn drawn(map: &Map, value: Field<'_>, shades: &Shades, language: Language) -> Markup {
    let outlines: Vec<Outline> = map
        .cells
        .iter()
        .map(|(cell, figure)| (cell.boundary().iter().map(|p| (p.lng(), p.lat())).collect(), *cell, *figure))
        .collect();
    let points = || outlines.iter().flat_map(|o| o.0.iter());
    let (west, east) = points().fold((f64::MAX, f64::MIN), |(a, b), p| (a.min(p.0), b.max(p.0)));
    let (south, north) = points().fold((f64::MAX, f64::MIN), |(a, b), p| (a.min(p.1), b.max(p.1)));
    let narrowing = ((south + north) / 2.0).to_radians().cos().max(0.01);
    // A single cell fills a quarter of the map, not all of it.
    let span = ((east - west) * narrowing).max(north - south).max(1e-9) * if outlines.len() == 1 { 2.0 } else { 1.05 };
    let per_degree = SIDE / span;
    let x = |lng: f64| SIDE / 2.0 + (lng - (west + east) / 2.0) * narrowing * per_degree;
    let y = |lat: f64| SIDE / 2.0 - (lat - (south + north) / 2.0) * per_degree;
    let side =
        outlines.first().map_or(0.0, |o| (x(o.0[0].0) - x(o.0[3 % o.0.len()].0)).hypot(y(o.0[0].1) - y(o.0[3 % o.0.len()].1)));
    // A round number of kilometres, at most a third of the map.
    let km = scale::ticks(0.0, span * KM_PER_DEGREE / 3.0, 1)[1];
    let km = if km * per_degree / KM_PER_DEGREE > SIDE / 2.0 { km / 2.0 } else { km };
    let bar = km * per_degree / KM_PER_DEGREE;
    html! {
        text x="0" y="14" font-weight="600" { (map.name) }
        g transform={ "translate(0 " (px(HEAD)) ")" } {
            rect width=(px(SIDE)) height=(px(SIDE)) fill="#fafafa" stroke=(FAINT) {}
            @for (outline, cell, figure) in &outlines {
                @let (fill, ink) = shades.colour(*figure);
                @let corners = outline.iter().map(|(lng, lat)| format!("{},{}", px(x(*lng)), px(y(*lat)))).collect::<Vec<_>>().join(" ");
                polygon points=(corners) fill=(fill) stroke="#707070" stroke-width="0.5" {
                    (tip(&format!("{cell}: {} {}", value.text(*figure), value.column.heading)))
                }
                // A number is written where it has room.
                @if side > 26.0 {
                    @let middle = LatLng::from(*cell);
                    text x=(px(x(middle.lng()))) y=(px(y(middle.lat()) + 4.0)) text-anchor="middle" font-size="10" fill=(ink) {
                        (scale::brief(*figure, language))
                    }
                }
            }
            line x1="4" x2=(px(4.0 + bar)) y1=(px(SIDE + 8.0)) y2=(px(SIDE + 8.0)) stroke=(INK) stroke-width="2" {}
            text x=(px(10.0 + bar)) y=(px(SIDE + 12.0)) font-size="11" { (scale::brief(km, language)) " km" }
        }
    }
}

fn spoken(data: &Data<'_>, maps: &[Map], value: Field<'_>) -> String {
    let one = |map: &Map| {
        let most = map.cells.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(data.language.pick(
            format!("{}: {} cells, most {} at {}", map.name, map.cells.len(), value.text(most.1), most.0),
            format!("{}：{} 个六边形，最高 {}（{}）", map.name, map.cells.len(), value.text(most.1), most.0),
        ))
    };
    let said: Vec<String> = maps.iter().filter_map(one).collect();
    let of = &value.column.heading;
    data.language.pick(format!("Map of hexagons: {of}. {}.", said.join("; ")), format!("六边形地图：{of}。{}。", said.join("；")))
}
