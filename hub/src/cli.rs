//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use domain::journal::BoxId;
use serde::Serialize;

use crate::config::Config;
use crate::database::Connection;
use crate::fleet::{self, Member, State};
use crate::{Database, schema, serve, token, verify};

/// The hub of many boxes: takes their journals, proves them, answers questions.
#[derive(Parser, Debug)]
#[command(name = "weir-hub", version, about, max_term_width = 100)]
pub struct Cli {
    /// Say more on standard error (repeat for more).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the hub.
    Serve {
        /// The file of settings (TOML).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make or upgrade the tables.
    Migrate(At),
    /// List, show and revoke boxes.
    #[command(subcommand)]
    Box(BoxCommand),
    /// Make, list and revoke the API's tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Recompute every chain, checkpoint and commitment; exit 1 where something does not hold.
    Verify {
        /// Of one box only.
        #[arg(long = "box", value_name = "ID")]
        of: Option<BoxId>,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
}

/// Which database, and how to answer.
#[derive(Args, Debug)]
pub struct At {
    /// The database, `host=… user=… dbname=…` or `postgres://…`.
    #[arg(long, env = "WEIR_HUB_DATABASE", value_name = "ADDRESS", hide_env_values = true)]
    pub database: String,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do about boxes.
#[derive(Subcommand, Debug)]
pub enum BoxCommand {
    /// All of them.
    List(At),
    /// One.
    Show {
        /// Its id.
        id: BoxId,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
    /// Cuts a box off, for good.
    Revoke {
        /// Its id.
        id: BoxId,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
}

/// What to do about tokens.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Makes one and shows it, this once.
    Create {
        /// What it is to be known by.
        name: String,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
    /// All of them, without their secrets.
    List(At),
    /// Revokes one at once.
    Revoke {
        /// Its name.
        name: String,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
}

/// Something does not hold.
const BROKEN: u8 = 1;

impl At {
    async fn connect(&self) -> anyhow::Result<Connection> {
        let client = Database::new(&self.database)?.connect().await?;
        schema::check(&client).await?;
        Ok(client)
    }

    fn tell(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(value)?);
        } else {
            println!("{}", text());
        }
        Ok(())
    }
}

/// Runs a command; the exit code.
///
/// # Errors
/// Where it cannot be done, with what to do about it.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { config } => serve::serve(Config::read(&config)?).await?,
        Command::Migrate(at) => {
            let mut client = Database::new(&at.database)?.connect().await?;
            let done = schema::migrate(&mut client).await?;
            let value = serde_json::json!({ "from": done.from, "to": done.to });
            at.tell(&value, || format!("schema {} (was {})", done.to, done.from))?;
        }
        Command::Box(command) => boxes(command).await?,
        Command::Token(command) => tokens(command).await?,
        Command::Verify { of, at } => return prove(of, &at).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn boxes(command: BoxCommand) -> anyhow::Result<()> {
    match command {
        BoxCommand::List(at) => {
            let boxes = fleet::list(&*at.connect().await?).await?;
            at.tell(&boxes, || match boxes.is_empty() {
                true => "no box is enrolled".to_owned(),
                false => boxes.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        BoxCommand::Show { id, at } => {
            let member = fleet::show(&*at.connect().await?, id).await?;
            at.tell(&member, || {
                let release = member.release.as_deref().unwrap_or("unknown");
                format!("{}\nrelease {release}, certificate {}", line(&member), member.serial)
            })
        }
        BoxCommand::Revoke { id, at } => {
            fleet::set_state(&*at.connect().await?, id, State::Revoked).await?;
            let value = serde_json::json!({ "box": id, "state": State::Revoked });
            at.tell(&value, || format!("{id} is revoked; its connections end within seconds"))
        }
    }
}

fn line(member: &Member) -> String {
    let (of, name, state) = (&member.of, &member.name, member.state.as_str());
    format!("{of}  {name}  {state}  {} entries  {} alarms", member.entries, member.alarms)
}

async fn tokens(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { name, at } => {
            let secret = token::create(&*at.connect().await?, &name).await?;
            at.tell(&serde_json::json!({ "name": name, "token": secret }), || secret.clone())
        }
        TokenCommand::List(at) => {
            let tokens = token::list(&*at.connect().await?).await?;
            at.tell(&tokens, || {
                let state = |revoked: bool| if revoked { "revoked" } else { "in force" };
                let line =
                    |t: &token::Token| format!("{}  {}", t.name, state(t.revoked_at.is_some()));
                match tokens.is_empty() {
                    true => "no token; `weir-hub token create NAME` makes one".to_owned(),
                    false => tokens.iter().map(line).collect::<Vec<_>>().join("\n"),
                }
            })
        }
        TokenCommand::Revoke { name, at } => {
            token::revoke(&*at.connect().await?, &name).await?;
            let value = serde_json::json!({ "name": name, "revoked": true });
            at.tell(&value, || format!("token {name} is revoked"))
        }
    }
}

async fn prove(of: Option<BoxId>, at: &At) -> anyhow::Result<ExitCode> {
    let done = verify::verify(&mut *at.connect().await?, of).await?;
    at.tell(&done, || {
        let counts = format!(
            "{} boxes, {} lanes, {} entries, {} checkpoints ({} hold against entries that are here), {} side records, {} erased, {} holes",
            done.boxes,
            done.lanes,
            done.entries,
            done.checkpoints,
            done.checkpoints_held,
            done.sides,
            done.sides_gone,
            done.holes
        );
        let problems = done.problems.iter().map(|problem| format!("\nPROBLEM {problem}"));
        let end = if done.problems.is_empty() { "\neverything holds" } else { "" };
        counts + &problems.collect::<String>() + end
    })?;
    Ok(if done.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}
