//! The ops screens: HTML made here, forms that work without a script, a little script for what changes by itself.
//!
//! Every screen stands in [`table`] with the right that it needs; [`guard`] looks there and nowhere else, so that none can be forgotten.

mod accounts;
mod assets;
mod audit;
mod door;
mod entrance;
mod erasures;
mod extract;
mod flags;
mod fleet;
mod guard;
mod lists;
mod models;
mod overview;
mod own;
mod page;
mod passkeys;
mod policies;
mod provider;
mod review;
#[cfg(test)]
mod texts;
mod verdicts;
mod words;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{MethodRouter, get, post};

use crate::account::Right;
use crate::account::oidc::provider::BACK;
use crate::http::Api;

/// In whose name boxes are asked from the screens, as `request_log` has it.
const BY_SCREEN: &str = "screens";

/// Most bytes of a form: a roll-out is the longest, in base64.
pub(crate) const FORM_BYTES: usize = 4 << 20;

/// The same of those who are not in yet.
const ENTRANCE_BYTES: usize = 16 << 10;

/// A screen, or something that one can do on one.
struct Screen {
    method: &'static str,
    path: &'static str,
    right: Right,
    handler: MethodRouter<Api>,
}

fn see(path: &'static str, right: Right, handler: MethodRouter<Api>) -> Screen {
    Screen { method: "GET", path, right, handler }
}

fn act(path: &'static str, right: Right, handler: MethodRouter<Api>) -> Screen {
    Screen { method: "POST", path, right, handler }
}

fn screens() -> Vec<Screen> {
    use Right::*;
    vec![
        see("/ops", Own, get(own::front)),
        see("/ops/me", Own, get(own::show)),
        act("/ops/me", Own, post(own::save)),
        act("/ops/me/passkeys", Own, post(passkeys::add)),
        act("/ops/me/passkeys/options", Own, post(passkeys::asked_to_be_made)),
        act("/ops/me/passkeys/remove", Own, post(passkeys::remove)),
        act("/ops/me/oidc", Own, post(provider::begin_link)),
        act("/ops/me/oidc/unlink", Own, post(provider::unlink)),
        act("/ops/leave", Own, post(entrance::leave)),
        see("/ops/review", Review, get(review::queue)),
        see("/ops/review/live", Review, get(review::live)),
        act("/ops/review/next", Review, post(review::next)),
        act("/ops/review/bulk", Review, post(review::bulk)),
        see("/ops/review/{box}/{subject}", Review, get(review::item)),
        see("/ops/review/{box}/{subject}/evidence", Content, get(review::evidence)),
        see("/ops/review/{box}/{subject}/preview", Content, get(review::preview)),
        act("/ops/review/{box}/{subject}/reveal", Content, post(review::reveal)),
        act("/ops/review/{box}/{subject}/claim", Review, post(review::claim)),
        act("/ops/review/{box}/{subject}/release", Review, post(review::release)),
        act("/ops/review/{box}/{subject}/decide", Review, post(review::decide)),
        act("/ops/review/{box}/{subject}/comment", Review, post(review::comment)),
        act("/ops/review/{box}/{subject}/escalate", Review, post(review::escalate)),
        act("/ops/review/{box}/{subject}/assign", Senior, post(review::assign)),
        act("/ops/review/{box}/decisions/{decision}/undo", Review, post(review::undo)),
        see("/ops/overview", Numbers, get(overview::show)),
        see("/ops/verdicts", Verdicts, get(verdicts::list)),
        see("/ops/verdicts/live", Verdicts, get(verdicts::live)),
        see("/ops/verdicts/{box}/{submission}", Verdicts, get(verdicts::show)),
        see("/ops/verdicts/{box}/{submission}/proof", Verdicts, get(verdicts::take)),
        see("/ops/fleet", Fleet, get(fleet::list)),
        act("/ops/fleet/invite", Operate, post(fleet::invite)),
        see("/ops/fleet/{box}", Fleet, get(fleet::show)),
        act("/ops/fleet/{box}", Operate, post(fleet::change)),
        act("/ops/fleet/{box}/alarms/{alarm}", Operate, post(fleet::resolve)),
        see("/ops/models", Fleet, get(models::show)),
        act("/ops/models", Operate, post(models::order)),
        see("/ops/flags", Fleet, get(flags::show)),
        act("/ops/flags", Operate, post(flags::set)),
        see("/ops/lists", Lists, get(lists::show)),
        act("/ops/lists", ListsChange, post(lists::change)),
        see("/ops/policies", Policies, get(policies::list)),
        see("/ops/policies/edit", Policies, get(policies::edit)),
        act("/ops/policies/edit", Policies, post(policies::check)),
        act("/ops/policies/drafts", PoliciesChange, post(policies::save)),
        see("/ops/policies/drafts/{draft}", Policies, get(policies::download)),
        see("/ops/rollouts", Policies, get(policies::rollouts)),
        act("/ops/rollouts", PoliciesChange, post(policies::take)),
        see("/ops/rollouts/{rollout}", Policies, get(policies::show)),
        act("/ops/rollouts/{rollout}", PoliciesChange, post(policies::act)),
        see("/ops/erasures", Erase, get(erasures::list)),
        act("/ops/erasures", Erase, post(erasures::ask)),
        see("/ops/audit", Audit, get(audit::list)),
        act("/ops/audit/export", Audit, post(audit::export)),
        see("/ops/audit/download", Audit, get(audit::download)),
        see("/ops/accounts", Accounts, get(accounts::list)),
        act("/ops/accounts", Accounts, post(accounts::add)),
        see("/ops/accounts/{account}", Accounts, get(accounts::show)),
        act("/ops/accounts/{account}", Accounts, post(accounts::change)),
        see("/ops/approvals", Approve, get(accounts::approvals)),
        act("/ops/approvals/{approval}", Approve, post(accounts::settle)),
    ]
}

/// Every screen: method, path, and what it needs.
pub fn table() -> Vec<(&'static str, &'static str, Right)> {
    screens().into_iter().map(|screen| (screen.method, screen.path, screen.right)).collect()
}

/// All screens, each behind its right; and the entrance.
pub(crate) fn router(api: &Api) -> Router<Api> {
    let guarded = screens().into_iter().fold(Router::new(), |router, screen| {
        let guard = from_fn_with_state((api.clone(), screen.right), guard::guard);
        router.route(screen.path, screen.handler.route_layer(guard))
    });
    let open = Router::new()
        .route("/", get(async || Redirect::to("/ops")))
        .route("/ops/login", get(entrance::show).post(entrance::enter))
        .route("/ops/login/code", get(entrance::show_code).post(entrance::code))
        .route("/ops/login/code/passkey", post(passkeys::second))
        .route("/ops/login/code/passkey/options", post(passkeys::asked_as_second))
        .route("/ops/login/passkey", post(passkeys::alone))
        .route("/ops/login/passkey/options", post(passkeys::asked_alone))
        .route("/ops/login/oidc", get(provider::leave_for))
        .route(BACK, get(provider::back))
        .route("/ops/welcome", get(entrance::welcome).post(entrance::accept))
        .layer(DefaultBodyLimit::max(ENTRANCE_BYTES))
        .route("/ops/{*rest}", get(async || page::Refusal::missing("there is no such screen")))
        .merge(assets::router());
    guarded
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .merge(open)
        .layer(axum::middleware::from_fn(door::pass))
}
