//! The real `weir-hub`: its commands and its API.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use common::{Paper, acked, ingest};
use domain::journal::{Lane, Sha256};
use hub::Database;
use hub::ingest::Config;
use rig::postgres::Postgres;
use serde_json::Value;

fn command(postgres: &Postgres, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-hub"));
    command.args(arguments).env("WEIR_HUB_DATABASE", postgres.url()).output().unwrap()
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(err));
    String::from_utf8(out.clone()).unwrap().trim().to_owned()
}

struct Service {
    child: Child,
    base: String,
    agent: ureq::Agent,
}

impl Service {
    fn start(postgres: &Postgres, folder: &std::path::Path) -> Self {
        let file = folder.join("hub.toml");
        let settings =
            format!("database = '{}'\nlisten = '127.0.0.1:0'\nplain = true\n", postgres.url());
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-hub"));
        command.args(["serve", "--config"]).arg(&file).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let base = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, address)) = line.split_once("serving on ") {
                break address.trim_end_matches('/').to_owned();
            }
        };
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| eprintln!("{line}"))
        });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { child, base, agent }
    }

    /// SIGTERM; it ends in order.
    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    fn get(&self, path: &str, token: &str) -> (u16, String) {
        let call = self.agent.get(format!("{}{path}", self.base));
        let mut answer = call.header("authorization", format!("Bearer {token}")).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    fn post(&self, path: &str, token: &str, body: &str) -> (u16, String) {
        let call = self.agent.post(format!("{}{path}", self.base));
        let call = call.header("authorization", format!("Bearer {token}"));
        let mut answer = call.header("content-type", "application/json").send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    fn json(&self, path: &str, token: &str) -> Value {
        let (status, body) = self.get(path, token);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two boxes: one with 30 verdicts, one with 3.
async fn filled(postgres: &Postgres) -> (Database, Paper) {
    let database = Database::new(&postgres.url()).unwrap();
    let (ingest, _tasks) = ingest(&database, Config::default());
    let (mut paper, mut other) = (Paper::new(7), Paper::new(8));
    paper.photos(30);
    other.photos(3);
    for paper in [&paper, &other] {
        paper.enrol(&database).await;
        let batch = paper.batch(Lane::Bulk, 0, 100);
        acked(&ingest.batch(paper.of, &batch).await.unwrap().answer().await.unwrap());
    }
    (database, paper)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_pages_and_filters_verdicts_and_lets_nobody_in_without_a_token() {
    let postgres = Postgres::start();
    told(&command(&postgres, &["migrate"]));
    let (_database, paper) = filled(&postgres).await;
    let token = told(&command(&postgres, &["token", "create", "ops"]));
    let folder = tempfile::tempdir().unwrap();
    let hub = Service::start(&postgres, folder.path());
    for open in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(hub.get(open, "").0, 200, "{open}");
    }
    for path in ["/v1/boxes", "/v1/verdicts", "/v1/alarms"] {
        for wrong in ["", "weirhub_0", &token[..token.len() - 1]] {
            let (status, body) = hub.get(path, wrong);
            assert_eq!(status, 401, "{path}");
            assert!(body.contains("weir-hub token create"), "{body}");
        }
    }
    let all: Vec<Value> = pages(&hub, &token, "limit=7");
    assert_eq!(all.len(), 33);
    let mut names: Vec<&str> = all.iter().map(|v| v["submission"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 33, "none twice, none left out");
    assert_eq!(
        (&all[0]["surface"], &all[0]["categories"]["sexual"]["score_thousandths"]),
        (&"post".into(), &970.into())
    );
    let last = all.last().unwrap();
    let submission = last["submission"].as_str().unwrap();
    // The hash of the first photo of the first box, as it was made.
    let sha256 = Sha256::of(&((7u128 << 64) + 1).to_be_bytes());
    for (filter, count) in [
        (format!("box={}&limit=4", paper.of), 30),
        (format!("submission={submission}"), 1),
        (format!("sha256={sha256}"), 1),
        ("tenant=acme&status=rejected&severity=high&category=sexual&limit=20".into(), 33),
        ("tenant=other".into(), 0),
        ("status=approved".into(), 0),
        ("category=hate".into(), 0),
        ("until=1000000000".into(), 0),
        ("since=1000000000&limit=500".into(), 33),
    ] {
        assert_eq!(pages(&hub, &token, &filter).len(), count, "{filter}");
    }
    for bad in ["limit=0", "status=x", "cursor=x", "sha256=1", "colour=red", "box=1"] {
        let (status, body) = hub.get(&format!("/v1/verdicts?{bad}"), &token);
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &problem["status"]), (400, &400.into()), "{bad}: {body}");
    }
    let boxes = hub.json("/v1/boxes", &token);
    assert_eq!(boxes["boxes"].as_array().unwrap().len(), 2);
    let one = hub.json(&format!("/v1/boxes/{}", paper.of), &token);
    assert_eq!((&one["entries"], &one["state"]), (&60.into(), &"enrolled".into()));
    assert_eq!(hub.get(&format!("/v1/boxes/{}", uuid::Uuid::nil()), &token).0, 404);
    assert_eq!(hub.json("/v1/alarms", &token)["alarms"], Value::Array(vec![]));
    told(&command(&postgres, &["token", "revoke", "ops"]));
    assert_eq!(hub.get("/v1/boxes", &token).0, 401, "revoked at once");
    hub.end();
}

fn pages(hub: &Service, token: &str, filter: &str) -> Vec<Value> {
    let (mut rows, mut next) = (Vec::new(), String::new());
    loop {
        let mut page = hub.json(&format!("/v1/verdicts?{filter}{next}"), token);
        rows.append(page["verdicts"].as_array_mut().unwrap());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return rows,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_what_they_did_and_what_to_do() {
    let postgres = Postgres::start();
    let early = command(&postgres, &["box", "list"]);
    let words = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(!early.status.success() && words.contains("weir-hub migrate"), "{words}");
    let schema = hub::schema::SCHEMA;
    assert_eq!(told(&command(&postgres, &["migrate"])), format!("schema {schema} (was 0)"));
    assert_eq!(told(&command(&postgres, &["migrate"])), format!("schema {schema} (was {schema})"));
    let (database, paper) = filled(&postgres).await;
    let of = paper.of.to_string();
    let list = told(&command(&postgres, &["box", "list"]));
    assert!(list.contains(&of) && list.contains("60 entries"), "{list}");
    told(&command(&postgres, &["box", "revoke", &of]));
    let shown = told(&command(&postgres, &["box", "show", &of, "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["state"], "revoked");

    let sound = command(&postgres, &["verify"]);
    assert!(told(&sound).contains("2 boxes, 2 lanes, 66 entries"), "{}", told(&sound));
    let client = database.connect().await.unwrap();
    let spoil =
        "UPDATE entries SET record = set_byte(record, 40, get_byte(record, 40) # 1) WHERE seq = 5";
    client.batch_execute(spoil).await.unwrap();
    let broken = command(&postgres, &["verify", "--box", &of]);
    let words = String::from_utf8_lossy(&broken.stdout).into_owned();
    assert_eq!(broken.status.code(), Some(1), "{words}");
    assert!(words.contains("PROBLEM") && words.contains("entry 5: the chain"), "{words}");
    let broken = command(&postgres, &["verify", "--json"]);
    let value: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert!(value["problems"].as_array().unwrap().len() >= 2, "{value}");
    let unknown = command(&postgres, &["box", "revoke", &uuid::Uuid::nil().to_string()]);
    assert!(!unknown.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_reads_orders_nothing_and_one_that_orders_is_named() {
    let postgres = Postgres::start();
    told(&command(&postgres, &["migrate"]));
    let reads = told(&command(&postgres, &["token", "create", "board"]));
    let orders = told(&command(&postgres, &["token", "create", "desk", "--orders"]));
    let folder = tempfile::tempdir().unwrap();
    let hub = Service::start(&postgres, folder.path());
    let order = r#"{"to":"fleet","order":{"kind":"flag","name":"movies","on":true}}"#;
    for (token, status) in [("", 401), (&reads, 403), (&orders, 201)] {
        let answer = hub.post("/v1/directives", token, order);
        assert_eq!(answer.0, status, "{answer:?}");
    }
    let ban = r#"{"to":"tenant/nobody","order":{"kind":"flag","name":"movies","on":true}}"#;
    assert_eq!(hub.post("/v1/directives", &orders, ban).0, 404);
    assert_eq!(hub.post("/v1/directives", &orders, "{").0, 400);
    // What is too long is refused before it is read: a client may see the end of the connection before the answer.
    let call = hub.agent.post(format!("{}/v1/directives", hub.base));
    let call = call.header("authorization", format!("Bearer {orders}"));
    let call = call.header("content-type", "application/json").send(&" ".repeat(2 << 20));
    assert!(call.is_err() || call.is_ok_and(|answer| answer.status() == 400));
    let list = hub.json("/v1/directives?to=fleet", &reads)["directives"].clone();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let place = &list[0];
    assert_eq!((&place["by"], &place["kind"]), (&"desk".into(), &"flag".into()));
    let epoch = place["epoch"].as_str().unwrap();
    let path = format!("/v1/directives/receipts?epoch={epoch}&to=fleet&seq=");
    assert_eq!(hub.json(&format!("{path}1"), &reads)["boxes"], Value::Array(vec![]));
    assert_eq!(hub.get(&format!("{path}2"), &reads).0, 404);
    hub.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_resolved_by_who_may_and_the_same_once_more_is_another() {
    let postgres = Postgres::start();
    told(&command(&postgres, &["migrate"]));
    let (database, paper) = filled(&postgres).await;
    let reads = told(&command(&postgres, &["token", "create", "board"]));
    let orders = told(&command(&postgres, &["token", "create", "desk", "--orders"]));
    let folder = tempfile::tempdir().unwrap();
    let hub = Service::start(&postgres, folder.path());
    let client = database.connect().await.unwrap();
    let raise = async || {
        let code = "lane/0".parse().unwrap();
        hub::alarm::raise(&client, paper.of, hub::alarm::AlarmKind::Hole, &code).await.unwrap();
    };
    raise().await;
    raise().await;
    let alarms = |filter: &str| {
        let list = hub.json(&format!("/v1/alarms{filter}"), &reads)["alarms"].clone();
        list.as_array().unwrap().clone()
    };
    let first = alarms("");
    assert_eq!((first.len(), &first[0]["count"]), (1, &2.into()));
    let (of, alarm) = (paper.of.to_string(), first[0]["alarm"].as_str().unwrap().to_owned());
    let path = |of: &str, alarm: &str| format!("/v1/alarms/{of}/{alarm}/resolve");
    let nobody = uuid::Uuid::nil().to_string();
    for (path, token, status) in [
        (path(&of, &alarm), &reads, 403),
        (path(&nobody, &alarm), &orders, 404),
        (path(&of, "x"), &orders, 400),
    ] {
        assert_eq!(hub.post(&path, token, "").0, status, "{path}");
    }
    assert_eq!(alarms("").len(), 1);
    for _ in 0..2 {
        assert_eq!(hub.post(&path(&of, &alarm), &orders, "").0, 204);
    }
    assert_eq!((alarms("").len(), alarms("?resolved=true").len()), (0, 1));
    raise().await;
    assert_eq!(alarms("?resolved=true").len(), 2, "another alarm");
    let again = alarms("").remove(0);
    let listed = told(&command(&postgres, &["alarm", "list"]));
    assert!(
        listed.contains("hole") && listed.contains(again["alarm"].as_str().unwrap()),
        "{listed}"
    );
    told(&command(&postgres, &["alarm", "resolve", &of, again["alarm"].as_str().unwrap()]));
    assert_eq!(told(&command(&postgres, &["alarm", "list"])), "no alarm");
    hub.end();
}
