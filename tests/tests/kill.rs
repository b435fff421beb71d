//! Processes that are killed and power that is cut under load. The oracle is a list outside: whatever was answered 202 has
//! exactly one machine decision afterwards, no message has two contents, no decision two messages, no file is left without
//! an owner, and the journal's chains hold.
//!
//! `KILL_ROUNDS` sets the number of rounds (`make soak` asks for 100), `KILL_SEED` repeats a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rig::hook::{Hook, Message};
use rig::media::{qr_code, scene};
use rig::power::Power;
use rig::service::{Service, multipart};
use rig::weir;
use serde_json::{Value, json};

/// Rounds in the ordinary run of the tests: half a minute.
const ROUNDS: u64 = 14;

/// Clients at once, and what each hands in at most in a round.
const HANDS: u64 = 4;
const EACH: u64 = 5;

/// Random numbers (SplitMix64), so that a run can be repeated by its seed.
struct Dice(AtomicU64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("KILL_SEED").ok().and_then(|s| s.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = seed.unwrap_or(now.as_nanos() as u64);
        eprintln!("KILL_SEED={seed}");
        Self(AtomicU64::new(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut z = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A box with someone who is told of every decision, and the list of what it answered 202 to.
struct Site {
    dir: tempfile::TempDir,
    config: PathBuf,
    hook: Hook,
    power: Power,
    /// Name of the submission, and the tag that it was handed in with.
    accepted: BTreeMap<String, String>,
    count: AtomicU64,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hook = Hook::start();
        let secret = dir.path().join("hook.secret");
        std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = dir.path().join("weir.toml");
        let text = format!(
            "[fetch]\nallow = [\"127.0.0.0/8\"]\n[[tenant.default.webhook]]\nurl = \"{}\"\nsecret_file = \"{}\"\n",
            hook.url(),
            secret.display()
        );
        std::fs::write(&config, text).unwrap();
        let power = Power::new(dir.path(), &dir.path().join("data"));
        let count = AtomicU64::new(0);
        Self { dir, config, hook, power, accepted: BTreeMap::new(), count }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn start(&self) -> Service {
        let arguments = ["--config", self.config.to_str().unwrap()];
        Service::start_in(&self.data(), &arguments, &self.power.environment())
    }

    /// Load from several hands until the service is killed in the middle of it, after `delay`.
    fn load_and_kill(&mut self, delay: Duration) {
        let service = self.start();
        let (shared, count) = (&service, &self.count);
        let answered: Vec<_> = std::thread::scope(|scope| {
            let hand_in = move || {
                let tags = (0..EACH).map(|_| count.fetch_add(1, Ordering::Relaxed));
                tags.map_while(|tag| submit(shared, tag)).flatten().collect::<Vec<_>>()
            };
            let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(hand_in)).collect();
            // The moment is the fault that is injected.
            std::thread::sleep(delay);
            service.signal("KILL");
            hands.into_iter().flat_map(|hand| hand.join().unwrap()).collect()
        });
        service.kill();
        self.accepted.extend(answered);
    }

    /// All that the box knows, newest first.
    fn listed(&self, service: &Service) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = service.get(&format!("/v1/submissions?limit=100{cursor}")).body;
            all.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// What of the promise is broken.
    fn broken(&self) -> Vec<String> {
        let service = self.start();
        let mut broken = Vec::new();
        for (id, tag) in &self.accepted {
            if service.get(&format!("/v1/submissions/{id}")).status == 404 {
                broken.push(format!("{id} ({tag}) was accepted and is gone"));
                continue;
            }
            revive(&service, id);
            let view = service.decided(id);
            // The latest decision is number 0: there is one, and the machine made it.
            if view["decision"] != 0 || view["client_tag"] != tag.as_str() {
                broken.push(format!("{id} ({tag}): {view}"));
            }
        }
        if !broken.is_empty() {
            return broken;
        }
        // Also what was accepted without anybody being told so is finished.
        let listed = self.listed(&service);
        for id in listed.iter().filter_map(|view| view["id"].as_str()) {
            revive(&service, id);
            service.decided(id);
        }
        let due: BTreeSet<&str> = self.accepted.keys().map(String::as_str).collect();
        let told = self.hook.wait(Duration::from_secs(60), |told| {
            let of = |m: &Message| m.body["data"]["id"].as_str().unwrap_or_default().to_owned();
            let known: BTreeSet<String> = told.iter().map(of).collect();
            due.iter().all(|id| known.contains(*id))
        });
        broken.extend(ambiguous(&told));
        let kept = listed
            .iter()
            .flat_map(|view| service.evidence(view["id"].as_str().unwrap()))
            .filter(|row| row["state"] == "here")
            .count();
        let rejected = listed.iter().filter(|view| view["status"] == "rejected").count();
        if kept < rejected {
            broken.push(format!("{rejected} were rejected, and of {kept} there is evidence"));
        }
        if service.stop() != Some(0) {
            broken.push("the service did not end well".to_owned());
        }
        let count = |folder| std::fs::read_dir(self.data().join(folder)).unwrap().count();
        let left = (count("spool/blobs"), count("evidence"));
        if left != (0, kept) {
            broken.push(format!("{left:?} files are in spool and evidence; {kept} are needed"));
        }
        broken.extend(chains(&self.data()));
        broken
    }
}

/// Hands one thing in; `None` once the service is gone. A 202 gives its name and tag.
fn submit(service: &Service, tag: u64) -> Option<Option<(String, String)>> {
    let text = tag.to_string();
    let photo = scene(160, 120, tag as u32).jpeg(80).unwrap();
    // The same picture from many: they share a verdict, never their bytes.
    let (meta, media) = match tag % 4 {
        0 => (json!({ "client_tag": text, "text": "a caption alone" }), vec![]),
        1 => (
            json!({ "client_tag": text, "author": "u-1" }),
            vec![qr_code("https://login.scam.example/win", 4).unwrap().png().unwrap()],
        ),
        2 => (json!({ "client_tag": text }), vec![scene(160, 120, 7).jpeg(80).unwrap(), photo]),
        _ => (json!({ "client_tag": text }), vec![photo]),
    };
    let media: Vec<&[u8]> = media.iter().map(Vec::as_slice).collect();
    let (kind, body) = multipart(&meta, &media);
    let headers = [("content-type", kind.as_str())];
    let answer = service.try_call("POST", "/v1/submissions", &headers, &body).ok()?;
    let id = answer.body["id"].as_str();
    Some(id.filter(|_| answer.status == 202).map(|id| (id.to_owned(), text)))
}

/// A job that was in hand at ten deaths is a dead letter (docs/store.md), which a person may try again.
fn revive(service: &Service, id: &str) {
    let view = service.get(&format!("/v1/submissions/{id}")).body;
    if view["status"] == "failed" && view["moderated_at"].is_null() {
        let again = service.call("POST", &format!("/v1/submissions/{id}/retry"), &[], b"");
        assert!((200..300).contains(&again.status), "{again:?}");
    }
}

/// Messages with two contents, and decisions with two messages.
fn ambiguous(told: &[Message]) -> Vec<String> {
    let (mut by_id, mut by_decision) = (BTreeMap::new(), BTreeMap::new());
    let mut found = Vec::new();
    for message in told {
        let body = message.body.to_string();
        if by_id.entry(&message.id).or_insert_with(|| body.clone()) != &body {
            found.push(format!("message {} has two contents", message.id));
        }
        let data = &message.body["data"];
        let decision = (data["id"].to_string(), data["decision"].to_string());
        if *by_decision.entry(decision.clone()).or_insert(&message.id) != &message.id {
            found.push(format!("decision {decision:?} has two messages"));
        }
    }
    found
}

fn chains(data: &Path) -> Option<String> {
    let run = weir::run(["store", "verify", "--data", data.to_str().unwrap()]);
    let holds = run.code == Some(0) && run.stdout.contains("the chains hold");
    (!holds).then(|| format!("{run:#?}"))
}

fn rounds() -> u64 {
    std::env::var("KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS)
}

#[test]
fn whatever_was_answered_202_has_one_decision_however_often_the_box_dies() {
    let dice = Dice::new();
    let mut site = Site::new();
    let mut lost = 0;
    for round in 0..rounds() {
        site.load_and_kill(Duration::from_millis(40 + dice.below(900)));
        // Every other time the power goes as well.
        if round % 2 == 1 {
            lost += site.power.cut();
        }
    }
    assert!(site.accepted.len() as u64 > rounds() * 3, "too little was accepted to say anything");
    assert!(lost > 0, "a cut that takes nothing away shows nothing");
    let broken = site.broken();
    assert!(broken.is_empty(), "{} of {}: {broken:#?}", broken.len(), site.accepted.len());
}

#[test]
fn a_disk_that_only_says_it_synced_is_found_out() {
    let mut site = Site::new();
    // An ordinary start first, so that there is something to come back to.
    site.start().stop();
    assert!(site.power.synced() > 0, "the library is not in the process");
    site.power.lie();
    site.load_and_kill(Duration::from_millis(1500));
    assert!(!site.accepted.is_empty());
    site.power.cut();
    let broken = site.broken();
    assert!(
        broken.iter().any(|what| what.contains("was accepted and is gone")),
        "acknowledged and never synced, and nothing is missing: {broken:#?}"
    );
}
