//! The frame of every screen, in the language of whoever reads it, and how a refusal looks.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::words;
use crate::Error;
use crate::account::Right;
use crate::account::session::Who;
use crate::tongue::{Markup, Text, Tongue};

/// Screens of the navigation, in its order.
pub(super) const PLACES: [(&str, &str, Right); 13] = [
    ("/ops/overview", "Overview", Right::Numbers),
    ("/ops/review", "Review", Right::Review),
    ("/ops/verdicts", "Verdicts", Right::Verdicts),
    ("/ops/fleet", "Fleet", Right::Fleet),
    ("/ops/models", "Models", Right::Fleet),
    ("/ops/flags", "Flags", Right::Fleet),
    ("/ops/lists", "Hash lists", Right::Lists),
    ("/ops/policies", "Policies", Right::Policies),
    ("/ops/rollouts", "Roll-outs", Right::Policies),
    ("/ops/erasures", "Erasures", Right::Erase),
    ("/ops/audit", "Audit", Right::Audit),
    ("/ops/approvals", "Approvals", Right::Approve),
    ("/ops/accounts", "Accounts", Right::Accounts),
];

/// Of these, what an account that is for some tenants only is refused.
const WHOLE: [&str; 1] = ["/ops/rollouts"];

/// What stands around each screen.
pub(super) struct Frame {
    pub title: String,
    /// Who is in, as colleagues see them; nothing at the entrance.
    pub shown: Option<String>,
    /// What they are for.
    pub role: String,
    /// What forms carry.
    pub csrf: String,
    /// Where one can go, and whether one is there.
    pub places: Vec<(&'static str, String, bool)>,
    /// What was just done.
    pub done: Option<String>,
    /// In which language it is.
    pub tongue: Tongue,
    /// Whether single keys do something.
    pub keys: bool,
    /// At the entrance: what addresses of the same page in another language carry beside it.
    pub carried: Option<String>,
}

impl Frame {
    /// For somebody who is in.
    pub fn new(who: &Who, here: &str, title: impl Into<Text>) -> Self {
        let tongue = who.tongue;
        let whole = who.account.tenants.is_none();
        let open = |path: &&str| whole || !WHOLE.contains(path);
        let places = PLACES.iter().filter(|(path, _, right)| open(path) && who.may(*right));
        let place = |(path, name, _): &(&'static str, &'static str, Right)| {
            (*path, tongue.t(name).to_string(), here == *path)
        };
        Self {
            shown: Some(who.account.shown.clone()),
            role: tongue.told(who.account.role.shown()),
            csrf: who.csrf.clone(),
            places: places.map(place).collect(),
            keys: who.account.keys,
            ..Self::outside(tongue, title)
        }
    }

    /// For somebody who is not.
    pub fn outside(tongue: Tongue, title: impl Into<Text>) -> Self {
        Self {
            title: title.into().within(tongue).to_string(),
            shown: None,
            role: String::new(),
            csrf: String::new(),
            places: Vec::new(),
            done: None,
            tongue,
            keys: false,
            carried: None,
        }
    }

    /// With a word on what was just done: one of ours, never what an address says.
    pub fn with_done(self, word: Option<&str>) -> Self {
        let done = word.and_then(|word| DONE.iter().find(|(known, _)| *known == word));
        Self { done: done.map(|(_, text)| self.t(text).to_string()), ..self }
    }

    /// With what the same page in another language needs in its address.
    pub fn carrying(self, name: &str, value: &str) -> Self {
        let pair =
            form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        Self { carried: Some(format!("{pair}&")), ..self }
    }

    /// The languages that there are.
    pub fn tongues(&self) -> [Tongue; 4] {
        Tongue::ALL
    }

    /// A text of the catalogue, in the page's language.
    pub fn t(&self, english: &'static str) -> Text {
        self.tongue.t(english)
    }

    /// A text with a number `{n}`.
    pub fn n(&self, one: &'static str, many: &'static str, n: impl ToString) -> Text {
        self.tongue.n(one, many, n)
    }

    /// A code (a status, a state, a verb, a role), as people read it.
    pub fn word(&self, code: &str) -> String {
        self.tongue.told(code)
    }

    /// A category's name.
    pub fn category(&self, slug: &str) -> String {
        words::category(self.tongue, slug)
    }

    /// Categories' names in a row.
    pub fn categories(&self, slugs: &[String]) -> String {
        slugs.iter().map(|slug| self.category(slug)).collect::<Vec<_>>().join(", ")
    }

    /// What came of an order: a code, or `refused: WHY`.
    pub fn receipt(&self, state: &str) -> String {
        match state.split_once("refused: ") {
            Some(("", why)) => self.t("refused: {why}").with("why", why).to_string(),
            _ => self.word(state),
        }
    }

    /// How long ago: `3 min`.
    pub fn ago(&self, at: &f64) -> Text {
        words::ago(at).within(self.tongue)
    }

    /// How long until then; late where it is over.
    pub fn until(&self, at: &f64) -> Text {
        words::until(self.tongue, at)
    }

    /// A key on a button, where keys do something.
    pub fn key(&self, key: char) -> Markup {
        if self.keys { Markup::key(key) } else { Markup::default() }
    }
}

/// What was just done, by the word that addresses carry.
pub(super) const DONE: [(&str, &str); 17] = [
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

/// Why a screen does not come, or something was not done.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub what: Text,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refused {
    frame: Frame,
    what: String,
}

impl Refusal {
    pub fn new(status: StatusCode, what: impl Into<Text>) -> Self {
        Self { status, what: what.into() }
    }

    pub fn bad(what: impl Into<Text>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, what)
    }

    pub fn forbidden(what: impl Into<Text>) -> Self {
        Self::new(StatusCode::FORBIDDEN, what)
    }

    pub fn missing(what: impl Into<Text>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// Somebody else was faster.
    pub fn conflict(what: impl Into<Text>) -> Self {
        Self::new(StatusCode::CONFLICT, what)
    }

    /// The reason in a language.
    pub fn told(&self, tongue: Tongue) -> String {
        tongue.told(&self.what.clone().within(tongue).to_string())
    }

    /// The page that says so.
    fn page(&self, tongue: Tongue) -> Response {
        let title = TITLES.iter().find(|(status, _)| *status == self.status);
        let title = title.map_or(OTHER, |(_, title)| title);
        let page = Refused { frame: Frame::outside(tongue, title), what: self.told(tongue) };
        let html = page.render().unwrap_or_else(|_| title.to_owned());
        (self.status, Html(html)).into_response()
    }
}

/// What refusals are called.
pub(super) const TITLES: [(StatusCode, &str); 6] = [
    (StatusCode::FORBIDDEN, "Not allowed"),
    (StatusCode::NOT_FOUND, "Not found"),
    (StatusCode::CONFLICT, "Not possible any more"),
    (StatusCode::UNPROCESSABLE_ENTITY, "That cannot be"),
    (StatusCode::TOO_MANY_REQUESTS, "Too many attempts"),
    (StatusCode::UNAUTHORIZED, "Please log in"),
];
pub(super) const OTHER: &str = "That did not work";

/// A refusal knows no language: it goes along with its answer, and becomes a page where whoever reads it is known.
pub(super) fn spoken(mut response: Response, tongue: Tongue) -> Response {
    match response.extensions_mut().remove::<Refusal>() {
        Some(refusal) => refusal.page(tongue),
        None => response,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
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
