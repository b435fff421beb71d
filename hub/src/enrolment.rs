//! How boxes come to their certificates: tokens that are good once, first certificates, renewals. Each is one transaction, and each
//! certificate leaves a row.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::journal::{BoxId, Code, Sha256, TenantId};
use ring::rand::{SecureRandom as _, SystemRandom};
use sync::identity::enrol::Ask;
use sync::identity::{Authority, BOX_DAYS, BoxRequest, Issued, Token};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::alarm::{self, AlarmKind};
use crate::authority::Issuer;
use crate::{Error, fleet, tenant};

/// Most characters of what a box says about itself.
const MOST_CHARS: usize = 64;

/// What a box gets.
#[derive(Debug)]
pub struct Admitted {
    /// Its certificate.
    pub issued: Issued,
    /// The tenants that it is to serve, with their secrets.
    pub tenants: BTreeMap<String, [u8; 32]>,
}

/// Makes a token by which one box may enrol within so many hours, and is to serve these tenants.
///
/// # Errors
/// Where the database is away, or the hub's addresses are not configured.
pub async fn invite(
    client: &Client,
    issuer: &Issuer,
    name: &str,
    hours: u16,
    tenants: &[TenantId],
) -> Result<Token, Error> {
    if issuer.told.hubs.is_empty() {
        return Err(Error::Invalid(
            "boxes.hubs: a token names the hub's address: write for example hubs = [\"https://hub.example:8470\"]".into(),
        ));
    }
    let name = words("name", name)?;
    let mut secret = [0; 32];
    let filled = SystemRandom::new().fill(&mut secret);
    filled.map_err(|_| Error::Invalid("no randomness for a token".into()))?;
    let authority = Sha256::of(issuer.authority.certificate());
    let token = Token { hubs: issuer.told.hubs.clone(), authority, secret };
    let mut serves = Vec::new();
    for tenant in tenants {
        tenant::known(client, tenant).await?;
        serves.push(tenant.as_str());
    }
    client
        .execute(
            "INSERT INTO enrolment_tokens (secret_sha256, name, expires_at, tenants) VALUES ($1, $2, now() + make_interval(hours => $3), $4)",
            &[&token.digest().0.as_slice(), &name, &i32::from(hours), &serves],
        )
        .await?;
    Ok(token)
}

/// Gives a box its first certificate for the secret of a token, and uses the token up. The same box may ask again under the same key,
/// since the answer may have been lost.
///
/// # Errors
/// [`Error::Refused`] with what to do, [`Error::Invalid`], or where the database is away.
pub async fn enrol(
    client: &mut Client,
    authority: &Authority,
    ask: &Ask,
    remote: &str,
) -> Result<Admitted, Error> {
    let request = request(ask)?;
    let (of, public_key) = (request.of, request.public_key.clone());
    let secret = ask.secret.as_deref().unwrap_or_default();
    let secret = BASE64_STANDARD.decode(secret).map_err(|_| bad("secret: it is no base64"))?;
    let transaction = client.transaction().await?;
    // It is looked up by its hash, so that the time taken tells nothing of it; locked, so that it is good once.
    let query = "SELECT name, expires_at > now(), used_by, tenants FROM enrolment_tokens WHERE secret_sha256 = $1 FOR UPDATE";
    let hash = Sha256::of(&secret);
    let Some(row) = transaction.query_opt(query, &[&hash.0.as_slice()]).await? else {
        return refused(
            "this hub has no such token: make one with `weir-hub token enroll` at this hub",
        );
    };
    let (token, good, used_by): (String, bool, Option<Uuid>) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if used_by.is_some_and(|by| by != of.0) {
        return refused(
            "another box has used this token: make one for each with `weir-hub token enroll`",
        );
    }
    if !good {
        return refused("this token has expired: make a new one with `weir-hub token enroll`");
    }
    let name = match ask.name.as_deref().unwrap_or_default() {
        "" => token.clone(),
        given => words("name", given)?,
    };
    let issued = issue(authority, request)?;
    fleet::enrol(transaction.client(), of, &name, &public_key, &issued.serial).await?;
    if used_by.is_none() {
        let serves: Vec<String> = row.try_get(3)?;
        tenant::assign(transaction.client(), of, &serves).await?;
    }
    let query = "UPDATE enrolment_tokens SET used_by = $2, used_at = coalesce(used_at, now()) WHERE secret_sha256 = $1";
    transaction.execute(query, &[&hash.0.as_slice(), &of.0]).await?;
    let given = Given { of, public_key: &public_key, issued: &issued, remote };
    given.keep(transaction.client(), "enrolled", Some(&token), &ask.release).await?;
    let tenants = tenant::of_box(transaction.client(), of).await?;
    transaction.commit().await?;
    tracing::info!(box = %of, name, token, remote, "enrolled");
    Ok(Admitted { issued, tenants })
}

/// Gives an enrolled box a new certificate. That the request was signed by the key under which it enrolled is the proof; whether the
/// old certificate has run out is not asked, but somebody may want to know.
///
/// # Errors
/// As [`enrol`].
pub async fn renew(
    client: &mut Client,
    authority: &Authority,
    ask: &Ask,
    remote: &str,
) -> Result<Admitted, Error> {
    let request = request(ask)?;
    let (of, public_key) = (request.of, request.public_key.clone());
    let transaction = client.transaction().await?;
    let query = "SELECT b.public_key, b.state = 'revoked', coalesce(c.expires_at < now(), false) FROM boxes b
        LEFT JOIN certificates c ON c.box = b.box AND c.serial = b.serial WHERE b.box = $1 FOR UPDATE OF b";
    let Some(row) = transaction.query_opt(query, &[&of.0]).await? else {
        return refused("no such box is enrolled here: make a token with `weir-hub token enroll`");
    };
    let (known, revoked, late): (Vec<u8>, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if known != public_key {
        return refused("the request is signed by another key than the one the box enrolled with");
    }
    if revoked {
        return refused("this box is revoked: it gets no certificate any more");
    }
    let issued = issue(authority, request)?;
    let query =
        "UPDATE boxes SET serial = $2, state = 'enrolled', changed_at = now() WHERE box = $1";
    transaction.execute(query, &[&of.0, &issued.serial]).await?;
    let given = Given { of, public_key: &public_key, issued: &issued, remote };
    given.keep(transaction.client(), "renewed", None, &ask.release).await?;
    if late {
        let code = Code::lossy("certificate");
        alarm::raise(transaction.client(), of, AlarmKind::RenewedLate, &code).await?;
    }
    let tenants = tenant::of_box(transaction.client(), of).await?;
    transaction.commit().await?;
    tracing::info!(box = %of, late, remote, "certificate renewed");
    Ok(Admitted { issued, tenants })
}

/// A certificate and whom it was given.
struct Given<'a> {
    of: BoxId,
    public_key: &'a [u8],
    issued: &'a Issued,
    remote: &'a str,
}

impl Given<'_> {
    async fn keep(
        &self,
        client: &Client,
        event: &str,
        token: Option<&str>,
        release: &str,
    ) -> Result<(), Error> {
        let release = words("release", release)?;
        client
            .execute(
                "INSERT INTO certificates (box, serial, event, public_key, expires_at, token, release, remote)
                 VALUES ($1, $2, $3, $4, to_timestamp($5::float8), $6, $7, $8)",
                &[
                    &self.of.0,
                    &self.issued.serial,
                    &event,
                    &self.public_key,
                    &(self.issued.expires as f64),
                    &token,
                    &release,
                    &self.remote,
                ],
            )
            .await?;
        Ok(())
    }
}

/// What the box asks for; its signature is looked at here.
fn request(ask: &Ask) -> Result<BoxRequest, Error> {
    let der = BASE64_STANDARD.decode(&ask.request);
    let der = der.map_err(|_| bad("request: it is no base64"))?;
    BoxRequest::read(&der).map_err(|error| Error::Invalid(error.to_string()))
}

fn issue(authority: &Authority, request: BoxRequest) -> Result<Issued, Error> {
    authority.issue(request, BOX_DAYS).map_err(|error| Error::Invalid(error.to_string()))
}

/// Words of a stranger, as they may stand in a list.
fn words(what: &str, given: &str) -> Result<String, Error> {
    let given = given.trim();
    let fits = (1..=MOST_CHARS).contains(&given.chars().count());
    match fits && !given.chars().any(char::is_control) {
        true => Ok(given.to_owned()),
        false => Err(Error::Invalid(format!("{what}: 1 to {MOST_CHARS} printable characters"))),
    }
}

fn bad(what: &str) -> Error {
    Error::Invalid(what.to_owned())
}

fn refused<T>(why: &str) -> Result<T, Error> {
    Err(Error::Refused(why.to_owned()))
}
