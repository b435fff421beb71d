//! Roll-outs: a policy or hash list goes to a box, then to a tenant, then to the fleet, when people say so; it can be paused, and taken back from
//! everywhere at once. What goes where, and the way back, were signed by the release key before ([`mod@file`]): the hub decides when, never what.

pub mod file;
pub mod health;
pub mod known;

use domain::directive::{Address, Released};
use domain::journal::{BoxId, Code, Epoch};
use serde::Serialize;
use serde_json::json;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::account::session::Who;
use crate::audit::{self, Actor, Deed};
use crate::directives::{self, Receipt};
use crate::receipt::HubKey;
use crate::{Error, fleet, tenant};
use file::{File, Opened, Plan};

/// Boxes that a refusal names.
const NAMED: usize = 5;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Stages may be given.
    Open,
    /// Nothing more goes out until somebody resumes it.
    Paused,
    /// All stages were given, and narrow ones follow the last.
    Done,
    /// It was taken back.
    Back,
}

impl State {
    /// As stored and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Back => "back",
        }
    }

    /// As people read it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Done => "finished",
            Self::Back => "taken back",
            other => other.as_str(),
        }
    }

    fn read(word: &str) -> Self {
        match word {
            "paused" => Self::Paused,
            "done" => Self::Done,
            "back" => Self::Back,
            _ => Self::Open,
        }
    }
}

/// A roll-out.
#[derive(Clone, Debug, Serialize)]
pub struct Rollout {
    /// Its name.
    pub rollout: Uuid,
    /// `policy` or `bank`.
    pub kind: String,
    /// Of what is released.
    pub name: String,
    /// Of what is released.
    pub version: i64,
    /// The file, TOML.
    #[serde(skip)]
    pub text: String,
    /// How far it is.
    pub state: State,
    /// What whoever brought it says of it.
    pub note: String,
    /// Who brought it.
    pub by: String,
    /// When, seconds since 1970.
    pub at: f64,
    /// Stages that were given, and all.
    pub given: (i64, i64),
}

/// One address of a roll-out.
#[derive(Clone, Debug)]
pub struct Stage {
    /// From 1.
    pub number: i16,
    /// To whom.
    pub to: Address,
    /// When it was given, by whom, and where the directive stands.
    pub go: Option<Given>,
    /// The same of the way back.
    pub back: Option<Given>,
    /// Whether the way back withdraws, so that what stands behind is in force.
    pub withdraws: bool,
}

/// When something was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The life of the journal, hexadecimal.
    pub epoch: String,
    /// Its number in the lane.
    pub seq: i64,
    /// Seconds since 1970.
    pub at: f64,
    /// By whom, as colleagues see them.
    pub by: String,
}

/// Brings a roll-out, checked by the release key that boxes are told of (Ed25519, 32 bytes). Nothing goes out yet.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::NotFound`] with what is wrong, or where the database is away.
pub async fn add(
    client: &Client,
    key: &HubKey,
    actor: Actor<'_>,
    file: &File,
    release_key: &[u8],
    note: &str,
) -> Result<Uuid, Error> {
    let (plan, stages) = file.open(release_key)?;
    known::catch_up(client).await?;
    let (kind, version) = (known::word(plan.kind), i64::try_from(plan.version).unwrap_or(i64::MAX));
    for to in &plan.stages {
        match to {
            Address::Box(of) => drop(fleet::show(client, *of).await?),
            Address::Tenant(of) => tenant::known(client, of).await?,
            Address::Fleet => {}
        }
        rises(client, kind, &plan, to).await?;
    }
    let query =
        "SELECT 1 FROM rollouts WHERE kind = $1 AND name = $2 AND state IN ('open', 'paused')";
    if client.query_opt(query, &[&kind, &plan.name.as_str()]).await?.is_some() {
        return Err(Error::Refused(format!(
            "another roll-out of {} is not over: finish it or take it back first",
            plan.name
        )));
    }
    let id = Uuid::now_v7();
    let query = "INSERT INTO rollouts (rollout, kind, name, version, content, note, account) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let name = plan.name.as_str();
    client
        .execute(query, &[&id, &kind, &name, &version, &plan.text, &note, &actor.account])
        .await?;
    insert(client, id, &stages).await?;
    let lanes: Vec<String> = plan.stages.iter().map(ToString::to_string).collect();
    let deed = Deed {
        action: "rollout.add",
        subject: format!("{name} {version}"),
        tenant: None,
        why: note,
        detail: json!({ "rollout": id, "kind": kind, "stages": lanes }),
    };
    audit::note(client, key, actor, &deed).await?;
    Ok(id)
}

async fn rises(client: &Client, kind: &str, plan: &Plan, to: &Address) -> Result<(), Error> {
    let lane = to.to_string();
    let highest = known::highest(client, kind, plan.name.as_str(), &lane).await?;
    match i64::try_from(plan.version).is_ok_and(|version| version > highest) {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "version {} does not rise: {lane} has version {highest} of {} already, and boxes refuse older ones; sign it with {} or more",
            plan.version,
            plan.name,
            highest + 1
        ))),
    }
}

async fn insert(client: &Client, id: Uuid, stages: &[Opened]) -> Result<(), Error> {
    let query = "INSERT INTO rollout_stages (rollout, stage, lane, go_bytes, go_signature, back_bytes, back_signature)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    for (n, Opened { to, go, back }) in (1_i16..).zip(stages) {
        let lane = to.to_string();
        client
            .execute(
                query,
                &[&id, &n, &lane, &go.bytes, &go.signature, &back.bytes, &back.signature],
            )
            .await?;
    }
    Ok(())
}

const COLUMNS: &str = "SELECT r.rollout, r.kind, r.name, r.version, r.content, r.state, r.note,
    coalesce((SELECT a.shown FROM accounts a WHERE a.account = r.account), 'command line'), extract(epoch FROM r.at)::float8,
    (SELECT count(*) FROM rollout_stages s WHERE s.rollout = r.rollout AND s.go_at IS NOT NULL),
    (SELECT count(*) FROM rollout_stages s WHERE s.rollout = r.rollout) FROM rollouts r";

/// The newest roll-outs, those that are not over first; at most so many.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client, most: i64) -> Result<Vec<Rollout>, Error> {
    let query = format!("{COLUMNS} ORDER BY r.state IN ('done', 'back'), r.at DESC LIMIT $1");
    client.query(&query, &[&most]).await?.iter().map(rollout).collect()
}

/// One, with its stages.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn find(client: &Client, id: Uuid) -> Result<(Rollout, Vec<Stage>), Error> {
    let query = format!("{COLUMNS} WHERE r.rollout = $1");
    let row = client.query_opt(&query, &[&id]).await?;
    let row = row.ok_or_else(|| Error::NotFound("there is no such roll-out".into()))?;
    let query = "SELECT stage, lane, go_epoch, go_seq, extract(epoch FROM go_at)::float8, go_by,
            back_epoch, back_seq, extract(epoch FROM back_at)::float8, back_by, back_bytes, back_signature
        FROM rollout_stages WHERE rollout = $1 ORDER BY stage";
    let stages = client.query(query, &[&id]).await?;
    Ok((rollout(&row)?, stages.iter().map(stage).collect::<Result<_, _>>()?))
}

fn rollout(row: &Row) -> Result<Rollout, Error> {
    Ok(Rollout {
        rollout: row.try_get(0)?,
        kind: row.try_get(1)?,
        name: row.try_get(2)?,
        version: row.try_get(3)?,
        text: row.try_get(4)?,
        state: State::read(row.try_get(5)?),
        note: row.try_get(6)?,
        by: row.try_get(7)?,
        at: row.try_get(8)?,
        given: (row.try_get(9)?, row.try_get(10)?),
    })
}

fn stage(row: &Row) -> Result<Stage, Error> {
    let given = |first: usize| {
        let (epoch, seq): (Option<i64>, Option<i64>) =
            (row.try_get(first)?, row.try_get(first + 1)?);
        let (Some(epoch), Some(seq)) = (epoch, seq) else { return Ok(None) };
        let epoch = Epoch(epoch.cast_unsigned()).to_string();
        let given = Given { epoch, seq, at: row.try_get(first + 2)?, by: row.try_get(first + 3)? };
        Ok::<_, Error>(Some(given))
    };
    let lane: &str = row.try_get(1)?;
    let back = Released { bytes: row.try_get(10)?, signature: row.try_get(11)? };
    Ok(Stage {
        number: row.try_get(0)?,
        to: lane.parse().map_err(|error| Error::Damaged(format!("{lane}: {error}")))?,
        go: given(2)?,
        back: given(6)?,
        withdraws: back.look().is_ok_and(|release| release.withdraws()),
    })
}

impl Stage {
    /// What each box said to it: to the way back where that was given, else to the way there.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn receipts(&self, client: &Client) -> Result<Vec<Receipt>, Error> {
        let Some(given) = self.back.as_ref().or(self.go.as_ref()) else { return Ok(Vec::new()) };
        let place =
            directives::place(&given.epoch, &self.to.to_string(), given.seq.cast_unsigned())?;
        directives::receipts(client, &place).await
    }

    /// The box, where it is one's alone.
    pub fn of_box(&self) -> Option<BoxId> {
        match self.to {
            Address::Box(of) => Some(of),
            _ => None,
        }
    }
}

/// Somebody who acts on a roll-out, and why.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Signs.
    pub key: &'a HubKey,
    /// Who.
    pub who: &'a Who,
    /// Why: goes into the audit journal.
    pub why: &'a str,
}

impl Act<'_> {
    /// Gives the next stage. Within a transaction of the caller's.
    ///
    /// # Errors
    /// [`Error::Refused`] where it is not its turn, or boxes of the stage before have not taken theirs and `anyway` is not said; or where the database is away.
    pub async fn advance(
        &self,
        client: &Client,
        id: Uuid,
        number: i16,
        anyway: bool,
    ) -> Result<(), Error> {
        let (rollout, stages) = locked(client, id).await?;
        let waiting = its_turn(client, &rollout, &stages, number, anyway).await?;
        let place = self.give(client, id, number, true).await?;
        let last = usize::try_from(number).is_ok_and(|number| number == stages.len());
        if last && stages.len() == 1 {
            set(client, id, State::Done).await?;
        }
        let detail = json!({ "rollout": id, "stage": number, "to": place.to.to_string(), "seq": place.seq, "without": waiting });
        self.note(client, "rollout.advance", &rollout, detail).await
    }

    /// Nothing more goes out, or may again.
    ///
    /// # Errors
    /// [`Error::Refused`] where it is over, or where the database is away.
    pub async fn pause(&self, client: &Client, id: Uuid, pause: bool) -> Result<(), Error> {
        let (rollout, _) = locked(client, id).await?;
        let (from, to, action) = match pause {
            true => (State::Open, State::Paused, "rollout.pause"),
            false => (State::Paused, State::Open, "rollout.resume"),
        };
        if rollout.state != from {
            return Err(Error::Refused(format!("it is {} already", rollout.state.as_str())));
        }
        set(client, id, to).await?;
        self.note(client, action, &rollout, json!({ "rollout": id })).await
    }

    /// Takes it back from wherever it went, the widest first. One person may: who sees harm at night need not wait for a second one.
    ///
    /// # Errors
    /// [`Error::Refused`] where it went nowhere or was taken back, or where the database is away.
    pub async fn back(&self, client: &Client, id: Uuid) -> Result<(), Error> {
        let (rollout, stages) = locked(client, id).await?;
        if rollout.state == State::Back {
            return Err(Error::Refused("it was taken back already".into()));
        }
        let mut newer = Vec::new();
        for stage in stages.iter().rev() {
            if stage.go.is_none() || stage.back.is_some() {
                continue;
            }
            let lane = stage.to.to_string();
            // Boxes take none that is not newer: something else was released there since, and stays.
            match known::highest(client, &rollout.kind, &rollout.name, &lane).await? {
                highest if highest > rollout.version => newer.push(lane),
                _ => drop(self.give(client, id, stage.number, false).await?),
            }
        }
        set(client, id, State::Back).await?;
        let detail = json!({ "rollout": id, "left_alone": newer });
        self.note(client, "rollout.back", &rollout, detail).await
    }

    /// Narrow stages follow the last one from now on: what was released to them alone is withdrawn.
    ///
    /// # Errors
    /// [`Error::Refused`] where not all stages were given, or where the database is away.
    pub async fn finish(&self, client: &Client, id: Uuid) -> Result<(), Error> {
        let (rollout, stages) = locked(client, id).await?;
        if rollout.state != State::Open || stages.iter().any(|stage| stage.go.is_none()) {
            return Err(Error::Refused(
                "it can be finished once all of its stages are given".into(),
            ));
        }
        let narrow = stages.len().saturating_sub(1);
        for stage in stages.iter().take(narrow).filter(|stage| stage.withdraws) {
            self.give(client, id, stage.number, false).await?;
        }
        set(client, id, State::Done).await?;
        self.note(client, "rollout.finish", &rollout, json!({ "rollout": id })).await
    }

    /// Gives a stage's release, or its way back.
    async fn give(
        &self,
        client: &Client,
        id: Uuid,
        number: i16,
        go: bool,
    ) -> Result<domain::directive::Place, Error> {
        let side = if go { "go" } else { "back" };
        let query = format!(
            "SELECT lane, {side}_bytes, {side}_signature FROM rollout_stages WHERE rollout = $1 AND stage = $2"
        );
        let row = client.query_one(&query, &[&id, &number]).await?;
        let lane: &str = row.try_get(0)?;
        let to: Address =
            lane.parse().map_err(|error| Error::Damaged(format!("{lane}: {error}")))?;
        let released = Released { bytes: row.try_get(1)?, signature: row.try_get(2)? };
        let by = Code::lossy(&self.who.account.account.to_string());
        let place = directives::give_within(client, self.key, to, by, released.into()).await?.place;
        let query = format!(
            "UPDATE rollout_stages SET {side}_epoch = $3, {side}_seq = $4, {side}_at = now(), {side}_by = $5 WHERE rollout = $1 AND stage = $2"
        );
        let (epoch, seq) = (place.epoch.0.cast_signed(), place.seq.0.cast_signed());
        client.execute(&query, &[&id, &number, &epoch, &seq, &self.who.account.shown]).await?;
        Ok(place)
    }

    async fn note(
        &self,
        client: &Client,
        action: &str,
        rollout: &Rollout,
        detail: serde_json::Value,
    ) -> Result<(), Error> {
        let subject = format!("{} {}", rollout.name, rollout.version);
        let deed = Deed { action, subject, tenant: None, why: self.why, detail };
        audit::note(client, self.key, self.who.into(), &deed).await
    }
}

/// Whether a stage may be given now; how many boxes of the stage before have not taken theirs up.
///
/// # Errors
/// [`Error::Refused`] where it is not its turn, or such boxes are there and `anyway` is not said; or where the database is away.
pub async fn its_turn(
    client: &Client,
    rollout: &Rollout,
    stages: &[Stage],
    number: i16,
    anyway: bool,
) -> Result<usize, Error> {
    if rollout.state != State::Open {
        return Err(Error::Refused(format!(
            "it is {}: nothing more goes out",
            rollout.state.as_str()
        )));
    }
    let next = stages.iter().find(|stage| stage.go.is_none());
    let Some(next) = next.filter(|next| next.number == number) else {
        return Err(Error::Refused("it is not this stage's turn: load the page again".into()));
    };
    let before = stages.iter().take_while(|stage| stage.number < next.number).last();
    let Some(before) = before else { return Ok(0) };
    let receipts = before.receipts(client).await?;
    let waiting = receipts.iter().filter(|receipt| receipt.state != "applied");
    let names: Vec<&str> = waiting.map(|receipt| receipt.name.as_str()).collect();
    if names.is_empty() || anyway {
        return Ok(names.len());
    }
    Err(Error::Refused(format!(
        "{} boxes of the stage before have not taken it up, or refuse it ({}): wait, look why, or say that it is to go on without them",
        names.len(),
        names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ")
    )))
}

/// For a change: nobody else changes it meanwhile.
async fn locked(client: &Client, id: Uuid) -> Result<(Rollout, Vec<Stage>), Error> {
    client.query_opt("SELECT 1 FROM rollouts WHERE rollout = $1 FOR UPDATE", &[&id]).await?;
    find(client, id).await
}

async fn set(client: &Client, id: Uuid, state: State) -> Result<(), Error> {
    let query = "UPDATE rollouts SET state = $2, changed_at = now() WHERE rollout = $1";
    client.execute(query, &[&id, &state.as_str()]).await?;
    Ok(())
}
