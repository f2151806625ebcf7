//! What people see of a column: its heading and what kind of thing it holds.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};

use super::cells::{self, Sort};
use super::{Language, glossary};
use crate::answer::Presentation;

/// Fractions show this many decimals: rates and averages differ in the first two or three.
pub(super) const DECIMALS: usize = 3;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// 64-bit ids.
    Id,
    Whole,
    Fraction,
    /// Fen, shown as yuan.
    Money,
    Flag,
    Day,
    Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub heading: String,
    pub kind: Kind,
    /// Whether its figures may be added up.
    pub adds_up: bool,
}

impl Kind {
    fn of(field: &Field) -> Kind {
        let (name, data_type) = (field.name(), field.data_type());
        match (cells::sort(data_type), data_type) {
            _ if cells::id(name, data_type) => Kind::Id,
            _ if cells::money(name, data_type) => Kind::Money,
            (Sort::Whole, _) => Kind::Whole,
            (Sort::Fraction, _) => Kind::Fraction,
            (Sort::Flag, _) => Kind::Flag,
            (_, DataType::Date32) => Kind::Day,
            (_, DataType::Timestamp(..)) => Kind::Instant,
            _ => Kind::Text,
        }
    }

    /// Whether it is a figure, which stands right and may be drawn.
    pub fn figure(self) -> bool {
        matches!(self, Kind::Whole | Kind::Fraction | Kind::Money)
    }
}

/// The columns of an answer in order.
pub(super) fn columns(schema: &SchemaRef, shown: &Presentation) -> Vec<Column> {
    let adds_up = |name: &str| shown.additive.iter().any(|a| a == name);
    let column = |field: &Field| {
        let kind = Kind::of(field);
        let adds_up = kind.figure() && (adds_up(field.name()) || laid_beside(field.name()).is_some_and(adds_up));
        Column { name: field.name().clone(), heading: heading(field.name(), kind, shown), kind, adds_up }
    };
    schema.fields().iter().map(|f| column(f)).collect()
}

/// The column that a comparison lays this one beside.
fn laid_beside(name: &str) -> Option<&str> {
    ["compare_", "known_", "change_"].into_iter().find_map(|prefix| name.strip_prefix(prefix))
}

/// A report's columns are called what its file says, else what the glossary says. A statement's columns keep the names that
/// it gave them, and the unit where that is another one.
fn heading(name: &str, kind: Kind, shown: &Presentation) -> String {
    let language = shown.language;
    let own = match language {
        Language::English => shown.headings.get(name).map(|h| capitalised(h)),
        Language::Chinese => shown.headings_zh.get(name).cloned(),
    };
    let listed = || if shown.name.is_empty() { None } else { glossary::heading(name, language) };
    match own.or_else(listed) {
        Some(heading) if kind == Kind::Money => language.with_unit(&heading, language.pick("yuan", "元")),
        Some(heading) => heading,
        None if kind == Kind::Money => cells::in_yuan(name),
        None => name.to_owned(),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

impl Column {
    /// A cell as people read it; nothing for null. Instants are UTC and say so.
    pub fn write(&self, values: &ArrayRef, row: usize, out: &mut String) {
        match self.kind {
            Kind::Money => cells::write_yuan(values, row, out),
            Kind::Fraction => match cells::fraction(values, row) {
                Some(n) => out.push_str(&format!("{n:.DECIMALS$}")),
                None => cells::write(values, row, out),
            },
            _ => cells::write(values, row, out),
        }
    }
}

/// A sum over a column, exact where its figures are.
#[derive(Clone, Debug)]
pub(super) enum Sum {
    /// Whole numbers, or fen.
    Whole(i128),
    Fraction(f64),
}

impl Sum {
    /// Nothing yet, for a column that adds up.
    pub fn of(column: &Column) -> Option<Sum> {
        match column.kind {
            _ if !column.adds_up => None,
            Kind::Fraction => Some(Sum::Fraction(0.0)),
            _ => Some(Sum::Whole(0)),
        }
    }

    pub fn add(&mut self, column: &Column, values: &ArrayRef, row: usize) {
        match self {
            Sum::Whole(sum) if column.kind == Kind::Money => *sum += cells::fen(values, row).unwrap_or(0),
            Sum::Whole(sum) => *sum += cells::whole(values, row).unwrap_or(0),
            Sum::Fraction(sum) => *sum += cells::fraction(values, row).unwrap_or(0.0),
        }
    }

    /// As people read it.
    pub fn text(&self, column: &Column) -> String {
        match self {
            Sum::Whole(sum) if column.kind == Kind::Money => cells::yuan(*sum),
            Sum::Whole(sum) => sum.to_string(),
            Sum::Fraction(sum) => format!("{sum:.DECIMALS$}"),
        }
    }
}
