//! What a technician may do, behind the PIN: self-test, support bundle, drain and resume. Each in the journal.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Form, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::journal::{Actor, Code};
use serde::Deserialize;

use super::html::Text;
use super::session::{COOKIE, SESSION};
use super::{bundle, self_test, show, words};
use crate::pin;
use crate::serve::App;
use crate::serve::http::{CallerAddress, Problem};

/// Longest PIN that is looked at: longer ones are not even hashed.
const PIN_BYTES: usize = 64;

/// The PIN as it is sent.
#[derive(Deserialize)]
pub struct PinForm {
    pin: String,
}

/// Every other form.
#[derive(Deserialize)]
pub struct TokenForm {
    token: String,
}

/// What the section of actions shows.
pub enum Door {
    /// No PIN is set.
    NoPin,
    /// The PIN is asked for; with a word on why it was not right.
    Closed(Option<String>),
    /// In: the token of the forms, and how long it holds.
    Open(String, Duration),
}

/// What the caller finds.
///
/// # Errors
/// Where the database cannot be read.
pub async fn door(app: &Arc<App>, headers: &HeaderMap) -> Result<Door, Problem> {
    if app.read(|store| store.pin()).await?.is_none() {
        return Ok(Door::NoPin);
    }
    let session = cookie(headers).and_then(|c| app.desk.sessions.token(app.desk.hour.age(), &c));
    Ok(match session {
        Some((token, left)) => Door::Open(token, left),
        None => Door::Closed(None),
    })
}

/// The value of our cookie.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    values
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then(|| value.to_owned()))
}

/// `POST /page/pin`.
pub async fn enter(
    State(app): State<Arc<App>>,
    Extension(CallerAddress(from)): Extension<CallerAddress>,
    headers: HeaderMap,
    Form(form): Form<PinForm>,
) -> Result<Response, Problem> {
    let Some(kept) = app.read(|store| store.pin()).await? else {
        return show::page(&app, StatusCode::FORBIDDEN, Door::NoPin).await;
    };
    let sessions = &app.desk.sessions;
    let attempt = match sessions.attempt(app.desk.hour.age(), from) {
        Ok(attempt) => attempt,
        Err(wait) => {
            let why = format!(
                "Too many wrong PINs. Try again in {}, or set a new PIN on the box: weir pin set.",
                words::span(wait)
            );
            let door = Door::Closed(Some(why));
            let mut answer = show::page(&app, StatusCode::TOO_MANY_REQUESTS, door).await?;
            answer.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
            return Ok(answer);
        }
    };
    let right = tokio::task::spawn_blocking(move || {
        form.pin.len() <= PIN_BYTES && pin::matches(&kept, form.pin.trim())
    });
    if !right.await.map_err(|error| Problem::internal(&error))? {
        note(&app, "pin.wrong", Actor::Anonymous).await?;
        let door = Door::Closed(Some("That is not the PIN.".to_owned()));
        return show::page(&app, StatusCode::FORBIDDEN, door).await;
    }
    note(&app, "pin.entered", Actor::Technician).await?;
    let Some(value) = sessions.open(app.desk.hour.age(), &attempt) else {
        return Err(Problem::internal(&"the system gives no random numbers"));
    };
    let secure = if is_tls(&headers) { "; Secure" } else { "" };
    let set = format!(
        "{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{secure}",
        SESSION.as_secs()
    );
    let mut answer = back();
    let set = HeaderValue::from_str(&set).map_err(|error| Problem::internal(&error))?;
    answer.headers_mut().insert(header::SET_COOKIE, set);
    Ok(answer)
}

/// Whether the browser speaks TLS with the box: its own forms then come from an https origin.
fn is_tls(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

fn back() -> Response {
    Redirect::to("/#actions").into_response()
}

/// Notes in the journal what a technician does.
async fn note(app: &Arc<App>, call: &str, actor: Actor) -> Result<(), Problem> {
    app.store.note(None, Code::lossy(call), actor).await?;
    Ok(())
}

/// The cookie of a session in force, where the form comes from a page of it.
fn allowed(app: &App, headers: &HeaderMap, form: &TokenForm) -> Option<String> {
    let now = app.desk.hour.age();
    cookie(headers).filter(|c| app.desk.sessions.may(now, c, &form.token))
}

/// Back to the page, with the PIN asked for.
fn over() -> Response {
    Redirect::to("/?over#actions").into_response()
}

/// `POST /page/leave`.
pub async fn leave(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Response {
    match allowed(&app, &headers, &form) {
        Some(cookie) => {
            app.desk.sessions.close(&cookie);
            back()
        }
        None => over(),
    }
}

/// `POST /page/drain`: no new work until `resume`, or the next start.
pub async fn drain(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Result<Response, Problem> {
    switch(&app, &headers, &form, true).await
}

/// `POST /page/resume`.
pub async fn resume(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Result<Response, Problem> {
    switch(&app, &headers, &form, false).await
}

async fn switch(
    app: &Arc<App>,
    headers: &HeaderMap,
    form: &TokenForm,
    drained: bool,
) -> Result<Response, Problem> {
    if allowed(app, headers, form).is_none() {
        return Ok(over());
    }
    let call = if drained { "box.drain" } else { "box.resume" };
    note(app, call, Actor::Technician).await?;
    app.desk.drain(drained);
    tracing::warn!(call, "by PIN");
    Ok(back())
}

/// `POST /page/self-test`.
pub async fn test(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Result<Response, Problem> {
    if allowed(&app, &headers, &form).is_none() {
        return Ok(over());
    }
    note(&app, "box.self_test", Actor::Technician).await?;
    self_test::run(&app).await;
    Ok(Redirect::to("/#self-test-result").into_response())
}

/// `POST /page/bundle`: the support bundle as a file.
pub async fn save(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Result<Response, Problem> {
    if allowed(&app, &headers, &form).is_none() {
        return Ok(over());
    }
    note(&app, "box.bundle", Actor::Technician).await?;
    let bundle = bundle::make(&app).await?;
    let mut answer = super::html::headers("application/json");
    let name = format!("attachment; filename=\"weir-support-{}.json\"", bundle.stamp);
    let name = HeaderValue::from_str(&name).map_err(|error| Problem::internal(&error))?;
    answer.insert(header::CONTENT_DISPOSITION, name);
    Ok((answer, bundle.text).into_response())
}

/// The page after a session that was over: says so.
pub fn told_over(query: &RawQuery, door: Door) -> Door {
    match door {
        Door::Closed(None) if query.0.as_deref() == Some("over") => {
            Door::Closed(Some("The PIN holds for 15 minutes, and they are over.".to_owned()))
        }
        other => other,
    }
}

/// The section of the page.
pub fn section(app: &App, door: &Door) -> String {
    let mut html = String::from(
        "<section id=\"actions\" aria-labelledby=\"actions-title\"><h2 id=\"actions-title\" tabindex=\"-1\">Actions</h2>",
    );
    match door {
        Door::NoPin => html.push_str(
            "<p>Self-test, support bundle and drain need a technician's PIN, and none is set. \
             Set one on the box:</p><pre><code>weir pin set --generate</code></pre>",
        ),
        Door::Closed(why) => closed(&mut html, why.as_deref()),
        Door::Open(token, left) => open(&mut html, app, token, *left),
    }
    html.push_str("</section>");
    html
}

fn closed(html: &mut String, why: Option<&str>) {
    html.push_str("<form method=\"post\" action=\"/page/pin\" class=\"pin\">");
    let described = if let Some(why) = why {
        let _ = write!(html, "<p class=\"wrong\" id=\"wrong\" role=\"alert\">{}</p>", Text(why));
        " aria-describedby=\"wrong\" aria-invalid=\"true\" autofocus"
    } else {
        ""
    };
    let _ = write!(
        html,
        "<label for=\"pin\">Technician's PIN</label>\
         <input id=\"pin\" name=\"pin\" type=\"password\" inputmode=\"numeric\" autocomplete=\"off\" \
         maxlength=\"32\" required{described}>\
         <button>Open the actions</button></form>\
         <p class=\"more\">Self-test, support bundle, drain and resume.</p>"
    );
}

fn open(html: &mut String, app: &App, token: &str, left: Duration) {
    let mut button = |action: &str, name: &str, says: &str, wait: &str| {
        let _ = write!(
            html,
            "<form method=\"post\" action=\"/page/{action}\" class=\"action\"{wait}>\
             <input type=\"hidden\" name=\"token\" value=\"{}\">\
             <button id=\"{action}\" aria-describedby=\"{action}-says\">{name}</button>\
             <p id=\"{action}-says\">{says}</p></form>",
            Text(token)
        );
    };
    button(
        "self-test",
        "Self-test",
        "Sends a built-in picture and clip through the whole way. Takes a few seconds.",
        " data-wait=\"Testing…\"",
    );
    if app.desk.is_drained() {
        button("resume", "Resume", "Takes new submissions again.", "");
    } else {
        button(
            "drain",
            "Drain",
            "Refuses new submissions and finishes those that wait, until you press “Resume”.",
            "",
        );
    }
    button(
        "bundle",
        "Support bundle",
        "A file for support: versions, settings, numbers, log. No media, captions, names or addresses.",
        "",
    );
    let says = format!("Closes the actions; otherwise they close in {}.", words::span(left));
    button("leave", "Lock", &says, "");
    if let Some(outcome) = app.desk.last_test() {
        self_test::show(html, &outcome);
    }
}
