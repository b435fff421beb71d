//! The way back: a backup becomes a cluster, is brought to a moment, and told that it was restored.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::tools::{self, Tools};
use super::{BASE, HUB, Manifest, Moment, WAL, files};
use crate::database::Connection;
use crate::{Database, Error, fleet, life, token};

/// Between attempts to be let in.
const PAUSE: Duration = Duration::from_millis(200);

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The backup that it began with.
    pub backup: PathBuf,
    /// The hub's own files in it.
    pub files: PathBuf,
    /// When the last entry of a box came, seconds since 1970; nothing where there is none.
    pub last_entry_at: Option<f64>,
    /// The life of the journal of directives that begins, hexadecimal.
    pub epoch: String,
    /// Boxes that may replicate again, also those that were revoked since the moment.
    pub boxes: Vec<String>,
    /// Boxes that are revoked.
    pub revoked: Vec<String>,
    /// Tokens of the API in force, also those that were revoked since.
    pub tokens: Vec<String>,
}

/// Lays a backup out as a cluster in `data`, brings it to a moment (or as far as it was followed), and begins the journal of directives anew.
///
/// # Errors
/// Where there is something at `data`, no backup is old enough, something is damaged, or what Postgres wrote was not followed up to the moment.
pub async fn restore(from: &Path, to: Option<&Moment>, data: &Path) -> Result<Restored, Error> {
    let (from, data) = (absolute(from)?, absolute(data)?);
    if files::at(Path::new("/proc/self"), fs::metadata("/proc/self"))?.uid() == 0 {
        return Err(Error::Invalid("Postgres does not run as root: restore as the user whose cluster it is to be, for example `sudo -u postgres weir-hub restore …`, and let that user read the backups".into()));
    }
    if !files::is_vacant(&data)? {
        return Err(Error::Invalid(format!(
            "there is something at {} already, which is left as it is: name another folder, or move it away",
            data.display()
        )));
    }
    let (folder, manifest) = choose(&from, to)?;
    let base = folder.join(BASE);
    manifest.check(&folder)?;
    let tools = Tools::find(tools::major_of_cluster(&base)?)?;
    let mut command = tools.command("pg_verifybackup");
    command.arg("--quiet").arg(&base);
    tools::run(command).await?;
    files::copy(&base, &data)?;
    files::write(&data.join("recovery.signal"), b"")?;
    let own = Own::make(&from, to, &data)?;
    let brought = own.bring(&tools, &data, &manifest).await;
    // What Postgres said is in the error already.
    let _ = fs::remove_dir_all(&own.folder);
    let mut restored = brought.map_err(|error| {
        Error::Invalid(format!("{error}\n{} is of no use: remove it", data.display()))
    })?;
    (restored.files, restored.backup) = (folder.join(HUB), folder);
    Ok(restored)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let path = files::at(path, std::path::absolute(path))?;
    let text = path.to_str().filter(|text| !text.contains(['\'', '"', '\\', '%', '\n', '$', '`']));
    match text {
        Some(_) => Ok(path),
        None => Err(Error::Invalid(format!(
            "{}: Postgres's settings cannot hold such a path: use one of plain letters",
            path.display()
        ))),
    }
}

/// The newest backup that was whole by then.
fn choose(from: &Path, to: Option<&Moment>) -> Result<(PathBuf, Manifest), Error> {
    let all = Manifest::all(from)?;
    let first = all.first().map(|(_, manifest)| manifest.finished_at.clone());
    let fits = |manifest: &Manifest| to.is_none_or(|to| manifest.finished_at <= *to);
    let newest = all.into_iter().rev().find(|(_, manifest)| fits(manifest));
    newest.ok_or_else(|| {
        Error::Invalid(match first {
            Some(first) => {
                format!("the oldest backup was whole at {first}: no earlier moment can be reached")
            }
            None => format!("there is no backup in {}", from.display()),
        })
    })
}

/// Settings under which Postgres runs for this alone: nobody else reaches it, and nothing of them stays.
struct Own {
    folder: PathBuf,
}

impl Own {
    fn make(from: &Path, to: Option<&Moment>, data: &Path) -> Result<Self, Error> {
        let folder = absolute(&std::env::temp_dir())?;
        let folder = folder.join(format!("weir-restore-{}", Uuid::now_v7().simple()));
        files::folder(&folder)?;
        let (here, wal) = (folder.display(), from.join(WAL));
        let wal = wal.display();
        let mut settings = format!(
            "data_directory = '{}'
hba_file = '{here}/pg_hba.conf'
ident_file = '{here}/pg_ident.conf'
hot_standby = off
restore_command = 'cp \"{wal}/%f\" \"%p\" 2>/dev/null || cp \"{wal}/%f.partial\" \"%p\" 2>/dev/null'
recovery_target_action = 'promote'
",
            data.display()
        );
        if let Some(to) = to {
            settings += &format!("recovery_target_time = '{}'\n", to.setting());
        }
        files::write(&folder.join("postgresql.conf"), settings.as_bytes())?;
        // The socket lies in a folder that only this user opens.
        files::write(&folder.join("pg_hba.conf"), b"local all all trust\n")?;
        files::write(&folder.join("pg_ident.conf"), b"")?;
        Ok(Self { folder })
    }

    async fn bring(
        &self,
        tools: &Tools,
        data: &Path,
        manifest: &Manifest,
    ) -> Result<Restored, Error> {
        let (here, log) = (self.folder.display(), self.folder.join("log"));
        // Before what the cluster's own settings say.
        let options = format!(
            "-c config_file={here}/postgresql.conf -c unix_socket_directories={here} -c listen_addresses= -c archive_mode=off -c synchronous_standby_names="
        );
        let mut start = tools.command("pg_ctl");
        start.args(["start", "--silent", "--wait", "--options", &options]);
        start.arg("--pgdata").arg(data).arg("--log").arg(&log);
        let ended = |error: Error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            Error::Invalid(format!("{error}\n{}", last_lines(&said)))
        };
        tools::run(start).await.map_err(ended)?;
        let Some(client) = self.arrive(data, manifest).await? else {
            return Err(ended(Error::Invalid("Postgres did not get to that moment".into())));
        };
        let restored = mark(client).await;
        let mut stop = tools.command("pg_ctl");
        stop.args(["stop", "--silent", "--wait", "--mode", "fast", "--pgdata"]).arg(data);
        tools::run(stop).await?;
        restored
    }

    /// Waits until the cluster is at its moment and lets somebody in; nothing where Postgres ended before. What is to be read may be weeks
    /// of it, so that only Postgres knows how long it takes.
    async fn arrive(&self, data: &Path, manifest: &Manifest) -> Result<Option<Connection>, Error> {
        let Manifest { user, dbname, .. } = manifest;
        let address = format!("host={} user={user} dbname={dbname}", self.folder.display());
        let database = Database::new(&address)?;
        loop {
            match database.connect().await {
                Ok(client) => return Ok(Some(client)),
                Err(error) if !data.join("postmaster.pid").exists() => {
                    tracing::debug!(%error, "Postgres ended");
                    return Ok(None);
                }
                Err(error) if is_passing(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether Postgres only lets nobody in yet.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Postgres(error) => {
            error.code().is_none_or(|code| *code == SqlState::CANNOT_CONNECT_NOW)
        }
        _ => true,
    }
}

/// Tells the database that it was restored, before any hub serves on it.
async fn mark(mut client: Connection) -> Result<Restored, Error> {
    let epoch = life::begin(&mut client).await?.ok_or_else(|| {
        Error::Damaged("Postgres began no timeline of its own after the restore".into())
    })?;
    let last = "SELECT extract(epoch FROM max(moved_at))::float8 FROM cursors";
    let last_entry_at = client.query_one(last, &[]).await?.try_get(0)?;
    let boxes = fleet::list(&client).await?;
    let named = |revoked: bool| {
        let of = boxes.iter().filter(|one| (one.state == fleet::State::Revoked) == revoked);
        of.map(|one| format!("{} {}", one.of, one.name)).collect()
    };
    let tokens = token::list(&client).await?.into_iter();
    let tokens = tokens.filter(|token| token.revoked_at.is_none()).map(|token| token.name);
    Ok(Restored {
        backup: PathBuf::new(),
        files: PathBuf::new(),
        last_entry_at,
        epoch: epoch.to_string(),
        boxes: named(false),
        revoked: named(true),
        tokens: tokens.collect(),
    })
}
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
