//! A hub that loses its database and is put back to a moment: real `weir-hub`, Postgres and boxes. The oracle is the list of what the boxes
//! answered 202 to, and what the boxes' own commands say of an author who was erased.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rig::edge::{Edge, arrives, chains_hold, until};
use rig::hub::{Hub, binary};
use rig::postgres::{Postgres, as_owner, own};
use rig::weir;
use serde_json::{Value, json};

fn edge(hub: &Hub, name: &str) -> Edge {
    let edge = Edge::new();
    hub.enroll_as(name, &edge.data(), &["default"]);
    edge.waits("connected", |state| state["path"] == "quic");
    edge
}

/// Something personal of an author, which the box accepts.
fn says(edge: &mut Edge, author: &str) {
    let meta = json!({ "author": author, "text": format!("only {author} knows this sentence") });
    let answer = edge.service().submit_with(&[("prefer", "wait=30")], &meta, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    edge.accepted.insert(answer.body["id"].as_str().unwrap().to_owned());
}

fn acknowledged(edge: &Edge) {
    edge.waits("everything acknowledged", |state| {
        state["path"] == "quic" && state["bulk_lag"] == 0 && state["critical_lag"] == 0
    });
}

fn applied(hub: &Hub, to: &str, order: &(String, u64), boxes: usize) {
    until("all receipts", || {
        let receipts = hub.receipts(to, order);
        (receipts.values().filter(|state| *state == "applied").count() == boxes).then_some(())
    });
}

fn erase(hub: &Hub, author: &str) -> (String, u64) {
    let erase = json!({ "kind": "erase", "tenant": "default", "author": { "id": author } });
    hub.order("tenant/default", &erase.to_string())
}

fn flag(hub: &Hub, name: &str) -> (String, u64) {
    hub.order("fleet", &json!({ "kind": "flag", "name": name, "on": true }).to_string())
}

/// `weir-hub backup --follow`; killed with this.
struct Follow(Child);

impl Follow {
    fn start(hub: &Hub, dir: &Path) -> Self {
        let mut command = hub.command(&["backup", "--follow", "--config"]);
        command.arg(hub.settings()).arg("--dir").arg(dir).stdout(Stdio::null());
        let follow = Self(command.spawn().unwrap());
        let query = "SELECT active FROM pg_replication_slots WHERE slot_name = 'weir_hub'";
        until("the log is followed", || (hub.query(query) == ["t"]).then_some(()));
        follow
    }

    /// Waits until all that is committed has been followed.
    fn catches_up(&self, hub: &Hub) {
        let at = hub.query("SELECT pg_current_wal_flush_lsn()").remove(0);
        let query = format!("SELECT bool_or(flush_lsn >= '{at}') FROM pg_stat_replication");
        until("followed so far", || (hub.query(&query) == ["t"]).then_some(()));
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn backup(hub: &Hub, dir: &Path, more: &[&str]) -> Output {
    let mut command = hub.command(&["backup", "--config"]);
    command.arg(hub.settings()).arg("--dir").arg(dir).args(more).output().unwrap()
}

fn restore(from: &Path, data: &Path, more: &[&str]) -> Output {
    let mut command = as_owner(&binary());
    command.args(["restore", "--from"]).arg(from).arg("--data").arg(data).args(more);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:#?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn why_not(output: &Output) -> String {
    assert!(!output.status.success(), "{output:#?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Nothing of an author is left on a box, which is off, and its chains hold at both ends.
fn is_gone(hub: &Hub, edge: &mut Edge, author: &str) {
    let data = edge.data();
    let words = ["erase", "verify", author, "--tombstone", "0", "--data"];
    let run = weir::run(words.into_iter().chain([data.to_str().unwrap()]));
    assert_eq!(run.code, Some(0), "{run:#?}");
    chains_hold(hub, &data);
}

#[test]
fn a_hub_put_back_to_a_moment_loses_no_entry_and_forgets_no_erasure() {
    let (mut hub, around) = (Hub::start(), tempfile::tempdir().unwrap());
    own(around.path());
    let dir = around.path().join("backups");
    hub.run(&["tenant", "add", "default"]);
    let mut boxes = ["one", "two", "three"].map(|name| edge(&hub, name));
    for edge in &mut boxes {
        edge.submit(3);
        ["amara", "zuri"].into_iter().for_each(|author| says(edge, author));
    }
    boxes.iter().for_each(acknowledged);
    let follow = Follow::start(&hub, &dir);
    let made = said(&backup(&hub, &dir, &[]));
    assert!(!made.contains("Nobody follows"), "{made}");
    boxes.iter_mut().for_each(|edge| edge.submit(3));
    boxes.iter().for_each(acknowledged);
    // The third is away from here on.
    boxes[2].kill();
    let known = erase(&hub, "amara");
    applied(&hub, "tenant/default", &known, 2);
    let before = flag(&hub, "before");
    boxes[..2].iter().for_each(acknowledged);
    let moment =
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let moment = hub.query(moment).remove(0);
    // All of this the restored hub does not know.
    let lost = erase(&hub, "zuri");
    applied(&hub, "tenant/default", &lost, 2);
    let lost_flag = flag(&hub, "after");
    applied(&hub, "fleet", &lost_flag, 2);
    let mut late = edge(&hub, "late");
    for edge in boxes[..2].iter_mut().chain([&mut late]) {
        edge.submit(4);
        acknowledged(edge);
    }
    follow.catches_up(&hub);
    hub.kill();
    hub.postgres.kill();
    drop(follow);
    // Meanwhile the boxes work on.
    boxes[..2].iter_mut().for_each(|edge| edge.submit(2));
    own(around.path());
    let (was, now) = (hub.postgres.url(), Postgres::vacant());
    let restored = said(&restore(&dir, &now.data(), &["--to-time", &moment]));
    for line in ["LOOK AT THIS BEFORE", "one", "two", "three", "weir enroll"] {
        assert!(restored.contains(line), "{line}: {restored}");
    }
    assert!(!restored.contains("late"), "{restored}");
    hub.postgres = now;
    hub.postgres.restart();
    hub.edit(&was, &hub.postgres.url());
    assert!(hub.decisions().len() < boxes[0].accepted.len() * 3, "the moment lies before the end");
    hub.serve();
    boxes[2].start();
    // Every entry comes again, once.
    for edge in &mut boxes {
        edge.submit(1);
        arrives(&hub, &edge.accepted);
    }
    // Erasures reach the one that was away, and what came back with the backup goes again.
    until("tombstones", || (hub.query("SELECT count(*) FROM erased") == ["6"]).then_some(()));
    let personal = "SELECT count(*) FROM sides WHERE encode(bytes, 'escape') ~ 'amara|zuri'";
    assert_eq!(hub.query(personal), ["0"]);
    // What is ordered now is heard by all: it takes no place that they have taken.
    let new = flag(&hub, "new");
    assert_ne!(new.0, before.0, "a new life of the journal");
    applied(&hub, "fleet", &new, 3);
    applied(&hub, "tenant/default", &known, 3);
    let list: Vec<Value> =
        serde_json::from_str(&hub.run(&["directive", "lost", "--json"])).unwrap();
    let kinds: Vec<_> = list.iter().map(|one| (&one["kind"], one["again"].is_null())).collect();
    assert_eq!(kinds, [(&json!("flag"), true), (&json!("erase"), false)], "{list:#?}");
    let alarms = "SELECT DISTINCT code FROM alarms WHERE kind = 'directive' ORDER BY 1";
    assert_eq!(hub.query(alarms), ["lost/erase", "lost/flag"]);
    // A person says that the flag is still wanted.
    let (epoch, seq) = (&lost_flag.0, lost_flag.1.to_string());
    let settings = hub.settings();
    let again = ["directive", "again", epoch, "fleet", &seq, "--config"];
    let again = hub.run(&[&again[..], &[settings.to_str().unwrap()]].concat());
    let mut words = again.split(' ');
    let again = (words.next().unwrap().to_owned(), words.nth(1).unwrap().parse().unwrap());
    applied(&hub, "fleet", &again, 3);
    // Who enrolled since is unknown, is told so, and enrols anew.
    late.waits("refused", |state| state["problem"]["code"] == "refused");
    hub.enroll_as("late", &late.data(), &["default"]);
    arrives(&hub, &late.accepted);
    hub.run(&["verify"]);
    for edge in &mut boxes {
        acknowledged(edge);
        edge.kill();
        ["amara", "zuri"].into_iter().for_each(|author| is_gone(&hub, edge, author));
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

#[test]
fn a_copied_disk_is_noticed_by_the_first_receipt_that_comes() {
    let mut hub = Hub::start();
    hub.run(&["tenant", "add", "default"]);
    let mut edge = edge(&hub, "one");
    let first = flag(&hub, "a");
    applied(&hub, "fleet", &first, 1);
    // Postgres cannot tell it from a crash.
    hub.kill();
    hub.postgres.kill();
    let copied = tempfile::tempdir().unwrap();
    copy(&hub.postgres.data(), &copied.path().join("data"));
    hub.postgres.restart();
    hub.serve();
    let lost = flag(&hub, "b");
    assert_eq!(lost.0, first.0);
    edge.kill();
    edge.start();
    applied(&hub, "fleet", &lost, 1);
    hub.kill();
    hub.postgres.kill();
    std::fs::remove_dir_all(hub.postgres.data()).unwrap();
    copy(&copied.path().join("data"), &hub.postgres.data());
    hub.postgres.restart();
    hub.serve();
    edge.kill();
    edge.start();
    let found = "SELECT kind FROM lost_directives";
    until("the box tells", || (hub.query(found) == ["flag"]).then_some(()));
    let new = flag(&hub, "c");
    assert_ne!(new.0, first.0);
    applied(&hub, "fleet", &new, 1);
}

#[test]
fn a_replica_that_takes_over_orders_in_a_life_of_its_own() {
    let mut hub = Hub::start();
    let [first, second] = ["a", "b"].map(|name| flag(&hub, name));
    assert_eq!((&first.0, first.1 + 1), (&second.0, second.1));
    // A crash alone changes nothing.
    hub.postgres.kill();
    hub.postgres.restart();
    assert_eq!(flag(&hub, "c"), (first.0.clone(), 3));
    hub.kill();
    hub.postgres.kill();
    let signal = hub.postgres.data().join("standby.signal");
    assert!(as_owner(Path::new("touch")).arg(signal).status().unwrap().success());
    hub.postgres.restart();
    assert_eq!(hub.query("SELECT pg_promote()"), ["t"]);
    let after = flag(&hub, "d");
    assert_ne!(after.0, first.0, "also where no hub was started since");
    hub.serve();
    assert_eq!(flag(&hub, "e"), (after.0, 2), "one new life, not one with each start");
}

#[test]
fn a_backup_is_whole_or_not_there_and_a_restore_takes_the_place_of_nothing() {
    let (hub, around) = (Hub::start(), tempfile::tempdir().unwrap());
    own(around.path());
    let dir = around.path().join("backups");
    let first = said(&backup(&hub, &dir, &[]));
    assert!(first.contains("Nobody follows"), "{first}");
    let folder = || {
        let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    // One that is cut off or refused leaves nothing that looks like a backup, and what it left goes.
    std::fs::rename(hub.dir().join("hub.key"), hub.dir().join("away")).unwrap();
    assert!(why_not(&backup(&hub, &dir, &[])).contains("hub.key"));
    std::fs::rename(hub.dir().join("away"), hub.dir().join("hub.key")).unwrap();
    let whole = |name: &String| name.starts_with("20");
    assert_eq!(folder().iter().filter(|name| whole(name)).count(), 1, "{:?}", folder());
    let early = "2000-01-01T00:00:00Z";
    own(around.path());
    let vacant = Postgres::vacant();
    assert!(why_not(&restore(&dir, &vacant.data(), &["--to-time", early])).contains("no earlier"));
    assert!(why_not(&restore(&dir, &vacant.data(), &["--to-time", "noon"])).contains("write UTC"));
    assert!(!vacant.data().exists());
    let there = hub.postgres.data();
    assert!(why_not(&restore(&dir, &there, &[])).contains("left as it is"));
    // The moment lies behind all that was followed.
    let late = "2999-01-01T00:00:00Z";
    let why = why_not(&restore(&dir, &vacant.data(), &["--to-time", late]));
    assert!(why.contains("recovery target"), "{why}");
    std::fs::remove_dir_all(vacant.data()).unwrap();
    // Keys are in it, for nobody else to read; and whoever alters it is found out.
    let backup_of = dir.join(folder().into_iter().find(whole).unwrap());
    let key = backup_of.join("hub/hub.key");
    assert_eq!(std::fs::read(&key).unwrap(), std::fs::read(hub.dir().join("hub.key")).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
    let manifest = backup_of.join("base/backup_manifest");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("SHA256", "SHA224")).unwrap();
    assert!(why_not(&restore(&dir, &vacant.data(), &[])).contains("not what was backed up"));
    std::fs::write(&manifest, text).unwrap();
    // Of three only the newest two stay, and the partial one of before is gone.
    for _ in 0..2 {
        said(&backup(&hub, &dir, &["--keep", "2"]));
    }
    assert_eq!(folder().iter().filter(|name| whole(name)).count(), 2, "{:?}", folder());
    assert!(folder().iter().all(|name| !name.contains("partial")), "{:?}", folder());
}
