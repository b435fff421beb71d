//! Models of the boxes: which version is at which stage where, as the boxes' journals say, and what became of bundles that were ordered.

use std::collections::BTreeMap;

use domain::directive::{Bundle, Order};
use domain::journal::{Acted, ModelChanged, Sha256};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::blob::{self, Blob};
use crate::{Error, directives};

/// Digits of a SHA-256 by which boxes name a bundle in their journal.
const DIGITS: usize = 16;

/// Bundles of a page, and boxes of each that are named.
const BUNDLES: usize = 50;
const NAMED: usize = 50;

/// What a box said of its models.
#[derive(Debug)]
pub(crate) enum Said {
    /// A version came to another stage.
    Changed(ModelChanged),
    /// Something became of a bundle.
    Bundle(Outcome),
}

/// What became of a bundle on a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The first digits of its SHA-256; nothing where a release before these were told said it.
    pub bundle: Option<String>,
    pub installed: bool,
    /// `NAME@VERSION`, or why not.
    pub what: String,
}

impl Outcome {
    /// Reads `bundle.installed:DIGITS:NAME@VERSION` and `bundle.refused:DIGITS:WHY`, with the digits or without.
    pub fn read(acted: &Acted) -> Option<Self> {
        let (verb, rest) = acted.call.as_str().strip_prefix("bundle.")?.split_once(':')?;
        let installed = match verb {
            "installed" => true,
            "refused" => false,
            _ => return None,
        };
        let is_digits = |text: &str| {
            text.len() == DIGITS && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (bundle, what) = match rest.split_once(':') {
            Some((digits, what)) if is_digits(digits) => (Some(digits.to_owned()), what),
            _ => (None, rest),
        };
        Some(Self { bundle, installed, what: what.to_owned() })
    }
}

/// Writes down what boxes said, in their order: box, its clock in milliseconds, what.
pub(crate) async fn write(client: &Client, said: &[(Uuid, i64, Said)]) -> Result<(), Error> {
    const CHANGED: &str = "INSERT INTO box_models (box, model, stage, cause, seen, refused, errors, control_seen, control_refused, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (box, model) DO UPDATE SET stage = excluded.stage,
        cause = excluded.cause, seen = excluded.seen, refused = excluded.refused, errors = excluded.errors,
        control_seen = excluded.control_seen, control_refused = excluded.control_refused, at = excluded.at, received_at = now()";
    const ENDED: &str = "INSERT INTO box_bundles (box, bundle, installed, what, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (box, bundle) DO UPDATE SET installed = excluded.installed, what = excluded.what, at = excluded.at, received_at = now()";
    // Installed anew a version stays at its stage.
    const CANDIDATE: &str = "INSERT INTO box_models (box, model, stage, cause, at) VALUES ($1, $2, 'candidate', 'bundle', $3)
        ON CONFLICT DO NOTHING";
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for (of, at, said) in said {
        match said {
            Said::Changed(changed) => {
                let (stage, cause) = (changed.to.as_str(), changed.cause.as_str());
                let [seen, refused, errors, control_seen, control_refused] = [
                    changed.seen,
                    changed.refused,
                    changed.errors,
                    changed.control_seen,
                    changed.control_refused,
                ]
                .map(number);
                client
                    .execute(
                        CHANGED,
                        &[
                            of,
                            &changed.model.as_str(),
                            &stage,
                            &cause,
                            &seen,
                            &refused,
                            &errors,
                            &control_seen,
                            &control_refused,
                            at,
                        ],
                    )
                    .await?;
            }
            Said::Bundle(Outcome { bundle, installed, what }) => {
                if let Some(bundle) = bundle {
                    client.execute(ENDED, &[of, bundle, installed, what, at]).await?;
                }
                if *installed {
                    client.execute(CANDIDATE, &[of, what, at]).await?;
                }
            }
        }
    }
    Ok(())
}

/// A version of a model on a box.
#[derive(Clone, Debug)]
pub struct Version {
    /// The box.
    pub of: Uuid,
    /// What people call it.
    pub name: String,
    /// `NAME@VERSION`.
    pub model: String,
    /// `candidate`, `shadow`, `canary`, `active` or `retired`.
    pub stage: String,
    /// Why: `bundle`, `command`, `superseded`, `drift`, `errors`.
    pub cause: String,
    /// Submissions on which a withdrawal rests, those of them that were not approved, those on which it failed.
    pub seen: i64,
    /// See [`Self::seen`].
    pub refused: i64,
    /// See [`Self::seen`].
    pub errors: i64,
    /// Submissions of the version that it was held against, and those of them that were not approved.
    pub control_seen: i64,
    /// See [`Self::control_seen`].
    pub control_refused: i64,
    /// By the box's clock, seconds since 1970.
    pub at: f64,
}

/// Versions on the boxes that serve these tenants (nothing: all), by model and box, at most so many; those that are retired last.
///
/// # Errors
/// Where the database is away.
pub async fn versions(
    client: &Client,
    tenants: Option<&[String]>,
    most: i64,
) -> Result<Vec<Version>, Error> {
    let query = "SELECT m.box, b.name, m.model, m.stage, m.cause, m.seen, m.refused, m.errors, m.control_seen, m.control_refused, m.at / 1000.0::float8
        FROM box_models m JOIN boxes b USING (box) WHERE b.state <> 'revoked'
            AND ($1::text[] IS NULL OR EXISTS (SELECT 1 FROM box_tenants t WHERE t.box = b.box AND t.tenant = ANY($1)))
        ORDER BY m.stage = 'retired', m.model, b.name, m.box LIMIT $2";
    let version = |row: &Row| {
        Ok(Version {
            of: row.try_get(0)?,
            name: row.try_get(1)?,
            model: row.try_get(2)?,
            stage: row.try_get(3)?,
            cause: row.try_get(4)?,
            seen: row.try_get(5)?,
            refused: row.try_get(6)?,
            errors: row.try_get(7)?,
            control_seen: row.try_get(8)?,
            control_refused: row.try_get(9)?,
            at: row.try_get(10)?,
        })
    };
    client.query(query, &[&tenants, &most]).await?.iter().map(version).collect()
}

/// A bundle, and what became of it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The file.
    pub blob: Blob,
    /// Its orders, the newest first: to whom, by whom, when in seconds since 1970.
    pub orders: Vec<(String, String, f64)>,
    /// Boxes that have it, of those that it was ordered for.
    pub installed: usize,
    /// Those that refused it.
    pub refused: usize,
    /// Those that have said nothing since it was ordered last.
    pub pending: usize,
    /// Of the two latter, at most fifty: box, name, why not (nothing: it says nothing yet).
    pub without: Vec<(Uuid, String, Option<String>)>,
}

/// Boxes that serve these tenants (nothing: all), by name.
///
/// # Errors
/// Where the database is away.
pub async fn boxes(
    client: &Client,
    tenants: Option<&[String]>,
) -> Result<Vec<(Uuid, String)>, Error> {
    let query = "SELECT b.box, b.name FROM boxes b WHERE b.state <> 'revoked'
        AND ($1::text[] IS NULL OR EXISTS (SELECT 1 FROM box_tenants t WHERE t.box = b.box AND t.tenant = ANY($1))) ORDER BY b.name, b.box";
    let member = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    client.query(query, &[&tenants]).await?.iter().map(member).collect()
}

/// The newest bundles with what became of them on these boxes.
///
/// # Errors
/// Where the database is away.
pub async fn deliveries(client: &Client, boxes: &[(Uuid, String)]) -> Result<Vec<Delivery>, Error> {
    let seen = |to: &str| to == "fleet" || boxes.iter().any(|(of, _)| to == format!("box/{of}"));
    let mut orders: BTreeMap<Sha256, Vec<(String, String, f64)>> = BTreeMap::new();
    for given in directives::of_kind(client, "bundle").await? {
        if let Order::Bundle(Bundle { sha256, .. }) = given.order
            && seen(&given.to)
        {
            orders.entry(sha256).or_default().push((given.to, given.by, given.at));
        }
    }
    let ended = "SELECT box, bundle, installed, what, extract(epoch FROM received_at)::float8 FROM box_bundles";
    let mut outcomes: BTreeMap<(String, Uuid), (bool, String, f64)> = BTreeMap::new();
    for row in client.query(ended, &[]).await? {
        let outcome = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        outcomes.insert((row.try_get(1)?, row.try_get(0)?), outcome);
    }
    let mut deliveries = Vec::new();
    for blob in blob::list(client).await?.into_iter().take(BUNDLES) {
        let orders = blob.sha256.parse().ok().and_then(|sha256: Sha256| orders.remove(&sha256));
        deliveries.push(delivery(blob, orders.unwrap_or_default(), boxes, &outcomes));
    }
    Ok(deliveries)
}

fn delivery(
    blob: Blob,
    orders: Vec<(String, String, f64)>,
    boxes: &[(Uuid, String)],
    outcomes: &BTreeMap<(String, Uuid), (bool, String, f64)>,
) -> Delivery {
    let digits = blob.sha256.get(..DIGITS).unwrap_or_default().to_owned();
    let mut all =
        Delivery { blob, orders, installed: 0, refused: 0, pending: 0, without: Vec::new() };
    for (of, name) in boxes {
        let own = format!("box/{of}");
        // The newest order comes first.
        let order = all.orders.iter().find(|(to, ..)| to == "fleet" || *to == own);
        let Some((_, _, ordered_at)) = order else { continue };
        let why = match outcomes.get(&(digits.clone(), *of)) {
            Some((true, ..)) => {
                all.installed += 1;
                continue;
            }
            Some((false, why, at)) if at >= ordered_at => {
                all.refused += 1;
                Some(why.clone())
            }
            _ => {
                all.pending += 1;
                None
            }
        };
        if all.without.len() < NAMED {
            all.without.push((*of, name.clone(), why));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    fn read(call: &str) -> Option<(Option<String>, bool, String)> {
        let acted = Acted { tenant: None, call: call.parse().unwrap() };
        Outcome::read(&acted).map(|read| (read.bundle, read.installed, read.what))
    }

    #[test]
    fn what_became_of_a_bundle_is_read_with_its_digits_and_without() {
        let digits = "00ff00ff00ff00ff";
        let named =
            |what: &str| Some((Some(digits.to_owned()), what.contains('@'), what.to_owned()));
        assert_eq!(read(&format!("bundle.installed:{digits}:tiny@2")), named("tiny@2"));
        assert_eq!(read(&format!("bundle.refused:{digits}:no_room")), named("no_room"));
        // As releases before these digits told it.
        assert_eq!(read("bundle.installed:tiny@2"), Some((None, true, "tiny@2".to_owned())));
        assert_eq!(read("bundle.refused:no_room"), Some((None, false, "no_room".to_owned())));
        for other in ["drain", "bundle.fetched:x", "bundle.installed", "effect.replay:1"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn of_a_bundle_each_box_counts_once_and_a_later_order_is_open_again() {
        let (a, b, c, d) =
            (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4));
        let boxes =
            [(a, "a"), (b, "b"), (c, "c"), (d, "d")].map(|(of, name)| (of, name.to_owned()));
        let blob = Blob { sha256: "ab".repeat(32), bytes: 9, name: "m".into(), added_at: 0.0 };
        let digits = "ab".repeat(8);
        let mut outcomes = BTreeMap::new();
        outcomes.insert((digits.clone(), a), (true, "m@1".to_owned(), 10.0));
        outcomes.insert((digits.clone(), b), (false, "no_room".to_owned(), 30.0));
        outcomes.insert((digits, c), (false, "no_room".to_owned(), 10.0));
        let to = |to: String, at| (to, "ann".to_owned(), at);
        let fleet = vec![to("fleet".into(), 20.0)];
        let all = delivery(blob.clone(), fleet, &boxes, &outcomes);
        assert_eq!((all.installed, all.refused, all.pending), (1, 1, 2));
        let without: Vec<_> =
            all.without.iter().map(|(of, _, why)| (*of, why.as_deref())).collect();
        assert_eq!(without, [(b, Some("no_room")), (c, None), (d, None)]);
        let own = vec![to(format!("box/{c}"), 5.0)];
        let all = delivery(blob.clone(), own, &boxes, &outcomes);
        assert_eq!((all.installed, all.refused, all.pending), (0, 1, 0));
        let all = delivery(blob, Vec::new(), &boxes, &outcomes);
        assert_eq!((all.installed, all.refused, all.pending), (0, 0, 0));
    }
}
