//! A `.sql` file: the header that says what it is, and its SELECT.
//!
//! ```sql
//! -- weekday_load
//! -- Title: Average load by weekday and hour
//! -- Title zh: 各星期各时段平均客流
//! -- Grain: store × ISO weekday × local hour.
//! -- Roles: head_office, store by $store
//! -- Param from: day = today-90. First business day, inclusive.
//! -- Param per: total|day|week|month = total. How long a row's period is.
//! -- Key: store_id, weekday, hour
//! -- Additive: redemptions, value_fen
//! -- Heading gained: upper estimate, associational
//! -- Heading zh gained: 上限估计，仅为相关
//! -- Formula average: units / days
//! -- Drill units: redemption_records store=store_id, from=$from, to=$to
//! -- Chart: heat weekday hour average
//! -- Sheet: store_name weekday hour average
//! -- Any other line is documentation.
//! ```
//! A parameter without a default is required. `Key` names the columns that name a row. A `Formula` is SQL over the row's own
//! columns, a `Drill` the report that lists what a figure is made of: its parameters are columns, the report's own parameters
//! or `'text'`. A line that starts with three blanks continues the one before.

use std::collections::BTreeMap;

use event::Day;
use serde::Serialize;

use crate::output::{Chart, Sheet};
use crate::params::{Params, Type, Value};
use crate::{Error, Result, period};

include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// A relation or a report, as its file says.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// Its name, the file's stem.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// The same in Chinese, if the file says it.
    pub title_zh: Option<String>,
    /// What one row is.
    pub grain: String,
    /// Documentation, paragraphs joined by line feeds.
    pub doc: String,
    /// Who may run it.
    pub roles: Vec<Role>,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
    /// The columns that name a row.
    pub key: Vec<String>,
    /// Columns that add up, for totals.
    pub additive: Vec<String>,
    /// Headings for people, by column, where the column's name is not enough.
    pub headings: BTreeMap<String, String>,
    /// The same in Chinese.
    pub headings_zh: BTreeMap<String, String>,
    /// How a column comes about: SQL over the row's other columns.
    pub formulas: BTreeMap<String, String>,
    /// Where a column's figure is listed piece by piece.
    pub drills: BTreeMap<String, Drill>,
    /// How to draw it.
    pub chart: Option<Chart>,
    /// How to print it as sheets.
    pub sheet: Option<Sheet>,
    /// The SELECT, with its header.
    #[serde(skip)]
    pub sql: String,
}

/// A role that may run a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// The role: `head_office`, `store` or `clerk`.
    pub role: String,
    /// The parameter that must be the caller's own store.
    pub own_store_parameter: Option<String>,
}

/// A report that lists what a figure is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drill {
    /// Its name.
    pub report: String,
    /// Its parameters.
    pub parameters: Vec<(String, Given)>,
}

/// Where a value of a [`Drill`] comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// The row's column.
    Column(String),
    /// The report's own parameter.
    Parameter(String),
    /// This text.
    Text(String),
}

/// A parameter of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name, without `$`.
    pub name: String,
    /// Its type.
    pub r#type: Type,
    /// The values it may have, if only some.
    pub choices: Vec<String>,
    /// Its default as written (`none`, `today-27`, `month-1`, a value); a parameter without one is required.
    pub default: Option<String>,
    /// What it means.
    pub doc: String,
}

impl Source {
    /// Reads a file's text.
    pub fn parse(stem: &str, sql: &str) -> Result<Self> {
        let bad = |problem: String| Error::BadSource { file: format!("{stem}.sql"), problem };
        let mut lines: Vec<String> = Vec::new();
        for line in sql.lines().map_while(|l| l.strip_prefix("--")) {
            match (line.starts_with("   "), lines.last_mut()) {
                (true, Some(last)) => *last = format!("{last} {}", line.trim()),
                _ => lines.push(line.trim().to_owned()),
            }
        }
        let mut source = Source {
            name: stem.to_owned(),
            title: String::new(),
            title_zh: None,
            grain: String::new(),
            doc: String::new(),
            roles: vec![Role { role: "head_office".to_owned(), own_store_parameter: None }],
            parameters: Vec::new(),
            key: Vec::new(),
            additive: Vec::new(),
            headings: BTreeMap::new(),
            headings_zh: BTreeMap::new(),
            formulas: BTreeMap::new(),
            drills: BTreeMap::new(),
            chart: None,
            sheet: None,
            sql: sql.to_owned(),
        };
        match lines.first() {
            Some(first) if first == stem => {}
            _ => return Err(bad(format!("its first line must be `-- {stem}`"))),
        }
        let mut doc: Vec<&str> = Vec::new();
        for line in &lines[1..] {
            match line.split_once(": ") {
                Some(("Title", text)) => source.title = text.to_owned(),
                Some(("Title zh", text)) => source.title_zh = Some(text.to_owned()),
                Some(("Grain", text)) => source.grain = text.trim_end_matches('.').to_owned(),
                Some(("Roles", text)) => source.roles = text.split(',').map(|r| role(r.trim())).collect(),
                Some(("Key", text)) => source.key = names(text),
                Some(("Additive", text)) => source.additive = names(text),
                Some(("Chart", text)) => source.chart = Some(text.parse().map_err(bad)?),
                Some(("Sheet", text)) => source.sheet = Some(text.parse().map_err(bad)?),
                Some((key, text)) if key.starts_with("Heading zh ") => {
                    source.headings_zh.insert(key["Heading zh ".len()..].to_owned(), text.to_owned());
                }
                Some((key, text)) if key.starts_with("Heading ") => {
                    source.headings.insert(key["Heading ".len()..].to_owned(), text.to_owned());
                }
                Some((key, text)) if key.starts_with("Formula ") => {
                    source.formulas.insert(key["Formula ".len()..].to_owned(), text.trim_end_matches('.').to_owned());
                }
                Some((key, text)) if key.starts_with("Drill ") => {
                    let drill =
                        drill(text).ok_or_else(|| bad(format!("`{line}`: expected `Drill COLUMN: REPORT NAME=VALUE, …`")))?;
                    source.drills.insert(key["Drill ".len()..].to_owned(), drill);
                }
                Some((key, text)) if key.starts_with("Param ") => {
                    let parameter = parameter(&key["Param ".len()..], text)
                        .ok_or_else(|| bad(format!("`{line}`: expected `Param NAME: TYPE [= DEFAULT]. What it means.`")))?;
                    source.parameters.push(parameter);
                }
                _ => doc.push(line),
            }
        }
        if source.grain.is_empty() {
            return Err(bad("its header has no `-- Grain:`".to_owned()));
        }
        if source.title.is_empty() {
            source.title = source.name.replace('_', " ");
        }
        source.doc = doc.join("\n");
        Ok(source)
    }

    /// Whether it is about a period, `from` to `to`.
    pub fn has_period(&self) -> bool {
        ["from", "to"].iter().all(|end| self.parameters.iter().any(|p| p.name == *end && p.r#type == Type::Day))
    }

    /// Typed values for the parameters: those given, then the defaults.
    pub fn bind(&self, given: &BTreeMap<String, String>, today: Day) -> Result<Params> {
        if let Some(unknown) = given.keys().find(|name| self.parameters.iter().all(|p| p.name != **name)) {
            let own = self.parameters.iter().map(|p| p.name.as_str());
            let known: Vec<&str> = own.chain(crate::asked::GENERAL.map(|(name, _)| name)).collect();
            return Err(Error::parameter(unknown, format!("is none of `{}`; it has {}", self.name, known.join(", "))));
        }
        let mut params = Params::new();
        params.set("today", Value::Day(today));
        for parameter in &self.parameters {
            params.set(&parameter.name, parameter.value(given.get(&parameter.name), today)?);
        }
        Ok(params)
    }
}

impl Parameter {
    fn value(&self, given: Option<&String>, today: Day) -> Result<Value> {
        let text = match (given, &self.default) {
            (Some(given), _) => given.as_str(),
            (None, Some(default)) if default == "none" => return Ok(Value::Null(self.r#type)),
            (None, Some(default)) => default.as_str(),
            (None, None) => return Err(Error::parameter(&self.name, format!("is required: {}", self.doc))),
        };
        if !self.choices.is_empty() && !self.choices.iter().any(|c| c == text) {
            return Err(Error::parameter(&self.name, format!("is `{text}`; it may be {}", self.choices.join(", "))));
        }
        match self.r#type {
            Type::Day => match period::relative_day(text, today) {
                Some(day) => Ok(Value::Day(day)),
                None => self.r#type.parse(&self.name, text),
            },
            _ => self.r#type.parse(&self.name, text),
        }
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(|c| c.trim().trim_end_matches('.').to_owned()).collect()
}

fn drill(text: &str) -> Option<Drill> {
    let (report, given) = text.trim_end_matches('.').split_once(' ').unwrap_or((text.trim_end_matches('.'), ""));
    let parameters = given.split(',').map(str::trim).filter(|p| !p.is_empty()).map(|p| {
        let (name, value) = p.split_once('=')?;
        let value = match (value.strip_prefix('$'), value.strip_prefix('\'').and_then(|v| v.strip_suffix('\''))) {
            (Some(parameter), _) => Given::Parameter(parameter.to_owned()),
            (_, Some(text)) => Given::Text(text.to_owned()),
            _ => Given::Column(value.to_owned()),
        };
        Some((name.to_owned(), value))
    });
    Some(Drill { report: report.to_owned(), parameters: parameters.collect::<Option<_>>()? })
}

fn role(text: &str) -> Role {
    match text.split_once(" by $") {
        Some((role, parameter)) => Role { role: role.to_owned(), own_store_parameter: Some(parameter.to_owned()) },
        None => Role { role: text.to_owned(), own_store_parameter: None },
    }
}

fn parameter(name: &str, text: &str) -> Option<Parameter> {
    let (declaration, doc) = text.split_once(". ").or_else(|| text.strip_suffix('.').map(|t| (t, "")))?;
    let (kind, default) = match declaration.split_once(" = ") {
        Some((kind, default)) => (kind, Some(default.trim().to_owned())),
        None => (declaration, None),
    };
    let kind = kind.trim();
    let (r#type, choices) = match kind {
        "text" => (Type::Text, Vec::new()),
        "int" => (Type::Int, Vec::new()),
        "number" => (Type::Number, Vec::new()),
        "flag" => (Type::Flag, Vec::new()),
        "day" => (Type::Day, Vec::new()),
        "instant" => (Type::Instant, Vec::new()),
        choices if choices.contains('|') => (Type::Text, choices.split('|').map(str::to_owned).collect()),
        _ => return None,
    };
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then(|| Parameter { name: name.to_owned(), r#type, choices, default, doc: doc.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const HEADER: &str = "-- r\n-- Title: A report\n-- Grain: store.\n-- Roles: head_office, store by $store\n\
        -- Param from: day. First day.\n-- Param to: day = today-1. Last\n--   day, inclusive.\n\
        -- Param per: day|week = week. Period.\n-- Param store: text = none. Only this store.\n-- Additive: a, b\n\
        -- Key: store_id, day.\n-- Formula a: b + 1\n-- Drill a: x store=store_id, from=$from, kind='all'\nSELECT 1";

    fn check(given: &[(&str, &str)], expect: Expect) {
        let source = Source::parse("r", HEADER).unwrap();
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let text = match source.bind(&given, Day::parse("2026-03-01").unwrap()) {
            Ok(params) => format!("{params:?}"),
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&text);
    }

    #[test]
    fn parameters_are_typed_and_checked() {
        check(
            &[("from", "2026-02-01")],
            expect![[
                r#"Params({"from": Day(Day(20485)), "per": Text("week"), "store": Null(Text), "to": Day(Day(20512)), "today": Day(Day(20513))})"#
            ]],
        );
        check(&[], expect!["parameter `from` is required: First day."]);
        check(&[("from", "1 Feb")], expect!["parameter `from` is `1 Feb`; expected a day as YYYY-MM-DD"]);
        check(&[("from", "2026-02-01"), ("per", "year")], expect!["parameter `per` is `year`; it may be day, week"]);
        check(
            &[("form", "2026-02-01")],
            expect![
                "parameter `form` is none of `r`; it has from, to, per, store, last, compare, as_known_on, diff_known_on, explain"
            ],
        );
    }

    #[test]
    fn headers_say_what_a_file_is() {
        let source = Source::parse("r", HEADER).unwrap();
        expect![[r#"A report · store · [Role { role: "head_office", own_store_parameter: None }, Role { role: "store", own_store_parameter: Some("store") }] · ["a", "b"] · Last day, inclusive."#]]
            .assert_eq(&format!("{} · {} · {:?} · {:?} · {}", source.title, source.grain, source.roles, source.additive, source.parameters[1].doc));
        expect!["`x.sql`: its first line must be `-- x`"].assert_eq(&Source::parse("x", HEADER).unwrap_err().to_string());
    }
}
