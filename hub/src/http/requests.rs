//! `/v1/boxes/{box}/requests`: asks a box, and passes on what it answers.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::journal::{BoxId, Code, Millis, SubmissionId, TenantId};
use serde::Deserialize;
use sync::request::{Answer, Ask, MOST_POLICY_BYTES, Preview, Replay, Unanswered};

use super::Api;
use super::problem::Problem;
use crate::requests::{Question, Unmet};
use crate::token::Holder;

/// Most bytes of a request: a policy, each byte of it escaped.
pub(super) const BODY_BYTES: usize = 2 * MOST_POLICY_BYTES;

/// How far back a policy is tried out unless told otherwise.
const LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What to ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    kind: Kind,
    submission: Option<SubmissionId>,
    index: Option<u16>,
    at_ms: Option<u64>,
    tenant: Option<TenantId>,
    policy: Option<String>,
    /// Seconds since 1970.
    since: Option<i64>,
    /// The moderator in whose name the token's holder asks; else the token's name stands for who asked.
    by: Option<Code>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Findings,
    Preview,
    Text,
    Support,
    Replay,
}

impl Wanted {
    fn ask(&self) -> Result<Ask, Problem> {
        let submission =
            || self.submission.ok_or_else(|| Problem::bad("`submission` is missing: its id"));
        let of_replay = self.tenant.is_some() || self.policy.is_some() || self.since.is_some();
        if of_replay && !matches!(self.kind, Kind::Replay) {
            return Err(Problem::bad("`tenant`, `policy` and `since` are for `replay` alone"));
        }
        if !matches!(self.kind, Kind::Preview) && (self.index.is_some() || self.at_ms.is_some()) {
            return Err(Problem::bad("`index` and `at_ms` are for `preview` alone"));
        }
        Ok(match self.kind {
            Kind::Findings => Ask::Findings(submission()?),
            Kind::Text => Ask::Text(submission()?),
            Kind::Preview => {
                let index = self.index.unwrap_or(0);
                Ask::Preview(Preview { submission: submission()?, index, at_ms: self.at_ms })
            }
            Kind::Support | Kind::Replay if self.submission.is_some() => {
                return Err(Problem::bad("it is about the box, not a submission"));
            }
            Kind::Support => Ask::Support,
            Kind::Replay => Ask::Replay(self.replay()?),
        })
    }

    fn replay(&self) -> Result<Replay, Problem> {
        let missing = |what: &str| Problem::bad(format!("`{what}` is missing"));
        let tenant = self.tenant.clone().ok_or_else(|| missing("tenant"))?;
        let policy = self.policy.clone().ok_or_else(|| missing("policy"))?;
        if policy.len() > MOST_POLICY_BYTES {
            let many = policy.len();
            let most = MOST_POLICY_BYTES;
            return Err(Problem::bad(format!("`policy` has {many} bytes, and may have {most}")));
        }
        let since = self.since.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
        let since = since.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            now.unwrap_or_default().saturating_sub(LOOK_BACK)
        });
        let since = Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Ok(Replay { tenant, policy, since })
    }
}

/// `POST /v1/boxes/{box}/requests`: the answer itself.
pub(super) async fn ask(
    State(api): State<Api>,
    Extension(holder): Extension<Holder>,
    Path(of): Path<String>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    if !holder.requests {
        return Err(Problem::forbidden(
            "this token may not ask boxes: what they answer shows people; `weir-hub token create NAME --requests` makes one that may",
        ));
    }
    let of: BoxId = of.parse().map_err(|_| Problem::bad(format!("`{of}` is no UUID")))?;
    let Json(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let ask = wanted.ask()?;
    let by = wanted.by.unwrap_or_else(|| Code::lossy(&holder.name));
    let question = Question { of, ask, token: holder.name, by };
    let answer = api.desk()?.ask(&question).await.map_err(|unmet| problem(&question, unmet))?;
    passed_on(&question, answer)
}

/// A box could say anything: what it sends goes out as what was asked for, or not at all, and no browser guesses.
fn passed_on(question: &Question, answer: Answer) -> Result<Response, Problem> {
    let expected = match question.ask {
        Ask::Findings(_) | Ask::Support | Ask::Replay(_) => "application/json",
        Ask::Preview(_) => "image/jpeg",
        Ask::Text(_) => "text/plain; charset=utf-8",
    };
    if answer.content_type != expected {
        let odd = Unanswered::Misbehaved("it is of another type".into());
        return Err(problem(question, odd.into()));
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(expected)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
    ];
    Ok((headers, answer.bytes).into_response())
}

fn problem(question: &Question, unmet: Unmet) -> Problem {
    if let Unmet::Hub(error) = unmet {
        return error.into();
    }
    let code = unmet.code();
    tracing::info!(box = %question.of, kind = question.ask.word(), code, %unmet, "a box was asked in vain");
    let status = match &unmet {
        Unmet::Box(Unanswered::Refused(code)) => refused(code.as_str()),
        Unmet::Box(Unanswered::Silent) => StatusCode::GATEWAY_TIMEOUT,
        Unmet::Box(Unanswered::Misbehaved(_)) => StatusCode::BAD_GATEWAY,
        Unmet::ByBroker | Unmet::Barred(_) => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::coded(status, code, unmet.to_string())
}

/// The status of a box's refusal (docs/sync.md has the codes).
fn refused(code: &str) -> StatusCode {
    match code {
        "unknown" | "unknown_medium" | "unknown_tenant" | "gone" => StatusCode::NOT_FOUND,
        "unreadable" | "unusable" => StatusCode::UNPROCESSABLE_ENTITY,
        "withheld" => StatusCode::FORBIDDEN,
        "later" => StatusCode::SERVICE_UNAVAILABLE,
        sync::request::UNKNOWN => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::BAD_GATEWAY,
    }
}
