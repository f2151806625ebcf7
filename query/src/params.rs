//! Values for the `$names` of a statement. They enter the syntax tree as typed literals, never its text.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, TimezoneInfo, Value as Literal, VisitMut, visit_expressions_mut,
};
use event::{Day, Instant};

use crate::{Error, Result};

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value, of a type.
    Null(Type),
    /// Text.
    Text(String),
    /// A whole number; ids are these.
    Int(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A day.
    Day(Day),
    /// An instant.
    Instant(Instant),
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Text.
    Text,
    /// A whole number; ids are these.
    Int,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A day, `YYYY-MM-DD`.
    Day,
    /// An instant, RFC 3339.
    Instant,
}

/// Values by name, without the `$`. Positional parameters have the names `1`, `2`, …
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(BTreeMap<String, Value>);

impl Params {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }

    /// A value by name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The values that are there, as text by name.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.0.iter().filter_map(|(name, value)| Some((name.clone(), value.text()?))).collect()
    }

    /// From JSON: an object of named values or an array of positional ones; values are null, true, false, numbers, text.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        let one = |name: String, value: &serde_json::Value| -> Result<(String, Value)> {
            let value = match value {
                serde_json::Value::Null => Value::Null(Type::Text),
                serde_json::Value::Bool(flag) => Value::Flag(*flag),
                serde_json::Value::String(text) => Value::Text(text.clone()),
                serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                    (Some(int), _) => Value::Int(int),
                    (None, Some(number)) => Value::Number(number),
                    _ => return Err(Error::parameter(&name, "is a number out of range")),
                },
                _ => return Err(Error::parameter(&name, "must be null, true, false, a number or text")),
            };
            Ok((name, value))
        };
        match json {
            serde_json::Value::Null => Ok(Self::new()),
            serde_json::Value::Object(named) => named.iter().map(|(n, v)| one(n.clone(), v)).collect::<Result<_>>().map(Params),
            serde_json::Value::Array(list) => {
                list.iter().enumerate().map(|(i, v)| one((i + 1).to_string(), v)).collect::<Result<_>>().map(Params)
            }
            _ => Err(Error::parameter("params", "must be an object of values by name, or an array")),
        }
    }

    /// Puts the values in the places of their names. A name without a value is an error, a value without a place is not.
    pub(crate) fn bind(&self, statement: &mut Statement) -> Result<()> {
        match statement {
            Statement::Statement(sql) => self.bind_ast(sql.as_mut()),
            Statement::Explain(explain) => self.bind(&mut explain.statement),
            _ => Ok(()),
        }
    }

    fn bind_ast<A: VisitMut>(&self, ast: &mut A) -> Result<()> {
        let replaced = visit_expressions_mut(ast, |expr| {
            let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
            let Literal::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
            match self.0.get(name.trim_start_matches('$')) {
                Some(found) => {
                    *expr = found.literal();
                    ControlFlow::Continue(())
                }
                None => ControlFlow::Break(Error::parameter(name, "stands in the statement but was given no value")),
            }
        });
        match replaced {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}

impl Type {
    fn in_sql(self) -> DataType {
        match self {
            Type::Text => DataType::Varchar(None),
            Type::Int => DataType::BigInt(None),
            Type::Number => DataType::Double(ExactNumberInfo::None),
            Type::Flag => DataType::Boolean,
            Type::Day => DataType::Date,
            Type::Instant => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        }
    }

    /// Reads a value of this type.
    pub(crate) fn parse(self, name: &str, text: &str) -> Result<Value> {
        let wrong = |expected: &str| Error::parameter(name, format!("is `{text}`; expected {expected}"));
        match self {
            Type::Text => Ok(Value::Text(text.to_owned())),
            Type::Int => text.parse().map(Value::Int).map_err(|_| wrong("a whole number")),
            Type::Number => match text.parse::<f64>() {
                Ok(n) if n.is_finite() => Ok(Value::Number(n)),
                _ => Err(wrong("a number")),
            },
            Type::Flag => text.parse().map(Value::Flag).map_err(|_| wrong("true or false")),
            Type::Day => Day::parse(text).map(Value::Day).ok_or_else(|| wrong("a day as YYYY-MM-DD")),
            Type::Instant => Instant::parse(text).map(Value::Instant).ok_or_else(|| wrong("an RFC 3339 time")),
        }
    }
}

impl Value {
    /// The value as a parameter is written; `None` for no value.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Null(_) => None,
            Value::Text(text) => Some(text.clone()),
            Value::Int(n) => Some(n.to_string()),
            Value::Number(n) => Some(n.to_string()),
            Value::Flag(flag) => Some(flag.to_string()),
            Value::Day(day) => Some(day.to_string()),
            Value::Instant(at) => Some(at.to_string()),
        }
    }

    fn literal(&self) -> Expr {
        let cast = |value: Literal, to: Type| Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(Expr::Value(value.into())),
            data_type: to.in_sql(),
            array: false,
            format: None,
        };
        let text = |s: String| Literal::SingleQuotedString(s);
        match self {
            Value::Null(to) => cast(Literal::Null, *to),
            Value::Text(s) => Expr::Value(text(s.clone()).into()),
            Value::Int(n) => cast(text(n.to_string()), Type::Int),
            Value::Number(n) => cast(text(n.to_string()), Type::Number),
            Value::Flag(flag) => Expr::Value(Literal::Boolean(*flag).into()),
            Value::Day(day) => cast(text(day.to_string()), Type::Day),
            Value::Instant(at) => cast(text(at.to_string()), Type::Instant),
        }
    }
}
