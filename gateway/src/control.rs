//! What a person with a shell on the box may do: tokens, flags, snapshots.
//!
//! The store belongs to one process, so that a running service is asked over its socket `control` in the data folder (a
//! line of JSON each way, readable by its owner alone), and without one the store is opened here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::journal::{Actor, Code, ItemId, TenantId};
use models::life::state::Wish;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Store;

/// Name of the socket in the data folder.
pub const SOCKET: &str = "control";

/// Most bytes of a request or an answer.
pub const LINE_BYTES: u64 = 1 << 20;

/// How long a service may take to answer: a snapshot of a large database takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Make an API key.
    TokenCreate {
        /// For whom.
        tenant: TenantId,
        /// What it is called.
        name: String,
        /// What it may.
        scopes: Vec<Code>,
    },
    /// List API keys, of one tenant or of all.
    TokenList {
        /// Whose.
        tenant: Option<TenantId>,
    },
    /// Revoke an API key.
    TokenRevoke {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: ItemId,
    },
    /// Set the technician's PIN, or remove it.
    PinSet {
        /// Its slow hash; the PIN itself stays where it was typed.
        hash: Option<String>,
    },
    /// Set a feature flag.
    FlagSet {
        /// Which.
        name: Code,
        /// To what.
        on: bool,
    },
    /// List feature flags.
    FlagList,
    /// Enrol the box at a hub.
    Enroll {
        /// What the hub's command printed.
        token: String,
        /// What people call the box.
        name: Option<String>,
    },
    /// Take up the settings of tenants, and their profiles, as the files are now.
    Reload,
    /// Call an endpoint again that said 410.
    WebhookEnable {
        /// Whose.
        tenant: TenantId,
        /// Which.
        name: Code,
    },
    /// List endpoints that said 410.
    WebhookGone,
    /// Bring a version of a model a stage further.
    ModelPromote {
        /// The model directory that is meant.
        dir: PathBuf,
        /// What is wished for.
        wish: Wish,
    },
    /// Withdraw a version of a model.
    ModelRollback {
        /// The model directory that is meant.
        dir: PathBuf,
        /// The model.
        name: String,
        /// Its version; none: the one that is on trial, else the active one.
        version: Option<String>,
    },
}

/// The answer: a value, or one sentence on what is wrong.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Done.
    Done(Value),
    /// Not done.
    Refused(String),
}

/// Does what is asked.
///
/// # Errors
/// What the store says.
pub fn execute(store: &Store, request: Request) -> Result<Value, store::Error> {
    let actor = Actor::Console;
    Ok(match request {
        Request::TokenCreate { tenant, name, scopes } => {
            let key = store.create_key(tenant, name, scopes, actor).wait()?;
            json!({ "id": key.id, "token": key.secret })
        }
        Request::TokenList { tenant } => {
            let keys = store.keys(tenant.as_ref())?;
            let shown = keys.iter().map(|key| {
                json!({
                    "id": key.id, "tenant": key.tenant, "name": key.name, "scopes": key.scopes,
                    "created_at": key.at, "revoked_at": key.revoked_at,
                })
            });
            Value::Array(shown.collect())
        }
        Request::TokenRevoke { tenant, id } => {
            store.revoke_key(tenant, id, actor).wait()?;
            json!({ "id": id, "revoked": true })
        }
        Request::PinSet { hash } => {
            let set = hash.is_some();
            store.set_pin(hash, actor).wait()?;
            json!({ "set": set })
        }
        Request::FlagSet { name, on } => {
            store.set_flag(name.clone(), on, actor).wait()?;
            json!({ "name": name, "on": on })
        }
        Request::FlagList => json!(store.flags()?),
        Request::Reload => {
            let why = "no service runs over this data folder; the next start reads the files";
            return Err(store::Error::Invalid(why));
        }
        Request::Enroll { .. } => {
            return Err(store::Error::Invalid("a box enrols over the network, not in the store"));
        }
        Request::ModelPromote { .. } | Request::ModelRollback { .. } => {
            return Err(store::Error::Invalid(
                "models are changed in their folder, not in the store",
            ));
        }
        Request::WebhookEnable { tenant, name } => {
            store.enable_endpoint(tenant, name.clone(), actor).wait()?;
            json!({ "name": name, "enabled": true })
        }
        Request::WebhookGone => {
            let gone = store.gone_endpoints()?;
            let shown = gone.iter().map(|gone| {
                let since = crate::serve::time(gone.since);
                json!({ "tenant": gone.tenant, "name": gone.name, "since": since })
            });
            Value::Array(shown.collect())
        }
    })
}

/// Asks the service that runs over this data folder, or does it here.
///
/// # Errors
/// One sentence on what was tried and what to do.
pub fn ask(data: &Path, request: Request) -> anyhow::Result<Value> {
    match ask_running(data, &request)? {
        Some(value) => Ok(value),
        None => {
            if !data.is_dir() {
                bail!("there is no data folder {}; name the service's with --data", data.display());
            }
            let (store, _) = Store::open(data, store::Config::default())
                .with_context(|| format!("cannot open the store in {}", data.display()))?;
            Ok(execute(&store, request)?)
        }
    }
}

/// Asks the service that runs over this data folder; `None` where none does.
///
/// # Errors
/// As [`ask`].
pub fn ask_running(data: &Path, request: &Request) -> anyhow::Result<Option<Value>> {
    let Ok(stream) = UnixStream::connect(data.join(SOCKET)) else { return Ok(None) };
    let answer = ask_service(stream, request)
        .with_context(|| format!("the service over {} did not answer", data.display()))?;
    match answer {
        Answer::Done(value) => Ok(Some(value)),
        Answer::Refused(why) => bail!(why),
    }
}

fn ask_service(mut stream: UnixStream, request: &Request) -> anyhow::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all((serde_json::to_string(request)? + "\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// The data folder of a command: as named, else the service's own.
pub fn data_dir(named: Option<PathBuf>) -> PathBuf {
    named.unwrap_or_else(crate::paths::data_dir)
}
