//! Runs the real `weir serve`, and calls it as a platform would.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

/// No answer takes longer in a test.
const PATIENCE: Duration = Duration::from_secs(60);

/// What separates the parts of a multipart body.
const BOUNDARY: &str = "weir-test-boundary-7f3a";

/// A running service.
pub struct Service {
    child: Child,
    base: String,
    data: PathBuf,
    agent: Agent,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; `Null` where there is none.
    pub body: Value,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl Service {
    /// Starts over a data folder, on a port that the system chooses, with further arguments.
    ///
    /// # Panics
    /// When it does not come up; its own words are shown.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_in(data, arguments, &[])
    }

    /// The same with variables in its environment.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_in(data: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        let mut command = crate::weir::command();
        command.envs(environment.iter().copied());
        Self::start_of(command, data, arguments)
    }

    /// The same of a command of which `serve` is still to be asked.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_of(mut command: Command, data: &Path, arguments: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        command.arg("--data").arg(data).env_remove("WEIR_DATA");
        Self::spawn(command, data)
    }

    fn spawn(mut command: Command, data: &Path) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("weir can be started");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let base = loop {
            let Some(Ok(line)) = lines.next() else { panic!("weir serve ended:\n{said}") };
            if let Some((_, rest)) = line.split_once("serving on ") {
                break rest.split_once("/ ").expect("the address ends so").0.to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        // What it says later goes to the test's own output, which is shown when it fails.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("weir: {line}");
            }
        });
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .proxy(None)
            .build();
        Self { child, base, data: data.to_owned(), agent: config.new_agent() }
    }

    /// Where it listens, as `http://127.0.0.1:PORT`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// One call with these headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_call(method, path, headers, body).expect("the service answers")
    }

    /// One call; an error where the connection breaks.
    ///
    /// # Errors
    /// What the connection says.
    pub fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = if body.is_empty() && method != "POST" && method != "PUT" {
            self.agent.run(request.body(()).expect("a request"))?
        } else {
            self.agent.run(request.body(body).expect("a request"))?
        };
        let status = answer.status().as_u16();
        let text = |v: &ureq::http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(n, v)| (n.to_string(), text(v))).collect();
        let body = answer.into_body().read_to_string()?;
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Ok(Answer { status, headers, body })
    }

    /// GET of something that is no text.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn bytes(&self, path: &str, headers: &[(&str, &str)]) -> (Answer, Vec<u8>) {
        let mut request = ureq::http::Request::builder().uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.agent.run(request.body(()).expect("a request")).expect("an answer");
        let status = answer.status().as_u16();
        let text = |v: &ureq::http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(n, v)| (n.to_string(), text(v))).collect();
        let bytes = answer.into_body().read_to_vec().expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        (Answer { status, headers, body }, bytes)
    }

    /// Asks until no evidence of the submission is due any more.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub fn evidence(&self, id: &str) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let view = self.get(&format!("/v1/submissions/{id}")).body;
            let rows = view["evidence"].as_array().expect("a list").clone();
            if rows.iter().all(|row| row["state"] != "due") {
                return rows;
            }
            assert!(start.elapsed() < PATIENCE, "still due: {rows:?}");
            // It is made beside the calls, and nobody is told.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"")
    }

    /// Hands in a submission: `meta` and media in a multipart body.
    pub fn submit(&self, meta: &Value, media: &[&[u8]]) -> Answer {
        self.submit_with(&[], meta, media)
    }

    /// The same with further headers.
    pub fn submit_with(&self, headers: &[(&str, &str)], meta: &Value, media: &[&[u8]]) -> Answer {
        let (kind, body) = multipart(meta, media);
        let all: Vec<_> =
            headers.iter().copied().chain([("content-type", kind.as_str())]).collect();
        self.call("POST", "/v1/submissions", &all, &body)
    }

    /// Asks until the submission is decided.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub fn decided(&self, id: &str) -> Value {
        let start = Instant::now();
        loop {
            // The stream of events ends with the verdict: no need to ask again and again.
            let events = self.call("GET", &format!("/v1/submissions/{id}/events"), &[], b"");
            assert_eq!(events.status, 200, "{events:?}");
            let view = self.get(&format!("/v1/submissions/{id}")).body;
            if !view["moderated_at"].is_null() {
                return view;
            }
            assert!(start.elapsed() < PATIENCE, "not decided: {view}");
        }
    }

    /// Sends it a signal such as `STOP`; after `KILL` let [`Service::kill`] take it off the system.
    ///
    /// # Panics
    /// When there is no kill(1).
    pub fn signal(&self, name: &str) {
        let (flag, id) = (format!("-{name}"), self.child.id().to_string());
        let told = Command::new("kill").args([&flag, &id]).status().expect("kill(1) is there");
        assert!(told.success());
    }

    /// Waits until it ends by itself; the exit code.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub fn ended(mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it has not ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a power cut would end the process.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Ends it as an operator does, and waits for it; the exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already by `kill` or `stop`, or by the end of a failing test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The content type and the body of a submission.
pub fn multipart(meta: &Value, media: &[&[u8]]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    let mut part = |head: &str, bytes: &[u8]| {
        body.extend_from_slice(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    };
    part("name=\"meta\"\r\nContent-Type: application/json", meta.to_string().as_bytes());
    for bytes in media {
        part("name=\"media\"; filename=\"../../etc/passwd\"", bytes);
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
