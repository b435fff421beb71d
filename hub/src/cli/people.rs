//! `weir-hub account`: the first people, and those who cannot get in any more.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::At;
use crate::account::{self, Account, Newcomer, Role, oidc};
use crate::audit::{self, Deed};
use crate::config::Config;
use crate::database::Connection;
use crate::receipt::{self, HubKey};
use crate::serve::hub_key;

/// What to do about accounts of people.
#[derive(Subcommand, Debug)]
pub enum AccountCommand {
    /// Add one and print the address by which its owner sets password and second factor.
    Add {
        /// What one logs in with.
        name: String,
        /// `moderator`, `senior_moderator`, `analyst`, `support`, `admin` or `observer`.
        #[arg(long)]
        role: Role,
        /// What colleagues see; may be a pseudonym.
        #[arg(long, default_value = "")]
        shown: String,
        /// Whose submissions it may see; repeat for more, leave out for all.
        #[arg(long = "tenant", value_name = "NAME")]
        tenants: Vec<String>,
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print another such address: the password or the second factor is lost.
    Invite {
        /// What it logs in with.
        name: String,
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Switch one off, and end its sessions.
    Off {
        /// What it logs in with.
        name: String,
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Link one to a person at the provider of identities: its owner can log in there.
    Link {
        /// What it logs in with.
        name: String,
        /// What the provider calls the person (`sub`); never an address of theirs.
        #[arg(long)]
        subject: String,
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Take what one is linked to away.
    Unlink {
        /// What it logs in with.
        name: String,
        /// The hub's file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// All of them.
    List(At),
}

/// Runs a command.
pub(super) async fn accounts(command: AccountCommand) -> anyhow::Result<()> {
    match command {
        AccountCommand::List(at) => {
            let all = account::list(&*at.connect().await?).await?;
            at.tell(&all, || match all.is_empty() {
                true => "no account; `weir-hub account add NAME --role admin` adds one".to_owned(),
                false => all.iter().map(line).collect::<Vec<_>>().join("\n"),
            })
        }
        AccountCommand::Add { name, role, shown, tenants, config } => {
            let (config, mut client, key) = open(&config).await?;
            let tenants = (!tenants.is_empty()).then_some(tenants);
            let newcomer = Newcomer { name, shown, role, tenants };
            let transaction = client.transaction().await?;
            let within = transaction.client();
            let id = account::add(within, audit::operator().shown, &newcomer).await?;
            let secret = account::invite(within, &key, id).await?;
            note(within, &key, "account.add", &newcomer.name, json!({ "role": role })).await?;
            transaction.commit().await?;
            print(&config, &secret);
            Ok(())
        }
        AccountCommand::Invite { name, config } => {
            let (config, mut client, key) = open(&config).await?;
            let transaction = client.transaction().await?;
            let within = transaction.client();
            let account = account::named(within, &name).await?;
            let secret = account::invite(within, &key, account.account).await?;
            note(within, &key, "account.invite", &name, json!({})).await?;
            transaction.commit().await?;
            print(&config, &secret);
            Ok(())
        }
        AccountCommand::Link { name, subject, config } => link(&name, &subject, &config).await,
        AccountCommand::Unlink { name, config } => {
            let (_, mut client, key) = open(&config).await?;
            let transaction = client.transaction().await?;
            let within = transaction.client();
            let account = account::named(within, &name).await?;
            for (issuer, subject) in oidc::unlink(within, account.account).await? {
                let detail = json!({ "issuer": issuer, "subject": subject });
                note(within, &key, "account.unlink", &name, detail).await?;
            }
            transaction.commit().await?;
            Ok(())
        }
        AccountCommand::Off { name, config } => {
            let (_, mut client, key) = open(&config).await?;
            let transaction = client.transaction().await?;
            let within = transaction.client();
            let account = account::named(within, &name).await?;
            account::switch(within, account.account, false).await?;
            note(within, &key, "account.off", &name, json!({})).await?;
            transaction.commit().await?;
            Ok(())
        }
    }
}

async fn link(name: &str, subject: &str, file: &std::path::Path) -> anyhow::Result<()> {
    let (config, mut client, key) = open(file).await?;
    let oidc = config.oidc.as_ref();
    let oidc = oidc.context("there is no `[screens.oidc]` in the file of settings")?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let account = account::named(within, name).await?;
    let by = audit::operator().shown;
    oidc::link(within, &oidc.issuer, subject, account.account, by).await?;
    let detail = json!({ "issuer": oidc.issuer, "subject": subject });
    note(within, &key, "account.link", name, detail).await?;
    transaction.commit().await?;
    Ok(())
}

fn line(one: &Account) -> String {
    let state = match (one.disabled_at, one.ready) {
        (Some(_), _) => "off",
        (None, true) => "in use",
        (None, false) => "invited",
    };
    format!("{}  {}  {state}", one.name, one.role)
}

async fn open(file: &std::path::Path) -> anyhow::Result<(Config, Connection, HubKey)> {
    let config = Config::read(file)?;
    let client = config.database.connect().await.context("cannot reach the database")?;
    crate::schema::check(&client).await?;
    let key = hub_key(&config.key)?;
    receipt::remember(&client, &key).await?;
    Ok((config, client, key))
}

async fn note(
    client: &tokio_postgres::Client,
    key: &HubKey,
    action: &str,
    name: &str,
    detail: serde_json::Value,
) -> anyhow::Result<()> {
    let deed = Deed { action, subject: name.to_owned(), tenant: None, why: "", detail };
    Ok(audit::note(client, key, audit::operator(), &deed).await?)
}

fn print(config: &Config, secret: &str) {
    eprintln!("weir-hub: good once, for a day; give it to nobody else:");
    println!("{}/ops/welcome?invitation={secret}", config.address);
}
