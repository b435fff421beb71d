//! The frame of every screen, the headers of every answer, and how a refusal looks.

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::Error;
use crate::account::Right;
use crate::account::session::Who;

/// What a page may load and do: only what the hub itself serves, no script or style in the markup, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Screens of the navigation, in its order.
const PLACES: [(&str, &str, Right); 11] = [
    ("/ops/overview", "Overview", Right::Numbers),
    ("/ops/review", "Review", Right::Review),
    ("/ops/verdicts", "Verdicts", Right::Verdicts),
    ("/ops/fleet", "Fleet", Right::Fleet),
    ("/ops/lists", "Hash lists", Right::Lists),
    ("/ops/policies", "Policies", Right::Policies),
    ("/ops/rollouts", "Roll-outs", Right::Policies),
    ("/ops/erasures", "Erasures", Right::Erase),
    ("/ops/audit", "Audit", Right::Audit),
    ("/ops/approvals", "Approvals", Right::Approve),
    ("/ops/accounts", "Accounts", Right::Accounts),
];

/// What stands around each screen.
pub(super) struct Frame {
    pub title: String,
    /// Who is in, as colleagues see them; nothing at the entrance.
    pub shown: Option<String>,
    /// What they are for.
    pub role: &'static str,
    /// What forms carry.
    pub csrf: String,
    /// Where one can go, and whether one is there.
    pub places: Vec<(&'static str, &'static str, bool)>,
    /// What was just done.
    pub done: Option<&'static str>,
}

impl Frame {
    /// For somebody who is in.
    pub fn new(who: &Who, here: &str, title: impl Into<String>) -> Self {
        let places = PLACES.iter().filter(|(.., right)| who.may(*right));
        Self {
            title: title.into(),
            shown: Some(who.account.shown.clone()),
            role: who.account.role.shown(),
            csrf: who.csrf.clone(),
            places: places.map(|(path, name, _)| (*path, *name, here == *path)).collect(),
            done: None,
        }
    }

    /// For somebody who is not.
    pub fn outside(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            shown: None,
            role: "",
            csrf: String::new(),
            places: Vec::new(),
            done: None,
        }
    }

    /// With a word on what was just done: one of ours, never what an address says.
    pub fn with_done(self, word: Option<&str>) -> Self {
        let done = word.and_then(|word| DONE.iter().find(|(known, _)| *known == word));
        Self { done: done.map(|(_, text)| *text), ..self }
    }
}

/// What was just done, by the word that addresses carry.
const DONE: [(&str, &str); 17] = [
    ("saved", "Saved."),
    ("decided", "Decided. The boxes are being told."),
    ("undone", "Taken back. What stood before stands again."),
    ("released", "Given back to the queue."),
    ("escalated", "Escalated: a senior moderator decides."),
    ("commented", "Comment added."),
    ("assigned", "Assigned."),
    ("empty", "Nothing waits here that you may take."),
    ("bulk", "Decided, each by itself. What was not possible is still in the list."),
    ("changed", "The account was changed."),
    ("asked", "This takes two people: another one has to approve it."),
    ("granted", "Approved and done."),
    ("denied", "Denied."),
    ("ordered", "Ordered. Boxes answer with a receipt each."),
    ("brought", "Checked and kept. Nothing goes out before a stage is given."),
    ("resolved", "The alarm is resolved."),
    ("left", "You have left."),
];

/// Renders a screen.
pub(super) fn html(template: &impl Template) -> Result<Response, Refusal> {
    Ok(Html(template.render()?).into_response())
}

/// The headers of all that belongs to the screens.
pub(super) async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let set = |headers: &mut HeaderMap, name: header::HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(headers, header::CONTENT_SECURITY_POLICY, POLICY);
    set(headers, header::CACHE_CONTROL, "no-store");
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    // Not `no-referrer`: browsers would send forms with the origin `null`, which is refused.
    set(headers, header::REFERRER_POLICY, "same-origin");
    response
}

/// Why a screen does not come, or something was not done.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub what: String,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refused<'a> {
    frame: Frame,
    what: &'a str,
}

impl Refusal {
    pub fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self { status, what: what.into() }
    }

    pub fn bad(what: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, what)
    }

    pub fn forbidden(what: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, what)
    }

    pub fn missing(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// Somebody else was faster.
    pub fn conflict(what: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, what)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let title = match self.status {
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::CONFLICT => "Not possible any more",
            StatusCode::UNPROCESSABLE_ENTITY => "That cannot be",
            StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
            StatusCode::UNAUTHORIZED => "Please log in",
            _ => "That did not work",
        };
        let page = Refused { frame: Frame::outside(title), what: &self.what };
        let html = page.render().unwrap_or_else(|_| title.to_owned());
        (self.status, Html(html)).into_response()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(what) => Self::missing(what),
            Error::Invalid(what) => Self::bad(what),
            Error::Refused(what) => Self::forbidden(what),
            error if error.is_of_the_data() => Self::bad(
                "what was sent cannot be stored or looked for: it holds signs or numbers that no database takes",
            ),
            error if error.is_conflict() => {
                Self::conflict("somebody did something to the same at the same moment: try again")
            }
            error => {
                // Names of hosts and tables are the log's alone.
                tracing::error!(%error, "a screen failed");
                let what = "the database is away or did not answer; try again in a moment";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, what)
            }
        }
    }
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<askama::Error> for Refusal {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a screen cannot be made");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "this screen cannot be made; the log says why")
    }
}
