//! Writes the two hot records, sales and redemptions, straight to JSON: the same bytes as `event::Event::encode`, without
//! building the record. A test compares every line.

use event::Day;

/// China has one offset, all year.
pub(crate) const OFFSET_MIN: i16 = 480;

/// The key as it stands between two fields.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(crate) use key;

/// A line being written.
pub(crate) struct Line<'a>(pub &'a mut Vec<u8>);

impl Line<'_> {
    /// Envelope up to `schema_version`. `source` is quoted JSON.
    pub(crate) fn open(&mut self, source: &str, event_id: i64, event_type: &str, at: i64) {
        self.0.reserve(1024);
        self.0.extend_from_slice(b"{\"source\":");
        self.0.extend_from_slice(source.as_bytes());
        self.id(key!("event_id"), event_id);
        self.text(key!("type"), event_type);
        self.0.extend_from_slice(b",\"occurred_at\":\"");
        self.time(at + i64::from(OFFSET_MIN) * 60);
        self.0.extend_from_slice(b"+08:00\",\"schema_version\":1");
    }

    pub(crate) fn close(&mut self) {
        self.0.push(b'}');
    }

    /// JSON that was written before.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Text without characters that JSON escapes.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    pub(crate) fn id(&mut self, key: &str, id: i64) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'"');
        self.digits(id);
        self.0.push(b'"');
    }

    pub(crate) fn int(&mut self, key: &str, value: i64) {
        self.0.extend_from_slice(key.as_bytes());
        self.digits(value);
    }

    /// An instant, from seconds since 1970.
    pub(crate) fn instant(&mut self, key: &str, secs: i64) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'"');
        self.time(secs);
        self.0.extend_from_slice(b"Z\"");
    }

    fn digits(&mut self, value: i64) {
        let mut out = [0u8; 20];
        let mut at = out.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            out[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            out[at] = b'-';
        }
        self.0.extend_from_slice(&out[at..]);
    }

    fn time(&mut self, secs: i64) {
        let (year, month, day) = Day(secs.div_euclid(86_400) as i32).ymd();
        let of_day = secs.rem_euclid(86_400) as u32;
        let two = |n: u32| [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        let (y, m, d) = (year as u32, two(month), two(day));
        let (h, i, s) = (two(of_day / 3600), two(of_day / 60 % 60), two(of_day % 60));
        let c = [two(y / 100), two(y % 100)];
        self.0.extend_from_slice(&[
            c[0][0], c[0][1], c[1][0], c[1][1], b'-', m[0], m[1], b'-', d[0], d[1], b'T', h[0], h[1], b':', i[0], i[1], b':',
            s[0], s[1],
        ]);
    }
}
