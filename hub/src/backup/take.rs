//! Making a backup, and following what Postgres writes after it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use domain::journal::Sha256;
use tokio_postgres::Client;

use super::tools::{self, Tools};
use super::{BASE, HUB, Manifest, Moment, PARTIAL, WAL, files};
use crate::config::Config;
use crate::{Database, Error, init, schema};

/// What Postgres keeps for us while nobody follows it.
const SLOT: &str = "weir_hub";

/// What to back up, and where to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The hub's file of settings.
    pub config: PathBuf,
    /// The folder of backups.
    pub dir: PathBuf,
    /// The same database by a role that may replicate; nothing where the hub's own may.
    pub database: Option<Database>,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its folder.
    pub folder: PathBuf,
    /// Since when it is whole.
    pub finished_at: Moment,
    /// Whether somebody follows what is written from here on.
    pub followed: bool,
    /// Older ones that went.
    pub gone: usize,
}

const RIGHTS: &str = "whoever makes backups needs the right to replicate: ALTER ROLE … REPLICATION, and a line `replication` for it in pg_hba.conf; --database names another role than the hub's";

impl Plan {
    fn open(&self) -> Result<(Config, Database), Error> {
        let config =
            Config::read(&self.config).map_err(|error| Error::Invalid(error.to_string()))?;
        let database = self.database.clone().unwrap_or_else(|| config.database.clone());
        Ok((config, database))
    }
}

/// Makes a backup, whole or not at all, and removes all but the newest `keep`.
///
/// # Errors
/// Where Postgres's programs are missing or refuse, a file cannot be read, or another backup is under way.
pub async fn take(plan: &Plan, keep: Option<usize>) -> Result<Taken, Error> {
    let (config, database) = plan.open()?;
    files::folder(&plan.dir)?;
    let lock = plan.dir.join("lock");
    let held = files::at(&lock, File::create(&lock))?;
    held.try_lock()
        .map_err(|_| Error::Invalid(format!("another backup to {} runs", plan.dir.display())))?;
    let client = config.database.connect().await?;
    let schema = schema::found(&client).await?;
    let started_at = now(&client).await?;
    let major = major(&client).await?;
    let tools = Tools::find(major)?;
    clear(&plan.dir)?;
    let partial = plan.dir.join(format!("{PARTIAL}{}", started_at.name()));
    let base = partial.join(BASE);
    files::folder(&partial)?;
    let mut command = tools.connecting("pg_basebackup", &database);
    command.arg("--pgdata").arg(&base).args(["--wal-method", "stream", "--checkpoint", "fast"]);
    command.args(["--manifest-checksums", "SHA256", "--label", "weir-hub"]);
    tools::run(command).await.map_err(|error| Error::Invalid(format!("{error}\n{RIGHTS}")))?;
    let mut command = tools.command("pg_verifybackup");
    command.arg("--quiet").arg(&base);
    tools::run(command).await?;
    let own = base.join("backup_manifest");
    let own = Sha256::of(&files::at(&own, fs::read(&own))?);
    let files = keep_files(&config, &plan.config, &partial.join(HUB))?;
    let finished_at = now(&client).await?;
    let address = config.database.config();
    let user = address.get_user().unwrap_or("postgres").to_owned();
    Manifest {
        format: Manifest::FORMAT,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        postgres: major,
        started_at: started_at.clone(),
        finished_at: finished_at.clone(),
        dbname: address.get_dbname().unwrap_or(&user).to_owned(),
        user,
        base: own,
        files,
    }
    .write(&partial)?;
    files::sync(&partial)?;
    let folder = plan.dir.join(started_at.name());
    files::at(&folder, fs::rename(&partial, &folder))?;
    files::sync(&plan.dir)?;
    let followed =
        "SELECT coalesce(bool_or(active), false) FROM pg_replication_slots WHERE slot_name = $1";
    let followed = client.query_one(followed, &[&SLOT]).await?.try_get(0)?;
    let gone = match keep {
        Some(keep) => prune(&plan.dir, keep, &tools).await?,
        None => 0,
    };
    Ok(Taken { folder, finished_at, followed, gone })
}

/// Follows what Postgres writes into `wal/`, until it is told to stop: in this process's place comes `pg_receivewal`, which reconnects by
/// itself.
///
/// # Errors
/// Where it cannot be started. It does not come back otherwise.
pub async fn follow(plan: &Plan) -> Result<(), Error> {
    let (config, database) = plan.open()?;
    let major = major(&*config.database.connect().await?).await?;
    let tools = Tools::find(major)?;
    let wal = plan.dir.join(WAL);
    files::folder(&wal)?;
    let mut command = tools.connecting("pg_receivewal", &database);
    command.args(["--slot", SLOT, "--create-slot", "--if-not-exists"]);
    tools::run(command).await.map_err(|error| Error::Invalid(format!("{error}\n{RIGHTS}")))?;
    eprintln!("weir-hub: following what Postgres writes into {}", wal.display());
    let mut command = tools.connecting("pg_receivewal", &database);
    command.args(["--slot", SLOT, "--synchronous", "--directory"]).arg(&wal);
    Err(Error::Invalid(format!("pg_receivewal cannot be started: {}", command.exec())))
}

async fn now(client: &Client) -> Result<Moment, Error> {
    let query =
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let text: String = client.query_one(query, &[]).await?.try_get(0)?;
    text.parse().map_err(Error::Damaged)
}

async fn major(client: &Client) -> Result<u32, Error> {
    let query = "SELECT current_setting('server_version_num')::integer / 10000";
    let major: i32 = client.query_one(query, &[]).await?.try_get(0)?;
    u32::try_from(major).map_err(|_| Error::Damaged("a version of Postgres".into()))
}

/// What an earlier try left when it was cut off.
fn clear(dir: &Path) -> Result<(), Error> {
    for entry in files::at(dir, fs::read_dir(dir))? {
        let entry = files::at(dir, entry)?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            files::at(&entry.path(), fs::remove_dir_all(entry.path()))?;
        }
    }
    Ok(())
}

/// Copies what the hub runs by and no database holds; the hash of each.
fn keep_files(
    config: &Config,
    settings: &Path,
    to: &Path,
) -> Result<BTreeMap<String, Sha256>, Error> {
    files::folder(to)?;
    let mut sources = vec![(settings.to_owned(), String::new())];
    sources.push((config.key.clone(), String::new()));
    if let Some(authority) = &config.authority {
        sources.push((authority.certificate.clone(), String::new()));
        sources.push((authority.key.clone(), String::new()));
    }
    let broker = settings.with_file_name(init::BROKER);
    if broker.is_dir() {
        files::folder(&to.join(init::BROKER))?;
        for entry in files::at(&broker, fs::read_dir(&broker))? {
            let path = files::at(&broker, entry)?.path();
            if path.is_file() {
                sources.push((path, format!("{}/", init::BROKER)));
            }
        }
    }
    if let Some(oidc) = &config.oidc {
        let files = oidc.secret.iter().chain(&oidc.authorities);
        sources.extend(files.map(|path| (path.clone(), String::new())));
    }
    let mut kept = BTreeMap::new();
    for (path, within) in sources {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{within}{name}");
        let bytes = files::at(&path, fs::read(&path))?;
        // Of two of one name the hub's own stays.
        if let Entry::Vacant(place) = kept.entry(name) {
            files::write(&to.join(place.key()), &bytes)?;
            place.insert(Sha256::of(&bytes));
        }
    }
    files::sync(to)?;
    Ok(kept)
}

/// Removes all but the newest backups, and what was written before the oldest that stays.
async fn prune(dir: &Path, keep: usize, tools: &Tools) -> Result<usize, Error> {
    let all = Manifest::all(dir)?;
    let (old, kept) = all.split_at(all.len().saturating_sub(keep.max(1)));
    for (folder, _) in old {
        // A half of one must not be taken for a backup.
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let going = dir.join(format!("{PARTIAL}{name}"));
        files::at(folder, fs::rename(folder, &going))?;
        files::at(&going, fs::remove_dir_all(&going))?;
    }
    let wal = dir.join(WAL);
    if let (Some((oldest, _)), true) = (kept.first(), wal.is_dir()) {
        let label = oldest.join(BASE).join("backup_label");
        let text = files::at(&label, fs::read_to_string(&label))?;
        let file = text.split("(file ").nth(1).and_then(|rest| rest.split(')').next());
        let file = file.ok_or_else(|| Error::Damaged(label.display().to_string()))?;
        let mut command = tools.command("pg_archivecleanup");
        command.arg(&wal).arg(file);
        tools::run(command).await?;
    }
    Ok(old.len())
}
