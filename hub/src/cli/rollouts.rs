//! `weir-hub rollout`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Subcommand;
use domain::directive::Address;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::At;
use super::orders::Signed;
use crate::audit;
use crate::config::Config;
use crate::rollout::file::{File, Plan};
use crate::rollout::{self, Rollout};
use crate::serve::hub_key;

/// What to do about roll-outs.
#[derive(Subcommand, Debug)]
pub enum RolloutCommand {
    /// Sign one with the release key, on a machine that is no hub: each stage and its way back. The file goes to standard output.
    Sign(SignArguments),
    /// Bring one to the hub. Nothing goes out before somebody gives its stages on the screens.
    Add {
        /// What it is for.
        #[arg(long)]
        note: String,
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What `sign` wrote.
        file: PathBuf,
    },
    /// The newest ones.
    List(At),
}

/// What to sign.
#[derive(clap::Args, Debug)]
pub struct SignArguments {
    /// What, and by what.
    #[command(flatten)]
    what: Signed,
    /// A stage: `box/ID`, `tenant/NAME` or `fleet`; repeat for more, narrow ones first.
    #[arg(long = "to", value_name = "ADDRESS", required = true)]
    stages: Vec<Address>,
    /// What the last stage goes back to, where it is taken back; else what stands behind it.
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// The file, TOML.
    file: PathBuf,
}

/// Runs a command.
pub(super) async fn rollouts(command: RolloutCommand) -> anyhow::Result<()> {
    match command {
        RolloutCommand::Sign(arguments) => sign(&arguments),
        RolloutCommand::Add { note, config, file } => add(&note, &config, &file).await,
        RolloutCommand::List(at) => {
            let list = rollout::list(&*at.connect().await?, 50).await?;
            let line = |one: &Rollout| {
                let Rollout { rollout, kind, name, version, state, given, .. } = one;
                let (done, all) = given;
                format!(
                    "{rollout}  {kind} {name} {version}  {}  {done} of {all} stages",
                    state.as_str()
                )
            };
            at.tell(&list, || match list.is_empty() {
                true => "no roll-out; `weir-hub rollout add` brings one".to_owned(),
                false => list.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
    }
}

fn sign(arguments: &SignArguments) -> anyhow::Result<()> {
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    let key = release_key(&arguments.what.key)?;
    let plan = Plan {
        kind: arguments.what.kind.into(),
        name: arguments.what.name.clone(),
        version: arguments.what.version,
        text: read(&arguments.file)?,
        before: arguments.before.as_deref().map(read).transpose()?,
        stages: arguments.stages.clone(),
    };
    let file = plan.sign(&key)?;
    eprintln!("signed by {}", BASE64_STANDARD.encode(key.public_key().as_ref()));
    println!("{}", serde_json::to_string_pretty(&file)?);
    Ok(())
}

/// The release key, as `key generate` wrote it.
pub(super) fn release_key(file: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    match Ed25519KeyPair::from_pkcs8(&bytes) {
        Ok(key) => Ok(key),
        Err(_) => bail!("{} is no key of `weir-hub key generate`", file.display()),
    }
}

async fn add(note: &str, config: &Path, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let file: File = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no file of `weir-hub rollout sign`", file.display()))?;
    let config = Config::read(config)?;
    let told = config.authority.as_ref().and_then(|authority| authority.told.release_key.clone());
    let Some(told) = told else {
        bail!("boxes are told no release key: `boxes.release_key` in the hub's settings does");
    };
    let trusted = BASE64_STANDARD.decode(told).context("boxes.release_key is no base64")?;
    let key = hub_key(&config.key)?;
    let mut client = config.database.connect().await?;
    crate::schema::check(&client).await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let id = rollout::add(within, &key, audit::operator(), &file, &trusted, note).await?;
    transaction.commit().await?;
    println!("{id}");
    Ok(())
}
