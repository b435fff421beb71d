//! The technician's PIN, as a slow hash that the gateway makes: the store never sees the PIN itself.

use domain::journal::{Acted, Actor, Body, Code, Lane, Subject};
use rusqlite::{OptionalExtension as _, params};

use crate::{Error, Reply, Store, store::Way, txn::Entry};

/// Its key in the table `meta`.
const KEY: &str = "technician_pin";

impl Store {
    /// Sets the hash of the PIN; `None` removes it, so that nobody can act by PIN.
    pub fn set_pin(&self, hash: Option<String>, actor: Actor) -> Reply<()> {
        self.write(Way::Urgent, move |txn| {
            match &hash {
                Some(hash) => txn.conn.execute(
                    "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                    params![KEY, hash.as_bytes()],
                )?,
                None => txn.conn.execute("DELETE FROM meta WHERE key = ?", [KEY])?,
            };
            let call = Code::lossy(if hash.is_some() { "pin.set" } else { "pin.clear" });
            let body = Body::Acted(Acted { tenant: None, call });
            let subject = Subject::Box;
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })?;
            Ok(())
        })
    }

    /// The hash of the PIN, where one is set.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn pin(&self) -> Result<Option<String>, Error> {
        self.read(|conn| {
            let hash: Option<Vec<u8>> = conn
                .prepare_cached("SELECT value FROM meta WHERE key = ?")?
                .query_row([KEY], |row| row.get(0))
                .optional()?;
            Ok(hash.and_then(|bytes| String::from_utf8(bytes).ok()))
        })
    }
}
