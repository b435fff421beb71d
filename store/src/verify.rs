//! Proving a store from its own bytes: chains, checkpoints, side records, decisions.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use domain::journal::{
    AuthorNumber, Body, Epoch, Lane, Record, Seq, Sha256, Side, SignedCheckpoint, Subject,
    SubmissionId, TenantId, link,
};
use rusqlite::{Connection, params};

use crate::{Error, author, identity::Identity, rows::bits, schema};

/// What was recomputed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Epochs of the database.
    pub epochs: u64,
    /// Entries whose chain was recomputed.
    pub entries: u64,
    /// Checkpoints whose signature and heads were compared.
    pub checkpoints: u64,
    /// Side records whose commitment was recomputed.
    pub sides: u64,
    /// Side records that are gone, erased or expired; entries keep their commitments.
    pub sides_gone: u64,
    /// Decisions that were compared with their entries.
    pub decisions: u64,
    /// Heads in checkpoints whose entries a salvage had to leave behind in the file that was set aside.
    pub left_behind: u64,
    /// What does not hold; empty means that everything does. At most [`MOST_PROBLEMS`].
    pub problems: Vec<String>,
}

/// Problems that are told one by one; a broken chain would fill pages.
pub const MOST_PROBLEMS: usize = 100;

/// Recomputes everything. The service may run meanwhile: it sees one instant.
///
/// # Errors
/// Where the database or the device key cannot be read. What does not hold is no error but a problem.
pub fn verify(dir: &Path) -> Result<Verified, Error> {
    let identity = Identity::read(dir)?;
    let conn = schema::open_reader(&dir.join(schema::DATABASE))?;
    schema::refuse_newer(&conn, dir)?;
    let snapshot = conn.unchecked_transaction()?;
    let mut verified = Verified::default();
    if let Err(error) = schema::check(&conn) {
        verified.problem(error.to_string());
    }
    let mut chains = BTreeMap::new();
    for (epoch, lane, base, chain) in lanes(&conn)? {
        verified.lane(&conn, epoch, lane, base, chain, &mut chains)?;
    }
    verified.checkpoints(&conn, &identity.public_key(), &chains)?;
    verified.decisions(&conn)?;
    snapshot.finish()?;
    Ok(verified)
}

/// What is left of an author: nothing, where the erasure was complete. Counts rows by table.
///
/// # Errors
/// Where the database cannot be read.
pub fn remains(dir: &Path, author: AuthorNumber) -> Result<BTreeMap<&'static str, u64>, Error> {
    let conn = schema::open_reader(&dir.join(schema::DATABASE))?;
    let mut remains = BTreeMap::new();
    for (table, query) in [
        ("authors", "SELECT count(*) FROM authors WHERE number = ?"),
        ("submissions", "SELECT count(*) FROM submissions WHERE author = ?"),
        ("sides", "SELECT count(*) FROM sides WHERE author = ?"),
        ("strikes", "SELECT count(*) FROM strikes WHERE author = ?"),
        ("orders", "SELECT count(*) FROM orders WHERE author = ?"),
        ("reports", "SELECT count(*) FROM reports WHERE reporter = ?"),
        (
            "evidence",
            "SELECT count(*) FROM evidence WHERE submission IN (SELECT id FROM submissions WHERE author = ?)",
        ),
        // Files whose deletion an erasure queued and that may still be there.
        (
            "effects",
            "SELECT count(*) FROM effects WHERE kind = 'discard' AND payload = CAST(CAST(? AS TEXT) AS BLOB)",
        ),
    ] {
        let count: i64 = conn.query_row(query, [bits(author.0)], |row| row.get(0))?;
        if count > 0 {
            remains.insert(table, count.cast_unsigned());
        }
    }
    Ok(remains)
}

/// The number under which an author is still known; nothing, where the link to the platform's name is erased.
///
/// # Errors
/// Where the database cannot be read.
pub fn known_author(
    dir: &Path,
    tenant: &TenantId,
    key: &[u8; 32],
) -> Result<Option<AuthorNumber>, Error> {
    let conn = schema::open_reader(&dir.join(schema::DATABASE))?;
    author::find(&conn, tenant, key)
}

/// Files of the database, log included, in which these bytes stand, wherever in them.
///
/// # Errors
/// Where a file cannot be read.
pub fn files_with(dir: &Path, needle: &[u8]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for suffix in ["", "-wal", "-journal"] {
        let path = dir.join(format!("{}{suffix}", schema::DATABASE));
        match contains(&path, needle) {
            Ok(true) => found.push(path),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    Ok(found)
}

fn contains(path: &Path, needle: &[u8]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut window = Vec::new();
    loop {
        // What a needle across two chunks needs of the first.
        let keep = window.len().saturating_sub(needle.len().saturating_sub(1));
        window.drain(..keep);
        if (&mut file).take(1 << 20).read_to_end(&mut window)? == 0 {
            return Ok(false);
        }
        if window.windows(needle.len().max(1)).any(|bytes| bytes == needle) {
            return Ok(true);
        }
    }
}

type Chains = BTreeMap<(Epoch, Lane, Seq), Sha256>;

fn lanes(conn: &Connection) -> Result<Vec<(Epoch, Lane, Seq, Sha256)>, Error> {
    let mut statement = conn.prepare(
        "SELECT epoch, lane, base_seq, base_chain FROM lanes JOIN epochs USING (epoch) ORDER BY n, lane",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, u8>(1)?, row.get::<_, i64>(2)?, row.get(3)?))
    })?;
    rows.map(|row| {
        let (epoch, lane, base, chain) = row?;
        let lane = Lane::from_number(lane).ok_or_else(|| Error::damaged("no such lane"))?;
        Ok((Epoch(epoch.cast_unsigned()), lane, Seq(base.cast_unsigned()), Sha256(chain)))
    })
    .collect()
}

impl Verified {
    fn problem(&mut self, what: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(what.into());
        }
    }

    /// One lane from its base: numbers without a gap, chain, the record's own idea of where it is, side record.
    fn lane(
        &mut self,
        conn: &Connection,
        epoch: Epoch,
        lane: Lane,
        base: Seq,
        base_chain: Sha256,
        chains: &mut Chains,
    ) -> Result<(), Error> {
        self.epochs += u64::from(lane == Lane::Critical);
        chains.insert((epoch, lane, base), base_chain);
        let (mut last, mut chain) = (base, base_chain);
        let mut statement = conn.prepare(
            "SELECT j.seq, j.record, j.chain, s.salt, s.bytes FROM journal j LEFT JOIN sides s USING (epoch, lane, seq)
             WHERE epoch = ? AND lane = ? ORDER BY seq",
        )?;
        let mut rows = statement.query(params![bits(epoch.0), lane.number()])?;
        while let Some(row) = rows.next()? {
            let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
            let at = format!("epoch {epoch}, lane {}, entry {}", lane.number(), seq.0);
            let bytes: Vec<u8> = row.get(1)?;
            self.entries += 1;
            if seq != last.next() {
                self.problem(format!("{at}: follows {}", last.0));
            }
            chain = link(chain, &bytes);
            if chain.0 != row.get::<_, [u8; 32]>(2)? {
                self.problem(format!(
                    "{at}: the chain is another one: the entry or one before it was altered"
                ));
                // Go on from what is written, so that one alteration is one problem.
                chain = Sha256(row.get(2)?);
            }
            last = seq;
            chains.insert((epoch, lane, seq), chain);
            match Record::decode(&bytes) {
                Ok(record) if (record.epoch, record.lane, record.seq) == (epoch, lane, seq) => {
                    let side = match (row.get::<_, Option<[u8; 32]>>(3)?, row.get(4)?) {
                        (Some(salt), Some(bytes)) => Some(Side { salt, bytes }),
                        _ => None,
                    };
                    self.side(&at, record.side, side);
                }
                Ok(_) => self.problem(format!("{at}: the record says that it stands elsewhere")),
                Err(error) => self.problem(format!("{at}: {error}")),
            }
        }
        Ok(())
    }

    fn side(&mut self, at: &str, commitment: Option<Sha256>, side: Option<Side>) {
        match (commitment, side) {
            (Some(commitment), Some(side)) => {
                self.sides += 1;
                if side.commitment() != commitment {
                    self.problem(format!("{at}: the side record is not the one committed to"));
                }
            }
            (Some(_), None) => self.sides_gone += 1,
            (None, Some(_)) => self.problem(format!("{at}: a side record that nothing commits to")),
            (None, None) => {}
        }
    }

    fn checkpoints(
        &mut self,
        conn: &Connection,
        public_key: &[u8],
        chains: &Chains,
    ) -> Result<(), Error> {
        let salvaged = conn.prepare("SELECT 1 FROM epochs WHERE cause = 'salvaged'")?.exists([])?;
        let mut statement =
            conn.prepare("SELECT n, bytes, signature FROM checkpoints ORDER BY n")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let n: i64 = row.get(0)?;
            let signed = SignedCheckpoint { bytes: row.get(1)?, signature: row.get(2)? };
            self.checkpoints += 1;
            match signed.verify(public_key) {
                Ok(checkpoint) => {
                    for head in checkpoint.heads {
                        let (epoch, lane) = (checkpoint.epoch, head.lane);
                        let mut ours = chains
                            .range((epoch, lane, Seq(0))..=(epoch, lane, Seq(u64::MAX)))
                            .map(|((_, _, seq), _)| *seq);
                        let (first, last) = (ours.next(), ours.next_back());
                        let pruned = first.is_some_and(|base| base > head.seq);
                        let lost = salvaged && last.or(first).is_none_or(|last| last < head.seq);
                        if chains.get(&(epoch, lane, head.seq)) == Some(&head.chain) || pruned {
                            continue;
                        }
                        if lost {
                            self.left_behind += 1;
                        } else {
                            let lane = lane.number();
                            self.problem(format!(
                                "checkpoint {n}: lane {lane} is not as it was at entry {}",
                                head.seq.0
                            ));
                        }
                    }
                }
                Err(error) => self.problem(format!("checkpoint {n}: {error}")),
            }
        }
        Ok(())
    }

    /// Decisions and their entries: each row as its entry says, numbers without a gap, none twice.
    fn decisions(&mut self, conn: &Connection) -> Result<(), Error> {
        let mut statement = conn.prepare(
            "SELECT d.submission, d.number, d.supersedes, d.decision, j.record,
             EXISTS (SELECT 1 FROM lanes l WHERE l.epoch = d.epoch AND l.lane = d.lane AND l.base_seq < d.seq)
                 AND NOT EXISTS (SELECT 1 FROM epochs WHERE cause = 'salvaged') AS due
             FROM decisions d LEFT JOIN journal j USING (epoch, lane, seq) ORDER BY d.submission, d.number",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = SubmissionId(row.get(0)?);
            let (number, supersedes): (u32, Option<u32>) = (row.get(1)?, row.get(2)?);
            let at = format!("submission {id}, decision {number}");
            self.decisions += 1;
            if supersedes != number.checked_sub(1) {
                self.problem(format!("{at}: it does not supersede the one before it"));
            }
            let record: Option<Vec<u8>> = row.get(4)?;
            let Some(record) = record else {
                // Pruned entries, and those that a salvage could not prove, are missing by right.
                if row.get(5)? {
                    self.problem(format!("{at}: its entry in the journal is missing"));
                }
                continue;
            };
            let text: String = row.get(3)?;
            let Ok(decision) = serde_json::from_str::<domain::Decision>(&text) else {
                self.problem(format!("{at}: the row is damaged"));
                continue;
            };
            let same = Record::decode(&record).is_ok_and(|record| {
                let Body::Decided(entry) = &record.body else { return false };
                record.subject == Subject::Submission(id)
                    && entry.number == number
                    && entry.supersedes == supersedes
                    && entry.status == decision.status
                    && entry.severity == decision.severity
                    && entry.action == decision.action
                    && entry.complete == decision.complete
            });
            if !same {
                self.problem(format!(
                    "{at}: the row says something else than its entry in the journal"
                ));
            }
        }
        drop(rows);
        drop(statement);
        self.loose_ends(conn)
    }

    /// Submissions that nobody would ever decide.
    fn loose_ends(&mut self, conn: &Connection) -> Result<(), Error> {
        let mut statement = conn.prepare(
            "SELECT id FROM submissions s WHERE decision IS NULL AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.submission = s.id)
             UNION ALL
             SELECT id FROM submissions s WHERE decision IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.submission = s.id AND d.number = s.decision)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = SubmissionId(row.get(0)?);
            self.problem(format!(
                "submission {id}: neither a job nor the decision in force is there"
            ));
        }
        Ok(())
    }
}
