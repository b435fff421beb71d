//! What the hub asks of this box: findings, previews, the support bundle, what another policy would have decided. That it asks is in the journal before it is answered; what is
//! answered stays nowhere. docs/sync.md has the codes of refusal.

mod preview;
mod replay;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use domain::journal::{Code, SubmissionId, TenantId};
use store::{Error, Submission};
use sync::request::{Answer, Ask, Requests};
use tokio::runtime::Handle;

use super::App;
use super::http;
use super::page::{self, self_test};
use super::tenant::Tenant;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const JPEG: &str = "image/jpeg";

/// Answers the hub.
pub struct Answers {
    app: Arc<App>,
    runtime: Handle,
    /// Held while a policy is tried out: one at a time, beside the box's own work.
    replaying: Mutex<()>,
}

/// A submission that is here, of a tenant that is served.
struct Found {
    submission: Submission,
    tenant: Arc<Tenant>,
}

/// Why there is no answer, in a word.
type Refusal = &'static str;

impl Answers {
    /// Of a box. Called on the runtime.
    pub fn new(app: Arc<App>) -> Self {
        Self { app, runtime: Handle::current(), replaying: Mutex::default() }
    }

    fn find(&self, id: SubmissionId) -> Result<Found, Refusal> {
        let store = &self.app.store;
        let name = store.tenant_of(id).map_err(|error| trouble(&error))?.ok_or("unknown")?;
        let tenant = self.served(&name).ok_or("unknown")?;
        let submission = store.submission(&name, id).map_err(|error| match error {
            // Gone in between.
            Error::NotFound(_) => "unknown",
            error => trouble(&error),
        })?;
        Ok(Found { submission, tenant })
    }

    fn served(&self, name: &TenantId) -> Option<Arc<Tenant>> {
        self.app.tenants.get(name).filter(|_| !self_test::is_own(name))
    }

    /// Puts into the journal that the hub asks; else there is no answer.
    fn note(&self, call: &str, about: Option<&Submission>) -> Result<(), Refusal> {
        let about = about.map(|found| (found.tenant.clone(), found.id));
        let noted = self.app.store.inquired(about, Code::lossy(call)).wait();
        noted.map_err(|error| trouble(&error))
    }

    fn findings(&self, id: SubmissionId) -> Result<Answer, Refusal> {
        let Found { submission, tenant } = self.find(id)?;
        let evidence = self.app.store.evidence(&submission.tenant, id);
        let evidence = evidence.map_err(|error| trouble(&error))?;
        self.note("hub.findings", Some(&submission))?;
        let view = http::whole(&submission, &tenant, &evidence);
        answer(JSON, serde_json::to_vec(&view).map_err(|_| "internal")?)
    }

    fn text(&self, id: SubmissionId) -> Result<Answer, Refusal> {
        let Found { submission, .. } = self.find(id)?;
        // Never any, or erased since.
        let caption = submission.caption.clone().ok_or("gone")?;
        self.note("hub.text", Some(&submission))?;
        answer(TEXT, caption.into_bytes())
    }

    fn support(&self) -> Result<Answer, Refusal> {
        self.note("hub.support", None)?;
        let bundle = self.runtime.block_on(page::support(&self.app));
        answer(JSON, bundle.map_err(|_| "later")?.text.into_bytes())
    }
}

impl Requests for Answers {
    fn answer(&self, ask: &Ask) -> Result<Answer, Code> {
        let answer = match ask {
            Ask::Findings(id) => self.findings(*id),
            Ask::Preview(wanted) => self.preview(wanted),
            Ask::Text(id) => self.text(*id),
            Ask::Support => self.support(),
            Ask::Replay(replay) => self.replay(replay),
        };
        answer.map_err(|code| {
            tracing::info!(kind = ask.word(), code, "a request of the hub is refused");
            Code::lossy(code)
        })
    }
}

fn answer(content_type: &str, bytes: Vec<u8>) -> Result<Answer, Refusal> {
    Ok(Answer { content_type: content_type.to_owned(), bytes })
}

/// The box is in trouble: another time it may answer.
fn trouble(error: &Error) -> Refusal {
    tracing::warn!(%error, "a request of the hub cannot be answered now");
    "later"
}
