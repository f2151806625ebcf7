//! How to reach the brokers, and who we are to them.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use event::Stream;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::reading::Ends;

/// A request that has no answer by then has failed: brokers answer in milliseconds, and a broker that restarts is back in
/// seconds.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);

/// Where the log's brokers are and how to talk to them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port` of some brokers, joined by commas; the others are found from there.
    pub brokers: String,
    /// A topic's name is this and the stream's name.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Encryption and login.
    #[serde(default)]
    pub security: Security,
}

/// Encryption and login; neither by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Encrypt, and check the broker's certificate.
    pub tls: Option<Tls>,
    /// Log in with a password.
    pub sasl: Option<Sasl>,
}

/// Encryption. With a certificate of our own it is also the login (mTLS).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the authority that signed the brokers' certificates; the system's authorities by default.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
    /// Password of that key, where it has one.
    pub key_password: Option<Secret>,
}

/// Login with user and password.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How the password is shown to be known.
    pub mechanism: SaslMechanism,
    /// Who we are.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// How a password is shown to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SaslMechanism {
    /// By sending it: only with TLS is it safe from listeners.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Without sending it.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Without sending it.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// A text that no log shows.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

fn default_prefix() -> String {
    "hexiao.".to_owned()
}

impl KafkaConfig {
    /// Brokers at `host:port`, without encryption and login.
    pub fn new(brokers: impl Into<String>) -> Self {
        KafkaConfig { brokers: brokers.into(), prefix: default_prefix(), security: Security::default() }
    }

    /// The name of a stream's topic.
    pub fn topic(&self, stream: Stream) -> String {
        format!("{}{stream}", self.prefix)
    }

    /// What every client of ours is set to.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers).set("client.id", "hexiao");
        // A restarted broker is found again within a second; the default waits up to ten.
        client.set("reconnect.backoff.max.ms", "1000");
        client.set("allow.auto.create.topics", "false");
        // What is wrong comes back as errors; librdkafka's own words are for debugging.
        client.set_log_level(RDKafkaLogLevel::Info);
        self.security.apply(&mut client);
        client
    }
}

impl Security {
    fn apply(&self, client: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            // OpenSSL is linked in and knows no folder of this system's authorities: it has to look for one.
            client.set("ssl.ca.location", tls.ca_file.as_deref().unwrap_or("probe".as_ref()).to_string_lossy());
            for (name, file) in [("ssl.certificate.location", &tls.certificate_file), ("ssl.key.location", &tls.key_file)] {
                if let Some(file) = file {
                    client.set(name, file.to_string_lossy());
                }
            }
            if let Some(password) = &tls.key_password {
                client.set("ssl.key.password", &password.0);
            }
        }
        if let Some(sasl) = &self.sasl {
            let mechanism = match sasl.mechanism {
                SaslMechanism::Plain => "PLAIN",
                SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
                SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            client.set("sasl.mechanism", mechanism).set("sasl.username", &sasl.user).set("sasl.password", &sasl.password.0);
        }
    }
}

/// What librdkafka says by itself: to the log, for debugging, and the ends it has come to.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) created: Instant,
    /// The last statistics.
    pub(super) ends: Mutex<Ends>,
}

impl Context {
    pub(crate) fn new() -> Self {
        Context { created: Instant::now(), ends: Mutex::default() }
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match Ends::parse(statistics) {
            Ok(ends) => *self.ends.lock() = ends,
            Err(error) => tracing::debug!(target: "librdkafka", %error, "Statistics that can't be read"),
        }
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_becomes_properties_and_no_log_shows_a_secret() {
        let config: KafkaConfig = serde_json::from_str(
            r#"{"brokers": "a:1", "security": {
                "tls": {"ca_file": "/ca.pem", "certificate_file": "/c.pem", "key_file": "/k.pem", "key_password": "geheim"},
                "sasl": {"mechanism": "SCRAM-SHA-512", "user": "hexiao", "password": "geheim"}}}"#,
        )
        .unwrap();
        let client = config.client();
        let set = ["security.protocol", "ssl.ca.location", "ssl.key.password", "sasl.mechanism", "sasl.username"];
        let set = set.map(|name| client.get(name).unwrap_or_default());
        assert_eq!(set, ["SASL_SSL", "/ca.pem", "geheim", "SCRAM-SHA-512", "hexiao"]);
        assert!(!format!("{config:?}").contains("geheim"));
        assert_eq!(KafkaConfig::new("a:1").client().get("security.protocol"), Some("PLAINTEXT"));
        assert_eq!(config.topic(Stream::Orders), "hexiao.orders");
    }
}
