//! What the columns are called (`sql/columns.csv`), in one place for all reports.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::Language;

/// `column, English, Chinese`. In a column's name `*` stands for any other column of the list, in its headings for that one's.
const COLUMNS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/columns.csv"));

static GLOSSARY: LazyLock<BTreeMap<String, [String; 2]>> = LazyLock::new(|| {
    let mut lines = csv::Reader::from_reader(COLUMNS.as_bytes());
    let entries = lines.deserialize().map(|line| line.map(|(column, english, chinese)| (column, [english, chinese])));
    entries.collect::<Result<_, _>>().expect("sql/columns.csv is embedded, and a test reads it")
});

/// What a column is called; `None` for one that the list does not have.
pub(crate) fn heading(column: &str, language: Language) -> Option<String> {
    let of = |column: &str| GLOSSARY.get(column).map(|entry| entry[language as usize].clone());
    of(column).or_else(|| {
        GLOSSARY.iter().find_map(|(pattern, entry)| {
            let (before, after) = pattern.split_once('*')?;
            let rest = column.strip_prefix(before)?.strip_suffix(after)?;
            let heading = &entry[language as usize];
            let named = of(rest)?;
            // Within an English heading the other one goes on in small letters.
            let inside = language == Language::English && !heading.starts_with('*');
            Some(heading.replace('*', &if inside { uncapitalised(&named) } else { named }))
        })
    })
}

fn uncapitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_in_order() {
        let columns: Vec<&str> = COLUMNS.lines().skip(1).map(|l| l.split(',').next().unwrap_or_default()).collect();
        assert!(columns.is_sorted_by(|a, b| a < b), "sorted, each once");
        for (column, headings) in GLOSSARY.iter() {
            assert!(headings.iter().all(|h| !h.trim().is_empty()), "{column}");
            assert!(!headings[1].is_ascii(), "{column}: {} is not Chinese", headings[1]);
        }
    }

    #[test]
    fn patterns_name_what_they_stand_for() {
        assert_eq!(heading("units", Language::English).as_deref(), Some("Units"));
        assert_eq!(heading("compare_units", Language::English).as_deref(), Some("Compared period: units"));
        assert_eq!(heading("compare_units", Language::Chinese).as_deref(), Some("对比期次数"));
        assert_eq!(heading("compare_unheard_of", Language::English), None);
    }
}
