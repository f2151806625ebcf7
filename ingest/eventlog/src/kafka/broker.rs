//! A real Kafka broker for tests, by `tests/kafka`. The tests of `ingest` include this file too.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{KafkaConfig, TopicSettings, create_topics};

pub(crate) struct Broker {
    dir: PathBuf,
    pub(crate) address: String,
    /// Once this is closed the broker ends and its folder goes, however this process has ended.
    _open: ChildStdin,
}

impl Broker {
    /// A broker of its own, for a test that kills it.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap().keep();
        let until = r#"cat >/dev/null; "$0" stop "$1" --kill; rm -rf "$1""#;
        let mut sh = Command::new("sh");
        sh.args(["-c", until]).arg(script()).arg(&dir).stdin(Stdio::piped()).process_group(0);
        let open = sh.spawn().unwrap().stdin.take().unwrap();
        let address = run(&dir, &["start", "--sasl", "--tls"]);
        Broker { dir, address, _open: open }
    }

    /// The broker that tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Broker::start)
    }

    /// Runs one of Kafka's own tools.
    #[allow(dead_code, reason = "for the tests of the binary")]
    pub(crate) fn tool(&self, arguments: &[&str]) {
        run(&self.dir, &[&["tool"], arguments].concat());
    }

    pub(crate) fn kill(&self) {
        run(&self.dir, &["stop", "--kill"]);
    }

    pub(crate) fn start_again(&self) {
        assert_eq!(run(&self.dir, &["start", "--sasl", "--tls"]), self.address);
    }

    /// The broker's login: address, user, password.
    pub(crate) fn sasl(&self) -> [String; 3] {
        self.told("sasl", ["bootstrap", "user", "password"])
    }

    /// Where the broker asks for a certificate, and the files for it: address, authority, certificate, key.
    pub(crate) fn tls(&self) -> [String; 4] {
        self.told("tls", ["bootstrap", "ca_file", "certificate_file", "key_file"])
    }

    fn told<const N: usize>(&self, door: &str, names: [&str; N]) -> [String; N] {
        let told = std::fs::read_to_string(self.dir.join("broker.json")).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        names.map(|name| told[door][name].as_str().unwrap().to_owned())
    }

    /// Topics of their own, by a prefix that no other test has.
    pub(crate) async fn topics(&self, partitions: i32) -> KafkaConfig {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("t{}.", NEXT.fetch_add(1, Ordering::Relaxed));
        let config = KafkaConfig { prefix, ..KafkaConfig::new(&self.address) };
        let settings = TopicSettings { partitions, replication: 1, ..TopicSettings::default() };
        assert!(create_topics(&config, &settings).await.unwrap().iter().all(|topic| topic.created));
        config
    }
}

fn script() -> PathBuf {
    let mut scripts = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("tests/kafka"));
    scripts.find(|script| script.is_file()).expect("the repository has it")
}

fn run(dir: &Path, arguments: &[&str]) -> String {
    let done = Command::new(script()).arg(arguments[0]).arg(dir).args(&arguments[1..]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}
