//! Membership of a hub: `weir enroll`, and what of it is kept in the data folder.
//!
//! `hub/enrolment.json` holds what the hub granted: certificate, authority, addresses. It is replaced whole, or not at all, so that a
//! box that was a hub's stays one. The key is the device's own, beside it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::journal::{Actor, BoxId, Code, TenantId};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use store::Store;
use sync::identity::enrol::{self, Granted};
use sync::identity::{Certified, Token, named};

use crate::cli::EnrollArguments;
use crate::control::{Request, ask_running, data_dir};
use crate::serve::tenant;

/// Folder of what a hub granted, in the data folder.
const FOLDER: &str = "hub";
const FILE: &str = "enrolment.json";

/// Most characters of a box's name.
const NAME: usize = 64;

/// Most bytes of a token.
const TOKEN_BYTES: u64 = 4096;

/// Held by who changes the file.
static ALONE: Mutex<()> = Mutex::new(());

/// Told to the hub.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// A box's membership of a hub, ready for use.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// As the hub granted it.
    pub granted: Granted,
    /// The hub's authority.
    pub authority: CertificateDer<'static>,
    /// The box's certificate.
    pub certificate: CertificateDer<'static>,
    /// From when to when the certificate is good, in seconds since 1970.
    pub life: [i64; 2],
    /// By which the hub signs receipts and directives: Ed25519, 32 bytes.
    pub hub_key: Vec<u8>,
    /// By which policies are signed before they get to the hub; none where the fleet has none.
    pub release_key: Option<Vec<u8>>,
    /// By which the hub names authors of the tenants that this box is to serve.
    pub secrets: BTreeMap<TenantId, [u8; 32]>,
}

/// Runs `weir enroll`.
pub fn run(arguments: EnrollArguments) -> anyhow::Result<ExitCode> {
    let mut token = arguments.token;
    if token == "-" {
        token.clear();
        let mut input = std::io::stdin().lock().take(TOKEN_BYTES);
        input.read_to_string(&mut token).context("cannot read the token")?;
    }
    // Before anybody is asked: a line that was cut in copying is the most frequent mistake.
    token.parse::<Token>()?;
    if arguments.name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > NAME) {
        bail!("--name: write 1 to {NAME} characters");
    }
    let data = data_dir(arguments.data);
    let request = Request::Enroll { token: token.clone(), name: arguments.name.clone() };
    let told = match ask_running(&data, &request)? {
        Some(told) => told,
        None => {
            std::fs::create_dir_all(&data)
                .with_context(|| format!("cannot make the data folder {}", data.display()))?;
            let (store, _) = Store::open(&data, store::Config::default())
                .with_context(|| format!("cannot open the store in {}", data.display()))?;
            enrol(&store, &token, arguments.name.as_deref())?
        }
    };
    let mut out = std::io::stdout().lock();
    let word = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    writeln!(out, "box {} is enrolled at {}", word("box"), word("hub"))?;
    writeln!(out, "its certificate is good until {}; it renews by itself", word("until"))?;
    Ok(ExitCode::SUCCESS)
}

/// Enrols the box of a store, and keeps what the hub granted. Blocks.
///
/// # Errors
/// Where the hub cannot be reached or refuses, or the file cannot be written.
pub fn enrol(store: &Store, token: &str, name: Option<&str>) -> anyhow::Result<Value> {
    let token: Token = token.parse()?;
    let (of, key) = (store.box_id(), store.device_key()?);
    let granted = enrol::enrol(&token, of, &key, name, RELEASE)?;
    let enrolment = keep(store.dir(), of, &granted)?;
    store.note(None, Code::lossy("enroll"), Actor::Console).wait()?;
    let until = domain::journal::Millis(enrolment.life[1].saturating_mul(1000));
    let hub = granted.quic.first().map(String::as_str).unwrap_or_default();
    Ok(json!({ "box": of, "hub": hub, "until": crate::serve::time(until) }))
}

/// Takes over what the hub of a box says of its tenants; whether anything has changed for whoever serves them.
///
/// # Errors
/// Where a file or the store cannot be read or written.
pub fn adopt(store: &Store) -> anyhow::Result<bool> {
    let enrolment = Enrolment::read(store.dir(), store.box_id())?;
    enrolment.map_or(Ok(false), |enrolment| tenant::adopt_secrets(store, &enrolment.secrets))
}

/// Checks what a hub granted, and puts it in the place of what is there.
///
/// # Errors
/// Where it is not for this box, or cannot be written.
pub fn keep(data: &Path, of: BoxId, granted: &Granted) -> anyhow::Result<Enrolment> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    write(data, of, granted)
}

/// The same for what a renewal brought. A release key that is known stays: the hub's word is not enough for another, only a rotation
/// that the old one has signed is.
///
/// # Errors
/// As [`keep`].
pub fn keep_renewed(data: &Path, of: BoxId, mut granted: Granted) -> anyhow::Result<Enrolment> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = Enrolment::read(data, of)?.and_then(|known| known.granted.release_key);
    if known.is_some() && known != granted.release_key {
        tracing::warn!(
            "the hub named another release key; the known one stays until it is rotated"
        );
    }
    granted.release_key = known.or(granted.release_key);
    write(data, of, &granted)
}

fn write(data: &Path, of: BoxId, granted: &Granted) -> anyhow::Result<Enrolment> {
    let enrolment = Enrolment::new(granted.clone(), of)?;
    let folder = data.join(FOLDER);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let path = file(data);
    let replace = || -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(granted)?;
        let new = folder.join(".enrolment.new");
        let mut to = std::fs::File::create(&new)?;
        to.write_all(&text)?;
        to.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(&folder)?.sync_all()
    };
    replace().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(enrolment)
}

/// Changes what a hub granted. A renewal at the same moment waits, or is waited for.
///
/// # Errors
/// Where the box is no hub's any more, or the file cannot be written.
pub fn change(data: &Path, of: BoxId, change: impl FnOnce(&mut Granted)) -> anyhow::Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = Enrolment::read(data, of)?.context("the box is no hub's any more")?;
    let mut granted = known.granted;
    change(&mut granted);
    write(data, of, &granted).map(drop)
}

/// The file in a data folder.
pub fn file(data: &Path) -> PathBuf {
    data.join(FOLDER).join(FILE)
}

impl Enrolment {
    /// What is kept in a data folder; `None` where the box is no hub's.
    ///
    /// # Errors
    /// Where it cannot be read, or is not of this box.
    pub fn read(data: &Path, of: BoxId) -> anyhow::Result<Option<Self>> {
        let path = file(data);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let granted = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged: enrol the box again", path.display()))?;
        let enrolment = Self::new(granted, of)
            .with_context(|| format!("{} cannot be used: enrol the box again", path.display()))?;
        Ok(Some(enrolment))
    }

    fn new(granted: Granted, of: BoxId) -> anyhow::Result<Self> {
        let certificate = CertificateDer::from_pem_slice(granted.certificate.as_bytes())
            .context("the box's certificate is no PEM")?;
        let authority = CertificateDer::from_pem_slice(granted.authority.as_bytes())
            .context("the authority's certificate is no PEM")?;
        let (named, _, life) = named(&certificate)?;
        if named != of {
            bail!("the certificate is of box {named}, this one is {of}");
        }
        let hub_key =
            BASE64_STANDARD.decode(&granted.hub_key).context("the hub's key is no base64")?;
        let release_key = granted.release_key.as_ref().map(|key| BASE64_STANDARD.decode(key));
        let release_key = release_key.transpose().context("the release key is no base64")?;
        if granted.quic.is_empty() {
            bail!("the hub named no address");
        }
        let mut secrets = BTreeMap::new();
        for (name, secret) in &granted.tenants {
            let id = name.parse().with_context(|| format!("`{name}` is no tenant"))?;
            let secret = BASE64_STANDARD.decode(secret).ok().and_then(|s| s.try_into().ok());
            secrets.insert(id, secret.with_context(|| format!("the secret of tenant {name}"))?);
        }
        Ok(Self { granted, authority, certificate, life, hub_key, release_key, secrets })
    }

    /// The certificate with the device key.
    pub fn certified(&self, device_key: &[u8]) -> Certified {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(device_key.to_vec()));
        Certified { chain: vec![self.certificate.clone()], key }
    }

    /// Whether two thirds of the certificate's life are over at a time (seconds since 1970).
    pub fn wants_renewal(&self, now: i64) -> bool {
        let [from, to] = self.life;
        now >= from.saturating_add(to.saturating_sub(from) / 3 * 2)
    }
}
