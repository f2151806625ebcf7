//! `hexiao.toml`: on which log a data folder works, and where its further reports are.
//!
//! Owns the file's keys, their limits and what is said of wrong ones. `docs/kafka.md` shows every key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use event::Stream;
use eventlog::kafka::{GroupConfig, KafkaConfig, Retention, Security, TopicSettings};
use serde::Deserialize;

/// The file's name in a data folder.
pub const FILE: &str = "hexiao.toml";

/// Kafka refuses longer names of topics.
const TOPIC_NAME_LIMIT: usize = 249;

/// Long enough for any name that a person gives, and short enough for metrics and logs.
const GROUP_NAME_LIMIT: usize = 100;

/// Each partition is a file, a fetch and an app transaction per table: 1,000 are more processes than a chain has stores.
const PARTITIONS_LIMIT: i32 = 1_000;

/// Ten years; what has to stay longer stands in the lake, and the catalog is kept for ever anyway.
const RETENTION_DAYS_LIMIT: u32 = 3_660;

/// Where a command works, and on which log.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The data folder.
    pub data: PathBuf,
    /// Its log.
    pub log: LogConfig,
    /// Folder with further `views` and `reports`.
    pub sql: PathBuf,
}

/// The log between ledger and lake.
#[derive(Clone, Debug)]
pub enum LogConfig {
    /// The embedded one.
    Outbox,
    /// Topics of a Kafka.
    Kafka(Box<KafkaLog>),
}

/// A log on Kafka.
#[derive(Clone, Debug)]
pub struct KafkaLog {
    /// How to reach it.
    pub kafka: KafkaConfig,
    /// With whom processes of `hexiao ingest` share the partitions.
    pub group: GroupConfig,
    /// How topics are created.
    pub topics: TopicSettings,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("could not read the config `{}`", .file.display())]
    Unread {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A key has a value it may not have, or none.
    #[error("`{}`, {key}: {problem}", .file.display())]
    Wrong {
        /// The file.
        file: PathBuf,
        /// The key, or the line where no key can be named.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The command is for another kind of log.
    #[error("{command} is for a log on Kafka, and this one is embedded: name a file that says `kind = \"kafka\"` with --config")]
    NotKafka {
        /// The command.
        command: &'static str,
    },
}

impl Setup {
    /// The setup of the folder `data`: by the file `config`, else by the folder's own, else with the embedded log.
    ///
    /// # Errors
    /// [`ConfigError`] if there is a file and it is wrong.
    pub fn load(data: PathBuf, config: Option<&Path>) -> Result<Setup, ConfigError> {
        let own = data.join(FILE);
        let file = match config {
            Some(file) => file,
            None if own.exists() => &own,
            None => return Ok(Setup { sql: data.join("sql"), data, log: LogConfig::Outbox }),
        };
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unread { file: file.to_owned(), source })?;
        let (log, sql) = read(file, &text)?;
        // A relative folder is beside the file that names it.
        let sql = sql.map_or_else(|| data.join("sql"), |sql| file.parent().unwrap_or(Path::new("")).join(sql));
        Ok(Setup { data, log, sql })
    }

    /// The log, which must be on Kafka for `command`.
    pub fn kafka(&self, command: &'static str) -> Result<&KafkaLog, ConfigError> {
        match &self.log {
            LogConfig::Kafka(log) => Ok(log),
            LogConfig::Outbox => Err(ConfigError::NotKafka { command }),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    log: LogKeys,
    sql: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LogKeys {
    kind: Kind,
    brokers: Option<String>,
    prefix: Option<String>,
    group: Option<String>,
    security: Option<Security>,
    topics: Option<TopicKeys>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Outbox,
    Kafka,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TopicKeys {
    partitions: Option<i32>,
    replication: Option<i32>,
    retention_days: Option<u32>,
}

fn read(file: &Path, text: &str) -> Result<(LogConfig, Option<PathBuf>), ConfigError> {
    let wrong = |key: &str, problem: String| ConfigError::Wrong { file: file.to_owned(), key: key.to_owned(), problem };
    let File { log, sql } = toml::from_str(text).map_err(|error| {
        let (key, problem) = misfit(text, &error);
        wrong(&key, problem)
    })?;
    if log.kind == Kind::Outbox {
        let given = [
            ("brokers", log.brokers.is_some()),
            ("prefix", log.prefix.is_some()),
            ("group", log.group.is_some()),
            ("security", log.security.is_some()),
            ("topics", log.topics.is_some()),
        ];
        return match given.iter().find(|(_, given)| *given) {
            None => Ok((LogConfig::Outbox, sql)),
            Some((key, _)) => {
                let said = "the embedded log takes no other key than kind; set kind = \"kafka\", or remove this";
                Err(wrong(&format!("log.{key}"), said.to_owned()))
            }
        };
    }
    let kafka = kafka(file, log.brokers, log.prefix, log.security).map_err(|(key, problem)| wrong(key, problem))?;
    let mut group = GroupConfig::default();
    if let Some(name) = log.group {
        group.name = name;
    }
    if group.name.is_empty() || group.name.len() > GROUP_NAME_LIMIT {
        return Err(wrong("log.group", format!("a group has a name of 1 to {GROUP_NAME_LIMIT} bytes")));
    }
    let topics = topics(&log.topics.unwrap_or_default()).map_err(|(key, problem)| wrong(key, problem))?;
    Ok((LogConfig::Kafka(Box::new(KafkaLog { kafka, group, topics })), sql))
}

type Fault = (&'static str, String);

fn kafka(file: &Path, brokers: Option<String>, prefix: Option<String>, security: Option<Security>) -> Result<KafkaConfig, Fault> {
    let brokers = brokers.unwrap_or_default();
    let address =
        |broker: &str| broker.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !brokers.split(',').all(address) {
        let said = if brokers.is_empty() { "is missing".to_owned() } else { format!("`{brokers}` names no brokers") };
        return Err(("log.brokers", format!("{said}; give host:port of some, joined by commas, such as \"127.0.0.1:9092\"")));
    }
    let mut config = KafkaConfig::new(brokers);
    if let Some(prefix) = prefix {
        let longest = Stream::ALL.map(|stream| stream.name().len()).into_iter().max().unwrap_or_default();
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !prefix.chars().all(known) || prefix.len() + longest > TOPIC_NAME_LIMIT {
            let said =
                format!("topics can't begin with `{prefix}`: up to {} of a–z, A–Z, 0–9, . _ -", TOPIC_NAME_LIMIT - longest);
            return Err(("log.prefix", said));
        }
        config.prefix = prefix;
    }
    config.security = security.unwrap_or_default();
    if let Some(tls) = &mut config.security.tls {
        let beside = file.parent().unwrap_or(Path::new(""));
        let files = [
            ("log.security.tls.ca_file", &mut tls.ca_file),
            ("log.security.tls.certificate_file", &mut tls.certificate_file),
            ("log.security.tls.key_file", &mut tls.key_file),
        ];
        for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file.as_mut()?))) {
            *file = beside.join(&*file);
            if !file.is_file() {
                return Err((key, format!("there is no file `{}`; paths are relative to the config's folder", file.display())));
            }
        }
    }
    Ok(config)
}

fn topics(keys: &TopicKeys) -> Result<TopicSettings, Fault> {
    let mut topics = TopicSettings::default();
    if let Some(partitions) = keys.partitions {
        if !(1..=PARTITIONS_LIMIT).contains(&partitions) {
            return Err(("log.topics.partitions", format!("{partitions} is not between 1 and {PARTITIONS_LIMIT}")));
        }
        topics.partitions = partitions;
    }
    if let Some(replication) = keys.replication {
        if replication != -1 && !(1..=i32::from(i16::MAX)).contains(&replication) {
            let said = format!("{replication} is no number of brokers; -1 stands for their own default");
            return Err(("log.topics.replication", said));
        }
        topics.replication = replication;
    }
    if let Some(days) = keys.retention_days {
        if !(1..=RETENTION_DAYS_LIMIT).contains(&days) {
            return Err(("log.topics.retention_days", format!("{days} is not between 1 and {RETENTION_DAYS_LIMIT}")));
        }
        topics.retention = Retention::For(Duration::from_secs(u64::from(days) * 86_400));
    }
    Ok(topics)
}

/// Key and fault of what does not fit. The line is not quoted: it may hold a password.
fn misfit(text: &str, error: &toml::de::Error) -> (String, String) {
    let Some(span) = error.span() else { return ("the file".to_owned(), error.message().to_owned()) };
    let before = &text[..span.start.min(text.len())];
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let headers = text.lines().take(number + 1).filter_map(|line| line.trim().strip_prefix('[')?.split(']').next());
    let table = headers.last().unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty());
    let named = match (table, key) {
        ("", None) => String::new(),
        ("", Some(key)) => key.to_owned(),
        (table, None) => table.to_owned(),
        (table, Some(key)) => format!("{table}.{key}"),
    };
    let said = match key {
        Some(key) if key.ends_with("password") => "the value must be a text in quotes".to_owned(),
        _ => error.message().trim().replace('\n', "; "),
    };
    let place = format!("line {}", number + 1);
    (if named.is_empty() { place } else { format!("{named} ({place})") }, said)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let told = match read(Path::new("/etc/hexiao.toml"), text) {
            Ok((LogConfig::Outbox, sql)) => sql.map_or("outbox".to_owned(), |sql| format!("outbox, {}", sql.display())),
            Ok((LogConfig::Kafka(log), _)) => format!("{log:?}"),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn the_embedded_log_is_the_default_and_takes_no_other_key() {
        check("", expect!["outbox"]);
        check("[log]\nkind = \"outbox\"", expect!["outbox"]);
        check("sql = \"reports of ours\"", expect!["outbox, reports of ours"]);
        check(
            "[log]\nbrokers = \"a:1\"",
            expect![[
                r#"`/etc/hexiao.toml`, log.brokers: the embedded log takes no other key than kind; set kind = "kafka", or remove this"#
            ]],
        );
    }

    #[test]
    fn kafka_has_defaults_and_keeps_secrets_to_itself() {
        check(
            "[log]\nkind = \"kafka\"\nbrokers = \"a:1, b:2\"",
            expect![[
                r#"KafkaLog { kafka: KafkaConfig { brokers: "a:1, b:2", prefix: "hexiao.", security: Security { tls: None, sasl: None } }, group: GroupConfig { name: "ingest", silent_for: 10s }, topics: TopicSettings { partitions: 12, replication: -1, retention: For(604800s) } }"#
            ]],
        );
        check(
            "[log]\nkind = \"kafka\"\nbrokers = \"a:1\"\nprefix = \"p-\"\ngroup = \"g\"\n[log.security.sasl]\nmechanism = \"PLAIN\"\nuser = \"u\"\npassword = \"secret\"\n[log.security.tls]\n[log.topics]\npartitions = 3\nreplication = 1\nretention_days = 2",
            expect![[
                r#"KafkaLog { kafka: KafkaConfig { brokers: "a:1", prefix: "p-", security: Security { tls: Some(Tls { ca_file: None, certificate_file: None, key_file: None, key_password: None }), sasl: Some(Sasl { mechanism: Plain, user: "u", password: … }) } }, group: GroupConfig { name: "g", silent_for: 10s }, topics: TopicSettings { partitions: 3, replication: 1, retention: For(172800s) } }"#
            ]],
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_file_key_and_way_out() {
        let with = |rest: &str| format!("[log]\nkind = \"kafka\"\nbrokers = \"a:1\"\n{rest}");
        check("[log", expect!["`/etc/hexiao.toml`, log (line 1): unclosed table, expected `]`"]);
        check("[lag]", expect!["`/etc/hexiao.toml`, lag (line 1): unknown field `lag`, expected `log` or `sql`"]);
        check(
            "[log]\nkind = \"kafak\"",
            expect!["`/etc/hexiao.toml`, log.kind (line 2): unknown variant `kafak`, expected `outbox` or `kafka`"],
        );
        check(
            "[log]\nkind = \"kafka\"",
            expect![[
                r#"`/etc/hexiao.toml`, log.brokers: is missing; give host:port of some, joined by commas, such as "127.0.0.1:9092""#
            ]],
        );
        check(
            "[log]\nkind = \"kafka\"\nbrokers = \"a\"",
            expect![[
                r#"`/etc/hexiao.toml`, log.brokers: `a` names no brokers; give host:port of some, joined by commas, such as "127.0.0.1:9092""#
            ]],
        );
        check(
            &with("grup = \"g\""),
            expect![
                "`/etc/hexiao.toml`, log.grup (line 4): unknown field `grup`, expected one of `kind`, `brokers`, `prefix`, `group`, `security`, `topics`"
            ],
        );
        check(&with("group = \"\""), expect!["`/etc/hexiao.toml`, log.group: a group has a name of 1 to 100 bytes"]);
        check(
            &with("prefix = \"a/b\""),
            expect!["`/etc/hexiao.toml`, log.prefix: topics can't begin with `a/b`: up to 238 of a–z, A–Z, 0–9, . _ -"],
        );
        check(
            &with("[log.topics]\npartitions = 0"),
            expect!["`/etc/hexiao.toml`, log.topics.partitions: 0 is not between 1 and 1000"],
        );
        check(
            &with("[log.topics]\npartitions = \"12\""),
            expect![[r#"`/etc/hexiao.toml`, log.topics.partitions (line 5): invalid type: string "12", expected i32"#]],
        );
        check(
            &with("[log.topics]\nreplication = 0"),
            expect!["`/etc/hexiao.toml`, log.topics.replication: 0 is no number of brokers; -1 stands for their own default"],
        );
        check(
            &with("[log.topics]\nretention_days = 0"),
            expect!["`/etc/hexiao.toml`, log.topics.retention_days: 0 is not between 1 and 3660"],
        );
        check(
            &with("[log.security.tls]\nca_file = \"ca.pem\""),
            expect![
                "`/etc/hexiao.toml`, log.security.tls.ca_file: there is no file `/etc/ca.pem`; paths are relative to the config's folder"
            ],
        );
        check(
            &with("[log.security.sasl]\nmechanism = \"SCRAM\"\nuser = \"u\"\npassword = \"p\""),
            expect![
                "`/etc/hexiao.toml`, log.security.sasl.mechanism (line 5): unknown variant `SCRAM`, expected one of `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`"
            ],
        );
        check(
            &with("[log.security.sasl]\nmechanism = \"PLAIN\"\nuser = \"u\"\npassword = 1234"),
            expect!["`/etc/hexiao.toml`, log.security.sasl.password (line 7): the value must be a text in quotes"],
        );
        check(
            &with("[log.security.sasl]\nmechanism = \"PLAIN\"\nuser = \"u\""),
            expect!["`/etc/hexiao.toml`, log.security.sasl (line 4): missing field `password`"],
        );
    }
}
