//! What stands beside an item: how its author fared so far, and the rules that gave its reasons.

use domain::Profile;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::review::Item;

/// Submissions of the author that are counted, the newest.
const COUNTED: i64 = 200;

/// Characters of a condition that are shown.
const CONDITION: usize = 400;

/// An author at the box where they wrote it.
#[derive(Default)]
pub(super) struct Author {
    /// Of the newest submissions.
    pub all: i64,
    pub rejected: i64,
    pub held: i64,
    /// When people or machines last gave a heavy penalty, seconds since 1970.
    pub penalty_at: Option<f64>,
}

/// A rule of the policy that decided.
pub(super) struct Rule {
    pub id: String,
    pub when: String,
    pub category: String,
    pub severity: String,
    pub reason: String,
}

/// How an author fared, by the number that stands for them on the box.
pub(super) async fn author(
    client: &Client,
    of: Uuid,
    number: i64,
) -> Result<Author, tokio_postgres::Error> {
    // Each step asks for what the one before found: joined, each would be looked for in all partitions.
    let query = "SELECT submission FROM submissions WHERE box = $1 AND author = $2 ORDER BY received_at DESC LIMIT $3";
    let rows = client.query(query, &[&of, &number, &COUNTED]).await?;
    let submissions: Vec<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let query = "SELECT count(*), count(*) FILTER (WHERE status = 'rejected'), count(*) FILTER (WHERE status = 'held')
        FROM (SELECT DISTINCT ON (submission) status FROM verdicts WHERE submission = ANY($1) AND box = $2 ORDER BY submission, number DESC) newest";
    let row = client.query_one(query, &[&submissions, &of]).await?;
    let subject = Uuid::from_u128(u128::from(number.cast_unsigned()));
    let query = "SELECT extract(epoch FROM since)::float8 FROM reviews WHERE box = $1 AND subject = $2 AND tab = 'accounts'";
    let penalty = client.query_opt(query, &[&of, &subject]).await?;
    Ok(Author {
        all: row.try_get(0)?,
        rejected: row.try_get(1)?,
        held: row.try_get(2)?,
        penalty_at: penalty.map(|row| row.try_get(0)).transpose()?,
    })
}

/// The rules of a policy (`name@version`) that may have given these reasons: of what was released under that name, or what Weir brings. Empty where
/// the hub does not know the policy.
pub(super) async fn rules(
    client: &Client,
    item: &Item,
    policy: &str,
    reasons: &[String],
) -> Result<Vec<Rule>, tokio_postgres::Error> {
    let query = "SELECT content FROM releases WHERE kind = 'policy' AND content <> '' AND lane IN ('fleet', 'tenant/' || $1, 'box/' || $2::uuid::text)
        ORDER BY ordered_at DESC LIMIT 20";
    let rows = client.query(query, &[&item.tenant, &item.of]).await?;
    let released = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    let shipped = Profile::names().into_iter().filter_map(Profile::embedded_text);
    let read = |text: String| toml::from_str::<toml::Table>(&text).ok();
    let shipped = shipped.map(ToOwned::to_owned);
    let found = released.into_iter().chain(shipped).filter_map(read).find_map(|table| {
        // A profile has its policy in a table, a policy is one.
        let own = table.get("policy").and_then(toml::Value::as_table).unwrap_or(&table).clone();
        (id(&own)? == policy).then_some(own)
    });
    let Some(found) = found else { return Ok(Vec::new()) };
    let rules = found.get("rule").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    let word = |rule: &toml::Value, key: &str| {
        let word = rule.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        word.chars().take(CONDITION).collect::<String>()
    };
    Ok(rules
        .iter()
        .map(|rule| Rule {
            id: word(rule, "id"),
            when: word(rule, "when"),
            category: word(rule, "category"),
            severity: word(rule, "severity"),
            reason: word(rule, "reason"),
        })
        .filter(|rule| reasons.contains(&rule.reason))
        .collect())
}

fn id(policy: &toml::Table) -> Option<String> {
    let name = policy.get("name")?.as_str()?;
    let version = policy.get("version")?.as_integer()?;
    Some(format!("{name}@{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weir_brings_is_found_by_its_name_and_version() {
        let ids = Profile::names().map(|name| {
            let text = Profile::embedded_text(name)
                .and_then(|text| toml::from_str::<toml::Table>(text).ok());
            text.and_then(|table| id(table.get("policy")?.as_table()?))
        });
        assert_eq!(ids.map(|id| id.is_some()), [true; 3]);
    }
}
