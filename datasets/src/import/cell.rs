//! One value of one row, whatever the file's format.

use std::borrow::Cow;

use event::Day;

/// A value as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Flag(bool),
    /// Microseconds since 1970; UTC where `utc`, else on an unnamed clock.
    Time {
        micros: i64,
        utc: bool,
    },
    Day(Day),
    List(Vec<Cell<'a>>),
}

impl<'a> Cell<'a> {
    pub(crate) fn null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// As text, for keys, templates and text fields.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Cell::Null => "".into(),
            Cell::Text(text) => text,
            Cell::Int(n) => n.to_string().into(),
            Cell::Float(x) => x.to_string().into(),
            Cell::Flag(flag) => flag.to_string().into(),
            Cell::Time { micros, utc } => {
                let told = event::Instant(micros).to_string();
                if utc { told.into() } else { told.trim_end_matches('Z').to_owned().into() }
            }
            Cell::Day(day) => day.to_string().into(),
            Cell::List(list) => list.into_iter().map(Cell::text).collect::<Vec<_>>().join(",").into(),
        }
    }

    /// As a whole number.
    pub(crate) fn whole(&self) -> Result<i64, String> {
        // Beyond 2^53 a float has lost digits.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Cell::Int(n) => Ok(*n),
            Cell::Float(x) if x.fract() == 0.0 && x.abs() <= EXACT => Ok(*x as i64),
            Cell::Text(text) => text.trim().parse().map_err(|_| format!("`{text}` is no whole number")),
            other => Err(format!("`{}` is no whole number", other.clone().text())),
        }
    }

    /// As a number.
    pub(crate) fn number(&self) -> Result<f64, String> {
        let number = match self {
            Cell::Int(n) => Some(*n as f64),
            Cell::Float(x) => Some(*x),
            Cell::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|x: &f64| x.is_finite()).ok_or_else(|| format!("`{}` is no number", self.clone().text()))
    }

    /// As true or false.
    pub(crate) fn flag(&self) -> Result<bool, String> {
        match self {
            Cell::Flag(flag) => Ok(*flag),
            Cell::Int(0) => Ok(false),
            Cell::Int(1) => Ok(true),
            Cell::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "y" | "是" => Ok(true),
                "false" | "0" | "no" | "n" | "否" => Ok(false),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            other => Err(format!("`{}` is neither true nor false", other.clone().text())),
        }
    }
}
