//! The map as it is written: inputs, and for each kind of event what its fields are made of.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::ImportError;
use super::money::Money;

/// How files of another system become events. `datasets/README.md` has the reference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// The events' `source`.
    pub(crate) source: String,
    /// What the map is for.
    #[serde(default)]
    pub(crate) description: String,
    /// IANA zone of the stores: the offset that times are told with, and whose clock a time without one was read from.
    pub(crate) time_zone: String,
    /// The stores' day-start hour where it is not 4.
    pub(crate) day_start_hour: Option<i8>,
    /// The files.
    pub(crate) input: Vec<InputSpec>,
    /// What they become, in the order of the rows' events.
    pub(crate) event: Vec<EventSpec>,
}

/// A kind of file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputSpec {
    pub(crate) name: String,
    /// File name, `*` for any characters; without it every file given is one.
    pub(crate) file: Option<String>,
    /// Told by the file's ending otherwise.
    pub(crate) format: Option<Format>,
    /// Of CSV.
    #[serde(default = "comma")]
    pub(crate) delimiter: char,
    /// What stands for nothing in CSV.
    #[serde(default = "empty")]
    pub(crate) null: Vec<String>,
    /// Whether it may be missing.
    #[serde(default)]
    pub(crate) optional: bool,
}

fn comma() -> char {
    ','
}

fn empty() -> Vec<String> {
    vec![String::new()]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Csv,
    Ndjson,
    Parquet,
}

/// A kind of event that a row becomes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventSpec {
    pub(crate) input: String,
    pub(crate) stream: String,
    pub(crate) r#type: String,
    /// Parts of the key that `event_id` is hashed from, with stream and type.
    pub(crate) key: Vec<String>,
    /// All must hold.
    #[serde(default)]
    pub(crate) r#where: Vec<ConditionSpec>,
    /// Whether only the first row of a key becomes the event.
    #[serde(default)]
    pub(crate) once: bool,
    /// Zone of the event's store, where it is not the map's; may name a column.
    pub(crate) time_zone: Option<String>,
    pub(crate) occurred_at: toml::Value,
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, toml::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionSpec {
    pub(crate) column: String,
    pub(crate) equals: Option<toml::Value>,
    pub(crate) not_equals: Option<toml::Value>,
    pub(crate) r#in: Option<Vec<toml::Value>>,
    pub(crate) greater_than: Option<f64>,
    pub(crate) at_least: Option<f64>,
    pub(crate) less_than: Option<f64>,
    pub(crate) at_most: Option<f64>,
    pub(crate) present: Option<bool>,
}

/// What a field is made of, where it is not a constant or a template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValueSpec {
    pub(crate) column: Option<String>,
    pub(crate) sum: Option<Vec<String>>,
    pub(crate) hash: Option<Vec<String>>,
    pub(crate) default: Option<toml::Value>,
    pub(crate) money: Option<Money>,
    pub(crate) zone: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) split: Option<String>,
    pub(crate) values: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Epoch {
    Seconds,
    Milliseconds,
    Microseconds,
}

impl Map {
    /// Reads a map.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        Ok(toml::from_str(text)?)
    }

    /// Reads a map from a file.
    pub fn load(path: &Path) -> Result<Self, ImportError> {
        let text = std::fs::read_to_string(path).map_err(|source| ImportError::MapFile { path: path.to_owned(), source })?;
        Map::parse(&text)
    }

    /// The maps that come with Hexiao, by name.
    pub fn built_in(name: &str) -> Option<Self> {
        let text = match name {
            "complete-journey" => include_str!("../../maps/complete_journey.toml"),
            _ => return None,
        };
        Some(Map::parse(text).expect("a test reads every built-in map"))
    }

    /// The names [`Map::built_in`] knows.
    pub const BUILT_IN: [&'static str; 1] = ["complete-journey"];

    /// The events' `source`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the map is for.
    pub fn description(&self) -> &str {
        &self.description
    }
}
