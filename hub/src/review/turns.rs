//! Items in turns: whoever is there gets the next one that they may decide and are good at, who has the fewest first. What was given to
//! somebody who left is given back. Where the settings ask for it (`[review] assign = "turns"`); people pull items otherwise.

use std::time::Duration;

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::Tab;
use crate::account::{Right, Role};
use crate::{Error, Pool};

/// How often it is looked, and items that are given at a time.
const PAUSE: Duration = Duration::from_secs(5);
const AT_ONCE: i64 = 200;

/// Items that somebody has at once; the rest waits for whoever pulls it.
const MOST: i64 = 20;

/// How long somebody is there without a call, in seconds.
const THERE_S: f64 = 900.0;

/// Only one node gives at a time: the lock's name.
const LOCK: &str = "weir turns";

/// Somebody who is there.
#[derive(Clone, Debug)]
struct Person {
    account: Uuid,
    senior: bool,
    tenants: Option<Vec<String>>,
    skills: Vec<String>,
    /// Items that they have.
    load: i64,
}

/// Something that waits.
#[derive(Clone, Debug)]
struct Waiting {
    of: Uuid,
    subject: Uuid,
    tenant: String,
    senior: bool,
    /// Category, region and language: what one may be good at.
    asks: [Option<String>; 3],
    /// Who decided it before, where it is an appeal.
    before: Vec<Uuid>,
}

impl Person {
    fn may(&self, item: &Waiting) -> bool {
        (self.senior || !item.senior)
            && self.tenants.as_ref().is_none_or(|own| own.contains(&item.tenant))
            && !item.before.contains(&self.account)
    }

    fn is_good_at(&self, item: &Waiting) -> bool {
        item.asks.iter().flatten().any(|ask| self.skills.contains(ask))
    }
}

/// Gives items for as long as the hub serves.
pub async fn keep(pool: Pool) {
    loop {
        if let Err(error) = pass(&pool).await {
            tracing::warn!(%error, "items are not given to anybody; they can be pulled");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks once: gives back, then gives.
///
/// # Errors
/// Where the database is away.
pub async fn pass(pool: &Pool) -> Result<(), Error> {
    let mut client = pool.take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let query = "SELECT pg_try_advisory_xact_lock(hashtext($1))";
    if within.query_one(query, &[&LOCK]).await?.try_get(0)? {
        give_back(within).await?;
        let given = turns(people(within).await?, waiting(within).await?);
        give(within, &given).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// What people who left have not in hand waits for others again.
async fn give_back(client: &Client) -> Result<(), Error> {
    let query = "UPDATE reviews SET assignee = NULL, in_turn = false WHERE open AND in_turn AND assignee IS NOT NULL
        AND (claimed_by IS NULL OR claimed_until <= now())
        AND assignee NOT IN (SELECT account FROM sessions WHERE whole AND ends_at > now() AND seen_at > now() - make_interval(secs => $1))";
    client.execute(query, &[&THERE_S]).await?;
    Ok(())
}

async fn people(client: &Client) -> Result<Vec<Person>, Error> {
    let query = "SELECT a.account, a.role, a.tenants, a.skills, (SELECT count(*) FROM reviews r WHERE r.open AND r.assignee = a.account)
        FROM accounts a WHERE a.disabled_at IS NULL
          AND EXISTS (SELECT 1 FROM sessions s WHERE s.account = a.account AND s.whole AND s.ends_at > now() AND s.seen_at > now() - make_interval(secs => $1))
        ORDER BY a.account";
    let mut people = Vec::new();
    for row in client.query(query, &[&THERE_S]).await? {
        let Ok(role) = row.try_get::<_, &str>(1)?.parse::<Role>() else { continue };
        if role.may(Right::Review) {
            people.push(Person {
                account: row.try_get(0)?,
                senior: role.may(Right::Senior),
                tenants: row.try_get(2)?,
                skills: row.try_get(3)?,
                load: row.try_get(4)?,
            });
        }
    }
    Ok(people)
}

async fn waiting(client: &Client) -> Result<Vec<Waiting>, Error> {
    let query = "SELECT r.box, r.subject, r.tenant, r.tab, r.escalated, r.categories, r.category,
            (SELECT b.region FROM boxes b WHERE b.box = r.box), r.language,
            ARRAY(SELECT d.account FROM review_decisions d WHERE d.box = r.box AND d.subject = r.subject AND d.undone_at IS NULL)
        FROM reviews r WHERE r.open AND r.assignee IS NULL AND (r.claimed_by IS NULL OR r.claimed_until <= now())
        ORDER BY r.severity DESC, r.since LIMIT $1 FOR UPDATE OF r SKIP LOCKED";
    let item = |row: &Row| {
        let appeal = row.try_get::<_, &str>(3)? == Tab::Appeals.as_str();
        let categories: Vec<&str> = row.try_get(5)?;
        let children = categories.contains(&"sexual/minors");
        Ok(Waiting {
            of: row.try_get(0)?,
            subject: row.try_get(1)?,
            tenant: row.try_get(2)?,
            senior: appeal || children || row.try_get(4)?,
            asks: [row.try_get(6)?, row.try_get(7)?, row.try_get(8)?],
            before: if appeal { row.try_get(9)? } else { Vec::new() },
        })
    };
    client.query(query, &[&AT_ONCE]).await?.iter().map(item).collect()
}

/// Who gets what: those who are good at it first, of them who has the fewest.
fn turns(mut people: Vec<Person>, waiting: Vec<Waiting>) -> Vec<(Uuid, Uuid, Uuid)> {
    let mut given = Vec::new();
    for item in waiting {
        let free = people.iter_mut().filter(|person| person.load < MOST && person.may(&item));
        let Some(next) = free.min_by_key(|person| (!person.is_good_at(&item), person.load)) else {
            continue;
        };
        next.load += 1;
        given.push((item.of, item.subject, next.account));
    }
    given
}

async fn give(client: &Client, given: &[(Uuid, Uuid, Uuid)]) -> Result<(), Error> {
    let boxes: Vec<Uuid> = given.iter().map(|(of, ..)| *of).collect();
    let subjects: Vec<Uuid> = given.iter().map(|(_, subject, _)| *subject).collect();
    let people: Vec<Uuid> = given.iter().map(|(.., person)| *person).collect();
    let query = "UPDATE reviews r SET assignee = g.person, in_turn = true FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) g (box, subject, person)
        WHERE r.box = g.box AND r.subject = g.subject AND r.open AND r.assignee IS NULL";
    if !given.is_empty() {
        client.execute(query, &[&boxes, &subjects, &people]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: u128, senior: bool, skills: &[&str]) -> Person {
        let skills = skills.iter().map(ToString::to_string).collect();
        Person { account: Uuid::from_u128(n), senior, tenants: None, skills, load: 0 }
    }

    fn item(n: u128, senior: bool, category: &str) -> Waiting {
        Waiting {
            of: Uuid::nil(),
            subject: Uuid::from_u128(n),
            tenant: "campus".into(),
            senior,
            asks: [Some(category.into()), None, None],
            before: Vec::new(),
        }
    }

    fn loads(given: &[(Uuid, Uuid, Uuid)], people: u128) -> Vec<usize> {
        (1..=people)
            .map(|n| given.iter().filter(|(.., to)| *to == Uuid::from_u128(n)).count())
            .collect()
    }

    #[test]
    fn everybody_gets_as_much_and_nobody_too_much() {
        let people = vec![person(1, false, &[]), person(2, false, &[]), person(3, true, &[])];
        let items: Vec<Waiting> = (0..10).map(|n| item(n, false, "spam")).collect();
        let mut shares = loads(&turns(people.clone(), items), 3);
        shares.sort_unstable();
        assert_eq!(shares, [3, 3, 4]);
        let many: Vec<Waiting> = (0..100).map(|n| item(n, false, "spam")).collect();
        assert_eq!(loads(&turns(people, many), 3), [20, 20, 20], "the rest can be pulled");
    }

    #[test]
    fn who_is_good_at_it_comes_first_and_who_may_not_never() {
        let mut far = person(3, true, &[]);
        far.tenants = Some(vec!["film".into()]);
        let people = vec![person(1, false, &["hate"]), person(2, true, &[]), far];
        let mut appeal = item(7, true, "hate");
        appeal.before = vec![Uuid::from_u128(2)];
        let items = vec![
            item(1, false, "hate"),
            item(2, false, "hate"),
            item(3, false, "spam"),
            item(4, true, "hate"),
            appeal,
        ];
        let given = turns(people, items);
        let to = |n: u128| {
            given.iter().find(|(_, s, _)| *s == Uuid::from_u128(n)).map(|g| g.2.as_u128())
        };
        assert_eq!([to(1), to(2), to(3), to(4)], [Some(1), Some(1), Some(2), Some(2)]);
        assert_eq!(to(7), None, "nobody else may decide the appeal");
    }
}
