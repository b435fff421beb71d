//! Feature flags, as a platform reads them: the hub's staff or the box's operators switch them, the platform acts on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::journal::TenantId;
use serde_json::{Value, json};

use super::caller::Caller;
use super::problem::Outcome;
use crate::serve::App;

/// `GET /v1/flags`: for each credential of the tenant, whatever its scopes.
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<Value>> {
    let flags = app.read(|store| store.flags()).await?;
    Ok(Json(json!({ "flags": seen_by(&caller.tenant, flags) })))
}

/// A tenant's own flags, called `tenant/NAME:FLAG`, go before those for all.
fn seen_by(tenant: &TenantId, flags: BTreeMap<String, bool>) -> BTreeMap<String, bool> {
    let own = format!("tenant/{}:", tenant.as_str());
    let (of_tenants, mut seen): (BTreeMap<_, _>, BTreeMap<_, _>) =
        flags.into_iter().partition(|(name, _)| name.starts_with("tenant/"));
    let of_this = of_tenants
        .into_iter()
        .filter_map(|(name, on)| Some((name.strip_prefix(own.as_str())?.to_owned(), on)));
    seen.extend(of_this);
    seen
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[test]
    fn a_tenant_sees_the_flags_for_all_and_its_own_go_before_them() {
        let flags = [("a", true), ("b", false), ("tenant/shop:b", true), ("tenant/shops:c", true)];
        let flags = flags.map(|(name, on)| (name.to_owned(), on)).into();
        let seen = seen_by(&"shop".parse().unwrap(), flags);
        let seen: Vec<(&str, bool)> = seen.iter().map(|(name, on)| (name.as_str(), *on)).collect();
        assert_eq!(seen, [("a", true), ("b", true)]);
    }
}
