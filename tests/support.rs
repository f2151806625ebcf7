//! A real server for tests: the binary itself, on a port of its own, in a folder of its own.
//!
//! The one place of the tests that knows how the process is started and how HTTP is spoken.
#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A running `hexiao serve`; it is killed when this is dropped.
pub struct Server {
    /// Its data folder.
    pub data: PathBuf,
    /// `http://127.0.0.1:PORT`.
    pub address: String,
    /// The head-office key it made for a new folder.
    pub key: String,
    child: Child,
    folder: Option<tempfile::TempDir>,
}

impl Server {
    /// A server on a new folder.
    pub fn start() -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let mut server = Server::start_with(&data, "", &[]);
        server.folder = Some(folder);
        server
    }

    /// A server on a folder that may exist already, with options as environment variables. `key` is what the first start on
    /// this folder printed.
    pub fn start_with(data: &Path, key: &str, options: &[(&str, &str)]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hexiao"));
        command.envs(options.iter().copied());
        Server::spawn(command, data, key)
    }

    /// A server whose system calls that concern files and connections go to `trace`.
    pub fn start_traced(data: &Path, trace: &Path) -> Server {
        let mut command = Command::new("strace");
        // -y names the file behind a descriptor, -s shows enough of a request to tell it from others.
        let calls = "trace=read,recvfrom,recvmsg,write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync";
        command.args(["-f", "-y", "-s", "64", "-e", calls, "-o"]).arg(trace).arg(env!("CARGO_BIN_EXE_hexiao"));
        Server::spawn(command, data, "")
    }

    fn spawn(mut command: Command, data: &Path, key: &str) -> Server {
        let mut child = command
            .args(["serve", "--port", "0", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut errors = child.stderr.take().expect("stderr is piped");
        // Both pipes are read to their ends, else a full one would stop the server.
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let (mut address, mut key) = (None, key.to_owned());
        // The key is printed before the address, which says that it listens.
        while address.is_none() {
            let Some(Ok(line)) = lines.next() else {
                let status = child.wait();
                panic!("the server ended ({status:?}) before it listened:\n{}", errors.join().unwrap_or_default());
            };
            let line = line.trim();
            if let Some((_, made)) = line.split_once("head office key: ") {
                key = made.trim().to_owned();
            }
            if let Some((_, at)) = line.split_once("listening on ") {
                address = Some(at.trim().to_owned());
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        Server { data: data.to_owned(), address: address.unwrap_or_default(), key, child, folder: None }
    }

    /// A client with the head-office key.
    pub fn head_office(&self) -> Client {
        self.with_key(&self.key)
    }

    /// A client with this key.
    pub fn with_key(&self, key: &str) -> Client {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Client { address: self.address.clone(), key: key.to_owned(), agent }
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, as a power cut would, and gives what is needed to start it again.
    pub fn kill(mut self) -> (PathBuf, String, Option<tempfile::TempDir>) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        (self.data.clone(), self.key.clone(), self.folder.take())
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) {
        // A traced server is the child of its tracer, which hands SIGTERM to nobody: the server is asked itself.
        let pid = self.child.id().to_string();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let server = children.split_whitespace().next().unwrap_or(&pid).to_owned();
        let asked = Command::new("kill").args(["-TERM", &server]).status();
        assert!(asked.is_ok_and(|s| s.success()), "could not ask process {server} to stop");
        let status = self.child.wait().expect("the server ends");
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Speaks HTTP with one key.
#[derive(Clone)]
pub struct Client {
    address: String,
    key: String,
    agent: ureq::Agent,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// `GET` with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, None)
    }

    /// `PUT` of JSON.
    pub fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[], Some(body.to_string().as_bytes()))
    }

    /// `POST` of JSON.
    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], Some(body.to_string().as_bytes()))
    }

    /// `POST` of JSON with an idempotency key (R2).
    pub fn post_once(&self, path: &str, key: &str, body: Value) -> Answer {
        self.send("POST", path, &[("idempotency-key", key)], Some(body.to_string().as_bytes()))
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    /// A statement over `/v1/sql`; its rows.
    pub fn sql(&self, sql: &str) -> Vec<Value> {
        let answer = self.post("/v1/sql", json!({ "sql": sql }));
        assert_eq!(answer.status, 200, "{sql}: {answer:?}");
        answer.json()["rows"].as_array().cloned().unwrap_or_default()
    }

    /// `POST` with an idempotency key to a server that may die: `None` if no whole answer came.
    pub fn try_post_once(&self, path: &str, key: &str, body: Value) -> Option<Answer> {
        self.try_send("POST", path, &[("idempotency-key", key)], Some(body.to_string().as_bytes())).ok()
    }

    /// `PUT` of a body that is refused before all of it has come: asked again while the connection breaks under the answer.
    pub fn put_too_large(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let answer = (0..50).find_map(|_| self.try_send("PUT", path, &[], Some(body.as_bytes())).ok());
        answer.unwrap_or_else(|| panic!("PUT {path}: no answer"))
    }

    /// Any request. The body is JSON unless a header says otherwise.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        if !self.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = match body {
            Some(body) => self.agent.run(request.body(body).expect("a request"))?,
            None => self.agent.run(request.body(()).expect("a request"))?,
        };
        let headers =
            answer.headers().iter().map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: headers.collect(),
            body: answer.body_mut().with_config().limit(1 << 30).read_to_vec()?,
        })
    }
}

impl Answer {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The same, after making sure of its status.
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A problem in one line: status, code, rule, field, detail, what is allowed.
    pub fn problem(&self) -> String {
        let problem = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        assert_eq!(problem["status"], self.status, "{}", self.text());
        let mut said = format!("{} {}", self.status, problem["code"].as_str().unwrap_or("?"));
        for name in ["rule", "field"] {
            if let Some(value) = problem[name].as_str() {
                said.push_str(&format!(" [{name} {value}]"));
            }
        }
        said.push_str(&format!(": {}", problem["detail"].as_str().unwrap_or("?")));
        if !problem["allowed"].is_null() {
            said.push_str(&format!(" · allowed {}", problem["allowed"]));
        }
        said
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its output.
    pub bytes: Vec<u8>,
    /// The same as text.
    pub stdout: String,
    /// What went to stderr.
    pub stderr: String,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
}

impl Said {
    /// The same, after making sure that it succeeded.
    pub fn expect_success(self) -> Said {
        assert!(self.code == Some(0), "{}{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command with `input` on its stdin.
pub fn run(command: &mut Command, input: &[u8]) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let out = std::thread::scope(|scope| {
        // A command that does not read it all closes the pipe.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("the command ends")
    });
    Said {
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        bytes: out.stdout,
        code: out.status.code(),
    }
}

/// Runs `hexiao` on a data folder.
pub fn hexiao(data: &Path, args: &[&str], input: &[u8]) -> Said {
    run(Command::new(env!("CARGO_BIN_EXE_hexiao")).args(args).arg("--data").arg(data), input)
}

/// The Python that `tests/run` makes, with the packages of `requirements.txt`.
pub fn python() -> PathBuf {
    std::env::var_os("HEXIAO_TEST_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}
