//! What a message comes to, found out a second time and another way: the contract's declarations, read slowly.
//!
//! It shares nothing with the decoder but those declarations (names, kinds, ranges, what types need): JSON is taken apart by
//! the grammar of RFC 8259 and times are chrono's. Where the two differ one of them is wrong.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use event::{ENVELOPE, ENVELOPE_REQUIRED, Kind, MESSAGE_BYTES_LIMIT, Stream};

/// What a message is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// An event.
    Event(Read),
    /// None, and why: words of the reason that its dead letter has.
    Letter(&'static str),
}

/// An event, as far as it tells one from another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    /// Business month as year × 12 + month; 0 where the table has no months.
    pub(super) month: i32,
    /// All its fields, written out.
    pub(super) content: String,
}

/// A value, as deep as the contract goes.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Flag(bool),
    Number(String),
    /// `None` if it has half a surrogate pair.
    Text(Option<String>),
    List(Vec<Json>),
    /// An object, or a list in a list.
    Deep,
}

/// Reads `message`, which was recorded at most a few minutes before or after `now`, in microseconds.
pub(super) fn read(stream: Stream, message: &[u8], now: i64) -> Verdict {
    if message.len() > MESSAGE_BYTES_LIMIT {
        return Verdict::Letter("a message may have");
    }
    let malformed = Verdict::Letter("not a valid");
    let Some(members) = members(message) else { return malformed };
    let contract = stream.contract();
    let declared = || ENVELOPE.iter().chain(contract.columns);
    let mut found: Vec<Option<Json>> = vec![None; declared().count()];
    for (name, value) in members {
        let Some(at) = declared().position(|column| column.name == name) else { continue };
        if found[at].replace(value).is_some() {
            return malformed;
        }
    }
    let mut written = Vec::with_capacity(found.len());
    let mut outside = false;
    for (at, (column, value)) in declared().zip(&found).enumerate() {
        let optional = at >= ENVELOPE_REQUIRED && column.name != "schema_version";
        match value {
            None if at < ENVELOPE_REQUIRED => return malformed,
            Some(Json::Null) if !optional => return malformed,
            None | Some(Json::Null) => written.push(None),
            Some(value) => {
                let Some(text) = text_of(column.kind, value) else { return malformed };
                // The two numbers of the envelope have narrower kinds of their own.
                let narrow = match column.name {
                    "schema_version" => text.parse::<i16>().is_err(),
                    "day_start_hour" => text.parse::<i8>().is_err(),
                    _ => false,
                };
                if narrow {
                    return malformed;
                }
                if let (Some((least, greatest)), Ok(number)) = (column.bounds(), text.parse::<f64>()) {
                    // An older version than the first is taken as the first.
                    let within = (least as f64..=greatest as f64).contains(&number) || column.name == "schema_version";
                    outside |= !within && !matches!(column.kind, Kind::Id);
                }
                written.push(Some(text));
            }
        }
    }
    let field = |name: &str| declared().position(|column| column.name == name).and_then(|at| written[at].as_deref());
    let event_type = field("type").unwrap_or_default();
    if event_type == "unmapped" {
        return Verdict::Letter("could not be mapped");
    }
    let Some(Json::Text(Some(at))) = &found[3] else { return malformed };
    let Ok(at) = DateTime::parse_from_rfc3339(at) else { return malformed };
    if at.timestamp() < 946_684_800 {
        return Verdict::Letter("before 2000");
    }
    if at.timestamp_micros() > now + 24 * 3_600_000_000 {
        return Verdict::Letter("more than 24 h after");
    }
    let newest = ENVELOPE[4].range.map_or(1, |(_, newest)| newest);
    if field("schema_version").is_some_and(|version| version.parse::<i64>().is_ok_and(|version| version > newest)) {
        return Verdict::Letter("is newer than");
    }
    if outside {
        return Verdict::Letter("outside");
    }
    let Some(known) = contract.types.iter().find(|t| t.name == event_type) else { return Verdict::Letter("has no type") };
    if known.needs.iter().any(|name| field(name).is_none()) {
        return Verdict::Letter("needs");
    }
    assert!(contract.cases.is_empty(), "the streams that are fuzzed have no cases");
    let hours = field("day_start_hour").map_or(4, |hour| hour.parse().unwrap_or(4));
    let day = at.naive_local() - TimeDelta::hours(hours);
    let month = if stream.partitioned() { day.year() * 12 + day.month() as i32 } else { 0 };
    // Left out and told: versions and hours that mean the same.
    written[4].get_or_insert_with(|| "1".to_owned());
    Verdict::Event(Read { month, content: format!("{written:?}") })
}

/// Source and id, where an object says both, once: by these a dead letter is known. Bytes that are no text don't matter where
/// nobody looks.
pub(super) fn identity(message: &[u8]) -> Option<(String, i64)> {
    const NO_TEXT: char = char::REPLACEMENT_CHARACTER;
    let members = members(String::from_utf8_lossy(message).as_bytes())?;
    if members.iter().any(|(name, _)| name.contains(NO_TEXT)) {
        return None;
    }
    let one = |name: &str| {
        let mut all = members.iter().filter(|(found, _)| found == name);
        all.next().filter(|_| all.next().is_none()).map(|(_, value)| value)
    };
    let (Json::Text(Some(source)), id) = (one("source")?, one("event_id")?) else { return None };
    Some((source.clone(), text_of(Kind::Id, id)?.parse().ok()?)).filter(|(source, _)| !source.contains(NO_TEXT))
}

/// A value of this kind in the one way it is written; `None` if it is none.
fn text_of(kind: Kind, value: &Json) -> Option<String> {
    let whole = |text: &str| (!text.contains(['.', 'e', 'E']) && text != "-0").then(|| text.parse::<i64>().ok()).flatten();
    Some(match (kind, value) {
        (Kind::Id, Json::Text(Some(text))) => text.parse::<i64>().ok()?.to_string(),
        (Kind::Id | Kind::Fen, Json::Number(text)) => whole(text)?.to_string(),
        (Kind::Int, Json::Number(text)) => i32::try_from(whole(text)?).ok()?.to_string(),
        (Kind::Text, Json::Text(Some(text))) => text.clone(),
        (Kind::Flag, Json::Flag(flag)) => flag.to_string(),
        (Kind::Instant, Json::Text(Some(text))) => {
            let at = DateTime::parse_from_rfc3339(text).ok()?;
            format!("{} {}", at.timestamp_micros(), at.offset())
        }
        (Kind::Day, Json::Text(Some(text))) => day(text)?.to_string(),
        (Kind::Degrees, Json::Number(text)) => text.parse::<f64>().ok().filter(|n| n.is_finite())?.to_string(),
        (Kind::Texts, Json::List(list)) => {
            let texts: Option<Vec<String>> = list.iter().map(|item| text_of(Kind::Text, item)).collect();
            format!("{:?}", texts?)
        }
        (Kind::Ints, Json::List(list)) => {
            let numbers: Option<Vec<String>> = list.iter().map(|item| text_of(Kind::Int, item)).collect();
            format!("{:?}", numbers?)
        }
        _ => return None,
    })
}

/// `YYYY-MM-DD`, digit by digit.
fn day(text: &str) -> Option<NaiveDate> {
    let shape = |(at, c): (usize, u8)| if at == 4 || at == 7 { c == b'-' } else { c.is_ascii_digit() };
    let fits = text.len() == 10 && text.bytes().enumerate().all(shape);
    fits.then(|| NaiveDate::from_ymd_opt(text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?)).flatten()
}

/// The members of the one object that a message is.
fn members(message: &[u8]) -> Option<Vec<(String, Json)>> {
    let text = std::str::from_utf8(message).ok()?;
    let mut reader = Reader { rest: text.as_bytes() };
    let mut members = Vec::new();
    reader.take(b'{')?;
    if reader.take(b'}').is_none() {
        loop {
            reader.space();
            let name = reader.text()??;
            reader.take(b':')?;
            members.push((name, reader.value()?));
            if reader.take(b',').is_none() {
                break;
            }
        }
        reader.take(b'}')?;
    }
    reader.space();
    reader.rest.is_empty().then_some(members)
}

/// Takes text apart from its beginning; `None` where the grammar does not allow what comes.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// This character, after any space.
    fn take(&mut self, c: u8) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(&[c])?;
        Some(())
    }

    fn value(&mut self) -> Option<Json> {
        self.space();
        match self.rest.first()? {
            b'[' | b'{' => self.nested(),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Option<Json> {
        for (word, value) in [("null", Json::Null), ("true", Json::Flag(true)), ("false", Json::Flag(false))] {
            if let Some(rest) = self.rest.strip_prefix(word.as_bytes()) {
                self.rest = rest;
                return Some(value);
            }
        }
        match self.rest.first()? {
            b'"' => Some(Json::Text(self.text()?)),
            _ => self.number(),
        }
    }

    fn digits(&mut self) -> Option<()> {
        let n = self.rest.iter().take_while(|c| c.is_ascii_digit()).count();
        self.rest = &self.rest[n..];
        (n > 0).then_some(())
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.rest;
        if let [b'-', rest @ ..] = self.rest {
            self.rest = rest;
        }
        match self.rest {
            [b'0', rest @ ..] => self.rest = rest,
            _ => self.digits()?,
        }
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = if let [b'+' | b'-', rest @ ..] = rest { rest } else { rest };
            self.digits()?;
        }
        let text = &start[..start.len() - self.rest.len()];
        Some(Json::Number(String::from_utf8(text.to_vec()).ok()?))
    }

    fn text(&mut self) -> Option<Option<String>> {
        self.rest = self.rest.strip_prefix(b"\"")?;
        let (mut units, mut plain) = (Vec::<u16>::new(), Vec::new());
        let mut out = String::new();
        let mut whole = true;
        loop {
            let (c, rest) = self.rest.split_first()?;
            self.rest = rest;
            if *c == b'\\' && rest.first() == Some(&b'u') {
                out.push_str(std::str::from_utf8(&plain).ok()?);
                plain.clear();
                let digits = std::str::from_utf8(rest.get(1..5)?).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                units.push(u16::from_str_radix(digits, 16).ok()?);
                self.rest = &rest[5..];
                continue;
            }
            for unit in char::decode_utf16(units.drain(..)) {
                match unit {
                    Ok(c) => out.push(c),
                    Err(_) => whole = false,
                }
            }
            match c {
                b'"' => {
                    out.push_str(std::str::from_utf8(&plain).ok()?);
                    return Some(whole.then_some(out));
                }
                b'\\' => {
                    let (escaped, rest) = rest.split_first()?;
                    self.rest = rest;
                    plain.push(match escaped {
                        b'"' | b'\\' | b'/' => *escaped,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        _ => return None,
                    });
                }
                0..0x20 => return None,
                c => plain.push(*c),
            }
        }
    }

    /// An object or list of any depth, without recursion; of a flat list the items.
    fn nested(&mut self) -> Option<Json> {
        let flat = self.rest.first() == Some(&b'[');
        let (mut open, mut items) = (Vec::new(), Some(Vec::new()).filter(|_| flat));
        loop {
            // Here a value begins.
            self.space();
            match self.rest.first()? {
                c @ (b'[' | b'{') => {
                    let closing = if *c == b'[' { b']' } else { b'}' };
                    self.rest = &self.rest[1..];
                    if !open.is_empty() {
                        items = None;
                    }
                    open.push(closing);
                    if self.take(closing).is_none() {
                        if closing == b'}' {
                            self.member()?;
                        }
                        continue;
                    }
                    open.pop();
                }
                _ => {
                    let value = self.scalar()?;
                    if let Some(items) = &mut items {
                        items.push(value);
                    }
                }
            }
            // A value has ended.
            loop {
                let Some(closing) = open.last() else { return Some(items.map_or(Json::Deep, Json::List)) };
                if self.take(b',').is_some() {
                    if *closing == b'}' {
                        self.member()?;
                    }
                    break;
                }
                self.take(*closing)?;
                open.pop();
            }
        }
    }

    /// The name of a member and its colon.
    fn member(&mut self) -> Option<()> {
        self.space();
        self.text()?;
        self.take(b':')
    }
}
