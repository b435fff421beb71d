//! What a moderator rejects and wants remembered is listed for all boxes of the tenant, as its own box lists it for itself.

use domain::directive::{Address, List, Order, Rule};
use domain::journal::{BoxId, Code, Sha256};
use tokio_postgres::Client;

use super::append;
use crate::Error;
use crate::pdq::{self, Pdq};
use crate::receipt::HubKey;

/// Orders an entry of the tenant's list for each hash that the hub knows of the submission's media; these.
pub(super) async fn list(
    client: &Client,
    key: &HubKey,
    of: BoxId,
    by: &Code,
    rule: &Rule,
) -> Result<Vec<List>, Error> {
    let gravest = rule.categories.iter().max_by_key(|(_, severity)| *severity);
    let (Some((category, _)), true) = (gravest, rule.remember && !rule.approve) else {
        return Ok(Vec::new());
    };
    // The lane of a tenant that nobody has added reaches nobody.
    let known = "SELECT 1 FROM tenants WHERE tenant = $1";
    if client.query_opt(known, &[&rule.tenant.as_str()]).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut listed = Vec::new();
    for (hash, distance) in hashes(client, of, rule).await? {
        let entry = List {
            add: true,
            negative: false,
            hash,
            distance,
            category: Some(*category),
            verified: true,
            protected: false,
        };
        let to = Address::Tenant(rule.tenant.clone());
        append(client, &[key], to, by.clone(), Order::from(entry.clone())).await?;
        listed.push(entry);
    }
    Ok(listed)
}

/// SHA-256 of each medium, and its first PDQ where it says enough: one of a blank picture matches every other blank picture. Of another
/// tenant's submission none.
async fn hashes(
    client: &Client,
    of: BoxId,
    rule: &Rule,
) -> Result<Vec<(Sha256, Option<u16>)>, Error> {
    let (submission, tenant) = (rule.submission.0, rule.tenant.as_str());
    let media = "SELECT DISTINCT m.sha256 FROM media m JOIN submissions u USING (box, submission)
        WHERE m.box = $1 AND m.submission = $2 AND u.tenant = $3";
    let mut hashes = Vec::new();
    for row in client.query(media, &[&of.0, &submission, &tenant]).await? {
        let hash: Vec<u8> = row.try_get(0)?;
        let hash = hash.try_into().map_err(|_| Error::Damaged("a SHA-256".into()))?;
        hashes.push((Sha256(hash), None));
    }
    let first = "SELECT DISTINCT pdq FROM (SELECT DISTINCT ON (place) pdq, quality FROM pdqs
        WHERE box = $1 AND submission = $2 AND tenant = $3 ORDER BY place, n) first WHERE quality IS NULL OR quality >= $4";
    for row in client.query(first, &[&of.0, &submission, &tenant, &pdq::LEAST_QUALITY]).await? {
        let Pdq(bits) = row.try_get(0)?;
        hashes.push((Sha256(bits), Some(pdq::SAME)));
    }
    Ok(hashes)
}
