//! `weir-hub directive`, `tenant`, `key` and `release`.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::{Subcommand, ValueEnum};
use domain::directive::{Address, Release, ReleaseKind, Released};
use domain::journal::{BoxId, Code, TenantId};
use ring::signature::KeyPair as _;
use serde_json::json;

use super::At;
use super::rollouts::release_key;
use crate::config::Config;
use crate::directives::lost::{Again, Lost};
use crate::directives::{self, Asked, Given, Receipt};
use crate::receipt::{self, HubKey};
use crate::serve::hub_key;
use crate::tenant;

/// What to do about directives.
#[derive(Subcommand, Debug)]
pub enum DirectiveCommand {
    /// Order something: an order in JSON, as `POST /v1/directives` takes it; docs/hub.md lists them.
    Order {
        /// To whom: `fleet`, `tenant/NAME` or `box/ID`.
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// Who orders it: goes into the directive and into the boxes' logs.
        #[arg(long, default_value = "console")]
        by: Code,
        /// The hub's file of settings: its key signs.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The order, for example '{"kind":"drain","on":true}'; `-` reads it from standard input.
        order: String,
    },
    /// The newest ones, and how many boxes applied or refused each.
    List {
        /// To one address only.
        #[arg(long, value_name = "ADDRESS")]
        to: Option<Address>,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
    /// What was ordered after the backup to which the hub was put back, as boxes tell.
    Lost(At),
    /// Give one of these again.
    Again {
        /// The life of the journal, as `lost` shows it.
        epoch: String,
        /// To whom.
        to: String,
        /// Its number.
        seq: u64,
        /// The hub's file of settings: its key signs.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// What each box said of one.
    Show {
        /// The life of the journal, as `list` shows it.
        epoch: String,
        /// To whom.
        to: String,
        /// Its number.
        seq: u64,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
}

/// What to do about tenants.
#[derive(Subcommand, Debug)]
pub enum TenantCommand {
    /// Adds one, with a secret by which its authors are named on all its boxes.
    Add {
        /// Its name, as boxes have it in their settings.
        name: TenantId,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
    /// All of them.
    List(At),
    /// Sets which tenants a box serves: it follows their directives, and no others. None named is none.
    Assign {
        /// The box.
        id: BoxId,
        /// The tenants.
        #[arg(value_name = "TENANT")]
        tenants: Vec<TenantId>,
        /// Which database, and how to answer.
        #[command(flatten)]
        at: At,
    },
}

/// What to do about keys.
#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Makes a release key, for a machine that is no hub: it signs policies and hash lists. Prints the public half.
    Generate {
        /// The file to make.
        file: PathBuf,
    },
    /// Replaces the hub's key: boxes are told by the old one. Stop all nodes before, give them the new file after.
    Rotate {
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// The public halves of the keys by which this hub has signed, newest first: what `proof verify --hub-key` takes.
    List(At),
}

/// What is released.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// A policy.
    Policy,
    /// A hash list.
    Bank,
}

impl From<Kind> for ReleaseKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Policy => Self::Policy,
            Kind::Bank => Self::Bank,
        }
    }
}

/// What is signed, and by what.
#[derive(clap::Args, Debug)]
pub struct Signed {
    /// The release key.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// What it is.
    #[arg(long, value_enum, default_value = "policy")]
    pub(super) kind: Kind,
    /// Its name: of a policy, the profile whose policy it replaces.
    #[arg(long)]
    pub(super) name: Code,
    /// Its version; only rises. The way back of a roll-out has the next one.
    #[arg(long)]
    pub(super) version: u64,
}

/// What to sign.
#[derive(clap::Args, Debug)]
pub struct ReleaseArguments {
    /// What, and by what.
    #[command(flatten)]
    what: Signed,
    /// To whom it may be told.
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// The file, TOML; without one what was released before is withdrawn: what stands behind it is in force again.
    #[arg(required_unless_present = "withdraw", conflicts_with = "withdraw")]
    file: Option<PathBuf>,
    /// Withdraw what was released before.
    #[arg(long)]
    withdraw: bool,
}

/// Runs a command.
pub(super) async fn directives(command: DirectiveCommand) -> anyhow::Result<()> {
    match command {
        DirectiveCommand::Order { to, by, config, order } => give(to, by, &config, order).await,
        DirectiveCommand::List { to, at } => {
            let to = to.map(|to| to.to_string());
            let list = directives::list(&*at.connect().await?, to.as_deref(), 50).await?;
            let line = |d: &directives::Ordered| {
                format!(
                    "{} {} {}  {}  by {}  {} of {} applied, {} refused",
                    d.epoch, d.to, d.seq, d.kind, d.by, d.applied, d.boxes, d.refused
                )
            };
            at.tell(&list, || match list.is_empty() {
                true => "nothing was ordered".to_owned(),
                false => list.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        DirectiveCommand::Lost(at) => {
            let list = directives::lost::list(&*at.connect().await?).await?;
            at.tell(&list, || match list.is_empty() {
                true => "nothing was lost, as far as boxes have told".to_owned(),
                false => list.iter().map(lost_line).collect::<Vec<_>>().join("\n"),
            })
        }
        DirectiveCommand::Again { epoch, to, seq, config } => {
            let place = directives::place(&epoch, &to, seq)?;
            let config = Config::read(&config)?;
            let key = hub_key(&config.key)?;
            let mut client = config.database.connect().await?;
            crate::schema::check(&client).await?;
            let now = directives::lost::again(&mut client, &key, &place).await?;
            println!("{} {} {}", now.epoch, now.to, now.seq.0);
            Ok(())
        }
        DirectiveCommand::Show { epoch, to, seq, at } => {
            let place = directives::place(&epoch, &to, seq)?;
            let client = at.connect().await?;
            let receipts = directives::receipts(&client, &place).await?;
            let line = |r: &Receipt| {
                let why = r.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{}  {}  {}{why}", r.of, r.name, r.state)
            };
            at.tell(&receipts, || match receipts.is_empty() {
                true => "it is for no box".to_owned(),
                false => receipts.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
    }
}

fn lost_line(lost: &Lost) -> String {
    let Lost { epoch, to, seq, kind, by, boxes, again, .. } = lost;
    let again = match again {
        Some(Again { epoch, seq }) => format!("given again as {epoch} {to} {seq}"),
        None => "not given again".to_owned(),
    };
    format!("{epoch} {to} {seq}  {kind}  by {by}  {boxes} boxes took it  {again}")
}

async fn give(to: Address, by: Code, config: &Path, mut order: String) -> anyhow::Result<()> {
    if order == "-" {
        order.clear();
        let mut input = std::io::stdin().lock().take(1 << 20);
        input.read_to_string(&mut order).context("cannot read the order")?;
    }
    let asked: Asked = serde_json::from_str(&order).context("the order cannot be read")?;
    let config = Config::read(config)?;
    let key = hub_key(&config.key)?;
    let mut client = config.database.connect().await?;
    crate::schema::check(&client).await?;
    let order = asked.order(&client, &to).await?;
    let Given { place, listed } = directives::give(&mut client, &key, to, by, order).await?;
    match listed.map(|listed| listed.len()) {
        None => {}
        Some(0) => eprintln!(
            "weir-hub: no hash of its media is known here: only the submission's own box will recognise them"
        ),
        Some(many) => {
            eprintln!("weir-hub: {many} hashes of its media go to all boxes of the tenant")
        }
    }
    println!("{} {} {}", place.epoch, place.to, place.seq.0);
    Ok(())
}

/// Runs a command.
pub(super) async fn tenants(command: TenantCommand) -> anyhow::Result<()> {
    match command {
        TenantCommand::Add { name, at } => {
            tenant::add(&*at.connect().await?, &name).await?;
            at.tell(&json!({ "tenant": name }), || format!("tenant {name} is there"))
        }
        TenantCommand::List(at) => {
            let list = tenant::list(&*at.connect().await?).await?;
            let line = |t: &tenant::Tenant| format!("{}  {} boxes", t.tenant, t.boxes);
            at.tell(&list, || match list.is_empty() {
                true => "no tenant; `weir-hub tenant add NAME` adds one".to_owned(),
                false => list.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        TenantCommand::Assign { id, tenants, at } => {
            let client = at.connect().await?;
            crate::fleet::show(&client, id).await?;
            for name in &tenants {
                tenant::known(&client, name).await?;
            }
            let names: Vec<String> = tenants.iter().map(|t| t.as_str().to_owned()).collect();
            tenant::assign(&client, id, &names).await?;
            at.tell(&json!({ "box": id, "tenants": names }), || match names.is_empty() {
                true => format!("{id} serves no tenant"),
                false => format!("{id} serves {}", names.join(", ")),
            })
        }
    }
}

/// Runs a command.
pub(super) async fn keys(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Generate { file } => {
            let bytes = HubKey::generate()?;
            write_new(&file, &bytes)?;
            println!("{}", BASE64_STANDARD.encode(HubKey::new(&bytes)?.public_key()));
            Ok(())
        }
        KeyCommand::Rotate { config } => {
            let config = Config::read(&config)?;
            let old = hub_key(&config.key)?;
            let next = config.key.with_extension("key.new");
            // What an earlier try left is what boxes may have been told of already.
            let bytes = match std::fs::read(&next) {
                Ok(bytes) => bytes,
                Err(_) => {
                    let bytes = HubKey::generate()?;
                    write_new(&next, &bytes)?;
                    bytes
                }
            };
            let new = HubKey::new(&bytes)?;
            let mut client = config.database.connect().await?;
            crate::schema::check(&client).await?;
            let by = Code::lossy("console");
            let place = directives::rotate(&mut client, &old, &new, by).await?;
            std::fs::rename(&next, &config.key)
                .with_context(|| format!("cannot put {} in its place", next.display()))?;
            println!(
                "{} is replaced, boxes are told by fleet {}; copy it to every node before they start",
                config.key.display(),
                place.seq.0
            );
            Ok(())
        }
        KeyCommand::List(at) => {
            let keys = receipt::keys(&*at.connect().await?).await?;
            let value = |(key, since): &(_, f64)| json!({ "public_key": key, "since": since });
            at.tell(&keys.iter().map(value).collect::<Vec<_>>(), || match keys.is_empty() {
                true => "no key yet: the hub writes its own down when it starts".to_owned(),
                false => keys.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>().join("\n"),
            })
        }
    }
}

fn write_new(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.with_context(|| format!("cannot make {}", file.display()))?;
    made.write_all(bytes).and_then(|()| made.sync_all())?;
    Ok(())
}

/// Signs a release; the order to be given at the hub goes to standard output.
pub(super) fn release(arguments: &ReleaseArguments) -> anyhow::Result<()> {
    let ReleaseArguments { what, to, file, withdraw: _ } = arguments;
    let key = release_key(&what.key)?;
    let text = match file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?,
        None => String::new(),
    };
    let release = Release {
        kind: what.kind.into(),
        name: what.name.clone(),
        version: what.version,
        to: to.clone(),
        text,
    };
    let released = Released::sign(&release, &key)?;
    eprintln!("signed by {}", BASE64_STANDARD.encode(key.public_key().as_ref()));
    println!(
        "{}",
        json!({
            "kind": "release",
            "bytes": BASE64_STANDARD.encode(&released.bytes),
            "signature": BASE64_STANDARD.encode(&released.signature),
        })
    );
    Ok(())
}
