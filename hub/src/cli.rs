//! The command line.

mod backup;
mod blobs;
mod orders;
mod people;
mod proof;
mod rollouts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use domain::journal::{BoxId, TenantId};
use serde::Serialize;
use uuid::Uuid;

use crate::alarm::{self, Alarm};
use crate::authority::Issuer;
use crate::config::Config;
use crate::database::Connection;
use crate::fleet::{self, Member, State};
use crate::{Database, broker, enrolment, init, schema, serve, token, verify};

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
    /// Make what a hub needs before it first serves: authority, keys, settings.
    Init {
        /// The folder to make; must not exist, or be empty.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// A host name or address by which boxes reach the hub; repeat for more, best first.
        #[arg(long = "name", value_name = "HOST", required = true, num_args = 1..)]
        names: Vec<String>,
        /// The port of API (TCP) and QUIC (UDP).
        #[arg(long, default_value_t = init::PORT)]
        port: u16,
        /// Where boxes will find an MQTT broker, HOST:PORT: writes its configuration, certificate and access list, too. Hub nodes use the next port.
        #[arg(long, value_name = "HOST:PORT")]
        broker: Option<String>,
        /// The database, `host=… user=… dbname=…` or `postgres://…`.
        #[arg(long, env = "WEIR_HUB_DATABASE", value_name = "ADDRESS", hide_env_values = true, default_value = init::DATABASE)]
        database: String,
    },
    /// Make or upgrade the tables.
    Migrate(At),
    /// List, show and revoke boxes.
    #[command(subcommand)]
    Box(BoxCommand),
    /// List alarms, and say that somebody has seen to one.
    #[command(subcommand)]
    Alarm(AlarmCommand),
    /// Add people who use the screens, and let them in again.
    #[command(subcommand)]
    Account(people::AccountCommand),
    /// Invite boxes; make, list and revoke the API's tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Add tenants, and say which boxes serve them.
    #[command(subcommand)]
    Tenant(orders::TenantCommand),
    /// Take in what boxes are to fetch, such as bundles of models.
    #[command(subcommand)]
    Blob(blobs::BlobCommand),
    /// Tell boxes what to do, and see what came of it.
    #[command(subcommand)]
    Directive(orders::DirectiveCommand),
    /// Make a proof of a decision, and verify one anywhere.
    #[command(subcommand)]
    Proof(proof::ProofCommand),
    /// Make, list and replace keys.
    #[command(subcommand)]
    Key(orders::KeyCommand),
    /// Sign a policy or hash list with the release key; the order comes out as JSON.
    Release(orders::ReleaseArguments),
    /// Sign roll-outs that go stage by stage, bring them to the hub, list them.
    #[command(subcommand)]
    Rollout(rollouts::RolloutCommand),
    /// Make a certificate by which a tenant's subscriber reads that tenant's decisions at the broker, and nothing else.
    Subscriber {
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The tenant, as the boxes call it.
        #[arg(long)]
        tenant: TenantId,
        /// An existing folder for certificate and key; neither must be there.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Back up database and keys, whole or not at all; or follow what Postgres writes, for restores to any moment.
    Backup(backup::BackupArguments),
    /// Make a cluster of a backup as it was at a moment, and have directives begin anew.
    Restore(backup::RestoreArguments),
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

/// What to do about alarms.
#[derive(Subcommand, Debug)]
pub enum AlarmCommand {
    /// The newest ones that nobody has seen to.
    List {
        /// Those that are resolved, too.
        #[arg(long)]
        resolved: bool,
        /// Of one box only.
        #[arg(long = "box", value_name = "ID")]
        of: Option<Uuid>,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
    /// Somebody has seen to it. The same once more is another alarm.
    Resolve {
        /// The box.
        of: Uuid,
        /// The alarm, as `list` shows it.
        alarm: Uuid,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
}

/// What to do about tokens.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Makes a token by which one box enrols, and prints it, this once: `weir enroll TOKEN` on the box.
    Enroll {
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What the box is to be called where it has no name of its own.
        #[arg(long, default_value = "box")]
        name: String,
        /// For how long it is good.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=8760))]
        hours: u16,
        /// A tenant that the box is to serve; repeat for more.
        #[arg(long = "tenant", value_name = "TENANT")]
        tenants: Vec<TenantId>,
    },
    /// Makes one and shows it, this once.
    Create {
        /// What it is to be known by.
        name: String,
        /// May order boxes to do something, too; without it the token reads only.
        #[arg(long)]
        orders: bool,
        /// May ask boxes for findings, previews and texts, too: they show people.
        #[arg(long)]
        requests: bool,
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

/// The newest alarms that are listed.
const MOST_ALARMS: i64 = 500;

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
        Command::Init { dir: folder, names, port, broker, database } => {
            set_up(&init::Plan { folder, names, port, broker, database })?;
        }
        Command::Migrate(at) => {
            let mut client = Database::new(&at.database)?.connect().await?;
            let done = schema::migrate(&mut client).await?;
            let value = serde_json::json!({ "from": done.from, "to": done.to });
            at.tell(&value, || format!("schema {} (was {})", done.to, done.from))?;
        }
        Command::Box(command) => boxes(command).await?,
        Command::Alarm(command) => alarms(command).await?,
        Command::Account(command) => people::accounts(command).await?,
        Command::Token(command) => tokens(command).await?,
        Command::Tenant(command) => orders::tenants(command).await?,
        Command::Blob(command) => blobs::run(command).await?,
        Command::Directive(command) => orders::directives(command).await?,
        Command::Proof(command) => return proof::run(command).await,
        Command::Key(command) => orders::keys(command).await?,
        Command::Release(arguments) => orders::release(&arguments)?,
        Command::Rollout(command) => rollouts::rollouts(command).await?,
        Command::Subscriber { config, tenant, dir } => subscriber(&config, &tenant, &dir)?,
        Command::Backup(arguments) => backup::backup(arguments).await?,
        Command::Restore(arguments) => backup::restore(arguments).await?,
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

async fn alarms(command: AlarmCommand) -> anyhow::Result<()> {
    match command {
        AlarmCommand::List { resolved, of, at } => {
            let alarms = alarm::list(&*at.connect().await?, resolved, of, MOST_ALARMS).await?;
            let line = |it: &Alarm| {
                let Alarm { of, alarm, kind, code, count, .. } = it;
                let state = if it.resolved_at.is_some() { "  resolved" } else { "" };
                format!("{of}  {alarm}  {kind}  {code}  {count} times{state}")
            };
            at.tell(&alarms, || match alarms.is_empty() {
                true => "no alarm".to_owned(),
                false => alarms.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        AlarmCommand::Resolve { of, alarm: name, at } => {
            alarm::resolve(&*at.connect().await?, of, name, "console").await?;
            let value = serde_json::json!({ "box": of, "alarm": name, "resolved": true });
            at.tell(&value, || format!("alarm {name} is resolved"))
        }
    }
}

fn line(member: &Member) -> String {
    let (of, name, state) = (&member.of, &member.name, member.state.as_str());
    let Member { connected, entries, alarms, .. } = member;
    format!("{of}  {name}  {state}  {connected}  {entries} entries  {alarms} alarms")
}

async fn tokens(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Enroll { config, name, hours, tenants } => {
            invite(&config, &name, hours, &tenants).await
        }
        TokenCommand::Create { name, orders, requests, at } => {
            let rights = token::Rights { orders, requests };
            let secret = token::create(&*at.connect().await?, &name, rights).await?;
            at.tell(&serde_json::json!({ "name": name, "token": secret }), || secret.clone())
        }
        TokenCommand::List(at) => {
            let tokens = token::list(&*at.connect().await?).await?;
            at.tell(&tokens, || {
                let state = |revoked: bool| if revoked { "revoked" } else { "in force" };
                let line = |t: &token::Token| {
                    let may = match (t.orders, t.requests) {
                        (false, false) => "reads",
                        (true, false) => "reads and orders",
                        (false, true) => "reads and asks",
                        (true, true) => "reads, orders and asks",
                    };
                    format!("{}  {may}  {}", t.name, state(t.revoked_at.is_some()))
                };
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

fn issuer(config: &Config) -> anyhow::Result<Issuer> {
    let none =
        "the settings name no authority: `weir-hub init` makes one, and `names` says for whom";
    Ok(Issuer::open(config.authority.as_ref().context(none)?)?)
}

fn subscriber(config: &Path, tenant: &TenantId, folder: &Path) -> anyhow::Result<()> {
    let issuer = issuer(&Config::read(config)?)?;
    let [certificate, key] = broker::subscriber(&issuer, tenant, folder)?;
    let broker = issuer.told.mqtt.as_deref().unwrap_or("the broker");
    println!(
        "made {} and {}: with them and authority.pem a client of {broker} may subscribe to weir/v1/+/t/{}/results, one at a time",
        certificate.display(),
        key.display(),
        sync::mqtt::tenant_name(tenant)
    );
    Ok(())
}

async fn invite(config: &Path, name: &str, hours: u16, tenants: &[TenantId]) -> anyhow::Result<()> {
    let config = Config::read(config)?;
    let issuer = issuer(&config)?;
    let client = config.database.connect().await?;
    schema::check(&client).await?;
    println!("{}", enrolment::invite(&client, &issuer, name, hours, tenants).await?);
    Ok(())
}

fn set_up(plan: &init::Plan) -> anyhow::Result<()> {
    plan.carry_out()?;
    let (folder, settings) = (plan.folder.display(), plan.folder.join(init::SETTINGS));
    let (settings, database) = (settings.display(), &plan.database);
    println!(
        "made {folder}: authority.pem, authority.key, hub.key, {}
Keep a copy of both keys where nobody else reads it. Next:
  weir-hub migrate --database '{database}'
  weir-hub serve --config {settings}
  weir-hub token enroll --config {settings}    # a line for each box: weir enroll LINE",
        init::SETTINGS
    );
    if plan.broker.is_some() {
        println!("{}", init::broker_steps(&plan.folder));
    }
    Ok(())
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
