//! `weir-hub blob`: what boxes fetch.

use std::path::PathBuf;

use clap::Subcommand;
use domain::journal::Sha256;

use super::At;
use crate::blob;

/// What to do about blobs.
#[derive(Subcommand, Debug)]
pub enum BlobCommand {
    /// Takes a file in, and prints its SHA-256, by which it is ordered.
    Add {
        /// At most a gibibyte.
        file: PathBuf,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
    /// All of them, newest first.
    List(At),
    /// Removes one; boxes that are still to fetch it are refused.
    Remove {
        /// Its SHA-256.
        sha256: Sha256,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
}

/// Runs a command.
///
/// # Errors
/// Where it cannot be done, with what to do about it.
pub async fn run(command: BlobCommand) -> anyhow::Result<()> {
    match command {
        BlobCommand::Add { file, at } => {
            let sha256 = blob::add(&mut *at.connect().await?, &file).await?;
            at.tell(&serde_json::json!({ "sha256": sha256 }), || sha256.to_string())
        }
        BlobCommand::List(at) => {
            let blobs = blob::list(&*at.connect().await?).await?;
            let line = |it: &blob::Blob| format!("{}  {} bytes  {}", it.sha256, it.bytes, it.name);
            at.tell(&blobs, || match blobs.is_empty() {
                true => "no blob; `weir-hub blob add FILE` takes one in".to_owned(),
                false => blobs.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        BlobCommand::Remove { sha256, at } => {
            blob::remove(&*at.connect().await?, sha256).await?;
            let value = serde_json::json!({ "sha256": sha256, "removed": true });
            at.tell(&value, || format!("{sha256} is removed"))
        }
    }
}
