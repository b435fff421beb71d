//! What somebody has just decided, told on the page that they went on to, with the way back.

use tokio_postgres::Client;
use uuid::Uuid;

use crate::account::session::Who;

/// A decision of one's own that stands.
pub(in crate::screens) struct Made {
    pub of: Uuid,
    pub subject: Uuid,
    pub decision: Uuid,
    pub verb: String,
}

impl Made {
    /// By what an address carries: `BOX/DECISION`. Nothing where it is not one's own, or was taken back.
    pub async fn read(
        client: &Client,
        who: &Who,
        place: Option<&str>,
    ) -> Result<Option<Self>, tokio_postgres::Error> {
        let parsed = place.and_then(|place| {
            let (of, decision) = place.split_once('/')?;
            Some((of.parse::<Uuid>().ok()?, decision.parse::<Uuid>().ok()?))
        });
        let Some((of, decision)) = parsed else { return Ok(None) };
        let query = "SELECT subject, verb FROM review_decisions WHERE box = $1 AND decision = $2 AND account = $3 AND undone_at IS NULL";
        let row = client.query_opt(query, &[&of, &decision, &who.account.account]).await?;
        row.map(|row| Ok(Self { of, subject: row.try_get(0)?, decision, verb: row.try_get(1)? }))
            .transpose()
    }

    /// Whether it can be taken back: a penalty is set anew instead.
    pub fn is_undoable(&self) -> bool {
        matches!(self.verb.as_str(), "approve" | "reject")
    }
}
