//! The language in which people read an answer. What programs read has none.

use std::str::FromStr;

/// A language of headings and labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese as written in mainland China.
    Chinese,
}

impl Language {
    /// The language that an `Accept-Language` prefers of the two (RFC 9110, 12.5.4); English if it names neither.
    pub fn accepted(header: &str) -> Language {
        let mut best = (Language::English, 0.0);
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let q = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if let Ok(language) = tag.split('-').next().unwrap_or_default().to_ascii_lowercase().parse()
                && q > best.1
            {
                best = (language, q);
            }
        }
        best.0
    }

    /// Its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        self.pick("en", "zh-CN")
    }

    /// The text in this language.
    pub(super) fn pick<T>(self, english: T, chinese: T) -> T {
        match self {
            Language::English => english,
            Language::Chinese => chinese,
        }
    }

    /// `money, yuan` and the like: what a figure is, and its unit.
    pub(super) fn with_unit(self, heading: &str, unit: &str) -> String {
        self.pick(format!("{heading}, {unit}"), format!("{heading}（{unit}）"))
    }
}

impl FromStr for Language {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "en" => Ok(Language::English),
            "zh" => Ok(Language::Chinese),
            _ => Err(format!("there is no language `{s}`; there are en and zh")),
        }
    }
}
