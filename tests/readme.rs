//! Every command in the README, run as printed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support;

/// A block ```sh of the README. A block whose first line ends in ` &` is started and left running.
fn blocks(readme: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "```sh" {
            blocks.push(lines.by_ref().take_while(|l| l.trim() != "```").collect::<Vec<_>>().join("\n"));
        }
    }
    blocks
}

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_of_the_readme_works_as_printed() {
    let root = support::workspace();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut background = Vec::new();
    let _broker = Broker(&root);
    let blocks = blocks(&readme);
    assert!(blocks.len() >= 5, "the README has commands");
    for block in blocks {
        if block.trim() == "tests/run" {
            // This very run: it would not end.
            continue;
        }
        if block.trim() == "cargo run -- demo" {
            background.push(demo(&root, home.path()));
            continue;
        }
        let out = shell(&root, home.path(), &format!("set -euo pipefail\n{block}")).output().unwrap();
        assert!(
            out.status.success(),
            "README:\n{block}\n--- stdout\n{}\n--- stderr\n{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

/// The README's broker must not outlive a block that fails.
struct Broker<'a>(&'a Path);

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        let _ = Command::new("tests/kafka").args(["stop", "scratch/kafka", "--kill"]).current_dir(self.0).status();
    }
}

/// `cargo run -- demo`, up to the line that says it is ready.
fn demo(root: &Path, home: &Path) -> Background {
    let mut child = shell(root, home, "exec cargo run -- demo").stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let background = Background(child);
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if line.contains("Ctrl-C") {
                let _ = ready.send(());
            }
        }
    });
    is_ready.recv_timeout(Duration::from_secs(300)).expect("the demo says that Ctrl-C stops it");
    background
}

fn shell(root: &Path, home: &Path, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(root).env("HEXIAO_DATA", home.join("data")).env("SCRATCH", home);
    // What `cargo test` tells its children would make the README's own cargo build some dependencies anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && !matches!(&*text, "CARGO_HOME" | "CARGO_TARGET_DIR") {
            command.env_remove(&name);
        }
    }
    // `pip` and `python3` of the README are those of the test's own environment.
    if let Some(python) = std::env::var_os("HEXIAO_TEST_PYTHON") {
        let bin = Path::new(&python).parent().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", bin.display()));
    }
    command
}
