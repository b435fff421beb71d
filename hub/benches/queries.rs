//! How long API and screens take over a full database: ten million verdicts of 200 boxes in 90 days, a hundred thousand items in the queue;
//! ordinary pages and what is hard to find, each asked again and again over HTTP. `cargo bench --workspace --bench queries`; `QUERIES_VERDICTS` sizes it (about 1 GB for two million).
#![expect(clippy::unwrap_used, reason = "a bench may stop at what it does not expect")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::migrated;
use common::service::{told, weir_hub};
use domain::directive::{Address, Bundle, Flag};
use domain::journal::{Code, Sha256};
use hub::receipt::HubKey;
use hub::{Database, directives};
use rig::postgres::Postgres;
use serde_json::Value;

const DAYS: i64 = 90;

/// How often each is asked.
const ROUNDS: usize = 40;

fn setting(name: &str, default: i64) -> i64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A day's rows, made in the database: what they say is drawn by their number, so that each run has the same. One in twelve is rejected, one
/// in 2,000 held, one in 50,000 about a category that hardly anything is about. Box 200 wrote on the first day only.
const FILL: &str = "
    CREATE TEMPORARY TABLE day AS SELECT n,
        ('00000000-0000-0000-0000-' || lpad(to_hex(CASE WHEN $DAY = 0 AND n % 500 = 0 THEN 200 ELSE 1 + n * 7919 % 199 END), 12, '0'))::uuid AS box,
        (lpad(to_hex($DAY * 16777216 + n), 12, '0') || '70008000000000000000')::uuid AS submission,
        $START + interval '1 day' * (n / ($ROWS + 1.0)) AS received_at,
        'tenant-' || (n * 31 % 20) AS tenant,
        CASE WHEN n % 2000 = 7 THEN 'held' WHEN n % 12 = 0 THEN 'rejected' ELSE 'approved' END AS status
        FROM generate_series(1, $ROWS) n;
    INSERT INTO verdicts SELECT box, 1, 1, $DAY * 16777216 + n, submission, 0, NULL, true, extract(epoch FROM received_at) * 1000, received_at,
        tenant, status, CASE status WHEN 'rejected' THEN 'high' WHEN 'held' THEN 'medium' ELSE 'safe' END,
        CASE status WHEN 'rejected' THEN 'reject' WHEN 'held' THEN 'hold' ELSE 'allow' END, 'starter@1',
        CASE status WHEN 'approved' THEN '[]' ELSE '[\"explicit\"]' END::jsonb,
        CASE WHEN n % 50000 = 11 THEN '{\"hate\": {\"severity\": \"low\", \"score\": 0.4}}' ELSE '{\"sexual\": {\"severity\": \"safe\", \"score\": 0.02}}' END::jsonb
        FROM day;
    INSERT INTO submissions SELECT box, submission, tenant, 'post', n % 100000, false, 0, received_at FROM day;
    INSERT INTO media SELECT box, submission, sha256(('m' || $DAY || '/' || n % 1000)::bytea), 'image', 100000, received_at FROM day;
    DROP TABLE day;";

async fn fill(database: &Database, rows: i64) {
    let client = database.connect().await.unwrap();
    for day in 0..DAYS {
        let start = format!(
            "(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '{} day')",
            DAYS - day
        );
        client
            .batch_execute(&format!("SELECT ensure_day(({start} AT TIME ZONE 'UTC')::date)"))
            .await
            .unwrap();
        let sql = FILL
            .replace("$DAY", &format!("{day}::bigint"))
            .replace("$START", &start)
            .replace("$ROWS", &(rows / DAYS).to_string());
        client.batch_execute(&sql).await.unwrap();
    }
    client.batch_execute("ANALYZE").await.unwrap();
}

/// A hub that speaks HTTP without TLS, on this machine alone.
struct Hub {
    child: Child,
    base: String,
    agent: ureq::Agent,
}

impl Hub {
    fn start(postgres: &Postgres, around: &Path) -> Self {
        let file = around.join("hub.toml");
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
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, base, agent: ureq::Agent::new_with_defaults() }
    }

    fn ask(&self, path: &str, token: &str) -> Value {
        let call = self.agent.get(format!("{}{path}", self.base));
        let mut answer = call.header("authorization", format!("Bearer {token}")).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Bytes of a screen.
    fn look(&self, path: &str, cookie: &str) -> usize {
        let call = self.agent.get(format!("{}{path}", self.base)).header("cookie", cookie);
        call.call().unwrap().body_mut().read_to_string().unwrap().len()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::main]
async fn main() {
    let verdicts = setting("QUERIES_VERDICTS", 10_000_000);
    // Filled fast, asked as in service.
    let settings =
        ["fsync=off", "shared_buffers=1GB", "max_wal_size=8GB", "maintenance_work_mem=256MB"];
    let (postgres, around) = (Postgres::start_with(&settings), tempfile::tempdir().unwrap());
    let database = migrated(&postgres).await;
    let begun = Instant::now();
    fill(&database, verdicts).await;
    println!(
        "{verdicts} verdicts in {DAYS} days, filled in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    let hub = Hub::start(&postgres, around.path());
    let token = told(&weir_hub(&["token", "create", "bench", "--database", &postgres.url()]));
    let mut client = database.connect().await.unwrap();
    let row = client
        .query_one("SELECT v.submission::text, encode(m.sha256, 'hex') FROM verdicts v JOIN media m USING (box, submission) WHERE v.status = 'held' LIMIT 1", &[])
        .await
        .unwrap();
    let (submission, sha256): (String, String) = (row.get(0), row.get(1));
    let quiet = "00000000-0000-0000-0000-0000000000c8";
    let busy = "00000000-0000-0000-0000-000000000001";
    let old = "since=1000000000&until=1000000001".to_owned();
    let questions = [
        ("newest", String::new()),
        ("newest, 500 a page", "limit=500".to_owned()),
        ("rejected", "status=rejected".to_owned()),
        ("held", "status=held".to_owned()),
        ("of a tenant", "tenant=tenant-7".to_owned()),
        ("of a tenant, held", "tenant=tenant-7&status=held".to_owned()),
        ("of a tenant that there is not", "tenant=nobody".to_owned()),
        ("grave", "severity=high".to_owned()),
        ("of a severity that there is not", "severity=critical".to_owned()),
        ("of a common category", "category=sexual".to_owned()),
        ("of a rare category", "category=hate".to_owned()),
        ("of a category that there is not", "category=violence".to_owned()),
        ("of a busy box", format!("box={busy}")),
        ("of a box that fell silent", format!("box={quiet}")),
        ("one submission", format!("submission={submission}")),
        ("by SHA-256", format!("sha256={sha256}")),
        ("by a SHA-256 that there is not", format!("sha256={}", "00".repeat(32))),
        ("of a time without any", old),
    ];
    let mut all = Vec::new();
    for (what, question) in &questions {
        let path = format!("/v1/verdicts?{question}");
        all.extend(measured(what, || hub.ask(&path, &token)["verdicts"].as_array().unwrap().len()));
    }
    all.sort_unstable();
    println!("API, all: p95 {:.1} ms (asked: 500)", at(&all, 0.95));
    screens(&hub, &mut client, &submission).await;
}

/// People who may see everything, and what waits for them. Sessions are made in the database: logging in is no part of it.
const PEOPLE: &str = "
    INSERT INTO accounts (account, name, shown, role, created_by, confirmed_by) SELECT gen_random_uuid(), r, r, r, 'bench', 'bench' FROM unnest(ARRAY['senior_moderator', 'admin']) r;
    INSERT INTO sessions SELECT sha256(convert_to(name, 'utf8')), account, true, now(), now(), now() + interval '1 day', 'bench' FROM accounts;
    INSERT INTO boxes (box, name, public_key, serial, region) SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 'box-' || n, sha256(n::text::bytea), 'x',
        'region-' || n % 9 FROM generate_series(1, 200) n;
    INSERT INTO tenants SELECT 'tenant-' || n, sha256(n::text::bytea) FROM generate_series(0, 19) n;
    INSERT INTO reviews (box, subject, tab, tenant, severity, category, categories, number, since, due_at)
        SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(1 + n % 200), 12, '0'))::uuid, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
            (ARRAY['flagged', 'held', 'reports', 'appeals', 'accounts'])[1 + n % 7 % 5], 'tenant-' || n % 20, n % 5, 'hate', '{hate}', 0,
            now() - n * interval '1 second', now() + (n % 48 - 24) * interval '1 hour' FROM generate_series(1, 100000) n;
    ANALYZE reviews";

/// Screens that an admin looks at.
const ADMINS: [(&str, &str); 12] = [
    ("accounts", "/ops/accounts"),
    ("audit", "/ops/audit"),
    ("models", "/ops/models"),
    ("flags", "/ops/flags"),
    ("hash lists", "/ops/lists"),
    ("policies", "/ops/policies"),
    ("a policy", "/ops/policies/edit?profile=starter"),
    ("roll-outs", "/ops/rollouts"),
    ("a roll-out", "/ops/rollouts/00000000-0000-0000-0001-000000000001"),
    ("erasures", "/ops/erasures"),
    ("approvals", "/ops/approvals"),
    ("one's own account", "/ops/me"),
];

/// A thousand orders about flags, and one for each bundle: the pages read what is in them.
async fn orders(client: &mut tokio_postgres::Client) {
    let key = HubKey::new(&HubKey::generate().unwrap()).unwrap();
    let by = Code::lossy("bench");
    for n in 0..1000 {
        let to = match n % 3 {
            0 => Address::Fleet,
            _ => Address::Tenant(format!("tenant-{}", n % 20).parse().unwrap()),
        };
        let flag = Flag { name: Code::lossy(&format!("f{}", n % 60)), on: n % 2 == 0 };
        directives::give(client, &key, to, by.clone(), flag.into()).await.unwrap();
    }
    for row in client.query("SELECT sha256 FROM blobs", &[]).await.unwrap() {
        let sha256 = Sha256(row.get::<_, Vec<u8>>(0).try_into().unwrap());
        let bundle = Bundle { sha256, bytes: 50_000_000 };
        directives::give(client, &key, Address::Fleet, by.clone(), bundle.into()).await.unwrap();
    }
}

async fn screens(hub: &Hub, client: &mut tokio_postgres::Client, submission: &str) {
    client.batch_execute(PEOPLE).await.unwrap();
    client.batch_execute(include_str!("orders.sql")).await.unwrap();
    orders(client).await;
    let of: String = client
        .query_one(
            "SELECT box::text FROM verdicts WHERE submission = $1::text::uuid",
            &[&submission],
        )
        .await
        .unwrap()
        .get(0);
    let first = ("queue, first page", "/ops/review".to_owned());
    // An item whose submission, media and verdict are there, among those that are invented.
    let query = "INSERT INTO reviews (box, subject, tab, tenant, severity, category, categories, number, since, due_at)
        SELECT box, submission, 'held', tenant, 2, 'sexual', '{sexual}', 0, now(), now() FROM verdicts WHERE submission = $1::text::uuid";
    client.execute(query, &[&submission]).await.unwrap();
    let item = format!("/ops/review/{of}/{submission}");
    let pages = [
        first.clone(),
        ("queue of a tenant", "/ops/review?tab=held&tenant=tenant-7&severity=3".to_owned()),
        ("queue of a region", "/ops/review?tab=reports&region=region-3".to_owned()),
        ("queue without anything", "/ops/review?category=spam".to_owned()),
        ("item", item),
        ("verdicts", "/ops/verdicts".to_owned()),
        ("verdicts of a rare category", "/ops/verdicts?category=hate".to_owned()),
        ("a verdict", format!("/ops/verdicts/{of}/{submission}")),
        ("overview", "/ops/overview".to_owned()),
        ("fleet", "/ops/fleet".to_owned()),
        ("a box", format!("/ops/fleet/{of}")),
    ];
    let mut all = Vec::new();
    for (what, path) in &pages {
        let took = measured(what, || hub.look(path, "__Host-weir=senior_moderator"));
        if *what == first.0 {
            println!("{what}: p95 {:.1} ms (asked: 150)", at(&took, 0.95));
        }
        all.extend(took);
    }
    for (what, path) in ADMINS {
        all.extend(measured(what, || hub.look(path, "__Host-weir=admin")));
    }
    all.sort_unstable();
    println!("screens, all: p95 {:.1} ms (asked: 500 each)", at(&all, 0.95));
}

/// How long each of some rounds took, sorted; rows or bytes are those of the last.
fn measured(what: &str, mut ask: impl FnMut() -> usize) -> Vec<Duration> {
    let (mut took, mut much) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        much = ask();
        took.push(begun.elapsed());
        if took.iter().sum::<Duration>() > Duration::from_secs(20) {
            break;
        }
    }
    took.sort_unstable();
    println!("{what:34} {much:7}: p50 {:6.1} ms, p95 {:6.1} ms", at(&took, 0.5), at(&took, 0.95));
    took
}

fn at(took: &[Duration], share: f64) -> f64 {
    took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}
