//! What a field is made of, checked against the stream's columns before the first row is read.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use event::{Instant, Kind, hash63};

use super::cell::Cell;
use super::map::{Epoch, ValueSpec};
use super::money::{Money, fen};
use super::read::Reader;
use super::time::{self, TimeFormat};

/// The columns of one input that a map uses, numbered in the order in which they are first named.
#[derive(Debug, Default)]
pub(crate) struct Columns(pub Vec<String>);

impl Columns {
    pub(crate) fn number(&mut self, name: &str) -> usize {
        self.0.iter().position(|c| c == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }
}

/// Text with `{column}` in it; `{{` and `}}` are braces.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Column(usize),
}

impl Template {
    pub(crate) fn parse(text: &str, columns: &mut Columns) -> Result<Self, String> {
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let Some((name, after)) = (brace == "{").then(|| rest.split_once('}')).flatten() else {
                return Err(format!("`{text}`: a brace without its other half"));
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Column(columns.number(name.trim())));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Template(pieces))
    }

    /// Its text, where it names no column.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text for a row; false, and nothing of use appended, if a column has nothing.
    pub(crate) fn append(&self, row: &Reader, text: &mut String) -> Result<bool, String> {
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Column(n) => match row.cell(*n)? {
                    Cell::Null => return Ok(false),
                    Cell::Int(n) => push_digits(text, n),
                    cell => text.push_str(&cell.text()),
                },
            }
        }
        Ok(true)
    }

    /// The text for a row; nothing if a column has nothing.
    pub(crate) fn fill(&self, row: &Reader) -> Result<Option<String>, String> {
        let mut text = String::new();
        Ok(self.append(row, &mut text)?.then_some(text))
    }
}

/// Appends a number; a million rows have ten of them each.
fn push_digits(text: &mut String, n: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        text.push('-');
    }
    text.extend(digits[at..].iter().map(|b| char::from(*b)));
}

#[derive(Clone, Debug)]
enum Made {
    /// JSON, the same in every row.
    Constant(String),
    Column(usize),
    Template(Template),
    /// Amounts added up; what is missing counts as nothing.
    Sum(Vec<usize>),
    Hash(Vec<Template>),
}

/// How to make one field.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    made: Made,
    kind: Kind,
    default: Option<String>,
    money: Option<Money>,
    /// Whose clock a time without an offset was read from, where it is not the event's.
    zone: Option<Tz>,
    format: TimeFormat,
    split: Option<String>,
    values: Option<BTreeMap<String, String>>,
}

/// A zone by its name.
pub(crate) fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| format!("there is no time zone `{name}`"))
}

impl Value {
    pub(crate) fn parse(spec: &toml::Value, kind: Kind, columns: &mut Columns) -> Result<Self, String> {
        let plain = |made| Value {
            made,
            kind,
            default: None,
            money: None,
            zone: None,
            format: TimeFormat::Usual,
            split: None,
            values: None,
        };
        match spec {
            toml::Value::String(text) => {
                let template = Template::parse(text, columns)?;
                Ok(plain(match template.constant() {
                    Some(constant) => Made::Constant(constant_json(&toml::Value::String(constant.to_owned()), kind)?),
                    None if kind == Kind::Fen => {
                        return Err("money from a column: write { column = …, money = \"major\" }".into());
                    }
                    None => Made::Template(template),
                }))
            }
            toml::Value::Table(table) => {
                let spec: ValueSpec = table.clone().try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
                let made = match (&spec.column, &spec.sum, &spec.hash) {
                    (Some(column), None, None) => Made::Column(columns.number(column)),
                    (None, Some(sum), None) if kind == Kind::Fen => Made::Sum(sum.iter().map(|c| columns.number(c)).collect()),
                    (None, Some(_), None) => return Err("`sum` is for money".into()),
                    (None, None, Some(parts)) if kind == Kind::Id => {
                        Made::Hash(parts.iter().map(|p| Template::parse(p, columns)).collect::<Result<_, _>>()?)
                    }
                    (None, None, Some(_)) => return Err("`hash` is for ids".into()),
                    _ => return Err("one of `column`, `sum` and `hash` is needed".into()),
                };
                if kind == Kind::Fen && spec.money.is_none() {
                    return Err("say whether it is `money = \"major\"` (yuan) or \"minor\" (fen)".into());
                }
                let format = match (&spec.format, spec.epoch) {
                    (Some(_), Some(_)) => return Err("`format` and `epoch` exclude each other".into()),
                    (Some(pattern), None) => TimeFormat::Pattern(pattern.clone()),
                    (None, Some(Epoch::Seconds)) => TimeFormat::Epoch(1),
                    (None, Some(Epoch::Milliseconds)) => TimeFormat::Epoch(1_000),
                    (None, Some(Epoch::Microseconds)) => TimeFormat::Epoch(1_000_000),
                    (None, None) => TimeFormat::Usual,
                };
                Ok(Value {
                    default: spec.default.as_ref().map(|d| constant_json(d, kind)).transpose()?,
                    money: spec.money,
                    zone: spec.zone.as_deref().map(zone).transpose()?,
                    format,
                    split: spec.split,
                    values: spec.values,
                    ..plain(made)
                })
            }
            constant => Ok(plain(Made::Constant(constant_json(constant, kind)?))),
        }
    }

    /// Appends the field's JSON for a row; false, and nothing appended, if the row has none.
    pub(crate) fn write(&self, row: &Reader, zone: Tz, out: &mut Vec<u8>) -> Result<bool, String> {
        let cell = match &self.made {
            Made::Constant(json) => {
                out.extend_from_slice(json.as_bytes());
                return Ok(true);
            }
            Made::Column(n) => row.cell(*n).map_err(|e| self.named(row, e))?,
            Made::Template(template) => template.fill(row)?.map_or(Cell::Null, |text| Cell::Text(text.into())),
            Made::Sum(columns) => {
                let mut sum = 0i64;
                for n in columns {
                    let cell = row.cell(*n)?;
                    if !cell.null() {
                        let part = fen(&cell, self.money.unwrap_or(Money::Minor)).map_err(|e| self.named(row, e))?;
                        sum = sum.checked_add(part).ok_or("too much money")?;
                    }
                }
                out.extend_from_slice(sum.to_string().as_bytes());
                return Ok(true);
            }
            Made::Hash(parts) => Key::fill(parts, row)?.map_or(Cell::Null, |key| Cell::Int(key.hash(&[]))),
        };
        let cell = match &self.values {
            Some(values) if !cell.null() => {
                let text = cell.text();
                let value = values.get(text.as_ref()).or_else(|| values.get("*"));
                value
                    .map(|v| Cell::Text(v.clone().into()))
                    .ok_or_else(|| self.named(row, format!("`{text}` is not among `values`")))?
            }
            _ => cell,
        };
        if cell.null() {
            return Ok(match &self.default {
                Some(json) => {
                    out.extend_from_slice(json.as_bytes());
                    true
                }
                None => false,
            });
        }
        self.write_cell(cell, zone, out).map_err(|e| self.named(row, e))?;
        Ok(true)
    }

    /// The instant a row names, for `occurred_at`.
    pub(crate) fn instant(&self, row: &Reader, zone: Tz) -> Result<Option<Instant>, String> {
        let cell = match &self.made {
            Made::Constant(json) => {
                return Instant::parse(json.trim_matches('"')).map(Some).ok_or_else(|| format!("{json} is no time"));
            }
            Made::Column(n) => row.cell(*n).map_err(|e| self.named(row, e))?,
            Made::Template(template) => template.fill(row)?.map_or(Cell::Null, |text| Cell::Text(text.into())),
            Made::Sum(_) | Made::Hash(_) => return Err("a time is needed".into()),
        };
        if cell.null() {
            return Ok(None);
        }
        time::instant(&cell, &self.format, self.zone.unwrap_or(zone)).map(Some).map_err(|e| self.named(row, e))
    }

    /// A problem with the column's name before it.
    fn named(&self, row: &Reader, problem: String) -> String {
        match &self.made {
            Made::Column(n) => format!("{}: {problem}", row.column_name(*n)),
            _ => problem,
        }
    }

    fn write_cell(&self, cell: Cell<'_>, zone: Tz, out: &mut Vec<u8>) -> Result<(), String> {
        let zone = self.zone.unwrap_or(zone);
        let quoted = |out: &mut Vec<u8>, text: &str| serde_json::to_writer(out, text).map_err(|e| e.to_string());
        let digits = |out: &mut Vec<u8>, n: i64| {
            let mut text = String::with_capacity(20);
            push_digits(&mut text, n);
            out.extend_from_slice(text.as_bytes());
        };
        match self.kind {
            Kind::Id => {
                let id = cell.whole().map_err(|_| format!("`{}` is no 64-bit id", cell.text()))?;
                out.push(b'"');
                digits(out, id);
                out.push(b'"');
            }
            Kind::Text => quoted(out, &cell.text())?,
            Kind::Int => digits(
                out,
                cell.whole().and_then(|n| i32::try_from(n).map(i64::from).map_err(|_| format!("{n} is out of range")))?,
            ),
            Kind::Fen => digits(out, fen(&cell, self.money.unwrap_or(Money::Minor))?),
            Kind::Flag => out.extend_from_slice(cell.flag()?.to_string().as_bytes()),
            Kind::Instant => quoted(out, &time::instant(&cell, &self.format, zone)?.with_offset(0).to_string())?,
            Kind::Day => quoted(out, &time::day(&cell, &self.format, zone)?.to_string())?,
            Kind::Degrees => serde_json::to_writer(out, &cell.number()?).map_err(|e| e.to_string())?,
            Kind::Texts | Kind::Ints => {
                let items = match (cell, &self.split) {
                    (Cell::List(items), _) => items,
                    (cell, Some(by)) => {
                        let text = cell.text().into_owned();
                        text.split(by.as_str()).map(|s| Cell::Text(s.trim().to_owned().into())).collect()
                    }
                    (cell, None) => vec![cell],
                };
                out.push(b'[');
                for (i, item) in items.into_iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    if self.kind == Kind::Ints { digits(out, item.whole()?) } else { quoted(out, &item.text())? }
                }
                out.push(b']');
            }
        }
        Ok(())
    }
}

/// A filled key: one text for all parts, and where each ends. Keys are short, and a million rows have several.
#[derive(Debug, Default)]
pub(crate) struct Key {
    text: String,
    ends: [usize; PARTS],
    parts: usize,
}

/// A key has at most this many parts.
pub(crate) const PARTS: usize = 16;

impl Key {
    /// Fills the parts; nothing if one has nothing.
    pub(crate) fn fill(parts: &[Template], row: &Reader) -> Result<Option<Key>, String> {
        let mut key = Key { text: String::with_capacity(64), ..Key::default() };
        for part in parts {
            if !part.append(row, &mut key.text)? {
                return Ok(None);
            }
            *key.ends.get_mut(key.parts).ok_or("a key has at most 16 parts")? = key.text.len();
            key.parts += 1;
        }
        Ok(Some(key))
    }

    /// The 63-bit id of `fixed` and the parts.
    pub(crate) fn hash(&self, fixed: &[&str]) -> i64 {
        let part = |n: usize| &self.text[if n == 0 { 0 } else { self.ends[n - 1] }..self.ends[n]];
        hash63(fixed.iter().copied().chain((0..self.parts).map(part)))
    }

    /// One text that no other parts make.
    pub(crate) fn into_text(self) -> String {
        let mut text = self.text;
        text.extend(self.ends[..self.parts].iter().filter_map(|end| char::from_u32(*end as u32)));
        text
    }
}

/// The parts as text, for a message.
pub(crate) fn parts_as_text(parts: &[Template], row: &Reader) -> String {
    parts.iter().filter_map(|p| p.fill(row).ok().flatten()).collect::<Vec<_>>().join(", ")
}

/// A constant of the map as the field's JSON.
fn constant_json(value: &toml::Value, kind: Kind) -> Result<String, String> {
    let json = |v: serde_json::Value| v.to_string();
    let wrong = || format!("`{value}` does not fit: the field is {}", expected(kind));
    match (kind, value) {
        (Kind::Id, toml::Value::Integer(n)) => Ok(json(n.to_string().into())),
        (Kind::Id, toml::Value::String(s)) if s.parse::<i64>().is_ok() => Ok(json(s.as_str().into())),
        (Kind::Text, toml::Value::String(s)) => Ok(json(s.as_str().into())),
        (Kind::Int, toml::Value::Integer(n)) if i32::try_from(*n).is_ok() => Ok(n.to_string()),
        (Kind::Fen, toml::Value::Integer(n)) => Ok(n.to_string()),
        (Kind::Flag, toml::Value::Boolean(b)) => Ok(b.to_string()),
        (Kind::Instant, toml::Value::String(s)) => {
            Instant::parse(s).map(|at| json(at.with_offset(0).to_string().into())).ok_or_else(wrong)
        }
        (Kind::Instant, toml::Value::Datetime(t)) => {
            Instant::parse(&t.to_string()).map(|at| json(at.with_offset(0).to_string().into())).ok_or_else(wrong)
        }
        (Kind::Day, toml::Value::String(s)) if event::Day::parse(s).is_some() => Ok(json(s.as_str().into())),
        (Kind::Day, toml::Value::Datetime(t)) if event::Day::parse(&t.to_string()).is_some() => Ok(json(t.to_string().into())),
        (Kind::Degrees, toml::Value::Float(x)) => Ok(json((*x).into())),
        (Kind::Degrees, toml::Value::Integer(n)) => Ok(json((*n as f64).into())),
        (Kind::Texts, toml::Value::Array(list)) => {
            list.iter().map(|v| constant_json(v, Kind::Text)).collect::<Result<Vec<_>, _>>().map(|l| format!("[{}]", l.join(",")))
        }
        (Kind::Ints, toml::Value::Array(list)) => {
            list.iter().map(|v| constant_json(v, Kind::Int)).collect::<Result<Vec<_>, _>>().map(|l| format!("[{}]", l.join(",")))
        }
        _ => Err(wrong()),
    }
}

/// What a kind of field holds, in words.
pub(crate) fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Id => "a 64-bit id",
        Kind::Text => "text",
        Kind::Int => "a whole number",
        Kind::Fen => "money, a whole number of fen",
        Kind::Flag => "true or false",
        Kind::Instant => "a time (RFC 3339)",
        Kind::Day => "a day (YYYY-MM-DD)",
        Kind::Degrees => "degrees",
        Kind::Texts => "a list of text",
        Kind::Ints => "a list of whole numbers",
    }
}
