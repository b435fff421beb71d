//! A policy as it is written: checked with its cases, compared with what is in force, tried out on what boxes have seen, kept as a draft.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::directive::ReleaseKind;
use domain::policy::cases::Verdict;
use domain::problem::Problem;
use domain::profile::Tried;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_postgres::Client;
use uuid::Uuid;

use super::compare::{Line, compare};
use super::list::visible;
use super::replay::{Replayed, replay};
use super::{released, shipped};
use crate::account::Right;
use crate::account::session::Who;
use crate::audit::{self, Deed};
use crate::http::Api;
use crate::rollout::known;
use crate::screens::accounts::unlimited;
use crate::screens::extract::{Form, Path, Query};
use crate::screens::page::{Frame, Refusal, html};
use crate::screens::words::short;
use crate::tenant;
use crate::tongue::{Text, Tongue};

/// Most bytes of a policy: boxes try out no longer ones.
const MOST: usize = sync::request::MOST_POLICY_BYTES;

/// Characters of a note.
const NOTE: usize = 200;

/// Policies that are checked at a time.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// What the editor's address says to begin with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::screens) struct From {
    /// A draft.
    draft: Option<Uuid>,
    /// A release, as [`known::Known::key`] names it.
    release: Option<String>,
    /// A profile that comes with Weir.
    profile: Option<String>,
}

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::screens) struct Written {
    text: String,
    /// With what it is compared: `release/…` or `profile/…`.
    with: String,
    /// `check` or `try`.
    what: String,
    tenant: String,
    days: String,
    note: String,
}

/// What came of checking.
struct Checked {
    /// `name@version`, where it reads.
    id: Option<String>,
    /// What is wrong with the file: in English for all, as logs and the command line say it.
    problems: Vec<Problem>,
    cases: Vec<Verdict>,
    /// Rules, required detectors, and reasons that it may give.
    rules: String,
    changes: Vec<Line>,
    /// With what it was compared, as people read it.
    with: String,
    replayed: Option<Replayed>,
}

impl Checked {
    fn passed(&self) -> usize {
        self.cases.iter().filter(|verdict| verdict.passed()).count()
    }
}

#[derive(Template)]
#[template(path = "policy.html")]
struct Editor {
    frame: Frame,
    written: Written,
    checked: Option<Checked>,
    /// With what it can be compared: value, and as people read it.
    others: Vec<(String, String)>,
    tenants: Vec<String>,
    change: bool,
}

impl Editor {
    fn is(&self, value: &str, wanted: &str) -> bool {
        value == wanted
    }
}

/// `GET /ops/policies/edit`.
pub(in crate::screens) async fn edit(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(from): Query<From>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let mut written = Written { days: "7".into(), ..Written::default() };
    if let Some(draft) = from.draft {
        unlimited(&who)?;
        (_, written.text, written.note) = draft_of(&client, draft).await?;
    } else if let Some(key) = from.release {
        written.with = format!("release/{key}");
        written.text = other(&client, &who, &written.with).await?.1;
    } else if let Some(name) = from.profile {
        written.with = format!("profile/{name}");
        written.text = other(&client, &who, &written.with).await?.1;
    }
    drop(client);
    html(&page(&api, &who, written, None).await?)
}

async fn page(
    api: &Api,
    who: &Who,
    written: Written,
    checked: Option<Checked>,
) -> Result<Editor, Refusal> {
    let client = api.pool().take().await?;
    let tenants = who.account.tenants.as_deref();
    let releases = known::in_force(&client, ReleaseKind::Policy, tenants).await?;
    let told = |text: Text| text.within(who.tongue).to_string();
    let releases =
        releases.iter().map(|known| (format!("release/{}", known.key()), told(released(known))));
    let profiles = domain::Profile::names().into_iter();
    let profiles = profiles.map(|name| (format!("profile/{name}"), told(shipped(name))));
    let tenants = tenant::list(&client).await?.into_iter().map(|one| one.tenant);
    Ok(Editor {
        frame: Frame::new(who, "/ops/policies", "Write a policy"),
        others: releases.chain(profiles).collect(),
        tenants: tenants.filter(|tenant| who.sees(tenant)).collect(),
        change: who.may(Right::PoliciesChange),
        written,
        checked,
    })
}

/// `POST /ops/policies/edit`: checks, compares, and tries out where that is asked for. Nothing is kept.
pub(in crate::screens) async fn check(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(mut written): Form<Written>,
) -> Result<Response, Refusal> {
    written.text = lines(&written.text)?;
    let mut checked = checked(&written.text, who.tongue).await?;
    if !written.with.is_empty() {
        let (with, before) = other(&*api.pool().take().await?, &who, &written.with).await?;
        checked.changes = compare(&before, &written.text);
        checked.with = with.within(who.tongue).to_string();
    }
    if written.what == "try" && checked.problems.is_empty() {
        // Cases are ours alone: boxes try out the policy.
        let asked = (written.tenant.as_str(), written.days.as_str(), &*bare(&written.text));
        checked.replayed = Some(replay(&api, &who, asked).await?);
    }
    html(&page(&api, &who, written, Some(checked)).await?)
}

/// As files have it: browsers send carriage returns.
fn lines(text: &str) -> Result<String, Refusal> {
    let text = text.replace("\r\n", "\n");
    match text.len() <= MOST {
        true => Ok(text),
        false => Err(Refusal::bad(
            Text::from("a policy has at most {most} KiB").with("most", MOST >> 10),
        )),
    }
}

/// The policy without its cases.
fn bare(text: &str) -> String {
    let Ok(mut table) = toml::from_str::<toml::Table>(text) else { return text.to_owned() };
    match table.remove("case") {
        Some(_) => toml::to_string(&table).unwrap_or_else(|_| text.to_owned()),
        None => text.to_owned(),
    }
}

async fn checked(text: &str, tongue: Tongue) -> Result<Checked, Refusal> {
    let owned = text.to_owned();
    // Conditions are compiled and cases judged: not where calls wait, and not on all cores.
    let turn = CHECKS.acquire().await;
    let tried = tokio::task::spawn_blocking(move || {
        // Until it is done, also where nobody waits for the answer any more.
        let _turn = turn;
        Tried::read(&owned)
    });
    let tried = tried.await;
    let tried = tried.map_err(|error| {
        tracing::error!(%error, "a policy could not be checked");
        Refusal::bad("this policy could not be checked; the log says why")
    })?;
    let mut checked = Checked {
        id: None,
        problems: Vec::new(),
        cases: Vec::new(),
        rules: String::new(),
        changes: Vec::new(),
        with: String::new(),
        replayed: None,
    };
    match tried {
        Ok(Tried { policy, verdicts }) => {
            let said = |list: &[&str]| match list {
                [] => tongue.t("none").to_string(),
                list => list.join(", "),
            };
            let required: Vec<&str> = policy.required().iter().map(String::as_str).collect();
            let reasons = policy.reasons();
            let rules = tongue.t("Required detectors: {required}. Reasons: {reasons}.");
            let rules = rules.with("required", said(&required)).with("reasons", said(&reasons));
            checked.rules = rules.to_string();
            checked.id = Some(policy.id());
            checked.cases = verdicts;
        }
        Err(problems) => checked.problems = problems.0,
    }
    Ok(checked)
}

/// What a policy is compared with: as people read it, and its text.
async fn other(client: &Client, who: &Who, with: &str) -> Result<(Text, String), Refusal> {
    let missing = || Refusal::missing("there is no such policy");
    match with.split_once('/') {
        Some(("release", key)) => {
            let known = known::find(client, key).await?;
            if !visible(who, &known.lane) {
                return Err(missing());
            }
            Ok((released(&known), known.text))
        }
        Some(("profile", name)) => {
            let text = domain::Profile::embedded_text(name).ok_or_else(missing)?;
            Ok((shipped(name), text.to_owned()))
        }
        _ => Err(missing()),
    }
}

/// `POST /ops/policies/drafts`: kept, right or wrong; each time as another one.
pub(in crate::screens) async fn save(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(written): Form<Written>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let (text, note) = (lines(&written.text)?, written.note.trim());
    if text.trim().is_empty() {
        return Err(Refusal::bad("there is nothing to keep"));
    }
    if note.chars().count() > NOTE {
        let what = Text::from("a note has at most {most} characters");
        return Err(Refusal::bad(what.with("most", NOTE)));
    }
    let name = toml::from_str::<toml::Table>(&text).ok();
    let name = name.as_ref().and_then(|table| table.get("name")?.as_str());
    let name: String = name.unwrap_or("unnamed").chars().take(64).collect();
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let id = Uuid::now_v7();
    let query =
        "INSERT INTO drafts (draft, name, content, note, account) VALUES ($1, $2, $3, $4, $5)";
    within.execute(query, &[&id, &name, &text, &note, &who.account.account]).await?;
    let detail = json!({ "draft": id, "bytes": text.len() });
    let deed = Deed { action: "policy.draft", subject: name, tenant: None, why: note, detail };
    audit::note(within, api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    Ok(Redirect::to("/ops/policies?done=saved").into_response())
}

/// Name, text and note of a draft.
async fn draft_of(client: &Client, id: Uuid) -> Result<(String, String, String), Refusal> {
    let query = "SELECT name, content, note FROM drafts WHERE draft = $1";
    let row = client.query_opt(query, &[&id]).await?;
    let row = row.ok_or_else(|| Refusal::missing("there is no such draft"))?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// `GET /ops/policies/drafts/{draft}`: the file, to be signed where the release key is.
pub(in crate::screens) async fn download(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<Uuid>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let (name, text, _) = draft_of(&*api.pool().take().await?, id).await?;
    let bare: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{bare}.toml\"")),
    ];
    Ok((headers, text).into_response())
}
