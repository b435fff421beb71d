//! Bundles of models that the hub orders: real `weir` and `weir-hub`, real bundles by `weir models`. The oracle is what the box has installed,
//! what its journal says at the hub, and how many bytes the hub sent.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use rig::edge::until;
use rig::hub::Hub;
use rig::mount::Mount;
use rig::ops::{Page, Person, Visitor};
use rig::service::Service;
use rig::sha256;
use rig::tiny::{Maker, PROFILE, Tiny, by_hand};
use rig::weir::{self, Run};
use serde_json::json;

/// A box with models of its own that trusts one maker.
struct Models {
    dir: tempfile::TempDir,
    maker: Maker,
    data: PathBuf,
}

impl Models {
    fn new(hub: &Hub) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self::over(hub, dir, data)
    }

    fn over(hub: &Hub, dir: tempfile::TempDir, data: PathBuf) -> Self {
        let models = Self { dir, maker: Maker::new(), data };
        by_hand(&models.path("models"), Tiny::Good, "1");
        std::fs::write(models.path("red.toml"), PROFILE).unwrap();
        let settings = format!("profile = {:?}\nworkers = 1\n", models.path("red.toml"));
        std::fs::write(models.path("weir.toml"), settings).unwrap();
        let key = models.maker.key.clone();
        assert_eq!(models.run(&["models", "trust", &key]).code, Some(0));
        // The first start makes the identity by which it enrols.
        drop(models.start());
        hub.enroll_as("one", &models.data, &[]);
        models
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self) -> Service {
        let (config, models) = (self.path("weir.toml"), self.path("models"));
        let arguments = ["--config", config.to_str().unwrap()];
        Service::start_in(&self.data, &arguments, &[("WEIR_MODELS", &models)])
    }

    fn run(&self, words: &[&str]) -> Run {
        let mut command = weir::command();
        command.env("WEIR_MODELS", self.path("models")).env("WEIR_DATA", &self.data);
        weir::finish(command.args(words))
    }

    /// What is on its way.
    fn part(&self, sha256: &str) -> u64 {
        let part = self.data.join(format!("hub/bundles/{sha256}.part"));
        part.metadata().map_or(0, |part| part.len())
    }
}

fn add(hub: &Hub, file: &Path) -> String {
    let sum = hub.run(&["blob", "add", file.to_str().unwrap()]);
    assert_eq!(sum, sha256(&std::fs::read(file).unwrap()));
    sum
}

fn order(hub: &Hub, sha256: &str) -> (String, u64) {
    hub.order("fleet", &json!({ "kind": "bundle", "sha256": sha256 }).to_string())
}

/// What the journals of boxes say became of bundles, in order.
fn outcomes(hub: &Hub) -> Vec<String> {
    let query = "SELECT substring(encode(record, 'escape') FROM 'bundle[.][a-z]+:[A-Za-z0-9_@.:-]+') FROM entries
        WHERE position('bundle.'::bytea IN record) > 0 ORDER BY seq";
    hub.query(query)
}

/// Waits until the last thing that was said is that this bundle came to this.
fn comes_to(hub: &Hub, sha256: &str, verb: &str, what: &str) {
    let outcome = format!("bundle.{verb}:{}:{what}", &sha256[..16]);
    until(&outcome, || outcomes(hub).last().is_some_and(|last| *last == outcome).then_some(()));
}

fn served(hub: &Hub) -> u64 {
    let (_, page) = hub.get("/metrics", "");
    let line = page.lines().find_map(|line| line.strip_prefix("weir_hub_blob_bytes_total "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_bundle_is_fetched_and_installed_where_its_key_is_trusted() {
    let hub = Hub::start();
    let models = Models::new(&hub);
    let service = models.start();
    let good = add(&hub, &models.maker.bundle(Tiny::Good, "2"));
    let told = order(&hub, &good);
    comes_to(&hub, &good, "installed", "tiny@2");
    until("a receipt", || (hub.receipts("fleet", &told)["one"] == "applied").then_some(()));
    let listed = models.run(&["models", "list"]).stdout;
    let row = listed.lines().find(|line| line.starts_with("tiny@2 ")).unwrap();
    assert!(row.contains("candidate"), "{listed}");
    // By a key that this box does not trust.
    let stranger = Maker::new();
    let foreign = add(&hub, &stranger.bundle(Tiny::Good, "3"));
    order(&hub, &foreign);
    comes_to(&hub, &foreign, "refused", "not_installable");
    assert!(!models.run(&["models", "list"]).stdout.contains("tiny@3"));
    // Ordered again it changes nothing.
    order(&hub, &good);
    comes_to(&hub, &good, "installed", "tiny@2");
    assert_eq!(outcomes(&hub).len(), 3);
    assert_eq!(std::fs::read_dir(models.data.join("hub/bundles")).unwrap().count(), 0);
    // The hub's bytes are not those of that name.
    let bad = add(&hub, &models.maker.bundle(Tiny::Good, "4"));
    hub.query("UPDATE blob_pieces SET bytes = set_byte(bytes, 5, get_byte(bytes, 5) # 1)");
    order(&hub, &bad);
    comes_to(&hub, &bad, "refused", "wrong_hash");
    // Removed before the box came for it.
    drop(service);
    let gone = add(&hub, &models.maker.bundle(Tiny::Good, "5"));
    order(&hub, &gone);
    hub.run(&["blob", "remove", &gone]);
    let _service = models.start();
    comes_to(&hub, &gone, "refused", "unknown_blob");
    assert!(!models.run(&["models", "list"]).stdout.contains("tiny@4"));
}

#[test]
fn a_box_that_is_killed_in_the_middle_goes_on_from_there() {
    let hub = Hub::start();
    let models = Models::new(&hub);
    const BYTES: u64 = 200 << 20;
    // No bundle, which shows only once it is whole.
    let file = models.path("large");
    let bytes: Vec<u8> = (0..BYTES).map(|n| (n >> 12) as u8 ^ n as u8).collect();
    std::fs::write(&file, bytes).unwrap();
    let sha256 = add(&hub, &file);
    let service = models.start();
    order(&hub, &sha256);
    until("half of it", || (models.part(&sha256) > BYTES / 2).then_some(()));
    service.kill();
    let here = models.part(&sha256);
    assert!(here < BYTES, "it was in the middle");
    let before = served(&hub);
    let _service = models.start();
    comes_to(&hub, &sha256, "refused", "not_installable");
    // What was not here yet, and nothing twice.
    let again = served(&hub) - before;
    assert!(again <= BYTES - here, "{again} bytes where {} were missing", BYTES - here);
    assert!(served(&hub) < BYTES * 3 / 2, "{} of {BYTES}", served(&hub));
}

#[test]
fn where_there_is_no_room_nothing_is_fetched() {
    let Some(mount) = Mount::new("96m") else {
        eprintln!("SKIPPED: no file system can be mounted here");
        return;
    };
    let hub = Hub::start();
    let models = Models::over(&hub, tempfile::tempdir().unwrap(), mount.path().join("data"));
    let _service = models.start();
    let large = add(&hub, &models.maker.bundle(Tiny::Good, "2"));
    order(&hub, &large);
    comes_to(&hub, &large, "refused", "no_room");
    assert_eq!(served(&hub), 0);
}

/// The cells of the rows of a page that name something, tags left out.
fn rows(page: &Page, name: &str) -> Vec<String> {
    assert_eq!(page.status, 200, "{page:?}");
    let rows = page
        .body
        .split("</tr>")
        .filter_map(|row| row.split_once("<tr>"))
        .map(|(_, row)| row)
        .filter(|row| row.contains(name));
    let cells = |row: &str| {
        let texts =
            row.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text.trim());
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ")
    };
    rows.map(cells).collect()
}

fn comes_to_say(visitor: &Visitor<'_>, name: &str, what: &str) {
    let mut last = Vec::new();
    until(&format!("{what} of {name}; the page says {last:?}"), || {
        last = rows(&visitor.see("/ops/models"), name);
        last.iter().any(|row| row.contains(what)).then_some(())
    });
}

#[test]
fn at_the_screen_a_bundle_goes_to_a_box_by_one_person_and_to_the_fleet_by_two() {
    let hub = Hub::start();
    let models = Models::new(&hub);
    let service = models.start();
    let of = hub.query("SELECT box::text FROM boxes").remove(0);
    let good = add(&hub, &models.maker.bundle(Tiny::Good, "2"));
    let (ann, ben) =
        (Person::new(&hub, "ann", "admin", &[]), Person::new(&hub, "ben", "admin", &[]));
    let (ann, ben) = (ann.visit(&hub), ben.visit(&hub));
    let send = |sha256: &str, to: &str, why: &str| {
        ann.send("/ops/models", &[("sha256", sha256), ("to", to), ("why", why)]).status
    };
    let own = format!("box/{of}");
    hub.run(&["tenant", "add", "shop"]);
    // What cannot be ordered nobody is asked to approve.
    assert_eq!(send(&"0".repeat(64), &own, "a trial"), 404);
    assert_eq!(send(&"0".repeat(64), "fleet", "a trial"), 404);
    assert_eq!(send(&good, &own, ""), 422);
    assert_eq!(send(&good, "tenant/shop", "a trial"), 422);
    assert_eq!(send(&good, "box/00000000-0000-0000-0000-000000000007", "a trial"), 404);
    assert_eq!(hub.query("SELECT count(*)::text FROM approvals"), ["0"]);

    assert_eq!(send(&good, &own, "a trial"), 303);
    comes_to_say(&ann, &good, "one, ann | ");
    comes_to_say(&ann, "tiny@2", "tiny@2 | one | candidate | bundle");
    let installed = rows(&ann.see("/ops/models"), &good).remove(0);
    assert!(installed.ends_with(" | 1 | 0 | 0"), "{installed}");
    // Stages are the box's, and told.
    assert_eq!(models.run(&["models", "promote", "tiny"]).code, Some(0));
    comes_to_say(&ann, "tiny@2", "tiny@2 | one | shadow | command");
    assert_eq!(models.run(&["models", "rollback", "tiny@2"]).code, Some(0));
    comes_to_say(&ann, "tiny@2", "tiny@2 | one | retired | command");
    // Installed anew it stays where it is.
    assert_eq!(send(&good, &own, "once more"), 303);
    until("installed twice", || (outcomes(&hub).len() == 2).then_some(()));
    comes_to_say(&ann, "tiny@2", "tiny@2 | one | retired | command");

    // To the fleet, by another person.
    drop(service);
    let next = add(&hub, &models.maker.bundle(Tiny::Good, "3"));
    assert_eq!(send(&next, "fleet", "it did well"), 303);
    assert_eq!(rows(&ann.see("/ops/models"), &next).remove(0).matches("never").count(), 1);
    let approval = hub.query("SELECT approval::text FROM approvals").remove(0);
    let settle =
        |by: &Visitor<'_>| by.send(&format!("/ops/approvals/{approval}"), &[("grant", "1")]).status;
    assert_eq!(settle(&ann), 403);
    assert_eq!(settle(&ben), 303);
    comes_to_say(&ann, &next, "the whole fleet, ben");
    comes_to_say(&ann, &next, "| 0 | 0 | 1 | Who has it not | one | : pending");
    let _service = models.start();
    comes_to_say(&ann, "tiny@3", "tiny@3 | one | candidate | bundle");
    let audited = hub.query("SELECT action FROM audit WHERE action LIKE 'bundle%' ORDER BY at");
    assert_eq!(audited, ["bundle.order", "bundle.order", "bundle.ask"]);
}
