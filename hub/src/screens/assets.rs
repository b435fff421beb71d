//! What pages load: one style sheet, small scripts, an icon. All of it is in the program.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::http::Api;

const STYLE: &str = include_str!("../../assets/ops/style.css");
const LIVE: &str = include_str!("../../assets/ops/live.js");
const REVIEW: &str = include_str!("../../assets/ops/review.js");
const POLICY: &str = include_str!("../../assets/ops/policy.js");
const PASSKEY: &str = include_str!("../../assets/ops/passkey.js");
const PALETTE: &str = include_str!("../../assets/ops/palette.js");
const ICON: &str = include_str!("../../assets/ops/icon.svg");

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/ops/style.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/ops/live.js", get(|| asset("text/javascript; charset=utf-8", LIVE)))
        .route("/ops/review.js", get(|| asset("text/javascript; charset=utf-8", REVIEW)))
        .route("/ops/policy.js", get(|| asset("text/javascript; charset=utf-8", POLICY)))
        .route("/ops/passkey.js", get(|| asset("text/javascript; charset=utf-8", PASSKEY)))
        .route("/ops/palette.js", get(|| asset("text/javascript; charset=utf-8", PALETTE)))
        .route("/ops/icon.svg", get(|| asset("image/svg+xml", ICON)))
}

async fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text)
}
