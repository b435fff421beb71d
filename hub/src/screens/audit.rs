//! The audit journal: filtered, verified, taken out by links that are signed and run out; taking out is noted, too.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::journal::Sha256;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::extract::{Form, Query};
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::session::Who;
use crate::audit::{self, Checked, Deed};
use crate::http::Api;

/// Entries of a page, and of an export.
const PAGE: i64 = 100;
const EXPORT: i64 = 100_000;

/// How long a link holds, in seconds.
const LINK_S: u64 = 600;

/// What to show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    actor: String,
    action: String,
    subject: String,
    before: String,
    verify: String,
    /// Of a form: `csv` or `json`.
    format: String,
}

struct Line {
    seq: i64,
    at: f64,
    actor: String,
    action: String,
    subject: String,
    why: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    wanted: Wanted,
    lines: Vec<Line>,
    next: Option<i64>,
    actions: Vec<String>,
    checked: Option<Checked>,
    link: Option<(String, String)>,
}

impl Audit {
    fn is(&self, action: &str) -> bool {
        self.wanted.action == action
    }
}

/// `GET /ops/audit`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    html(&page(&api, &who, wanted, None).await?)
}

async fn page(
    api: &Api,
    who: &Who,
    wanted: Wanted,
    link: Option<(String, String)>,
) -> Result<Audit, Refusal> {
    let client = api.pool().take().await?;
    let rows = rows(&client, who, &wanted, PAGE + 1).await?;
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let next = rows.get(most - 1).filter(|_| rows.len() > most).map(|(seq, ..)| *seq);
    let checked = match wanted.verify.is_empty() {
        true => None,
        false => Some(audit::verify(&client, api.hub_key()?).await?),
    };
    let actions = client.query("SELECT DISTINCT action FROM audit ORDER BY 1", &[]).await?;
    Ok(Audit {
        frame: Frame::new(who, "/ops/audit", "Audit"),
        lines: rows.iter().take(most).map(|(_, record)| line(record)).collect(),
        next,
        actions: actions.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
        wanted,
        checked,
        link,
    })
}

/// Numbers and entries, newest first. Who may see some tenants' only sees no others'.
async fn rows(
    client: &Client,
    who: &Who,
    wanted: &Wanted,
    most: i64,
) -> Result<Vec<(i64, Value)>, Refusal> {
    let before: i64 = match wanted.before.as_str() {
        "" => i64::MAX,
        text => text.parse().map_err(|_| Refusal::bad("before: a number of an entry"))?,
    };
    let query = "SELECT seq, record FROM audit WHERE seq < $1 AND ($2 = '' OR actor = $2) AND ($3 = '' OR action = $3)
        AND ($4 = '' OR subject = $4 OR subject LIKE '%/' || $4) AND ($5::text[] IS NULL OR tenant = ANY($5)) ORDER BY seq DESC LIMIT $6";
    let tenants = &who.account.tenants;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&before, &wanted.actor, &wanted.action, &wanted.subject, tenants, &most];
    let rows = client.query(query, &parameters).await?;
    let row = |row: &tokio_postgres::Row| {
        let record: &[u8] = row.try_get(1)?;
        Ok((row.try_get(0)?, serde_json::from_slice(record).unwrap_or_default()))
    };
    Ok(rows.iter().map(row).collect::<Result<_, tokio_postgres::Error>>()?)
}

fn line(record: &Value) -> Line {
    let word = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let detail = &record["detail"];
    Line {
        seq: record["seq"].as_i64().unwrap_or_default(),
        at: record["at_ms"].as_f64().unwrap_or_default() / 1000.0,
        actor: word("actor"),
        action: word("action"),
        subject: word("subject"),
        why: word("why"),
        detail: if detail.as_object().is_none_or(|all| all.is_empty()) {
            String::new()
        } else {
            detail.to_string()
        },
    }
}

/// `POST /ops/audit/export`: a link to what the filters show, good for ten minutes and for whoever asked.
pub(super) async fn export(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Refusal> {
    if !matches!(wanted.format.as_str(), "csv" | "json") {
        return Err(Refusal::bad("format: csv or json"));
    }
    let until = crate::account::now_s() + LINK_S;
    let link = form_urlencoded::Serializer::new(String::new())
        .append_pair("actor", &wanted.actor)
        .append_pair("action", &wanted.action)
        .append_pair("subject", &wanted.subject)
        .append_pair("format", &wanted.format)
        .append_pair("until", &until.to_string())
        .finish();
    let seal = seal(&api, &who, &link)?;
    let mut client = api.pool().take().await?;
    let deed = Deed {
        action: "audit.export",
        subject: wanted.format.clone(),
        tenant: None,
        why: "",
        detail: json!({ "actor": wanted.actor, "action": wanted.action, "subject": wanted.subject, "until": until }),
    };
    audit::note_alone(&mut client, api.hub_key()?, (&who).into(), &deed).await?;
    drop(client);
    let address = format!("/ops/audit/download?{link}&seal={seal}");
    let format = wanted.format.clone();
    html(&page(&api, &who, wanted, Some((address, format))).await?)
}

/// Over the link and whose it is, by the hub's key: every node knows it again.
fn seal(api: &Api, who: &Who, link: &str) -> Result<String, Refusal> {
    let bytes = format!("weir export 1\0{}\0{link}", who.account.account);
    Ok(Sha256::of(&api.hub_key()?.attest(bytes.as_bytes())).to_string())
}

/// `GET /ops/audit/download`: what a link promises.
pub(super) async fn download(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let over = || {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "this link is not yours, was changed, or has run out: make another",
        )
    };
    let (link, told) = query.rsplit_once("&seal=").ok_or_else(over)?;
    if Sha256::of(seal(&api, &who, link)?.as_bytes()) != Sha256::of(told.as_bytes()) {
        return Err(over());
    }
    let value = |key: &str| {
        let found = form_urlencoded::parse(link.as_bytes()).find(|(own, _)| own == key);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let until: u64 = value("until").parse().map_err(|_| over())?;
    if until < crate::account::now_s() {
        return Err(over());
    }
    let (actor, action, subject) = (value("actor"), value("action"), value("subject"));
    let wanted = Wanted { actor, action, subject, ..Wanted::default() };
    let rows = rows(&*api.pool().take().await?, &who, &wanted, EXPORT).await?;
    let records: Vec<Value> = rows.into_iter().map(|(_, record)| record).collect();
    let (kind, name, text) = match value("format").as_str() {
        "csv" => ("text/csv; charset=utf-8", "weir-audit.csv", csv(&records)),
        _ => ("application/json", "weir-audit.json", json!({ "audit": records }).to_string()),
    };
    let attachment = format!("attachment; filename=\"{name}\"");
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, attachment)], text)
        .into_response())
}

/// RFC 4180. What a spreadsheet would take for a formula gets an apostrophe before it.
fn csv(records: &[Value]) -> String {
    const COLUMNS: [&str; 9] =
        ["seq", "at_ms", "actor", "account", "remote", "action", "subject", "tenant", "why"];
    let mut text = format!("{},detail\r\n", COLUMNS.join(","));
    for record in records {
        for key in COLUMNS.iter().chain(&["detail"]) {
            let value = match &record[*key] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            if *key != "seq" {
                text.push(',');
            }
            let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
            text.push('"');
            text.push_str(if formula { "'" } else { "" });
            text.push_str(&value.replace('"', "\"\""));
            text.push('"');
        }
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_computes_nothing() {
        let record = json!({ "seq": 1, "at_ms": 2, "actor": "=HYPERLINK(\"x\")", "why": "a \"b\", c", "detail": { "a": 1 } });
        let text = csv(&[record]);
        let row = text.lines().nth(1).unwrap_or_default();
        assert_eq!(
            row,
            "\"1\",\"2\",\"'=HYPERLINK(\"\"x\"\")\",\"\",\"\",\"\",\"\",\"\",\"a \"\"b\"\", c\",\"{\"\"a\"\":1}\""
        );
    }
}
