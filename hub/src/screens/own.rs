//! One's own account: what one may, how media are shown, where one is logged in.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::extract::{Form, Query};
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::oidc::{self, Link, Provider};
use crate::account::passkey::{self, Passkey};
use crate::account::session::Who;
use crate::account::{Right, Role};
use crate::audit::{self, Deed};
use crate::http::Api;
use crate::tongue::{Text, Tongue};

/// How media are shown before and after somebody asks for them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Exposure {
    /// Blurred until revealed.
    pub blur: bool,
    /// Grey, revealed as well.
    pub grey: bool,
}

impl Default for Exposure {
    fn default() -> Self {
        Self { blur: true, grey: true }
    }
}

impl Exposure {
    /// As the account has it.
    pub async fn of(client: &tokio_postgres::Client, who: &Who) -> Result<Self, crate::Error> {
        let query = "SELECT settings FROM accounts WHERE account = $1";
        let row = client.query_one(query, &[&who.account.account]).await?;
        Ok(serde_json::from_value(row.try_get(0)?).unwrap_or_default())
    }
}

/// What addresses carry.
#[derive(Default, Deserialize)]
pub(super) struct Done {
    pub done: Option<String>,
}

/// `GET /ops`: to where somebody's work is.
pub(super) async fn front(Extension(who): Extension<Who>) -> Redirect {
    let places = [(Right::Review, "/ops/review"), (Right::Numbers, "/ops/overview")];
    let mine = places.iter().find(|(right, _)| who.may(*right));
    Redirect::to(mine.map_or("/ops/me", |(_, path)| path))
}

struct Session {
    began_at: f64,
    seen_at: f64,
    remote: String,
    here: bool,
}

#[derive(Template)]
#[template(path = "me.html")]
struct Me<'a> {
    frame: Frame,
    who: &'a Who,
    exposure: Exposure,
    sessions: Vec<Session>,
    passkeys: Vec<Passkey>,
    /// What the provider of identities is called and its name, where there is one.
    provider: Option<&'a str>,
    issuer: Option<&'a str>,
    links: Vec<Link>,
    roles: [Role; 6],
    rights: [Right; 16],
}

impl Me<'_> {
    fn may(&self, role: &Role, right: &Right) -> bool {
        role.may(*right)
    }

    /// Whether it is linked at the provider that there is now.
    fn is_linked(&self) -> bool {
        self.links.iter().any(|link| Some(link.issuer.as_str()) == self.issuer)
    }

    fn is_chosen(&self, tongue: &Tongue) -> bool {
        self.who.account.language == Some(*tongue)
    }
}

/// `GET /ops/me`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let query = "SELECT extract(epoch FROM began_at)::float8, extract(epoch FROM seen_at)::float8, remote, secret_sha256
        FROM sessions WHERE account = $1 AND whole AND ends_at > now() ORDER BY seen_at DESC";
    let session = |row: &tokio_postgres::Row| {
        Ok(Session {
            began_at: row.try_get(0)?,
            seen_at: row.try_get(1)?,
            remote: row.try_get(2)?,
            here: row.try_get::<_, Vec<u8>>(3)? == who.session,
        })
    };
    let rows = client.query(query, &[&who.account.account]).await?;
    let sessions = rows.iter().map(session).collect::<Result<_, tokio_postgres::Error>>()?;
    html(&Me {
        frame: Frame::new(&who, "/ops/me", "My account").with_done(done.done.as_deref()),
        exposure: Exposure::of(&client, &who).await?,
        passkeys: passkey::list(&client, who.account.account).await?,
        provider: api.provider_label(),
        issuer: api.provider().map(Provider::issuer),
        links: oidc::list(&client, who.account.account).await?,
        who: &who,
        sessions,
        roles: Role::ALL,
        rights: Right::ALL,
    })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Saved {
    what: String,
    blur: Option<String>,
    grey: Option<String>,
    skills: Option<String>,
    language: Option<String>,
    keys: Option<String>,
}

/// Skills of an account, and characters of each.
const SKILLS: usize = 20;
const SKILL: usize = 40;

/// `POST /ops/me`.
pub(super) async fn save(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(saved): Form<Saved>,
) -> Result<Response, Refusal> {
    let mut client = api.pool().take().await?;
    let me = who.account.account;
    match saved.what.as_str() {
        "exposure" => {
            let exposure = Exposure { blur: saved.blur.is_some(), grey: saved.grey.is_some() };
            let query = "UPDATE accounts SET settings = settings || $2 WHERE account = $1";
            let value = serde_json::to_value(exposure).unwrap_or_default();
            client.execute(query, &[&me, &value]).await?;
        }
        "skills" => {
            let text = saved.skills.unwrap_or_default();
            let skills: Vec<&str> =
                text.split([',', '\n']).map(str::trim).filter(|s| !s.is_empty()).collect();
            if skills.len() > SKILLS || skills.iter().any(|skill| skill.chars().count() > SKILL) {
                let what = Text::from("at most {many} skills of {long} characters each");
                return Err(Refusal::bad(what.with("many", SKILLS).with("long", SKILL)));
            }
            let query = "UPDATE accounts SET skills = $2 WHERE account = $1";
            client.execute(query, &[&me, &skills]).await?;
        }
        "reading" => {
            let language =
                match saved.language.as_deref().unwrap_or_default() {
                    "" => None,
                    code => Some(Tongue::read(code).ok_or_else(|| {
                        Refusal::bad("choose one of the languages that there are")
                    })?),
                };
            let query = "UPDATE accounts SET language = $2, keys = $3 WHERE account = $1";
            let code = language.map(Tongue::code);
            client.execute(query, &[&me, &code, &saved.keys.is_some()]).await?;
        }
        "sessions" => {
            let transaction = client.transaction().await?;
            let query = "DELETE FROM sessions WHERE account = $1 AND secret_sha256 <> $2";
            let ended = transaction.execute(query, &[&me, &who.session]).await?;
            let deed = Deed {
                action: "session.end",
                subject: who.account.name.clone(),
                tenant: None,
                why: "",
                detail: json!({ "others": ended }),
            };
            audit::note(transaction.client(), api.hub_key()?, (&who).into(), &deed).await?;
            transaction.commit().await?;
        }
        _ => return Err(Refusal::bad("that is nothing that can be saved")),
    }
    Ok(Redirect::to("/ops/me?done=saved").into_response())
}
