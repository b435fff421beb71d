//! What the hub asks of a box: whose a submission is, and that it was asked.

use domain::journal::{Acted, Actor, Body, Code, Lane, Subject, SubmissionId, TenantId};
use rusqlite::OptionalExtension as _;

use crate::{Error, Reply, Store, store::Way, txn::Entry};

impl Store {
    /// Whose a submission is; `None` where it is not here, or not any more. Only the hub asks so: tenants name themselves.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn tenant_of(&self, id: SubmissionId) -> Result<Option<TenantId>, Error> {
        self.read(|conn| {
            let tenant: Option<String> = conn
                .prepare_cached("SELECT tenant FROM submissions WHERE id = ?")?
                .query_row([id.0], |row| row.get(0))
                .optional()?;
            Ok(tenant.and_then(|name| name.parse().ok()))
        })
    }

    /// Writes down that the hub asks for something, before it gets it.
    pub fn inquired(&self, about: Option<(TenantId, SubmissionId)>, call: Code) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let (tenant, subject) = match &about {
                Some((tenant, id)) => (Some(tenant.clone()), Subject::Submission(*id)),
                None => (None, Subject::Box),
            };
            let body = Body::Acted(Acted { tenant, call: call.clone() });
            let actor = &Actor::Hub;
            txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: None })?;
            Ok(())
        })
    }
}
