//! Accounts of people: who they are, what they may, and how they come in.
//!
//! An account begins with an invitation, a line that is good once and for a day; its owner sets password and second factor by it.
//! The first one is made on the command line (`weir-hub account add`). Nothing is ever deleted: an account is switched off.

pub mod failure;
pub mod knock;
pub mod oidc;
pub mod passkey;
pub mod password;
pub mod role;
pub mod seal;
pub mod session;
pub mod totp;

use domain::journal::Sha256;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use serde_json::json;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

pub use role::{Right, Role};

use crate::Error;
use crate::audit::{self, Actor, Deed};
use crate::receipt::HubKey;
use crate::tongue::Tongue;

/// Characters of a name, and of what colleagues see.
const NAME: usize = 64;

/// How long an invitation holds, in seconds.
const INVITATION_S: f64 = 24.0 * 3600.0;

/// An account.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// Its id.
    pub account: Uuid,
    /// What one logs in with.
    pub name: String,
    /// What colleagues see.
    pub shown: String,
    /// What it is for.
    pub role: Role,
    /// Whose submissions it may see; nothing: all.
    pub tenants: Option<Vec<String>>,
    /// What it is good at.
    pub skills: Vec<String>,
    /// Whether its owner has set password and second factor.
    pub ready: bool,
    /// When it was made, seconds since 1970.
    pub created_at: f64,
    /// When it was switched off.
    pub disabled_at: Option<f64>,
    /// When somebody last confirmed that it is still needed.
    pub confirmed_at: f64,
    /// Who did.
    pub confirmed_by: String,
    /// When it was last used.
    pub seen_at: Option<f64>,
    /// In which language its owner reads the screens; nothing: as the browser says.
    pub language: Option<Tongue>,
    /// Whether single keys do something.
    pub keys: bool,
}

const COLUMNS: &str =
    "SELECT a.account, a.name, a.shown, a.role, a.tenants, a.skills, a.password IS NOT NULL,
    extract(epoch FROM a.created_at)::float8, extract(epoch FROM a.disabled_at)::float8,
    extract(epoch FROM a.confirmed_at)::float8, a.confirmed_by,
    extract(epoch FROM a.seen_at)::float8, a.language, a.keys FROM accounts a";

fn account(row: &Row) -> Result<Account, Error> {
    let role: &str = row.try_get(3)?;
    Ok(Account {
        account: row.try_get(0)?,
        name: row.try_get(1)?,
        shown: row.try_get(2)?,
        role: role.parse().map_err(Error::Damaged)?,
        tenants: row.try_get(4)?,
        skills: row.try_get(5)?,
        ready: row.try_get(6)?,
        created_at: row.try_get(7)?,
        disabled_at: row.try_get(8)?,
        confirmed_at: row.try_get(9)?,
        confirmed_by: row.try_get(10)?,
        seen_at: row.try_get(11)?,
        language: row.try_get::<_, Option<&str>>(12)?.and_then(Tongue::read),
        keys: row.try_get(13)?,
    })
}

/// All accounts, by name.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client) -> Result<Vec<Account>, Error> {
    let rows = client.query(&format!("{COLUMNS} ORDER BY a.name"), &[]).await?;
    rows.iter().map(account).collect()
}

/// One, by what it logs in with.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn named(client: &Client, name: &str) -> Result<Account, Error> {
    let row = client.query_opt(&format!("{COLUMNS} WHERE a.name = $1"), &[&name]).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("there is no account `{name}`")))?;
    account(&row)
}

/// One, by id.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn find(client: &Client, id: Uuid) -> Result<Account, Error> {
    let row = client.query_opt(&format!("{COLUMNS} WHERE a.account = $1"), &[&id]).await?;
    let row = row.ok_or_else(|| Error::NotFound("there is no such account".into()))?;
    account(&row)
}

/// Whom to add.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// What one logs in with: small letters, digits, `.`, `-`, `_`, `@`.
    pub name: String,
    /// What colleagues see; the name where left empty.
    pub shown: String,
    /// What it is for.
    pub role: Role,
    /// Whose submissions it may see; nothing: all.
    pub tenants: Option<Vec<String>>,
}

/// Adds an account that nobody can use yet: [`invite`] it.
///
/// # Errors
/// [`Error::Invalid`] with what to do, or where the database is away.
pub async fn add(client: &Client, by: &str, newcomer: &Newcomer) -> Result<Uuid, Error> {
    let Newcomer { name, shown, role, tenants } = newcomer;
    if !is_name(name) {
        let what = "a name has 1 to 64 small letters, digits, `.`, `-`, `_`, `@`";
        return Err(Error::Invalid(what.into()));
    }
    let shown = if shown.trim().is_empty() { name } else { shown.trim() };
    if [audit::operator().shown, audit::stranger("").shown].contains(&shown) {
        return Err(Error::Invalid(format!(
            "`{shown}` stands for somebody else in the audit journal: take another"
        )));
    }
    if shown.chars().count() > NAME || shown.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "what others see has at most {NAME} characters, and no control characters"
        )));
    }
    for tenant in tenants.iter().flatten() {
        let tenant =
            tenant.parse().map_err(|error| Error::Invalid(format!("{tenant}: {error}")))?;
        crate::tenant::known(client, &tenant).await?;
    }
    let id = Uuid::now_v7();
    let query =
        "INSERT INTO accounts (account, name, shown, role, tenants, created_by, confirmed_by)
        VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (name) DO NOTHING";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&id, name, &shown, &role.as_str(), tenants, &by];
    match client.execute(query, &parameters).await? {
        0 => Err(Error::Invalid(format!("there is an account `{name}` already"))),
        _ => Ok(id),
    }
}

/// Whether an account may have such a name.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_@".contains(c);
    !name.is_empty() && name.len() <= NAME && name.chars().all(allowed)
}

/// An invitation for an account, for the first time or because password or second factor are lost; earlier ones end. The secret is told
/// this once.
///
/// # Errors
/// Where the database is away or the system has no randomness.
pub async fn invite(client: &Client, key: &HubKey, id: Uuid) -> Result<String, Error> {
    let secret = secret()?;
    let query = "WITH gone AS (DELETE FROM invitations WHERE account = $2)
        INSERT INTO invitations (secret_sha256, account, totp_sealed, expires_at) VALUES ($1, $2, $3, now() + make_interval(secs => $4))";
    let sealed = key.sealer().seal(id, &totp::secret()?)?;
    client.execute(query, &[&hashed(&secret), &id, &sealed, &INVITATION_S]).await?;
    Ok(secret)
}

/// What an invitation offers.
#[derive(Debug)]
pub struct Invited {
    /// Whom.
    pub account: Account,
    /// The secret of its second factor.
    pub totp: Vec<u8>,
}

/// Reads an invitation that still holds.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn invited(client: &Client, key: &HubKey, secret: &str) -> Result<Invited, Error> {
    let query = "SELECT i.account, i.totp_sealed FROM invitations i JOIN accounts a USING (account)
        WHERE i.secret_sha256 = $1 AND i.totp_sealed IS NOT NULL AND i.used_at IS NULL AND i.expires_at > now() AND a.disabled_at IS NULL";
    let row = client.query_opt(query, &[&hashed(secret)]).await?;
    let row = row.ok_or_else(|| {
        Error::NotFound(
            "this invitation was used, or its day is over: ask an admin for another".into(),
        )
    })?;
    let account = find(client, row.try_get(0)?).await?;
    let totp = key.sealer().open(account.account, row.try_get(1)?)?;
    Ok(Invited { account, totp })
}

/// Uses an invitation: password and second factor are set; sessions, passkeys and links to a provider from before end.
///
/// # Errors
/// [`Error::Invalid`] with what to do, [`Error::NotFound`], or where the database is away.
pub async fn accept(
    client: &mut Client,
    key: &HubKey,
    secret: &str,
    password: String,
    code: &str,
    remote: &str,
) -> Result<Account, Error> {
    let Invited { account, totp } = invited(client, key, secret).await?;
    password::check(&password, &account.name)?;
    let step = totp::check(&totp, code, now_s(), 0).ok_or_else(|| {
        Error::Invalid("the code is not right: take the one that the authenticator shows now, and see that the clock of the phone is right".into())
    })?;
    let hash = password::hash(password).await?;
    let transaction = client.transaction().await?;
    let used =
        "UPDATE invitations SET used_at = now() WHERE secret_sha256 = $1 AND used_at IS NULL";
    if transaction.execute(used, &[&hashed(secret)]).await? == 0 {
        return Err(Error::NotFound("this invitation was used meanwhile".into()));
    }
    let query = "UPDATE accounts SET password = $2, totp = NULL, totp_sealed = $3, totp_step = $4 WHERE account = $1";
    let sealed = key.sealer().seal(account.account, &totp)?;
    transaction.execute(query, &[&account.account, &hash, &sealed, &step]).await?;
    for of in ["sessions", "passkeys", "oidc_links"] {
        let query = format!("DELETE FROM {of} WHERE account = $1");
        transaction.execute(&query, &[&account.account]).await?;
    }
    let actor = Actor { account: Some(account.account), shown: &account.shown, remote };
    let subject = account.name.clone();
    let deed = Deed { action: "account.accept", subject, tenant: None, why: "", detail: json!({}) };
    audit::note(transaction.client(), key, actor, &deed).await?;
    transaction.commit().await?;
    Ok(account)
}

/// Switches an account off, and ends its sessions; or on again.
///
/// # Errors
/// Where the database is away.
pub async fn switch(client: &Client, id: Uuid, on: bool) -> Result<(), Error> {
    let query = "UPDATE accounts SET disabled_at = CASE WHEN $2 THEN NULL ELSE coalesce(disabled_at, now()) END WHERE account = $1";
    client.execute(query, &[&id, &on]).await?;
    if !on {
        client.execute("DELETE FROM sessions WHERE account = $1", &[&id]).await?;
        // What they had in hand or were given goes to others.
        let back = "UPDATE reviews SET assignee = nullif(assignee, $1), claimed_by = nullif(claimed_by, $1) WHERE open AND (assignee = $1 OR claimed_by = $1)";
        client.execute(back, &[&id]).await?;
    }
    Ok(())
}

/// Confirms that an account is still needed as it is: the access review.
///
/// # Errors
/// Where the database is away.
pub async fn confirm(client: &Client, id: Uuid, by: &str) -> Result<(), Error> {
    let query = "UPDATE accounts SET confirmed_at = now(), confirmed_by = $2 WHERE account = $1";
    client.execute(query, &[&id, &by]).await?;
    Ok(())
}

/// Gives an account another role.
///
/// # Errors
/// Where the database is away.
pub async fn set_role(client: &Client, id: Uuid, role: Role) -> Result<(), Error> {
    let query = "UPDATE accounts SET role = $2 WHERE account = $1";
    client.execute(query, &[&id, &role.as_str()]).await?;
    Ok(())
}

/// 256 random bits, in hexadecimal.
pub(crate) fn secret() -> Result<String, Error> {
    random::<32>().map(|bytes| Sha256(bytes).to_string())
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::Invalid("the system has no randomness".into()))?;
    Ok(bytes)
}

/// Secrets are looked up by their hash, so that time tells nothing of them, and a stolen backup opens nothing.
pub(crate) fn hashed(secret: &str) -> Vec<u8> {
    Sha256::of(secret.as_bytes()).0.to_vec()
}

pub(crate) fn now_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
