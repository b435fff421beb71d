//! The API of the hub: health, metrics, boxes, verdicts, alarms. `assets/openapi.json` describes it.

mod alarms;
mod directives;
mod enrolment;
mod media;
mod metrics;
mod problem;
pub(crate) mod proof;
mod rate;
mod requests;
pub(crate) mod server;
mod verdicts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::journal::BoxId;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::account::oidc::Provider;
use crate::account::session::Who;
use crate::authority::Issuer;
use crate::receipt::HubKey;
use crate::requests::Desk;
use crate::review::queue::Count;
use crate::review::tally::Tally;
use crate::session::Sessions;
use crate::{Pool, fleet, schema, screens, tenant, token};
use problem::Problem;

/// The API, kept by hand; a test holds it against the routes.
const OPENAPI: &str = include_str!("../../assets/openapi.json");

/// How long the database may take to answer whether the hub is ready.
const READY: Duration = Duration::from_secs(2);

/// Most bytes of a body: what boxes send that ask for a certificate.
const BODY_BYTES: usize = 16 << 10;

/// How long a call may take, its body included.
const CALL: Duration = Duration::from_secs(30);

/// What calls need.
#[derive(Clone, Debug)]
pub struct Api {
    pool: Arc<Pool>,
    sessions: Arc<Sessions>,
    door: Option<Arc<Door>>,
    key: Option<Arc<HubKey>>,
    /// Whether the broker hands over what boxes say; nothing where there is none.
    broker: Option<watch::Receiver<bool>>,
    desk: Option<Desk>,
    /// Who else says who somebody is.
    provider: Option<Arc<Provider>>,
    /// Logins that failed at this node.
    refused: Arc<AtomicU64>,
    /// Moves when the queue of reviews has changed.
    news: watch::Receiver<u64>,
    tally: Arc<Tally>,
    /// Whether the hub stops: what goes on for ever ends then.
    stopped: watch::Receiver<bool>,
}

/// What boxes meet that come for a certificate.
#[derive(Debug)]
struct Door {
    issuer: Arc<Issuer>,
    hub_key: Vec<u8>,
    rate: rate::Rate,
}

impl Api {
    /// Over these sessions, with connections of its own, so that no query waits for the ingest or the other way round.
    pub fn new(pool: Arc<Pool>, sessions: Arc<Sessions>) -> Self {
        Self {
            pool,
            sessions,
            door: None,
            key: None,
            broker: None,
            desk: None,
            provider: None,
            refused: Arc::default(),
            news: watch::channel(0).1,
            tally: Arc::default(),
            stopped: watch::channel(false).1,
        }
    }

    /// Directives may be ordered; this key signs them.
    pub fn ordering(self, key: Arc<HubKey>) -> Self {
        Self { key: Some(key), ..self }
    }

    /// People may come by a provider of identities.
    pub fn believing(self, provider: Option<Arc<Provider>>) -> Self {
        Self { provider, ..self }
    }

    pub(crate) fn provider(&self) -> Option<&Provider> {
        self.provider.as_deref()
    }

    pub(crate) fn provider_label(&self) -> Option<&str> {
        self.provider().map(Provider::label)
    }

    /// Hears when the queue of reviews changes, and when the hub stops.
    pub fn told(self, news: watch::Receiver<u64>, stopped: watch::Receiver<bool>) -> Self {
        Self { news, stopped, ..self }
    }

    /// Comes when the hub stops.
    pub(crate) fn ending(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.stopped.clone();
        async move {
            // Without a hub around it, as in a test, nothing ever stops.
            if stopped.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn hub_key(&self) -> Result<&HubKey, crate::Error> {
        let none = || crate::Error::Invalid("this hub has no key".into());
        self.key.as_deref().ok_or_else(none)
    }

    /// Counts a login that failed, whoever it was.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn asks(&self) -> Option<&Desk> {
        self.desk.as_ref()
    }

    pub(crate) fn issuer(&self) -> Option<&Issuer> {
        self.door.as_deref().map(|door| door.issuer.as_ref())
    }

    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// How much waits in the queue for somebody, from the count that all share.
    pub(crate) async fn counts(&self, who: &Who) -> Result<Vec<Count>, crate::Error> {
        let news = *self.news.borrow();
        self.tally.counts(&self.pool, who, news).await
    }

    fn key(&self) -> Result<&HubKey, Problem> {
        let none = || Problem::missing("this hub has no key to sign directives with");
        self.key.as_deref().ok_or_else(none)
    }

    /// Boxes may be asked.
    pub fn asking(self, desk: Desk) -> Self {
        Self { desk: Some(desk), ..self }
    }

    fn desk(&self) -> Result<&Desk, Problem> {
        self.desk.as_ref().ok_or_else(|| Problem::missing("this hub asks no boxes"))
    }

    /// Tells whether the broker is heard, where there is one.
    pub fn hearing(self, broker: Option<watch::Receiver<bool>>) -> Self {
        Self { broker, ..self }
    }

    /// Boxes may come for certificates; they are told the hub's public key.
    pub fn enrolling(self, issuer: Arc<Issuer>, hub_key: &[u8]) -> Self {
        let door = Door { issuer, hub_key: hub_key.to_vec(), rate: rate::Rate::default() };
        Self { door: Some(Arc::new(door)), ..self }
    }

    /// All routes.
    pub fn router(self) -> Router {
        let large = DefaultBodyLimit::max(directives::BODY_BYTES);
        let policies = DefaultBodyLimit::max(requests::BODY_BYTES);
        let guarded = Router::new()
            .route("/v1/boxes", get(boxes))
            .route("/v1/boxes/{box}", get(one_box))
            .route("/v1/boxes/{box}/requests", post(requests::ask).layer(policies))
            .route("/v1/verdicts", get(verdicts::list))
            .route("/v1/verdicts/{box}/{submission}/proof", get(proof::proof))
            .route("/v1/media", get(media::list))
            .route("/v1/alarms", get(alarms::list))
            .route("/v1/alarms/{box}/{alarm}/resolve", post(alarms::resolve))
            .route("/v1/directives", get(directives::list).post(directives::give).layer(large))
            .route("/v1/directives/receipts", get(directives::receipts))
            .route("/v1/directives/lost", get(directives::lost))
            .route("/v1/tenants", get(tenants))
            .route_layer(from_fn_with_state(self.clone(), guard));
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics::metrics))
            .route("/openapi.json", get(openapi))
            .route("/v1/authority", get(enrolment::authority))
            .route("/v1/enrol", post(enrolment::enrol))
            .route("/v1/renew", post(enrolment::renew))
            .merge(guarded)
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .merge(screens::router(&self))
            .fallback(async || Problem::not_found())
            .layer(from_fn(in_time))
            .with_state(self)
    }
}

/// Nobody keeps a connection to the database by sending slowly.
async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(CALL, next.run(request)).await;
    answer.unwrap_or_else(|_| Problem::too_slow().into_response())
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

/// Lets nobody through without a token in force.
async fn guard(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let secret = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, secret)) = secret else { return Err(Problem::unauthorised()) };
    let holder = token::holder(&*api.pool.take().await?, secret.trim()).await?;
    let Some(holder) = holder else { return Err(Problem::unauthorised()) };
    request.extensions_mut().insert(holder);
    Ok(next.run(request).await)
}

/// Ready: the database answers, and has the schema of this release.
async fn ready(State(api): State<Api>) -> Response {
    let check = async { schema::check(&*api.pool.take().await?).await };
    match tokio::time::timeout(READY, check).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

async fn boxes(State(api): State<Api>) -> Result<axum::Json<Value>, Problem> {
    let boxes = fleet::list(&*api.pool.take().await?).await?;
    Ok(axum::Json(json!({ "boxes": boxes })))
}

async fn tenants(State(api): State<Api>) -> Result<axum::Json<Value>, Problem> {
    let tenants = tenant::list(&*api.pool.take().await?).await?;
    Ok(axum::Json(json!({ "tenants": tenants })))
}

async fn one_box(
    State(api): State<Api>,
    Path(of): Path<String>,
) -> Result<axum::Json<fleet::Member>, Problem> {
    let of: BoxId = of.parse().map_err(|_| Problem::bad(format!("`{of}` is no UUID")))?;
    Ok(axum::Json(fleet::show(&*api.pool.take().await?, of).await?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_document_names_every_route() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let routes: Vec<&str> = include_str!("mod.rs")
            .split(".route(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|route| route.starts_with('/'))
            .collect();
        let mut told: Vec<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut routes = routes;
        routes.sort_unstable();
        told.sort_unstable();
        assert_eq!(routes, told);
    }
}
