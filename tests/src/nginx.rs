//! A real nginx in front of a folder of files, which asks the gate before it shows one.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ureq::Agent;

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running nginx with its own configuration, prefix and port. It ends with this.
pub struct Nginx {
    child: Child,
    port: u16,
    agent: Agent,
}

/// What a visitor is shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// The status code.
    pub status: u16,
    /// What the gate said, as nginx passed it on.
    pub gate: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Where Debian puts it, whatever the path of the user says.
fn program() -> PathBuf {
    let usual = PathBuf::from("/usr/sbin/nginx");
    if usual.is_file() { usual } else { "nginx".into() }
}

impl Nginx {
    /// Starts one below `dir`. `/media/SHA256` shows the file `dir/site/media/SHA256` where the gate at `gate` (such as
    /// `http://127.0.0.1:8080`) lets it; the call to the gate carries `key`.
    ///
    /// # Panics
    /// When it is not installed or does not come up; its own words are shown.
    pub fn start(dir: &Path, gate: &str, key: &str) -> Self {
        std::fs::create_dir_all(dir.join("site/media")).expect("the folder can be made");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = free.local_addr().expect("it has an address").port();
        drop(free);
        let file = dir.join("nginx.conf");
        std::fs::write(&file, configuration(dir, port, gate, key)).expect("it can be written");
        let log = dir.join("error.log");
        let child = Command::new(program())
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(&log)
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx can be started (scripts/packages-test.txt names its package)");
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .build();
        let mut nginx = Self { child, port, agent: config.new_agent() };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = nginx.child.try_wait().expect("it can be asked").is_some();
            if ended || start.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("nginx did not come up:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }

    /// What a visitor of `/media/SHA256` is shown.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn show(&self, sha256: &str) -> Shown {
        let url = format!("http://127.0.0.1:{}/media/{sha256}", self.port);
        let mut answer = self.agent.get(url).call().expect("nginx answers");
        let gate = answer.headers().get("x-gate").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (status, gate) = (answer.status().as_u16(), gate.to_owned());
        let body = answer.body_mut().read_to_vec().expect("the body arrives");
        Shown { status, gate, body }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // As an operator ends it: the master takes its workers along.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.child.wait();
    }
}

fn configuration(dir: &Path, port: u16, gate: &str, key: &str) -> String {
    let dir = dir.display();
    format!(
        r#"
daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {dir}/t1;
    proxy_temp_path {dir}/t2;
    fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/media/(?<sha>[^/]*)$ {{
            auth_request /gate;
            auth_request_set $said $upstream_http_x_weir_status;
            add_header X-Gate $said always;
            root {dir}/site;
        }}
        location = /gate {{
            internal;
            proxy_pass {gate}/v1/gate;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Host localhost;
            proxy_set_header Authorization "Bearer {key}";
            proxy_set_header X-Weir-Sha256 $sha;
        }}
    }}
}}
"#
    )
}
