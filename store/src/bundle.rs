//! Bundles of models that the hub ordered: what is still to be fetched and installed. They come with the receipt of their directive, and go
//! with the entry that says what became of them.

use domain::directive::Bundle;
use domain::journal::{Acted, Actor, Body, Code, Lane, Sha256, Subject};
use rusqlite::params;

use crate::{
    Error, Reply, Store,
    rows::bits,
    store::Way,
    txn::{Entry, Txn},
};

impl Store {
    /// What is wanted, the oldest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn wanted_bundles(&self) -> Result<Vec<Bundle>, Error> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT sha256, bytes FROM wanted_bundles ORDER BY n")?;
            let bundles = statement.query_map([], |row| {
                let bytes: i64 = row.get("bytes")?;
                Ok(Bundle { sha256: Sha256(row.get("sha256")?), bytes: bytes.cast_unsigned() })
            })?;
            Ok(bundles.collect::<Result<_, _>>()?)
        })
    }

    /// It came to something: the word for it goes into the journal.
    pub fn bundle_ended(&self, sha256: Sha256, call: Code) -> Reply<()> {
        self.write(Way::Urgent, move |txn| {
            if txn.conn.execute("DELETE FROM wanted_bundles WHERE sha256 = ?", [sha256.0])? > 0 {
                let body = Body::Acted(Acted { tenant: None, call: call.clone() });
                let (actor, subject) = (&Actor::Hub, Subject::Box);
                txn.append(Entry { lane: Lane::Critical, actor, subject, body, side: None })?;
            }
            Ok(())
        })
    }
}

/// It is wanted from now on.
pub(crate) fn keep(txn: &Txn<'_>, bundle: &Bundle) -> Result<(), Error> {
    txn.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO wanted_bundles (sha256, bytes, at) VALUES (?, ?, ?)",
        )?
        .execute(params![bundle.sha256.0, bits(bundle.bytes), txn.now.0])?;
    Ok(())
}
