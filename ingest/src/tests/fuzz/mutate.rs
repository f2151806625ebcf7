//! Good messages, and what can go wrong with one.

use event::Stream;
use fastrand::Rng;

/// A message as its members: names and the values' JSON.
pub(super) type Members = Vec<(String, String)>;

/// The streams that are fuzzed; between them they have fields of every kind.
pub(super) const STREAMS: [Stream; 5] =
    [Stream::Orders, Stream::Redemptions, Stream::Refusals, Stream::Bookings, Stream::Members];

/// A mutated message.
pub(super) struct Mutated {
    pub(super) bytes: Vec<u8>,
    /// Whether it still is an event, where that follows from what was done to it.
    pub(super) good: Option<bool>,
}

/// A good message.
pub(super) fn good(random: &mut Rng, stream: Stream, source: &str, id: usize) -> Members {
    let time = |random: &mut Rng| {
        let (month, day, hour) = (random.u8(1..=6), random.u8(1..=28), random.u8(0..24));
        format!(r#""2026-{month:02}-{day:02}T{hour:02}:30:00+08:00""#)
    };
    let text = |value: &str| format!("\"{value}\"");
    let store = text(&format!("S{}", random.u8(..)));
    let fields: Vec<(&str, String)> = match stream {
        Stream::Orders => vec![
            ("type", text("sold")),
            ("order_id", text(&id.to_string())),
            ("entitlement_id", random.u32(..).to_string()),
            ("sold_store_id", store),
            ("product_id", text("P1")),
            ("units", random.u8(1..).to_string()),
            ("paid_fen", random.u32(..).to_string()),
            ("valid_until", time(random)),
            ("applicable_store_ids", r#"["S1","S\u00e9","店"]"#.to_owned()),
            ("head_office_product", random.bool().to_string()),
        ],
        Stream::Redemptions => vec![
            ("type", text("redeemed")),
            ("redeemed_store_id", store),
            ("product_id", text("P2")),
            ("member_id", text(&random.u16(..).to_string())),
            ("value_fen", random.u32(..).to_string()),
            ("remaining_after", random.u8(..).to_string()),
        ],
        Stream::Refusals => vec![("type", text("refused")), ("store_id", store), ("reason", text("卡 \\\"过期\\\""))],
        Stream::Bookings => vec![
            ("type", text("booked")),
            ("booking_id", text(&id.to_string())),
            ("booked_store_id", store),
            ("product_id", text("P3")),
            ("start_at", time(random)),
            ("service_minutes", random.u8(..).to_string()),
        ],
        _ => vec![
            ("type", text("joined")),
            ("member_id", text(&id.to_string())),
            ("joined_on", r#""2026-02-28""#.to_owned()),
            ("home_lat", (random.f64() * 90.0).to_string()),
            ("home_lon", "121.5".to_owned()),
        ],
    };
    let mut members = vec![("source", text(source)), ("event_id", text(&id.to_string())), ("occurred_at", time(random))];
    if random.u8(..8) == 0 {
        members.push(("schema_version", "1".to_owned()));
        members.push(("day_start_hour", random.u8(..24).to_string()));
    }
    members.extend(fields);
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The members as one line.
pub(super) fn line(members: &Members) -> Vec<u8> {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// Whether the good messages above can't be without it.
fn needed(stream: Stream, name: &str) -> bool {
    let types = ["sold", "redeemed", "refused", "booked", "joined"];
    let own = stream.contract().types.iter().filter(|t| types.contains(&t.name));
    ["source", "event_id", "type", "occurred_at"].contains(&name) || own.into_iter().any(|t| t.needs.contains(&name))
}

/// Values that are wrong for most fields, of every type and at the edges of each.
const VALUES: [&str; 32] = [
    "null",
    "true",
    "0",
    "-1",
    "-0",
    "1.0",
    "1e3",
    "24",
    "2147483648",
    "-2147483649",
    "10000000000000",
    "10000000000001",
    "-10000000000001",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e400",
    "180.5",
    "-180",
    "NaN",
    "\"\"",
    "\"7\"",
    "\"-9223372036854775808\"",
    "\"9223372036854775808\"",
    "\"2026-02-30\"",
    "\"2026-2-3\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "[]",
    "[1,null]",
    "[\"S1\",[]]",
    "{\"a\":{\"b\":[]}}",
];

/// Times that no till should tell; the last three are fine.
const TIMES: [(&str, bool); 14] = [
    ("0001-01-01T00:00:00Z", false),
    ("1999-12-31T23:59:59.999999Z", false),
    ("2000-01-01T00:00:00+00:01", false),
    ("9999-12-31T23:59:59Z", false),
    ("2026-02-30T10:00:00Z", false),
    ("2026-01-01T24:00:00Z", false),
    ("2026-01-01T10:00:00", false),
    ("2026-01-01T10:00:00+8:00", false),
    ("2026-01-01T10:00:00+24:00", false),
    ("2026-01-01T10:00:00.Z", false),
    ("1780000000", false),
    ("2000-01-01T00:00:00Z", true),
    ("2026-01-01t10:00:00.123456789012z", true),
    ("2026-01-01T23:59:60-12:00", true),
];

const NOT_UTF8: [&[u8]; 6] = [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82"];

/// Something goes wrong with a good message.
pub(super) fn mutate(random: &mut Rng, stream: Stream, mut members: Members) -> Mutated {
    let at = random.usize(..members.len());
    let unsure = |members: &Members| Mutated { bytes: line(members), good: None };
    match random.u8(..16) {
        0..=3 => {
            let mut bytes = line(&members);
            for _ in 0..random.u8(1..=3) {
                let at = random.usize(..bytes.len());
                bytes[at] = if random.bool() { bytes[at] ^ (1 << random.u8(..8)) } else { random.u8(..) };
            }
            Mutated { bytes, good: None }
        }
        4 => {
            let mut bytes = line(&members);
            bytes.truncate(random.usize(..bytes.len()));
            Mutated { bytes, good: Some(false) }
        }
        5 => {
            let (name, _) = members.remove(at);
            Mutated { bytes: line(&members), good: Some(!needed(stream, &name)) }
        }
        6 => {
            let name = members[at].0.clone();
            members[at].0 = [name.to_uppercase(), format!("{name} "), format!("\\u00{:02x}", b'x')][random.usize(..3)].clone();
            Mutated { bytes: line(&members), good: Some(!needed(stream, &name)) }
        }
        7 => {
            let (name, value) = members[at].clone();
            let known = random.bool();
            let name = if known { name } else { "unknown".to_owned() };
            members.insert(random.usize(..=at), (name.clone(), value));
            members.push(("unknown".to_owned(), "1".to_owned()));
            Mutated { bytes: line(&members), good: Some(!known) }
        }
        8 | 9 => {
            members[at].1 = VALUES[random.usize(..VALUES.len())].to_owned();
            unsure(&members)
        }
        10 => {
            let (time, good) = TIMES[random.usize(..TIMES.len())];
            for member in members.iter_mut().filter(|(name, _)| name == "occurred_at") {
                member.1 = format!("\"{time}\"");
            }
            Mutated { bytes: line(&members), good: Some(good) }
        }
        11 => {
            let field = if stream == Stream::Orders { "paid_fen" } else { "value_fen" };
            let amounts =
                [("10000000000000", true), ("-10000000000001", false), ("1e12", false), ("12.5", false), ("\"7\"", false)];
            let (amount, good) = amounts[random.usize(..amounts.len())];
            let has = matches!(stream, Stream::Orders | Stream::Redemptions);
            members.retain(|(name, _)| name != field);
            members.push((field.to_owned(), amount.to_owned()));
            Mutated { bytes: line(&members), good: Some(good || !has) }
        }
        12 => {
            let mut bytes = line(&members);
            if random.bool() {
                members.push(("note".to_owned(), "\"\"".to_owned()));
                bytes = line(&members);
                // Inside of a field that nobody knows.
                let end = bytes.len() - 2;
                bytes.splice(end..end, NOT_UTF8[random.usize(..NOT_UTF8.len())].iter().copied());
            } else {
                let at = random.usize(..bytes.len());
                bytes.splice(at..at, NOT_UTF8[random.usize(..NOT_UTF8.len())].iter().copied());
            }
            // In the middle of a character the bytes may make another one, which never is the case for the first.
            let good = if std::str::from_utf8(&bytes).is_ok() { None } else { Some(false) };
            Mutated { bytes, good }
        }
        13 => {
            let digits = "9".repeat(random.usize(20..400));
            if random.bool() {
                members.push(("unknown".to_owned(), digits));
                return Mutated { bytes: line(&members), good: Some(true) };
            }
            members[at].1 = digits;
            unsure(&members)
        }
        14 => {
            // Few are deep enough to overflow a stack that follows them.
            let depth = if random.u8(..) == 0 { random.usize(10_000..100_000) } else { random.usize(1..40) };
            let (open, close) = [("[", "]"), ("{\"a\":", "}")][random.usize(..2)];
            let closed = random.u8(..4) > 0;
            let value = format!("{}1{}", open.repeat(depth), close.repeat(if closed { depth } else { depth - 1 }));
            if random.bool() {
                members.push(("unknown".to_owned(), value));
                return Mutated { bytes: line(&members), good: Some(closed) };
            }
            members[at].1 = value;
            unsure(&members)
        }
        _ => {
            let nothings: [&[u8]; 10] =
                [b"", b" ", b"{}", b"null", b"[]", b"7", b"\"\"", b"{\"source\":\"fuzz\",\"event_id\":7}", b"\0", b"{}{}"];
            Mutated { bytes: nothings[random.usize(..nothings.len())].to_vec(), good: Some(false) }
        }
    }
}
