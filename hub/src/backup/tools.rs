//! Postgres's own programs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tokio_postgres::config::Host;

use crate::{Database, Error};

/// Where the programs of one major version of Postgres are.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds them in PATH, where `pg_config` says, or where distributions put them.
    pub fn find(major: u32) -> Result<Self, Error> {
        let path = env::var_os("PATH").unwrap_or_default();
        let config = Command::new("pg_config").arg("--bindir").output().ok();
        let config = config.filter(|output| output.status.success());
        let config = config.map(|output| PathBuf::from(said(&output.stdout)));
        let usual = [format!("/usr/lib/postgresql/{major}/bin"), format!("/usr/pgsql-{major}/bin")];
        let folders = env::split_paths(&path).chain(config);
        let mut folders = folders.chain(usual.into_iter().map(PathBuf::from));
        let found = folders.find(|folder| Self::major_of(folder) == Some(major));
        found.map(|folder| Self { folder }).ok_or_else(|| {
            Error::Invalid(format!(
                "the programs of Postgres {major} (pg_basebackup, pg_verifybackup, pg_ctl) are not here: install postgresql-{major}, or put their folder into PATH"
            ))
        })
    }

    fn major_of(folder: &Path) -> Option<u32> {
        let program = folder.join("pg_basebackup");
        let all = ["pg_verifybackup", "pg_receivewal", "pg_ctl", "postgres"];
        // Debian's wrappers in /usr/bin are not all of them.
        if !program.is_file() || !all.iter().all(|name| folder.join(name).is_file()) {
            return None;
        }
        let output = Command::new(program).arg("--version").output().ok()?;
        let version = said(&output.stdout).rsplit(") ").next()?.to_owned();
        version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    pub fn command(&self, program: &str) -> Command {
        Command::new(self.folder.join(program))
    }

    /// The same, with what it needs to reach a database. Passwords go by the environment, where only this user sees them.
    pub fn connecting(&self, program: &str, database: &Database) -> Command {
        let config = database.config();
        let mut command = self.command(program);
        let hosts: Vec<String> = config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
        let password = config.get_password().map(String::from_utf8_lossy);
        for (name, value) in [
            ("PGHOST", Some(hosts.join(","))),
            ("PGPORT", Some(ports.join(","))),
            ("PGUSER", config.get_user().map(str::to_owned)),
            ("PGPASSWORD", password.map(|password| password.into_owned())),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                command.env(name, value);
            }
        }
        command.arg("--no-password");
        command
    }
}

/// Runs a program to its end; what it said where it failed.
pub(super) async fn run(mut command: Command) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let waited = tokio::task::spawn_blocking(move || command.output()).await;
    let output: Output = waited
        .map_err(|_| Error::Closed)?
        .map_err(|error| Error::Invalid(format!("{name} cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Invalid(format!("{name} failed: {}", said(&output.stderr))))
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// The major version of a cluster's folder.
pub(super) fn major_of_cluster(base: &Path) -> Result<u32, Error> {
    let file = base.join("PG_VERSION");
    let text = fs::read_to_string(&file);
    let text = text.map_err(|error| Error::Invalid(format!("{}: {error}", file.display())))?;
    text.trim().parse().map_err(|_| Error::Damaged(format!("{} says {text}", file.display())))
}
