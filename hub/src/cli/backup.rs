//! `weir-hub backup` and `restore`.

use std::path::PathBuf;

use clap::Args;

use crate::Database;
use crate::backup::{self, Moment, Plan, Restored};

/// What to back up, and where to.
#[derive(Args, Debug)]
pub struct BackupArguments {
    /// The hub's file of settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder of backups; made where there is none.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The same database by a role that may replicate, where the hub's own may not.
    #[arg(long, env = "WEIR_HUB_BACKUP_DATABASE", value_name = "ADDRESS", hide_env_values = true)]
    database: Option<String>,
    /// Remove all but the newest so many, and what was written before them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
    /// Make no backup, but write down what Postgres writes from now on, for restores to any moment. Runs until it is told to stop.
    #[arg(long, conflicts_with = "keep")]
    follow: bool,
}

/// What to restore, and where to.
#[derive(Args, Debug)]
pub struct RestoreArguments {
    /// The folder of backups.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The moment to go back to, UTC, for example 2026-11-22T08:30:00Z; left out, as far as it was followed.
    #[arg(long, value_name = "TIME")]
    to_time: Option<Moment>,
    /// The cluster's new folder; must not exist, or be empty.
    #[arg(long, value_name = "PGDATA")]
    data: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `weir-hub backup`.
pub(super) async fn backup(arguments: BackupArguments) -> anyhow::Result<()> {
    let BackupArguments { config, dir, database, keep, follow } = arguments;
    let database = database.as_deref().map(Database::new).transpose()?;
    let plan = Plan { config, dir, database };
    if follow {
        return Ok(backup::follow(&plan).await?);
    }
    let taken = backup::take(&plan, keep.map(usize::from)).await?;
    println!("{} is whole since {}", taken.folder.display(), taken.finished_at);
    if taken.gone > 0 {
        println!("{} older ones are gone", taken.gone);
    }
    if !taken.followed {
        println!(
            "Nobody follows what is written from here on: what comes after this moment can be restored once `weir-hub backup --follow` runs beside the hub."
        );
    }
    println!("It holds the hub's keys: keep it where nobody else reads it.");
    Ok(())
}

/// Runs `weir-hub restore`.
pub(super) async fn restore(arguments: RestoreArguments) -> anyhow::Result<()> {
    let RestoreArguments { from, to_time, data, json } = arguments;
    let restored = backup::restore(&from, to_time.as_ref(), &data).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&restored)?);
        return Ok(());
    }
    println!(
        "{} is ready to be started; the hub's files are in {}",
        data.display(),
        restored.files.display()
    );
    println!("directives begin anew in epoch {}", restored.epoch);
    print!("{}", warnings(&restored));
    Ok(())
}

/// What the database does not know any more, and nobody but a person can bring back.
fn warnings(restored: &Restored) -> String {
    let Restored { boxes, revoked, tokens, .. } = restored;
    let list = |names: &[String]| match names {
        [] => "    none\n".to_owned(),
        names => names.iter().map(|name| format!("    {name}\n")).collect(),
    };
    format!(
        "
LOOK AT THIS BEFORE THE HUB SERVES. What was done after the moment is not known any more:
  These boxes may replicate. One that was revoked since may, AGAIN: `weir-hub box revoke ID`.
{}  These are revoked.
{}  These tokens of the API are in force, also those revoked since: `weir-hub token revoke NAME`.
{}  Boxes that enrolled since are unknown and refused: `weir enroll` with a new token on each.
  Erasures that boxes took are given again by themselves; one that no box had taken yet is to be ordered again.
  Other orders since show up in `weir-hub directive lost` as boxes tell of them.
",
        list(boxes),
        list(revoked),
        list(tokens)
    )
}
