//! Attempts to log in, counted in the database: many nodes are one door.

use std::net::IpAddr;

use tokio_postgres::Client;

use crate::Error;

/// How long a failure counts, in seconds.
const WINDOW_S: f64 = 900.0;

/// Failures within it: of one account from one network, from one network, and of one account from anywhere. The last is high: a
/// stranger must not lock somebody out cheaply.
const SAME: i64 = 5;
const NETWORK: i64 = 20;
const ACCOUNT: i64 = 100;

/// Wrong codes of one account from anywhere: whoever comes so far has the password.
const CODES: i64 = 10;

/// An attempt: counted as failed until it turns out right, so that many at once are no way around the limit.
#[derive(Debug)]
pub struct Attempt([String; 3]);

impl Attempt {
    /// Begins one.
    ///
    /// # Errors
    /// [`Error::Refused`] where there were too many, or where the database is away.
    pub async fn begin(client: &Client, name: &str, from: IpAddr) -> Result<Self, Error> {
        Self::within(client, name, from, [SAME, NETWORK, ACCOUNT]).await
    }

    /// Begins one at the second factor.
    ///
    /// # Errors
    /// As [`Attempt::begin`].
    pub async fn begin_code(
        client: &Client,
        account: uuid::Uuid,
        from: IpAddr,
    ) -> Result<Self, Error> {
        Self::within(client, &format!("code of {account}"), from, [SAME, NETWORK, CODES]).await
    }

    /// Begins one by a passkey that is nobody's: a name of no account, since names have no spaces.
    ///
    /// # Errors
    /// As [`Attempt::begin`].
    pub async fn begin_unknown(client: &Client, from: IpAddr) -> Result<Self, Error> {
        Self::within(client, "a passkey of nobody", from, [SAME, NETWORK, ACCOUNT]).await
    }

    /// Begins one by a provider of identities, before it is known whose it is: counted by the network alone, since nobody's name is guessed.
    ///
    /// # Errors
    /// As [`Attempt::begin`].
    pub async fn begin_sent(client: &Client, from: IpAddr) -> Result<Self, Error> {
        Self::within(client, "somebody sent", from, [NETWORK, NETWORK, i64::MAX]).await
    }

    async fn within(
        client: &Client,
        name: &str,
        from: IpAddr,
        most: [i64; 3],
    ) -> Result<Self, Error> {
        let network = network(from);
        let counted =
            [format!("{name} from {network}"), format!("from {network}"), format!("as {name}")];
        let swept = "DELETE FROM login_failures WHERE at < now() - make_interval(secs => $1)";
        client.execute(swept, &[&WINDOW_S]).await?;
        // Noted before it is counted: of many at once each sees the others.
        let note = "INSERT INTO login_failures (counted) SELECT unnest($1::text[])";
        client.execute(note, &[&counted.as_slice()]).await?;
        let attempt = Self(counted);
        let query =
            "SELECT counted, count(*) FROM login_failures WHERE counted = ANY($1) GROUP BY 1";
        for row in &client.query(query, &[&attempt.0.as_slice()]).await? {
            let (what, count): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
            let at = attempt.0.iter().position(|counted| counted == what).unwrap_or(0);
            if count > most[at] {
                // One that was not even looked at prolongs nothing.
                attempt.forget(client).await?;
                let what = "too many attempts failed: try again in a quarter of an hour";
                return Err(Error::Refused(what.into()));
            }
        }
        Ok(attempt)
    }

    /// It was right: it does not count, and neither do those of the same person from the same place.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn succeed(self, client: &Client) -> Result<(), Error> {
        self.forget(client).await?;
        let query = "DELETE FROM login_failures WHERE counted = $1";
        client.execute(query, &[&self.0[0]]).await?;
        Ok(())
    }

    /// It was none: it does not count, and those before it do.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn withdraw(self, client: &Client) -> Result<(), Error> {
        self.forget(client).await
    }

    async fn forget(&self, client: &Client) -> Result<(), Error> {
        for counted in &self.0 {
            let query = "DELETE FROM login_failures WHERE ctid = (SELECT ctid FROM login_failures WHERE counted = $1 ORDER BY at DESC LIMIT 1)";
            client.execute(query, &[counted]).await?;
        }
        Ok(())
    }
}

/// Whoever has an IPv6 address has 64 bits of them.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}
