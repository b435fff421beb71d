//! Which life of the database this is.
//!
//! A database that was put back to a backup does not know what the hub has ordered since. Were it to go on numbering where the backup
//! stands, boxes would take new orders for old ones. So the database keeps on which timeline of which cluster it lives; where Postgres
//! says otherwise, somebody restored it or promoted a replica, and the journal of directives begins anew before anything is ordered.

use domain::journal::Epoch;
use tokio_postgres::Client;

use crate::{Error, directives};

/// Whether the last life that is written down is the one that Postgres lives.
const SAME: &str = "SELECT EXISTS (SELECT 1 FROM database_life() n JOIN (SELECT * FROM database_lives ORDER BY number DESC LIMIT 1) l
    ON l.system = n.system AND l.timeline = n.timeline)";

const BEGIN: &str =
    "INSERT INTO database_lives (system, timeline) SELECT system, timeline FROM database_life()";

/// What to say where another life has begun.
pub const NEWS: &str = "the database was restored, or a replica took over: directives begin anew, boxes send what is missing. Box revocations, tokens and \
    enrolments since then may be lost: look at `weir-hub box list`, `token list` and `directive lost` (docs/hub.md, After a restore)";

/// Begins the journal of directives anew where another life of the database has begun; its new epoch then. To be called within a
/// transaction.
pub(crate) async fn settle(client: &Client) -> Result<Option<Epoch>, Error> {
    let same = async || client.query_one(SAME, &[]).await?.try_get::<_, bool>(0);
    if same().await? {
        return Ok(None);
    }
    // One node begins it, the others wait here and find it.
    client.execute("LOCK TABLE database_lives IN EXCLUSIVE MODE", &[]).await?;
    if same().await? {
        return Ok(None);
    }
    client.execute(BEGIN, &[]).await?;
    let epoch = directives::begin(client, "restored").await?;
    tracing::warn!(%epoch, "the database was restored or a replica took over: directives begin anew");
    Ok(Some(epoch))
}

/// The same in a transaction of its own.
///
/// # Errors
/// Where the database is away.
pub async fn begin(client: &mut Client) -> Result<Option<Epoch>, Error> {
    let transaction = client.transaction().await?;
    let epoch = settle(transaction.client()).await?;
    transaction.commit().await?;
    Ok(epoch)
}
