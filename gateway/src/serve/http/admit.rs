//! Takes submissions in: bytes into the spool, rows into the store, and only then an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{Extension, FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::journal::{Sha256, SubmissionId};
use domain::{Format, MediaKind, Profile};
use futures_util::StreamExt as _;
use store::{Acceptance, NewMedia, NewSubmission, StoredMedia};

use super::body::{self, META_BYTES, Meta};
use super::caller::{Caller, Scope};
use super::gatekeeper::CallerAddress;
use super::meter::Meter;
use super::problem::{Outcome, Problem};
use super::submissions;
use crate::serve::App;
use crate::serve::progress::{Event, Stage};
use crate::serve::spool::Kept;

/// What a body in parts consists of.
const PARTS: &str = "send one part `meta` (JSON), and up to 9 parts `media`";

/// Bytes that a part may have besides its data.
const PART_BYTES: u64 = 64 << 10;

/// Longest `Prefer: wait`, in seconds.
const LONGEST_WAIT: u64 = 60;

/// How long a refused body is read, and how much of it: a photo, not a film.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 8 << 20;

/// `POST /v1/submissions`.
pub async fn post(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(from): Extension<CallerAddress>,
    request: Request,
) -> Outcome<Response> {
    admit(&app, &caller, from, None, request).await
}

/// `PUT /v1/submissions/{id}`: the client chooses the name.
pub async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(from): Extension<CallerAddress>,
    Path(id): Path<String>,
    request: Request,
) -> Outcome<Response> {
    let id: Option<SubmissionId> = id.parse().ok();
    match id.filter(|id| id.is_v7()) {
        Some(id) => admit(&app, &caller, from, Some(id), request).await,
        None => Err(Problem::invalid("id", "the name of a submission is a UUID of version 7")),
    }
}

async fn admit(
    app: &Arc<App>,
    caller: &Caller,
    from: CallerAddress,
    id: Option<SubmissionId>,
    request: Request,
) -> Outcome<Response> {
    if let Err(problem) = caller.may(Scope::Submit).and_then(|()| app.refuse_when_loaded()) {
        linger(request);
        return Err(problem);
    }
    // The profile alone: a body may take minutes, and whatever a reload replaced meanwhile should go.
    let profile = Arc::clone(&app.tenant(&caller.tenant)?.profile);
    let headers = request.headers().clone();
    let key = body::idempotency_key(&headers)?;
    let wait = body::wait_seconds(&headers, LONGEST_WAIT);
    let request = match id {
        Some(id) => told(app, caller, id, request),
        // Nobody can listen to a name that is not known before the answer.
        None => request,
    };
    let taking = take(app, &profile, request);
    let (meta, kept) =
        tokio::time::timeout(app.config.limits.body, taking).await.map_err(|_| body::slow())??;
    let arrived = kept.0.iter().map(|kept| kept.arrived).max().unwrap_or_else(Instant::now);
    let tenant = app.tenant(&caller.tenant)?;
    let new = NewSubmission {
        id: id.unwrap_or_else(|| SubmissionId(uuid::Uuid::now_v7())),
        tenant: caller.tenant.clone(),
        actor: caller.actor.clone(),
        surface: meta.surface(&tenant.profile.surfaces)?,
        language: meta.language()?,
        author: meta.author.as_deref().map(|author| tenant.author_key(author)),
        priority: meta.priority,
        critical: false,
        client_tag: meta.client_tag.clone(),
        idempotency_key: key,
        request: fingerprint(&meta, &kept.0),
        ip: Some(from.0),
        caption: meta.text.clone(),
        media: media(&meta, &kept.0),
        per_author_hour: tenant.profile.limits.per_author_hour,
        ladder: tenant.ladder(),
    };
    // From here on the bytes may have an owner, whether this call lives to see it or not; if they have none, the sweep
    // at the next start finds them.
    let guard = kept.release();
    let accepted = app.store.accept(new).await;
    if is_ownerless(&accepted) {
        guard.forget();
    }
    let accepted = accepted?;
    app.metrics.accepted(arrived.elapsed());
    app.desk.hour.accepted();
    if matches!(accepted, Acceptance::New(_)) {
        app.progress.tell(&caller.tenant, accepted.id(), Stage::Queued);
    }
    app.work_ready.notify_one();
    answer(app, caller, accepted, wait).await
}

/// A request whose arrival is told to those who listen to its name.
fn told(app: &Arc<App>, caller: &Caller, id: SubmissionId, request: Request) -> Request {
    let total = request.headers().get(header::CONTENT_LENGTH);
    let total: Option<u64> = total.and_then(|v| v.to_str().ok()?.parse().ok());
    let (app, tenant) = (Arc::clone(app), caller.tenant.clone());
    let mut here = 0;
    request.map(|body| {
        let counted = body.into_data_stream().inspect(move |chunk| {
            here += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
            let event = Event::bytes(Stage::Uploading, None, here, total);
            app.progress.tell(&tenant, id, event);
        });
        Body::from_stream(counted)
    })
}

/// Lets a client finish sending what is refused already, within bounds: one whose bytes nobody reads finds a broken
/// connection where the answer should be.
fn linger(request: Request) {
    let mut body = request.into_body().into_data_stream();
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        let mut count = 0;
        while let Some(Ok(chunk)) = body.next().await {
            count += chunk.len();
            if count > LINGER_BYTES {
                break;
            }
        }
    }));
}

/// Whether the bytes certainly belong to nobody. Where the store broke instead of refusing, the rows may be on the disk.
fn is_ownerless(accepted: &Result<Acceptance, store::Error>) -> bool {
    use store::Error as E;
    match accepted {
        Ok(Acceptance::New(_)) => false,
        Ok(Acceptance::Same(_)) => true,
        Err(error) => matches!(
            error,
            E::Busy(_)
                | E::Full
                | E::Conflict(_)
                | E::AuthorLimit { .. }
                | E::Barred { .. }
                | E::Invalid(_)
        ),
    }
}

/// Bytes from the network: `meta` and the media, all durable.
async fn take<'a>(
    app: &'a App,
    profile: &Profile,
    request: Request,
) -> Outcome<(Meta, Ownerless<'a>)> {
    refuse_too_large(profile, request.headers())?;
    let media_type = body::media_type(request.headers());
    let (meta, kept) = match media_type.as_str() {
        "application/json" => {
            (Meta::parse(&body::small_body(request).await?)?, Ownerless(Vec::new(), app))
        }
        "multipart/form-data" => take_parts(app, profile, request).await?,
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                "send multipart/form-data (`meta`, then `media`), or application/json",
            ));
        }
    };
    let count = kept.0.len() + meta.media.len();
    let most = most_media(profile);
    if count > most {
        Err(too_many(most))
    } else if count == 0 && meta.text.is_none() {
        Err(Problem::invalid("media", "a submission has `text`, or 1 to 9 media, or both"))
    } else if !kept.0.is_empty() && !meta.media.is_empty() {
        Err(Problem::invalid("media", "send media either as parts or as addresses, not both"))
    } else {
        Ok((meta, kept))
    }
}

/// Refuses a body that is too large by its own word, before any of it is read.
fn refuse_too_large(profile: &Profile, headers: &HeaderMap) -> Outcome<()> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let limits = &profile.limits;
    let most = (limits.max_bytes + PART_BYTES) * most_media(profile) as u64 + META_BYTES as u64;
    if said.is_some_and(|said: u64| said > most) {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("a submission has at most {most} bytes here, and this one says more"),
        ));
    }
    Ok(())
}

fn most_media(profile: &Profile) -> usize {
    (profile.limits.max_media as usize).min(store::MOST_MEDIA)
}

fn too_many(most: usize) -> Problem {
    Problem::invalid("media", format!("a submission has at most {most} media here"))
}

/// Kept bytes without an owner; they go when this does.
struct Ownerless<'a>(Vec<Kept>, &'a App);

impl<'a> Ownerless<'a> {
    /// Lets them be, unless [`Released::forget`] is called on what is returned.
    fn release(mut self) -> Released<'a> {
        Released(self.0.drain(..).map(|kept| kept.name).collect(), self.1)
    }
}

impl Drop for Ownerless<'_> {
    fn drop(&mut self) {
        self.1.forget_blobs(self.0.drain(..).map(|kept| kept.name).collect());
    }
}

/// Names of bytes that may have found an owner.
struct Released<'a>(Vec<String>, &'a App);

impl Released<'_> {
    fn forget(self) {
        self.1.forget_blobs(self.0);
    }
}

async fn take_parts<'a>(
    app: &'a App,
    profile: &Profile,
    request: Request,
) -> Outcome<(Meta, Ownerless<'a>)> {
    body::refuse_encoded(request.headers())?;
    let meter = Meter::default();
    // Over when all parts are durable, or refused.
    let turn = app.turns.turn();
    let request = request.map(|body| meter.body(turn.body(body)));
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::bad("multipart", error.body_text()))?;
    let mut kept = Ownerless(Vec::new(), app);
    // `meta` first is best: what it says wrongly is then told before the media are sent. Some clients order by name.
    let mut meta = None;
    loop {
        meter.came_out(0);
        let Some(field) = parts.next_field().await.map_err(|e| broken(&e))? else { break };
        match field.name() {
            Some("meta") if meta.is_none() => meta = Some(read_meta(field, &meter).await?),
            Some("media") if kept.0.len() == most_media(profile) => {
                return Err(too_many(most_media(profile)));
            }
            Some("media") => kept.0.push(keep(app, profile, field, &meter).await?),
            _ => return Err(Problem::bad("multipart", PARTS)),
        }
    }
    let meta = meta.ok_or_else(|| Problem::bad("multipart", PARTS))?;
    Ok((meta, kept))
}

async fn read_meta(mut field: Field<'_>, meter: &Meter) -> Outcome<Meta> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next(&mut field, meter).await? {
        if bytes.len() + chunk.len() > META_BYTES {
            let detail = format!("`meta` has at most {META_BYTES} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        bytes.extend_from_slice(&chunk);
    }
    Meta::parse(&bytes)
}

/// The next piece of a part.
async fn next(field: &mut Field<'_>, meter: &Meter) -> Outcome<Option<Bytes>> {
    meter.came_out(0);
    let chunk = field.chunk().await.map_err(|e| broken(&e))?;
    meter.came_out(chunk.as_ref().map_or(0, Bytes::len));
    Ok(chunk)
}

async fn keep(app: &App, profile: &Profile, mut field: Field<'_>, meter: &Meter) -> Outcome<Kept> {
    let mut upload = app.spool.upload(profile.limits.max_bytes);
    let mut some = false;
    while let Some(chunk) = next(&mut field, meter).await? {
        some |= !chunk.is_empty();
        upload.push(&chunk).await?;
    }
    if !some {
        return Err(Problem::invalid("media", "a part `media` is empty"));
    }
    Ok(upload.finish().await?)
}

fn broken(error: &axum::extract::multipart::MultipartError) -> Problem {
    // A body that breaks off or does not end is the client's doing; the library counts it as ours.
    let status = Some(error.status()).filter(StatusCode::is_client_error);
    Problem::new(status.unwrap_or(StatusCode::BAD_REQUEST), "multipart", error.body_text())
}

fn media(meta: &Meta, kept: &[Kept]) -> Vec<NewMedia> {
    let stored = kept.iter().map(|kept| {
        NewMedia::Stored(StoredMedia {
            sha256: Sha256(kept.sha256),
            bytes: kept.bytes,
            kind: kind(kept.format),
            blob: kept.name.clone(),
        })
    });
    stored.chain(meta.media.iter().map(|m| NewMedia::Address(m.url.clone()))).collect()
}

/// What a format promises, before anything is decoded.
fn kind(format: Format) -> MediaKind {
    match format {
        Format::Text => MediaKind::Text,
        _ if format.is_still() => MediaKind::Image,
        _ => MediaKind::Unknown,
    }
}

/// Over all that the client asked, so that a repeated request is known and another one is refused. An address counts
/// without its query: a presigned one is signed anew for each try.
fn fingerprint(meta: &Meta, kept: &[Kept]) -> Sha256 {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let text = |value: &Option<String>| {
        value.clone().map_or(b"-".to_vec(), |v| [b"+", v.as_bytes()].concat())
    };
    for value in [&meta.surface, &meta.author, &meta.text, &meta.language, &meta.client_tag] {
        parts.push(text(value));
    }
    parts.push(vec![meta.priority]);
    parts.extend(kept.iter().map(|k| k.sha256.to_vec()));
    for address in &meta.media {
        let plain = address.url.split(['?', '#']).next().unwrap_or_default();
        parts.push([b"@", plain.as_bytes()].concat());
    }
    // Each with its length, so that no two lists run together.
    let framed: Vec<u8> = parts
        .iter()
        .flat_map(|part| [&(part.len() as u64).to_le_bytes()[..], part].concat())
        .collect();
    Sha256::of(&framed)
}

async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    accepted: Acceptance,
    wait: Option<u64>,
) -> Outcome<Response> {
    let id = accepted.id();
    if let Some(seconds) = wait {
        app.settled(&caller.tenant, id, Duration::from_secs(seconds)).await;
        let view = submissions::view_of(app, &caller.tenant, id).await?;
        if view["status"] != "pending" {
            return Ok((StatusCode::OK, Json(view)).into_response());
        }
    }
    let view = serde_json::json!({
        "id": id,
        "status": "pending",
        "links": {
            "self": format!("/v1/submissions/{id}"),
            "events": format!("/v1/submissions/{id}/events"),
        },
    });
    let mut headers = HeaderMap::new();
    if let Ok(location) = format!("/v1/submissions/{id}").parse() {
        headers.insert(header::LOCATION, location);
    }
    if wait.is_some() {
        headers.insert("preference-applied", header::HeaderValue::from_static("wait"));
    }
    Ok((StatusCode::ACCEPTED, headers, Json(view)).into_response())
}
