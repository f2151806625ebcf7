//! What is said about an answer beside its rows: its title, what it was asked with, how fresh it is.

use event::Instant;

use super::Language;
use crate::answer::{About, Presentation};
use crate::view::Freshness;

/// The report's title, or that it is a statement's answer.
pub(super) fn title(shown: &Presentation) -> String {
    match (&shown.title_zh, shown.language) {
        (Some(title), Language::Chinese) => title.clone(),
        _ if shown.name.is_empty() => shown.language.pick("Answer", "查询结果").to_owned(),
        _ => shown.title.clone(),
    }
}

/// The parameters on one line; those without a value are left out.
pub(super) fn parameters(shown: &Presentation) -> String {
    shown.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" · ")
}

/// `As of 2026-11-23 22:10:05 (Asia/Shanghai)`.
pub(super) fn as_of(freshness: &Freshness, shown: &Presentation) -> String {
    let language = shown.language;
    match freshness.as_of {
        Some(at) => format!("{} {}", language.pick("As of", "数据截至"), zoned(at, shown)),
        None => language.pick("Nothing recorded yet", "尚无记录").to_owned(),
    }
}

/// An instant on the wall clock of the chain, in seconds.
pub(super) fn local(at: Instant, shown: &Presentation) -> String {
    at.to_utc().with_timezone(&shown.zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same with the name of the zone.
pub(super) fn zoned(at: Instant, shown: &Presentation) -> String {
    format!("{} ({})", local(at, shown), shown.zone)
}

/// All there is to know about the answer, as label and value.
pub(super) fn facts(freshness: &Freshness, about: Option<&About>, shown: &Presentation, rows: usize) -> Vec<(String, String)> {
    let language = shown.language;
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut say = |english: &str, chinese: &str, value: String| {
        if !value.is_empty() {
            facts.push((language.pick(english, chinese).to_owned(), value));
        }
    };
    let versions: Vec<String> = freshness.lake_versions.iter().map(|(table, version)| format!("{table}@{version}")).collect();
    let position: Vec<String> = freshness.log_position.iter().map(|(partition, next)| format!("{partition}:{next}")).collect();
    say("Report", "报表", shown.name.clone());
    say("Definition version", "定义版本", about.map(|a| a.definition.clone()).unwrap_or_default());
    say("One row per", "每行含义", shown.grain.clone());
    for (name, value) in &shown.parameters {
        say(&format!("Parameter {name}"), &format!("参数 {name}"), value.clone());
    }
    say("As of", "数据截至", freshness.as_of.map(|at| zoned(at, shown)).unwrap_or_default());
    say("As of, UTC", "数据截至（UTC）", freshness.as_of.map(|at| at.to_string()).unwrap_or_default());
    say("Lake versions", "数据湖版本", versions.join(", "));
    say("Log position", "日志位置", position.join(", "));
    say("Rows from the tail", "尾部行数", freshness.tail_rows.to_string());
    let letters = about.map(|a| a.dead_letters.to_string()).unwrap_or_default();
    say("Messages since the period began that could not be events", "期间起未能成为事件的消息", letters);
    say("Rows", "行数", rows.to_string());
    say("Time zone", "时区", shown.zone.to_string());
    say("Money", "金额单位", language.pick("yuan", "元").to_owned());
    facts
}

/// The names of ISO weekdays, Monday first.
pub(super) fn weekdays(language: Language) -> [&'static str; 7] {
    language.pick(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], ["周一", "周二", "周三", "周四", "周五", "周六", "周日"])
}
