//! A map made ready: every name in it is known, every constant fits its field.

use chrono_tz::Tz;
use event::{Event, Fault, Instant, Kind, Stream};

use super::ImportError;
use super::map::{ConditionSpec, EventSpec, Map};
use super::read::Reader;
use super::value::{Columns, Key, PARTS, Template, Value, zone};

/// An event that rows of one input become.
#[derive(Debug)]
pub(crate) struct Rule {
    pub stream: Stream,
    /// Stream and type, the first parts of the key.
    pub event_type: String,
    pub key: Vec<Template>,
    conditions: Vec<Condition>,
    pub once: bool,
    zone: ZoneOf,
    occurred_at: Value,
    /// In the order of the stream's columns, each with its key as it stands in JSON.
    pub fields: Vec<(String, &'static str, Value)>,
}

#[derive(Debug)]
enum ZoneOf {
    Fixed(Tz),
    Told(Template),
}

#[derive(Debug)]
struct Condition {
    column: usize,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Among(Vec<String>),
    NotAmong(Vec<String>),
    Between { over: Option<(f64, bool)>, under: Option<(f64, bool)> },
    Present(bool),
}

/// A map's rules per input, and the columns they use.
#[derive(Debug)]
pub(crate) struct Bound {
    pub rules: Vec<Vec<Rule>>,
    pub columns: Vec<Columns>,
}

fn wrong(place: &str, problem: impl Into<String>) -> ImportError {
    ImportError::Map { place: place.to_owned(), problem: problem.into() }
}

/// Checks a map and makes it ready.
pub(crate) fn bind(map: &Map) -> Result<Bound, ImportError> {
    let chain_zone = zone(&map.time_zone).map_err(|e| wrong("time_zone", e))?;
    if map.source.is_empty() {
        return Err(wrong("source", "it is empty"));
    }
    if let Some(hour) = map.day_start_hour.filter(|h| !(0..24).contains(h)) {
        return Err(wrong("day_start_hour", format!("{hour} is no hour")));
    }
    let mut bound = Bound {
        rules: map.input.iter().map(|_| Vec::new()).collect(),
        columns: map.input.iter().map(|_| Columns::default()).collect(),
    };
    for (i, input) in map.input.iter().enumerate() {
        if map.input[..i].iter().any(|other| other.name == input.name) {
            return Err(wrong(&format!("input `{}`", input.name), "there are two of that name"));
        }
        if !input.delimiter.is_ascii() {
            return Err(wrong(&format!("input `{}`", input.name), "a delimiter is one ASCII character"));
        }
    }
    for (n, event) in map.event.iter().enumerate() {
        let place = format!("event {} (`{}` `{}`)", n + 1, event.stream, event.r#type);
        let input = map.input.iter().position(|i| i.name == event.input);
        let input = input.ok_or_else(|| wrong(&place, format!("there is no input `{}`", event.input)))?;
        let rule = bind_event(event, chain_zone, &mut bound.columns[input], &place)?;
        bound.rules[input].push(rule);
    }
    if map.event.is_empty() {
        return Err(wrong("event", "there is none"));
    }
    Ok(bound)
}

fn bind_event(spec: &EventSpec, chain_zone: Tz, columns: &mut Columns, place: &str) -> Result<Rule, ImportError> {
    let stream: Stream = spec.stream.parse().map_err(|e: String| wrong(place, e))?;
    let in_field = |name: &str, e: String| wrong(&format!("{place}, `{name}`"), e);
    let mut fields = Vec::new();
    for column in stream.columns() {
        if let Some(value) = spec.fields.get(column.name) {
            let value = Value::parse(value, column.kind, columns).map_err(|e| in_field(column.name, e))?;
            fields.push((format!(",\"{}\":", column.name), column.name, value));
        }
    }
    if let Some(unknown) = spec.fields.keys().find(|f| stream.columns().iter().all(|c| c.name != f.as_str())) {
        let known: Vec<_> = stream.columns().iter().map(|c| c.name).collect();
        return Err(in_field(unknown, format!("`{stream}` has no such field; it has {}", known.join(", "))));
    }
    let key =
        spec.key.iter().map(|k| Template::parse(k, columns)).collect::<Result<Vec<_>, _>>().map_err(|e| in_field("key", e))?;
    if key.is_empty() || (!spec.once && key.iter().all(|k| k.constant().is_some())) {
        return Err(in_field("key", "it names no column, so all rows would be one event".into()));
    }
    if key.len() > PARTS {
        return Err(in_field("key", format!("it has {} parts, at most {PARTS} are possible", key.len())));
    }
    let zone = match &spec.time_zone {
        None => ZoneOf::Fixed(chain_zone),
        Some(text) => {
            let template = Template::parse(text, columns).map_err(|e| in_field("time_zone", e))?;
            match template.constant() {
                Some(name) => ZoneOf::Fixed(zone(name).map_err(|e| in_field("time_zone", e))?),
                None => ZoneOf::Told(template),
            }
        }
    };
    let rule = Rule {
        stream,
        event_type: spec.r#type.clone(),
        key,
        conditions: spec
            .r#where
            .iter()
            .map(|c| bind_condition(c, columns).map_err(|e| in_field("where", e)))
            .collect::<Result<_, _>>()?,
        once: spec.once,
        zone,
        occurred_at: Value::parse(&spec.occurred_at, Kind::Instant, columns).map_err(|e| in_field("occurred_at", e))?,
        fields,
    };
    check_type(spec, stream, place)?;
    Ok(rule)
}

/// Tries a message with every mapped field filled in: an unknown type, or a field that the type needs and the map does not
/// give, would make every row a dead letter.
fn check_type(spec: &EventSpec, stream: Stream, place: &str) -> Result<(), ImportError> {
    let mut message = serde_json::json!({
        "source": "x", "event_id": "1", "type": spec.r#type, "occurred_at": "2020-01-01T00:00:00Z"
    });
    for column in stream.columns().iter().filter(|c| spec.fields.contains_key(c.name)) {
        message[column.name] = match column.kind {
            Kind::Id => "1".into(),
            Kind::Text => match &spec.fields[column.name] {
                toml::Value::String(text) => text.as_str().into(),
                _ => "x".into(),
            },
            Kind::Int | Kind::Fen => 1.into(),
            Kind::Flag => true.into(),
            Kind::Instant => "2020-01-01T00:00:00Z".into(),
            Kind::Day => "2020-01-01".into(),
            Kind::Degrees => 1.0.into(),
            Kind::Texts => serde_json::json!(["x"]),
            Kind::Ints => serde_json::json!([1]),
        };
    }
    match Event::decode(stream, message.to_string().as_bytes(), Instant(i64::MAX)) {
        Err(fault @ (Fault::UnknownType { .. } | Fault::Missing { .. })) => {
            // A kind that comes from a column is known row by row.
            let told = spec.fields.get("kind").is_some_and(|kind| kind.as_str().is_none_or(|k| k.contains('{')));
            if told { Ok(()) } else { Err(wrong(place, fault.to_string())) }
        }
        _ => Ok(()),
    }
}

fn bind_condition(spec: &ConditionSpec, columns: &mut Columns) -> Result<Condition, String> {
    let text = |v: &toml::Value| match v {
        toml::Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let over = spec.greater_than.map(|x| (x, false)).or(spec.at_least.map(|x| (x, true)));
    let under = spec.less_than.map(|x| (x, false)).or(spec.at_most.map(|x| (x, true)));
    let tests: Vec<Test> = [
        spec.equals.as_ref().map(|v| Test::Among(vec![text(v)])),
        spec.not_equals.as_ref().map(|v| Test::NotAmong(vec![text(v)])),
        spec.r#in.as_ref().map(|list| Test::Among(list.iter().map(text).collect())),
        (over.is_some() || under.is_some()).then_some(Test::Between { over, under }),
        spec.present.map(Test::Present),
    ]
    .into_iter()
    .flatten()
    .collect();
    let one: [Test; 1] = tests.try_into().map_err(|_| format!("`{}`: one test per condition", spec.column))?;
    let [test] = one;
    Ok(Condition { column: columns.number(&spec.column), test })
}

impl Condition {
    /// Whether it holds for a row. Nothing is never within bounds.
    fn holds(&self, row: &Reader) -> Result<bool, String> {
        let cell = row.cell(self.column)?;
        Ok(match &self.test {
            Test::Present(wanted) => cell.null() != *wanted,
            Test::Among(list) => !cell.null() && list.iter().any(|v| *v == cell.clone().text()),
            Test::NotAmong(list) => cell.null() || list.iter().all(|v| *v != cell.clone().text()),
            Test::Between { .. } if cell.null() => false,
            Test::Between { over, under } => {
                let x = cell.number().map_err(|e| format!("{}: {e}", row.column_name(self.column)))?;
                over.is_none_or(|(bound, inclusive)| x > bound || (inclusive && x == bound))
                    && under.is_none_or(|(bound, inclusive)| x < bound || (inclusive && x == bound))
            }
        })
    }
}

impl Rule {
    /// Whether the rule wants a row.
    pub(crate) fn wants(&self, row: &Reader) -> Result<bool, String> {
        for condition in &self.conditions {
            if !condition.holds(row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The id of the event with this key.
    pub(crate) fn id(&self, key: &Key) -> i64 {
        key.hash(&[self.stream.name(), &self.event_type])
    }

    /// Zone of the row's store.
    pub(crate) fn zone(&self, row: &Reader) -> Result<Tz, String> {
        match &self.zone {
            ZoneOf::Fixed(zone) => Ok(*zone),
            ZoneOf::Told(template) => zone(&template.fill(row)?.ok_or("no time zone")?),
        }
    }

    /// When the row's event happened.
    pub(crate) fn occurred_at(&self, row: &Reader, zone: Tz) -> Result<Instant, String> {
        self.occurred_at.instant(row, zone)?.ok_or_else(|| "no `occurred_at`".to_owned())
    }
}
