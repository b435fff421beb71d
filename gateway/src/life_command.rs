//! `weir models keygen | trust | bundle | install | promote | rollback`: the life of a model's versions.
//!
//! A promotion or withdrawal is asked of the service that runs over the data folder, which loads the other version and
//! takes it up in one step. Without a service it is written down for the next start, and for `weir check` and `weir eval`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use models::life::state::Wish;
use models::life::{
    Cause, Change, Installed, Ledger, PublicKey, Recipe, Roster, SigningKey, Stage, Trusted,
    install,
};
use serde_json::{Value, json};

use crate::cli::StageName;
use crate::control::{Request, ask_running, data_dir};
use crate::inference::{InUse, Wish as Engine, chosen};
use crate::profile;

/// The file that a service holds open and locked for as long as it uses a model directory.
pub const IN_USE: &str = ".in-use";

/// Makes a key.
pub fn keygen(file: &Path) -> anyhow::Result<ExitCode> {
    let key = SigningKey::make(file)?;
    println!("{}", key.public());
    eprintln!(
        "weir: the key is in {}: keep it where models are made, and nowhere else; boxes take its bundles after\nweir:   weir models trust {}",
        file.display(),
        key.public()
    );
    Ok(ExitCode::SUCCESS)
}

/// Trusts a public key, or lists those that are trusted.
pub fn trust(dir: &Path, key: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut trusted = Trusted::read(dir)?;
    match key {
        None => trusted.keys().iter().for_each(|key| println!("{key}")),
        Some(text) => {
            let key: PublicKey = text.parse()?;
            let new = trusted.add(key)?;
            eprintln!("weir: {key} {}", if new { "is trusted" } else { "was trusted already" });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a bundle.
pub fn bundle(recipe: &Recipe, key: &Path, out: &Path) -> anyhow::Result<ExitCode> {
    let key = SigningKey::read(key)?;
    let manifest = recipe.make(&key, out)?;
    eprintln!("weir: {} is in {}, signed by {}", manifest.id(), out.display(), key.public());
    Ok(ExitCode::SUCCESS)
}

/// Installs a bundle.
pub fn install_bundle(dir: &Path, file: &Path, older: bool) -> anyhow::Result<ExitCode> {
    let Installed { name, version, signer, new, repaired } = install(dir, file, older, now_ms())?;
    if new {
        eprintln!("weir: {name}@{version} is installed as a candidate, signed by {signer}");
        eprintln!(
            "weir: `weir models promote {name}@{version}` lets it run beside the active version"
        );
    } else if repaired {
        eprintln!("weir: {name}@{version} is again as it was installed; `weir reload` takes it up");
    } else {
        eprintln!("weir: {name}@{version} is installed already; nothing has changed");
    }
    Ok(ExitCode::SUCCESS)
}

/// Promotes a version.
pub fn promote(
    dir: &Path,
    data: Option<PathBuf>,
    model: &str,
    to: Option<StageName>,
    share: Option<f64>,
    engine: Engine,
) -> anyhow::Result<ExitCode> {
    let (name, version) = split(model);
    let to = to.map(StageName::stage);
    let wish = Wish { name, version, to, share };
    let request = Request::ModelPromote { dir: dir.to_owned(), wish: wish.clone() };
    let done = match ask_running(&data_dir(data), &request)? {
        Some(done) => done,
        None => {
            alone(dir)?;
            let roster = profile::roster(dir)?;
            let (version, tested) = parity(&roster, &wish, &[chosen(engine)?])?;
            let wish = Wish { version: Some(version), ..wish };
            let base = roster.has_base(&wish.name);
            let mut ledger = Ledger::open(dir)?;
            let mut next = ledger.state().clone();
            let changes = next.promote(&wish, base, None, now_ms())?;
            ledger.set(next)?;
            json!({ "changes": lines(&changes), "parity": tested })
        }
    };
    say(&done);
    Ok(ExitCode::SUCCESS)
}

/// Withdraws a version.
pub fn rollback(dir: &Path, data: Option<PathBuf>, model: &str) -> anyhow::Result<ExitCode> {
    let (name, version) = split(model);
    let request = Request::ModelRollback {
        dir: dir.to_owned(),
        name: name.clone(),
        version: version.clone(),
    };
    let done = match ask_running(&data_dir(data), &request)? {
        Some(done) => done,
        None => {
            alone(dir)?;
            let own = models::Catalogue::load(dir);
            let base = own.is_ok_and(|catalogue| catalogue.find(&name).is_ok());
            let mut ledger = Ledger::open(dir)?;
            let mut next = ledger.state().clone();
            let changes =
                next.rollback(&name, version.as_deref(), base, Cause::Command, now_ms())?;
            ledger.set(next)?;
            json!({ "changes": lines(&changes) })
        }
    };
    say(&done);
    Ok(ExitCode::SUCCESS)
}

/// The version that a wish means, and how it answers on each of these engines, in words.
///
/// # Errors
/// Where it does not answer as it must on one of them: the numbers.
pub fn parity(
    roster: &Roster,
    wish: &Wish,
    engines: &[InUse],
) -> anyhow::Result<(String, Vec<String>)> {
    // The rules first: what may not be promoted need not be tried. The numbers of a control change no rule.
    let changes = roster.state().clone().promote(wish, roster.has_base(&wish.name), None, 0)?;
    let change = changes.last().context("a promotion without a change")?;
    let mut words = Vec::new();
    for in_use in engines {
        let engine = in_use.engine().context("there is no engine")?;
        let tested = roster.parity(engine, &change.name, &change.version)?;
        let percent = tested.worst * 100.0;
        words.push(format!(
            "{}@{} answers on {} to {} pictures as it must; the largest difference is {percent:.1} % of what is tolerated",
            change.name, change.version, tested.engine, tested.cases
        ));
    }
    Ok((change.version.clone(), words))
}

/// Changes in words.
pub fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

fn say(done: &Value) {
    for lines in [&done["parity"], &done["changes"]] {
        for line in lines.as_array().into_iter().flatten() {
            eprintln!("weir: {}", line.as_str().unwrap_or_default());
        }
    }
}

/// Holds a model directory for a service; `None` where there is none yet, or it may not be written.
pub fn hold(dir: &Path) -> Option<File> {
    let file = File::create(dir.join(IN_USE)).ok()?;
    file.try_lock_shared().ok().map(|()| file)
}

/// Refuses where a service uses the directory that was not found under the data folder: it would go on with what it has,
/// and the list would say otherwise.
fn alone(dir: &Path) -> anyhow::Result<()> {
    let Ok(file) = File::open(dir.join(IN_USE)) else { return Ok(()) };
    if file.try_lock().is_err() {
        bail!(
            "a service runs with the models in {}, and not over this data folder: name its own with --data",
            dir.display()
        );
    }
    Ok(())
}

fn split(model: &str) -> (String, Option<String>) {
    match model.split_once('@') {
        Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
        None => (model.to_owned(), None),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl StageName {
    fn stage(self) -> Stage {
        match self {
            Self::Shadow => Stage::Shadow,
            Self::Canary => Stage::Canary,
            Self::Active => Stage::Active,
        }
    }
}
