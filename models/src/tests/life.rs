//! The life of versions: bundles that are what was signed, stages that follow their rules, and a state that survives.

use std::fs;
use std::path::{Path, PathBuf};

use super::repair::says_install;
use super::{engine, tiny_manifest_text, tiny_model};
use crate::life::bundle::{GOLDEN, LIST, MANIFEST, WEIGHTS};
use crate::life::state::{BACKUP, FILE, Wish};
use crate::life::{
    Cause, Change, Control, Installed, LifeError, Recipe, Roster, SigningKey, Stage, State,
    Trusted, folder, install,
};

/// Where bundles are made.
pub(super) struct Maker {
    pub(super) dir: tempfile::TempDir,
    key: SigningKey,
}

impl Maker {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::make(&dir.path().join("key")).unwrap();
        let golden = dir.path().join("golden");
        fs::create_dir(&golden).unwrap();
        for (name, colour) in [("red", [200, 10, 10]), ("blue", [10, 10, 200])] {
            png(&golden.join(format!("{name}.png")), colour);
        }
        Self { dir, key }
    }

    fn recipe(&self, version: &str) -> Recipe {
        let path = |name: &str| self.dir.path().join(name);
        let text =
            tiny_manifest_text().replace("version = \"1\"", &format!("version = {version:?}"));
        fs::write(path("manifest.toml"), text).unwrap();
        fs::write(path("weights"), tiny_model()).unwrap();
        Recipe { manifest: path("manifest.toml"), weights: path("weights"), golden: path("golden") }
    }

    pub(super) fn bundle(&self, version: &str) -> PathBuf {
        let out = self.dir.path().join(format!("tiny-{version}.weirmodel"));
        let manifest = self.recipe(version).make(&self.key, &out).unwrap();
        assert_eq!(manifest.id(), format!("tiny@{version}"));
        out
    }

    /// A model directory that trusts the key.
    pub(super) fn models(&self) -> tempfile::TempDir {
        let models = tempfile::tempdir().unwrap();
        assert!(Trusted::read(models.path()).unwrap().add(self.key.public()).unwrap());
        models
    }
}

pub(super) fn png(path: &Path, colour: [u8; 3]) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 4, 4);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&colour.repeat(16)).unwrap();
}

/// A member: its name, its kind, its bytes.
type Member = (String, tar::EntryType, Vec<u8>);

/// A tar of these members, as a hostile maker would write it.
fn tar(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in members {
        let mut header = tar::Header::new_ustar();
        // Not `set_path`, which refuses what is to be tried.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The members of a bundle.
fn members(bundle: &Path) -> Vec<Member> {
    let mut archive = tar::Archive::new(fs::File::open(bundle).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (name, entry.header().entry_type(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

/// What is below a folder.
fn below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(below(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn a_bundle_is_installed_once_and_only_later_versions_follow() {
    let maker = Maker::new();
    let models = maker.models();
    let dir = models.path();
    let one = maker.bundle("1");
    let Installed { name, version, signer, new, .. } = install(dir, &one, false, 7).unwrap();
    assert_eq!((name.as_str(), version.as_str(), new), ("tiny", "1", true));
    assert_eq!(signer, maker.key.public());
    let before = (below(dir), fs::read(dir.join(FILE)).unwrap());
    assert!(!install(dir, &one, false, 8).unwrap().new);
    assert_eq!(before, (below(dir), fs::read(dir.join(FILE)).unwrap()), "nothing has changed");
    assert!(install(dir, &maker.bundle("1.1"), false, 9).unwrap().new);
    // Another picture makes another bundle of the same name.
    png(&maker.dir.path().join("golden/third.png"), [1, 2, 3]);
    let error = install(dir, &maker.bundle("1.1"), false, 9).unwrap_err().to_string();
    assert!(error.contains("tiny@1.1 is installed with other bytes"), "{error}");
    let older = maker.bundle("1.0.9");
    let error = install(dir, &older, false, 9).unwrap_err().to_string();
    assert!(error.contains("no later than 1.1") && error.contains("--older"), "{error}");
    assert!(install(dir, &older, true, 9).unwrap().new);
    let state = State::read(dir).unwrap();
    let stages: Vec<_> = state.versions("tiny").map(|(v, e)| (v, e.stage, e.since_ms)).collect();
    let c = Stage::Candidate;
    assert_eq!(stages, [("1", c, 7), ("1.0.9", c, 9), ("1.1", c, 9)]);
}

#[test]
fn an_install_that_was_cut_off_is_finished_by_the_next() {
    let maker = Maker::new();
    let models = maker.models();
    let dir = models.path();
    let bundle = maker.bundle("1");
    install(dir, &bundle, false, 1).unwrap();
    // Cut off between the rename and the state, and another one before its rename.
    fs::remove_file(dir.join(FILE)).unwrap();
    let rest = dir.join("installed/.new-abc");
    fs::create_dir(&rest).unwrap();
    fs::write(rest.join(WEIGHTS), b"half").unwrap();
    assert!(install(dir, &bundle, false, 2).unwrap().new);
    assert!(!rest.exists());
    assert_eq!(State::read(dir).unwrap().entry("tiny", "1").unwrap().stage, Stage::Candidate);
}

#[test]
fn nothing_is_taken_that_its_maker_did_not_sign() {
    let maker = Maker::new();
    let bundle = maker.bundle("1");
    let good = members(&bundle);
    let trial = |bytes: &[u8]| {
        let models = maker.models();
        let before = (below(models.path()), below(maker.dir.path()));
        let file = models.path().join("x.weirmodel");
        fs::write(&file, bytes).unwrap();
        let error = install(models.path(), &file, false, 1).unwrap_err();
        fs::remove_file(&file).unwrap();
        let mut after = below(models.path());
        let own = |name: &String| !name.ends_with("/installed") && !name.ends_with("/.lock");
        after.retain(own);
        assert_eq!((after, below(maker.dir.path())), before, "something was left: {error}");
        error.to_string()
    };
    let with = |change: &dyn Fn(&mut Vec<Member>)| {
        let mut changed = good.clone();
        change(&mut changed);
        trial(&tar(&changed))
    };
    let says = |error: String, words: &str| assert!(error.contains(words), "{words}: {error}");
    // The copy itself is good: what follows is refused for what was changed.
    let models = maker.models();
    fs::write(models.path().join("copy"), tar(&good)).unwrap();
    assert!(install(models.path(), &models.path().join("copy"), false, 1).unwrap().new);

    let at = |name: &str| good.iter().position(|(n, ..)| n == name).unwrap();
    says(with(&|m| m[1].2[40] ^= 1), "its signature is not one of the key");
    says(with(&|m| m[1].2[3] ^= 1), "which is not in");
    says(with(&|m| m[1].2.truncate(90)), "has not the 96 bytes");
    says(with(&|m| m[0].2.push(b'\n')), "its signature is not one of the key");
    says(with(&|m| m[at(WEIGHTS)].2[9] ^= 1), "model.onnx is not the one that was signed");
    says(with(&|m| m[at(MANIFEST)].2[9] ^= 1), "manifest.toml is not the one that was signed");
    says(with(&|m| m[at(WEIGHTS)].2.push(0)), "model.onnx has");
    says(with(&|m| m.swap(at(WEIGHTS), at(GOLDEN))), "stands where model.onnx should");
    says(with(&|m| drop(m.pop())), "it ends where");
    says(with(&|m| m.push(m[2].clone())), "comes after all that its list names");
    says(with(&|m| m[at(WEIGHTS)].1 = tar::EntryType::Symlink), "is no plain file");
    says(with(&|m| m[0].1 = tar::EntryType::XHeader), "bundle.toml is no plain file");
    for name in ["../escape", "/tmp/escape", "installed/../../escape"] {
        says(with(&|m| m[at(WEIGHTS)].0 = name.into()), "stands where model.onnx should");
    }
    says(with(&|m| m[0].2 = vec![b'#'; (1 << 20) + 1]), "at most 1048576 are taken");
    let whole = fs::read(&bundle).unwrap();
    for end in [0, 300, 700, 1600, whole.len() / 2] {
        let error = trial(&whole[..end]);
        assert!(error.contains("is not a bundle"), "{end}: {error}");
    }
    says(trial(&[0x55; 4096]), "is not a bundle");
}

#[test]
fn a_signed_list_with_names_that_lead_elsewhere_is_refused_too() {
    // Signed by a key that is trusted: its owner may be careless, or be robbed.
    let maker = Maker::new();
    let good = members(&maker.bundle("1"));
    for (from, to, words) in [
        ("red.png", "../red.png", "is no name that a member may have"),
        ("red.png", "/etc/red.png", "is no name that a member may have"),
        ("red.png", "bundle.toml", "is no name that a member may have"),
        ("red.png", "blue.png", "stands in it twice"),
        ("format = 1", "format = 2", "this release reads format 1"),
        ("\"golden.toml\"", "\"golde.toml\"", "it has no golden.toml"),
        ("\"tiny\"", "\"other\"", "manifest.toml is of tiny@1, bundle.toml of other@1"),
    ] {
        let list = String::from_utf8(good[0].2.clone()).unwrap();
        let changed = list.replacen(from, to, 1);
        assert_ne!(changed, list, "{from}");
        let mut parts = good.clone();
        parts[1].2 = maker.key.sign(changed.as_bytes());
        parts[0].2 = changed.into_bytes();
        for part in &mut parts {
            if part.0 == from {
                part.0 = to.into();
            }
        }
        let models = maker.models();
        let file = models.path().join("x");
        fs::write(&file, tar(&parts)).unwrap();
        let error = install(models.path(), &file, false, 1).unwrap_err().to_string();
        assert!(error.contains(words), "{to}: {error}");
        assert_eq!(fs::read_dir(models.path().join("installed")).unwrap().count(), 0, "{to}");
    }
}

#[test]
fn a_version_that_answers_otherwise_than_its_golden_vectors_is_told_with_the_numbers() {
    let maker = Maker::new();
    let models = maker.models();
    let dir = models.path();
    // exp(2), exp(0.1), exp(0.1) over their sum, by hand.
    let golden = maker.dir.path().join("golden/golden.toml");
    let text = |red: f64| {
        format!(
            "format = 1\nscore_tolerance = 0.01\nage_tolerance = 1.0\nbox_iou = 0.9\n[[case]]\npicture = \"red.png\"\nscores = [{red}, 0.1151, 0.1151]\n"
        )
    };
    fs::write(&golden, text(0.7698)).unwrap();
    install(dir, &maker.bundle("1"), false, 1).unwrap();
    let roster = Roster::load(dir).unwrap();
    let parity = roster.parity(&engine(), "tiny", "1").unwrap();
    assert_eq!((parity.engine.as_str(), parity.cases), ("cpu", 1));
    assert!(parity.worst < 0.1, "{parity:?}");
    // Its maker's own machine refuses it already.
    fs::write(&golden, text(0.7598 - 0.001)).unwrap();
    let out = maker.dir.path().join("out");
    let error = maker.recipe("2").make(&maker.key, &out).unwrap_err();
    let LifeError::Parity { model, cases: 1, problems, .. } = &error else { panic!("{error}") };
    assert_eq!(model, "tiny@2");
    assert!(problems[0].starts_with("red.png: red is 0.76") && !out.exists(), "{error}");
}

#[test]
fn what_was_changed_after_its_install_does_not_run() {
    let maker = Maker::new();
    let models = maker.models();
    let dir = models.path();
    install(dir, &maker.bundle("1"), false, 1).unwrap();
    let mut ledger = crate::life::Ledger::open(dir).unwrap();
    let wish = Wish { name: "tiny".into(), version: None, to: Some(Stage::Active), share: None };
    ledger.change(|state| state.promote(&wish, false, None, 2)).unwrap().unwrap();
    let load = || Roster::load(dir);
    assert_eq!(load().unwrap().active().find("tiny").unwrap().version, "1");
    let place = folder(dir, "tiny", "1");
    for file in [LIST, MANIFEST] {
        let good = fs::read(place.join(file)).unwrap();
        fs::write(place.join(file), [good.as_slice(), b"\n"].concat()).unwrap();
        let error = load().unwrap_err().join("\n");
        assert!(error.contains(&format!("{file} of tiny@1 is not the one")), "{error}");
        assert!(error.contains("weir models rollback tiny"), "{error}");
        fs::write(place.join(file), good).unwrap();
    }
    fs::write(place.join(WEIGHTS), b"other").unwrap();
    let roster = load().unwrap();
    let error = crate::Library::new(dir).locate(roster.active().find("tiny").unwrap());
    assert!(matches!(error, Err(crate::ModelError::Corrupt { .. })), "{error:?}");
    says_install(&error.unwrap_err());
    fs::remove_file(place.join(WEIGHTS)).unwrap();
    let error = crate::Library::new(dir).locate(roster.active().find("tiny").unwrap());
    says_install(&error.unwrap_err());
}

#[test]
fn a_damaged_state_is_an_error_and_the_last_good_one_lies_beside_it() {
    let maker = Maker::new();
    let models = maker.models();
    let dir = models.path();
    install(dir, &maker.bundle("1"), false, 1).unwrap();
    let first = fs::read(dir.join(FILE)).unwrap();
    install(dir, &maker.bundle("2"), false, 1).unwrap();
    assert_eq!(fs::read(dir.join(BACKUP)).unwrap(), first);
    let good = fs::read_to_string(dir.join(FILE)).unwrap();
    for bad in [
        good[..good.len() / 2].to_owned(),
        good.replace("candidate", "shadow"),
        good.replace("\"format\": 1", "\"format\": 9"),
        good.replacen("candidate", "canary", 1),
        String::new(),
    ] {
        fs::write(dir.join(FILE), &bad).unwrap();
        let error = State::read(dir).unwrap_err().to_string();
        assert!(error.contains(BACKUP), "{error}");
        assert!(install(dir, &maker.bundle("3"), false, 1).is_err(), "{bad}");
        assert_eq!(fs::read_to_string(dir.join(FILE)).unwrap(), bad, "it stays to be looked at");
    }
    fs::copy(dir.join(BACKUP), dir.join(FILE)).unwrap();
    assert_eq!(State::read(dir).unwrap().versions("tiny").count(), 1);
}

/// A state with three candidates.
fn three() -> State {
    let text = |v: &str| {
        format!("\"{v}\": {{ \"stage\": \"candidate\", \"since_ms\": 0, \"bundle\": \"b{v}\" }}")
    };
    let all = [text("1"), text("2"), text("3")].join(",");
    serde_json::from_str(&format!(
        "{{ \"format\": 1, \"generation\": 0, \"models\": {{ \"m\": {{ {all} }} }} }}"
    ))
    .unwrap()
}

fn wish(version: Option<&str>, to: Option<Stage>, share: Option<f64>) -> Wish {
    Wish { name: "m".into(), version: version.map(str::to_owned), to, share }
}

fn words(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_version_goes_stage_by_stage_and_comes_back_at_once() {
    let mut state = three();
    let step = |state: &mut State, wish: Wish| state.promote(&wish, true, None, 5);
    let changes = step(&mut state, wish(Some("1"), None, None)).unwrap();
    assert_eq!(words(&changes), ["m@1: candidate → shadow"]);
    // Without a version the one on trial is meant.
    let changes = step(&mut state, wish(None, None, None)).unwrap();
    assert_eq!(words(&changes), ["m@1: shadow → canary"]);
    assert_eq!(state.entry("m", "1").unwrap().share, 0.05);
    step(&mut state, wish(None, Some(Stage::Canary), Some(0.5))).unwrap();
    assert_eq!(state.entry("m", "1").unwrap().share, 0.5);
    let control = Some(Control { seen: 100, refused: 3 });
    state.promote(&wish(None, None, None), true, control, 6).unwrap();
    let entry = state.entry("m", "1").unwrap();
    assert_eq!((entry.stage, entry.control, entry.proven), (Stage::Active, control, false));
    // The latest candidate is next.
    let changes = step(&mut state, wish(None, Some(Stage::Active), None)).unwrap();
    assert_eq!(words(&changes), ["m@1: active → retired", "m@3: candidate → active"]);
    assert_eq!(state.entry("m", "3").unwrap().replaced.as_deref(), Some("1"));
    step(&mut state, wish(Some("2"), None, None)).unwrap();
    // The one on trial goes first.
    let back = |state: &mut State, version| state.rollback("m", version, true, Cause::Drift, 9);
    let changes = back(&mut state, None).unwrap();
    assert_eq!(words(&changes), ["m@2: shadow → retired"]);
    let changes = back(&mut state, None).unwrap();
    assert_eq!(words(&changes), ["m@3: active → retired", "m@1: retired → active"]);
    assert_eq!(state.entry("m", "3").unwrap().cause, Some(Cause::Drift));
    // Behind the first version stands the catalogue's own.
    state.entry_mut("m", "1").unwrap().replaced = None;
    let changes = back(&mut state, Some("1")).unwrap();
    assert_eq!(words(&changes), ["m@1: active → retired"]);
    assert!(back(&mut state, None).is_err());
    // A retired version may be tried again.
    let changes = step(&mut state, wish(Some("3"), None, None)).unwrap();
    assert_eq!(words(&changes), ["m@3: retired → shadow"]);
}

#[test]
fn what_may_not_be_done_is_refused_with_what_to_do_instead() {
    let refused = |state: &State, wish: Wish, base: bool| {
        state.clone().promote(&wish, base, None, 0).unwrap_err().to_string()
    };
    let says = |error: String, words: &str| assert!(error.contains(words), "{words}: {error}");
    let mut state = three();
    says(refused(&state, wish(Some("9"), None, None), true), "m@9 is not installed");
    says(refused(&state, wish(None, None, None), false), "--to active");
    says(refused(&state, wish(None, None, Some(0.1)), true), "a share is a canary's");
    let canary = Some(Stage::Canary);
    for share in [0.0, -1.0, 1.5, f64::NAN] {
        says(refused(&state, wish(None, canary, Some(share)), true), "is no share");
    }
    says(refused(&state, wish(None, Some(Stage::Retired), None), true), "cannot be promoted");
    state.promote(&wish(Some("1"), None, None), true, None, 0).unwrap();
    says(refused(&state, wish(Some("2"), None, None), true), "weir models rollback m@1");
    says(refused(&state, wish(Some("1"), Some(Stage::Shadow), None), true), "is shadow and cannot");
    state.promote(&wish(None, Some(Stage::Active), None), false, None, 0).unwrap();
    says(refused(&state, wish(Some("1"), canary, None), true), "is active and cannot");
    let error = state.clone().rollback("m", None, false, Cause::Command, 0).unwrap_err();
    says(error.to_string(), "no version of m before m@1");
    let error = state.rollback("m", Some("2"), true, Cause::Command, 0).unwrap_err();
    says(error.to_string(), "is not in use");
}

#[test]
fn only_the_owner_may_read_a_signing_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let key = SigningKey::make(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SigningKey::read(&path).unwrap().public(), key.public());
    assert!(SigningKey::make(&path).is_err(), "a key is never written over");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = SigningKey::read(&path).err().unwrap().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    fs::write(dir.path().join("trusted-keys"), "# ours\nzz\n\n12\n").unwrap();
    let error = Trusted::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("line 4"), "{error}");
}

#[test]
fn a_hundred_loads_that_the_engine_refuses_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("spoilt");
    let good = tiny_model();
    fs::write(&weights, &good[..good.len() - 9]).unwrap();
    let manifest = super::tiny_manifest();
    let fail = |count: usize| {
        for _ in 0..count {
            let config = crate::RunnerConfig { runners: 3, ..crate::RunnerConfig::default() };
            assert!(crate::Runner::load(&engine(), &manifest, &weights, config).is_err());
        }
    };
    let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let resident = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<i64>().unwrap()
    };
    fail(20);
    let before = (count("fd"), count("task"), resident());
    fail(100);
    let after = (count("fd"), count("task"), resident());
    // Other tests may run in this process when it is not nextest that runs them.
    assert!(after.0 <= before.0 + 4 && after.1 <= before.1 + 4, "{before:?} {after:?}");
    assert!(after.2 < before.2 + 8 * 1024, "{before:?} {after:?}");
}
