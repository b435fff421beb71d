//! A GPU that is lost while the service runs. What was judged with it is judged again on what takes its place; where nothing
//! may, the service ends in order, and whoever started it starts it anew.

use std::sync::Arc;

use domain::journal::TenantId;
use rustix::process::{Signal, getpid, kill_process};

use super::{App, reload};

/// Who looks after it: one at a time.
#[derive(Debug, Default)]
pub struct LostGpu(tokio::sync::Mutex<bool>);

impl LostGpu {
    /// Comes back once the tenant's models run elsewhere, or the service is told to end.
    pub async fn replace(&self, app: &Arc<App>, tenant: &TenantId) {
        let mut ending = self.0.lock().await;
        let now = app.tenants.get(tenant);
        let replaced = now.is_none_or(|now| !now.engine.runs_on().is_lost());
        if *ending || replaced {
            return;
        }
        tracing::error!("the GPU was lost");
        if let Err(error) = reload::reload(app).await {
            tracing::error!(error = format!("{error:#}"), "nothing takes the GPU's place: ending");
            *ending = true;
            if let Err(error) = kill_process(getpid(), Signal::TERM) {
                tracing::error!(%error, "cannot end: restart the service");
            }
        }
    }
}
