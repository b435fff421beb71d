//! A tenant's own hash lists.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use domain::Category;
use domain::journal::{Code, ItemId, Sha256, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{BankEntry, Hash, NewBankEntry};

use super::body;
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use super::view;
use crate::serve::rematch::{self, Rematched};
use crate::serve::{App, lists};

/// Bits in which a PDQ may differ unless told otherwise (Meta's recommendation).
const DISTANCE: u16 = 31;

/// An entry as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    kind: Kind,
    hash: String,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    negative: bool,
    #[serde(default, deserialize_with = "body::whole")]
    distance: Option<u16>,
    #[serde(default)]
    protected: bool,
    /// Counts like a person's word unless told otherwise: whoever keeps lists may decide.
    #[serde(default)]
    verified: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Sha256,
    Pdq,
}

impl Asked {
    fn entry(self) -> Outcome<NewBankEntry> {
        let bits: Sha256 = self
            .hash
            .parse()
            .map_err(|_| Problem::invalid("hash", "`hash` has 64 hexadecimal digits"))?;
        let hash = match (self.kind, self.distance) {
            (Kind::Sha256, None) => Hash::Sha256(bits),
            (Kind::Sha256, Some(_)) => {
                return Err(Problem::invalid("distance", "`distance` goes with `pdq` only"));
            }
            (Kind::Pdq, distance) => Hash::Pdq(bits.0, distance.unwrap_or(DISTANCE)),
        };
        if matches!(hash, Hash::Pdq(_, distance) if distance > lists::FARTHEST) {
            return Err(Problem::invalid(
                "distance",
                format!("`distance` is 0 to {}", lists::FARTHEST),
            ));
        }
        let label = match (self.negative, &self.category) {
            (true, _) if self.kind == Kind::Sha256 => {
                let detail =
                    "a SHA-256 is never nearer than another, so it could clear nothing; use `pdq`";
                return Err(Problem::invalid("negative", detail));
            }
            (true, None) if !self.protected && self.verified.is_none() => "negative".to_owned(),
            (true, _) => {
                let detail = "what clears has no `category`, `protected` or `verified`";
                return Err(Problem::invalid("negative", detail));
            }
            (false, category) => {
                lists::label(read_category(category.as_deref())?, self.verified.unwrap_or(true))
            }
        };
        let label = Code::lossy(&label);
        Ok(NewBankEntry { negative: self.negative, hash, label, protected: self.protected })
    }
}

fn read_category(category: Option<&str>) -> Outcome<Category> {
    category.and_then(|slug| slug.parse().ok()).ok_or_else(|| {
        let known = Category::slugs().join(", ");
        Problem::invalid("category", format!("`category` is one of {known}"))
    })
}

/// `POST /v1/hashes`: in force for the next item, and matched with what was seen before the answer goes out.
pub async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Outcome<(StatusCode, Json<Value>)> {
    caller.may(Scope::Review)?;
    let entry = body::object::<Asked>(request).await?.entry()?;
    let tenant = caller.tenant.clone();
    let id = app.store.add_bank_entry(tenant.clone(), entry.clone(), caller.actor).await?;
    let new = entry.clone();
    let rematched =
        apart(&app, tenant, move |app, tenant| rematch::added(app, tenant, &new)).await?;
    let mut view = of_entry(&entry);
    view["id"] = json!(id);
    view["matched"] = json!(rematched.matched);
    view["changed"] = json!(rematched.changed);
    Ok((StatusCode::CREATED, Json(view)))
}

/// `DELETE /v1/hashes/{id}`.
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Review)?;
    let id: ItemId = id.parse().map_err(|_| Problem::not_found("hash"))?;
    let tenant = caller.tenant.clone();
    let gone = match app.store.remove_bank_entry(tenant.clone(), id, caller.actor).await {
        Ok(gone) => gone,
        Err(error) => {
            // A call that broke off may have taken it away and judged nothing again: that is made good, whatever the answer.
            if let Some(gone) = removed(&app, tenant.clone(), id).await? {
                after_removal(&app, tenant, gone).await?;
            }
            return Err(error.into());
        }
    };
    let rematched = after_removal(&app, tenant, gone).await?;
    Ok(Json(json!({ "id": id, "matched": rematched.matched, "changed": rematched.changed })))
}

/// An entry that was taken away before.
async fn removed(app: &App, tenant: TenantId, id: ItemId) -> Outcome<Option<NewBankEntry>> {
    let all = app.read(move |store| store.bank_entries(&tenant, 0)).await?;
    let found = all.into_iter().find(|row| row.id == id && row.removed_at.is_some());
    Ok(found.map(|row| row.entry))
}

/// What an entry held up is judged again.
async fn after_removal(app: &Arc<App>, tenant: TenantId, gone: NewBankEntry) -> Outcome<Rematched> {
    if gone.negative {
        // What it cleared is not told apart from what never matched; it speaks again at the next upload.
        return Ok(Rematched::default());
    }
    apart(app, tenant, move |app, tenant| rematch::cleared(app, tenant, &gone.hash)).await
}

/// Runs what blocks away from the threads that serve.
async fn apart(
    app: &Arc<App>,
    tenant: TenantId,
    work: impl FnOnce(&Arc<App>, &TenantId) -> Result<Rematched, store::Error> + Send + 'static,
) -> Outcome<Rematched> {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || work(&app, &tenant)).await;
    Ok(done.map_err(|error| Problem::internal(&error))??)
}

/// What to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    limit: Option<u32>,
    cursor: Option<u64>,
}

/// `GET /v1/hashes`: entries in force, oldest first.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<Listing>, QueryRejection>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Review).or_else(|_| caller.may(Scope::Read))?;
    let Query(listing) = query.map_err(|e| Problem::bad("query", e.body_text()))?;
    let limit = body::page(listing.limit)?;
    let (tenant, after) = (caller.tenant, listing.cursor.unwrap_or(0));
    let mut found = app.read(move |store| store.bank_entries(&tenant, after)).await?;
    found.retain(|entry| entry.removed_at.is_none());
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|entry| entry.version);
    let items: Vec<Value> = found.iter().map(of_row).collect();
    Ok(Json(json!({ "items": items, "next": next })))
}

fn of_row(row: &BankEntry) -> Value {
    let mut view = of_entry(&row.entry);
    view["id"] = json!(row.id);
    view["added_at"] = view::time(row.added_at);
    view
}

fn of_entry(entry: &NewBankEntry) -> Value {
    let (kind, hash, distance) = match entry.hash {
        Hash::Sha256(sha256) => ("sha256", sha256, None),
        Hash::Pdq(pdq, distance) => ("pdq", Sha256(pdq), Some(distance)),
    };
    let category = Some(lists::category_of(entry)).filter(|slug| !slug.is_empty());
    json!({
        "kind": kind,
        "hash": hash,
        "distance": distance,
        "category": category,
        "negative": entry.negative,
        "protected": entry.protected,
        "verified": !entry.negative && lists::is_verified(entry),
    })
}
