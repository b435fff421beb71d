//! A real browser, driven as a person drives it: Debian's chromium through chromedriver and WebDriver.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;
use thirtyfour::session::http::{Body, HttpClient};
use tokio::runtime::Runtime;
use ureq::Agent;
use ureq::http::{Request, Response};

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one window.
pub struct Browser {
    driver: Option<WebDriver>,
    runtime: Runtime,
    server: Child,
    /// Where chromedriver is.
    address: String,
}

impl Browser {
    /// Starts one, in a window of this size in CSS pixels.
    ///
    /// # Panics
    /// When chromium or chromedriver is not installed: `make test` installs them first.
    pub fn start(width: u32, height: u32) -> Self {
        let mut server = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (`make test` does it)");
        let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
        let port: u16 = loop {
            let line = lines.next().expect("chromedriver starts").expect("chromedriver speaks");
            let said = line.split_once("successfully on port ").map(|(_, port)| port);
            if let Some(port) = said {
                break port.trim_end_matches('.').parse().expect("a port");
            }
        };
        // Read on, or it would stand still with its pipe full.
        std::thread::spawn(move || lines.for_each(drop));
        let mut wanted = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            // Containers and CI run as root, where chromium's own sandbox cannot start.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-proxy-server",
            "--force-prefers-reduced-motion",
        ] {
            wanted.add_arg(argument).expect("an argument");
        }
        // The hub signs its certificate itself.
        wanted.accept_insecure_certs(true).expect("a capability");
        for log in ["browser", "performance"] {
            wanted.set_logging_prefs(log, LoggingPrefsLogLevel::All).expect("a preference");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let address = format!("http://127.0.0.1:{port}");
        let connecting = async {
            WebDriver::builder(address.clone(), wanted).client(Client::default()).connect().await
        };
        let driver = runtime.block_on(connecting).expect("chromium starts");
        let browser = Self { driver: Some(driver), runtime, server, address };
        browser.resize(width, height);
        browser
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("there until the end")
    }

    fn wait<T>(&self, work: impl Future<Output = WebDriverResult<T>>) -> T {
        self.runtime.block_on(work).expect("the browser does it")
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.wait(self.driver().cdp().send_raw(command, parameters))
    }

    /// Puts an authenticator at its side that makes passkeys: its id.
    ///
    /// # Panics
    /// Where chromedriver knows none.
    pub fn authenticator(&self) -> String {
        let made = self.webauthn(
            "authenticator",
            json!({
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
                "hasUserVerification": true, "isUserVerified": true,
            }),
        );
        made.as_str().expect("an id").to_owned()
    }

    /// Whether an authenticator knows its owner, from now on.
    pub fn verified(&self, authenticator: &str, verified: bool) {
        self.webauthn(
            &format!("authenticator/{authenticator}/uv"),
            json!({ "isUserVerified": verified }),
        );
    }

    /// A call of WebDriver's extension for passkeys, which thirtyfour does not know.
    fn webauthn(&self, path: &str, body: Value) -> Value {
        let session = self.driver().session_id();
        let address = format!("{}/session/{session}/webauthn/{path}", self.address);
        let call = Client::default().0.post(address).header("content-type", "application/json");
        let mut answer = call.send(body.to_string()).expect("chromedriver answers");
        let told = answer.body_mut().read_to_string().expect("chromedriver answers");
        let told: Value = serde_json::from_str(&told).expect("chromedriver speaks JSON");
        assert!(answer.status().is_success(), "{told}");
        told["value"].clone()
    }

    /// Gives the window another size, as a phone's where it is narrow.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the system prefers: dark or light.
    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", feature);
    }

    /// Opens an address and waits until it is loaded.
    pub fn open(&self, address: &str) {
        self.wait(self.driver().goto(address));
    }

    /// Runs the body of a function in the page; what it returns.
    pub fn run(&self, script: &str) -> Value {
        let result = self.wait(self.driver().execute(script, Vec::new()));
        result.json().clone()
    }

    /// The text that a person sees in the first element that matches.
    pub fn text(&self, selector: &str) -> String {
        self.wait(async { self.driver().find(By::Css(selector)).await?.text().await })
    }

    /// Whether an element matches.
    pub fn has(&self, selector: &str) -> bool {
        !self.wait(self.driver().find_all(By::Css(selector))).is_empty()
    }

    /// Clicks.
    pub fn click(&self, selector: &str) {
        self.wait(async { self.driver().find(By::Css(selector)).await?.click().await });
    }

    /// Presses keys, wherever the focus is.
    pub fn keys(&self, keys: impl AsRef<str>) {
        let keys = keys.as_ref().to_owned();
        self.wait(self.driver().action_chain().send_keys(keys).perform());
    }

    /// Presses a key while Control is held.
    pub fn control(&self, key: char) {
        let chain = self.driver().action_chain().key_down(Key::Control).send_keys(key);
        self.wait(chain.key_up(Key::Control).perform());
    }

    /// Presses Tab until the focus is on what matches, as whoever has no mouse does.
    ///
    /// # Panics
    /// When it is not reached within 40 steps.
    pub fn tab_to(&self, selector: &str) {
        for _ in 0..40 {
            self.keys(Key::Tab.value().to_string());
            let there = format!("return document.activeElement.matches({})", json!(selector));
            if self.run(&there) == json!(true) {
                return;
            }
        }
        panic!("Tab does not lead to {selector}");
    }

    /// Waits until a script returns true.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub fn until(&self, script: &str) {
        let start = Instant::now();
        while self.run(script) != json!(true) {
            assert!(start.elapsed() < PATIENCE, "still not: {script}\n{}", self.text("body"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until an element matches; also where the page may run no script.
    ///
    /// # Panics
    /// When none does in time.
    pub fn appears(&self, selector: &str) {
        let start = Instant::now();
        while !self.has(selector) {
            assert!(start.elapsed() < PATIENCE, "no {selector}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the first element that matches reads so; also where the page may run no script. An element of a page that
    /// is being left counts as none.
    ///
    /// # Panics
    /// When it does not come to that in time.
    pub fn reads(&self, selector: &str, text: &str) {
        let start = Instant::now();
        loop {
            let found = self.wait(async {
                let Ok(element) = self.driver().find(By::Css(selector)).await else {
                    return Ok(None);
                };
                Ok(element.text().await.ok())
            });
            if found.as_deref() == Some(text) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{selector} is {found:?}, not {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the page and the browser said since the last time: errors, refusals by policy.
    pub fn console(&self) -> Vec<String> {
        let entries = self.wait(self.driver().get_log("browser"));
        entries.into_iter().map(|e| format!("{}: {}", e.level, e.message)).collect()
    }

    /// Addresses that were asked for since the last time.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.wait(self.driver().get_log("performance"));
        let asked = entries.into_iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(&entry.message).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent")
                .then(|| message["params"]["request"]["url"].as_str().map(str::to_owned))?
        });
        asked.collect()
    }

    /// The whole page as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let size = self.run(
            "return [document.documentElement.clientWidth, document.documentElement.scrollHeight]",
        );
        let (width, height) = (size[0].as_u64(), size[1].as_u64());
        self.resize(width.unwrap_or(360) as u32, height.unwrap_or(800) as u32);
        self.wait(self.driver().screenshot_as_png())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            // A test that failed may have left it in any state.
            let _ = self.runtime.block_on(driver.quit());
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Calls chromedriver with the client that the rig has already.
#[derive(Clone)]
struct Client(Agent);

impl Default for Client {
    fn default() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .build();
        Self(config.new_agent())
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send(&self, request: Request<Body<'_>>) -> WebDriverResult<Response<Bytes>> {
        let (head, body) = request.into_parts();
        let body = match body {
            Body::Empty => Vec::new(),
            Body::Json(value) => value.to_string().into_bytes(),
        };
        let agent = self.0.clone();
        let call = move || {
            let has_body = head.method == "POST";
            let answer = if has_body {
                agent.run(Request::from_parts(head, body))
            } else {
                agent.run(Request::from_parts(head, ()))
            };
            let (head, body) = answer.expect("chromedriver answers").into_parts();
            let bytes = body.into_with_config().limit(64 << 20).read_to_vec();
            Response::from_parts(head, Bytes::from(bytes.expect("chromedriver answers")))
        };
        Ok(tokio::task::spawn_blocking(call).await.expect("the call ends"))
    }

    async fn new(&self) -> Arc<dyn HttpClient> {
        Arc::new(self.clone())
    }
}
