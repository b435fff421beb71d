//! Feature flags: what was ordered, and how they stand on the boxes.

use std::collections::{BTreeMap, BTreeSet};

use domain::directive::{Address, Flag, Order};
use domain::journal::FlagSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{Error, directives};

/// Boxes of each flag that are named.
const NAMED: usize = 20;

/// Writes down how boxes say that flags stand, in their order: box, its clock in milliseconds, which flag.
pub(crate) async fn write(client: &Client, said: &[(Uuid, i64, FlagSet)]) -> Result<(), Error> {
    let query = "INSERT INTO box_flags (box, flag, is_on, at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (box, flag) DO UPDATE SET is_on = excluded.is_on, at = excluded.at, received_at = now()";
    for (of, at, flag) in said {
        client.execute(query, &[of, &flag.name.as_str(), &flag.on, at]).await?;
    }
    Ok(())
}

/// A flag at an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// To whom it was ordered last: `fleet`, `tenant/NAME`, `box/UUID`; nothing where boxes were told by hand only.
    pub to: Option<String>,
    /// What a box of this address is called.
    pub of: Option<String>,
    /// What was ordered.
    pub on: Option<bool>,
    /// By whom, as colleagues see them.
    pub by: String,
    /// When, seconds since 1970; of what was done by hand the newest, by the box's clock.
    pub at: f64,
    /// Boxes where it is on, of those that the address reaches.
    pub on_at: usize,
    /// Boxes where it is off.
    pub off_at: usize,
    /// Boxes that have said nothing of it.
    pub silent: usize,
    /// Boxes where it is not as ordered, at most twenty.
    pub otherwise: Vec<(Uuid, String)>,
}

/// A box, as flags see it.
struct Member {
    of: Uuid,
    name: String,
    tenants: Vec<String>,
}

/// How a flag stands on boxes: whether it is on, and since when by the box's clock, seconds since 1970.
type States = BTreeMap<Uuid, (bool, f64)>;

/// What the box calls a flag that was ordered to an address.
fn called(to: &Address, name: &str) -> String {
    match to {
        Address::Tenant(_) => format!("{to}:{name}"),
        Address::Fleet | Address::Box(_) => name.to_owned(),
    }
}

/// All flags, by name and address, for those who see these tenants (nothing: all).
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client, tenants: Option<&[String]>) -> Result<Vec<Standing>, Error> {
    let query = "SELECT b.box, b.name, ARRAY(SELECT t.tenant FROM box_tenants t WHERE t.box = b.box) FROM boxes b
        WHERE b.state <> 'revoked' ORDER BY b.name, b.box";
    let mut members = Vec::new();
    for row in client.query(query, &[]).await? {
        let own: Vec<String> = row.try_get(2)?;
        if tenants.is_none_or(|seen| own.iter().any(|tenant| seen.contains(tenant))) {
            members.push(Member { of: row.try_get(0)?, name: row.try_get(1)?, tenants: own });
        }
    }
    let known: BTreeSet<Uuid> = members.iter().map(|member| member.of).collect();
    let mut said: BTreeMap<String, States> = BTreeMap::new();
    let query = "SELECT flag, box, is_on, at / 1000.0::float8 FROM box_flags";
    for row in client.query(query, &[]).await? {
        let of: Uuid = row.try_get(1)?;
        if known.contains(&of) {
            let stands = (row.try_get(2)?, row.try_get(3)?);
            said.entry(row.try_get(0)?).or_default().insert(of, stands);
        }
    }
    let mut newest: BTreeMap<(String, String), Standing> = BTreeMap::new();
    let mut ordered = BTreeSet::new();
    for given in directives::of_kind(client, "flag").await? {
        let (Order::Flag(Flag { name, on }), Ok(to)) = (given.order, given.to.parse()) else {
            continue;
        };
        let name = name.as_str().to_owned();
        let key = (name.clone(), given.to.clone());
        if !newest.contains_key(&key) && seen(&to, tenants, &members) {
            let called = called(&to, &name);
            let given = (given.to, on, given.by, given.at);
            newest.insert(key, standing(name, &to, given, said.get(&called), &members));
            ordered.insert(called);
        }
    }
    // What nobody here ordered.
    for (flag, states) in &said {
        if !ordered.contains(flag) && visible(flag, tenants) {
            newest.insert((flag.clone(), String::new()), by_hand(flag, states));
        }
    }
    Ok(newest.into_values().collect())
}

/// Whether an address is one that they see.
fn seen(to: &Address, tenants: Option<&[String]>, members: &[Member]) -> bool {
    match to {
        Address::Fleet => true,
        Address::Tenant(tenant) => {
            tenants.is_none_or(|seen| seen.iter().any(|one| one == tenant.as_str()))
        }
        Address::Box(of) => members.iter().any(|member| member.of == of.0),
    }
}

/// Whether a flag, as a box calls it, is one that they see.
fn visible(flag: &str, tenants: Option<&[String]>) -> bool {
    let tenant = flag.strip_prefix("tenant/").and_then(|rest| rest.split_once(':'));
    match (tenant, tenants) {
        (Some((tenant, _)), Some(seen)) => seen.iter().any(|one| one == tenant),
        _ => true,
    }
}

fn by_hand(flag: &str, states: &States) -> Standing {
    let on_at = states.values().filter(|(on, _)| *on).count();
    Standing {
        name: flag.to_owned(),
        to: None,
        of: None,
        on: None,
        by: String::new(),
        at: states.values().map(|(_, at)| *at).fold(0.0, f64::max),
        on_at,
        off_at: states.len() - on_at,
        silent: 0,
        otherwise: Vec::new(),
    }
}

fn standing(
    name: String,
    to: &Address,
    (lane, on, by, at): (String, bool, String, f64),
    states: Option<&States>,
    members: &[Member],
) -> Standing {
    let reached = members.iter().filter(|member| match to {
        Address::Fleet => true,
        Address::Tenant(tenant) => member.tenants.iter().any(|own| own == tenant.as_str()),
        Address::Box(of) => member.of == of.0,
    });
    let (mut on_at, mut off_at, mut silent) = (0, 0, 0);
    let (mut otherwise, mut of) = (Vec::new(), None);
    for member in reached {
        if matches!(to, Address::Box(_)) {
            of = Some(member.name.clone());
        }
        match states.and_then(|states| states.get(&member.of)) {
            Some((true, _)) => on_at += 1,
            Some((false, _)) => off_at += 1,
            None => silent += 1,
        }
        let stands = states.and_then(|states| states.get(&member.of)).map(|(is_on, _)| *is_on);
        if stands != Some(on) && otherwise.len() < NAMED {
            otherwise.push((member.of, member.name.clone()));
        }
    }
    let (to, on) = (Some(lane), Some(on));
    Standing { name, to, of, on, by, at, on_at, off_at, silent, otherwise }
}
