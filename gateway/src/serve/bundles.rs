//! Bundles of models that the hub ordered: fetched piece by piece over the box's own connection, then installed as `weir models install`
//! would: the keys that this box trusts decide, and no stage changes.
//!
//! Layout: `hub/bundles/SHA256.part` below the data folder. What is there is asked for no more, whatever broke in between. The wish lies in
//! the store until it came to something; what it came to is in the journal (docs/directives.md has the words).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::directive::Bundle;
use domain::journal::{Code, Sha256};
use models::life::{Installed, LifeError, install};
use ring::digest::{Context, SHA256};
use sync::blob::Unfetched;
use sync::quic::Fetcher;

use super::App;
use super::sensors::room::room;
use crate::paths;

/// After something that may be better later; doubled up to a minute, which is also how often is looked though nobody told.
const PAUSE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(60);

/// Bytes that stay free on the disk, whatever is fetched: the journal and uploads go first.
const SPARE: u64 = 256 << 20;

/// First digits of the SHA-256 by which the journal names a bundle.
const DIGITS: usize = 16;

/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// Why a bundle is not installed.
enum Miss {
    /// It never will be.
    Never(&'static str, String),
    /// Another time.
    Later(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Miss {
    fn from(error: E) -> Self {
        Self::Later(error.into())
    }
}

/// Fetches and installs what is wanted, one after the other. Never comes back; may be dropped at any time.
pub async fn run(app: &Arc<App>, mut fetcher: Fetcher) {
    let mut pause = PAUSE;
    loop {
        let wanted = app.read(|store| store.wanted_bundles()).await.unwrap_or_default();
        let mut again = wanted.is_empty().then_some(LOOK);
        for bundle in wanted {
            let digits: String = bundle.sha256.to_string().chars().take(DIGITS).collect();
            let call = match one(app, &mut fetcher, bundle).await {
                Ok(Installed { name, version, .. }) => {
                    tracing::info!(sha256 = %bundle.sha256, name, version, "a bundle of the hub's is installed");
                    format!("bundle.installed:{digits}:{name}@{version}")
                }
                Err(Miss::Never(code, detail)) => {
                    tracing::error!(sha256 = %bundle.sha256, code, detail, "a bundle of the hub's is refused");
                    format!("bundle.refused:{digits}:{code}")
                }
                Err(Miss::Later(error)) => {
                    let error = format!("{error:#}");
                    tracing::warn!(sha256 = %bundle.sha256, error, "a bundle of the hub's is not here yet");
                    again = Some(pause);
                    pause = (pause * 2).min(LOOK);
                    continue;
                }
            };
            pause = PAUSE;
            let (sha256, call) = (bundle.sha256, Code::lossy(&call));
            // Where even that cannot be noted it is done once more, which changes nothing.
            if let Err(error) = app.insist(|store| store.bundle_ended(sha256, call.clone())).await {
                tracing::warn!(%error, "what became of a bundle is not noted yet");
                again = Some(PAUSE);
            }
        }
        if let Some(pause) = again {
            let _ = tokio::time::timeout(pause, app.bundles_ready.notified()).await;
        }
    }
}

async fn one(app: &Arc<App>, fetcher: &mut Fetcher, bundle: Bundle) -> Result<Installed, Miss> {
    let folder = app.store.dir().join("hub/bundles");
    let file = fetch(&folder, fetcher, bundle).await?;
    let now_ms = app.store.now().0;
    let installed = tokio::task::spawn_blocking(move || {
        let installed = install(&paths::models_dir(), &file, false, now_ms);
        if !matches!(&installed, Err(LifeError::File { .. })) {
            // Installed or of no use. Gone already where an attempt that was dropped came to its end beside this one.
            let _ = std::fs::remove_file(&file);
        }
        installed
    });
    installed.await?.map_err(|error| match error {
        LifeError::File { .. } => Miss::Later(error.into()),
        LifeError::Bundle { .. } => Miss::Never("not_installable", error.to_string()),
        LifeError::Refused(_) => Miss::Never("older_version", error.to_string()),
        _ => Miss::Never("unusable", error.to_string()),
    })
}

/// Brings the file here, whole and proven.
async fn fetch(folder: &Path, fetcher: &mut Fetcher, bundle: Bundle) -> Result<PathBuf, Miss> {
    let mut part = {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || Part::open(&folder, bundle)).await??
    };
    let resumed = part.here > 0;
    if part.here < bundle.bytes {
        if !has_room(folder, bundle, part.here) {
            let detail = "the disk has no room for it: make some, and order it again".to_owned();
            return Err(part.refused("no_room", detail));
        }
        let mut coming = match fetcher.fetch(bundle.sha256, part.here).await {
            Ok(coming) if coming.bytes == bundle.bytes => coming,
            Ok(coming) => {
                let detail = format!("the hub has {} bytes of that name", coming.bytes);
                return Err(part.refused("wrong_size", detail));
            }
            Err(Unfetched::Refused(code)) => {
                let detail = format!("the hub says {}", code.as_str());
                return Err(part.refused("unknown_blob", detail));
            }
            Err(error) => return Err(error.into()),
        };
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            let next = coming.next().await;
            let ended = !matches!(next, Ok(Some(_)));
            if let Ok(Some(bytes)) = &next {
                piece.extend_from_slice(bytes);
            }
            if part.here + piece.len() as u64 > bundle.bytes {
                return Err(
                    part.refused("wrong_size", "the hub sends more than it said".to_owned())
                );
            }
            if ended || piece.len() >= PIECE {
                part = part.write(std::mem::take(&mut piece)).await?;
            }
            // What came before a break is written, and not asked for again.
            if next?.is_none() {
                break;
            }
        }
    }
    if part.here < bundle.bytes {
        return Err(Miss::Later(anyhow::anyhow!("{} of {} bytes came", part.here, bundle.bytes)));
    }
    part.prove(resumed).await
}

/// What is still to come, what comes out of it when it is unpacked, and some to spare.
fn has_room(folder: &Path, bundle: Bundle, here: u64) -> bool {
    let needed = (bundle.bytes - here) + bundle.bytes + SPARE;
    room(folder).is_none_or(|room| room.free_bytes >= needed)
}

/// A file on its way.
struct Part {
    path: PathBuf,
    file: File,
    here: u64,
    sha256: Sha256,
}

impl Part {
    /// Opens or makes it. Blocks, also for as long as an earlier attempt still writes.
    fn open(folder: &Path, bundle: Bundle) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(format!("{}.part", bundle.sha256));
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        file.lock()?;
        let mut here = file.metadata()?.len();
        if here > bundle.bytes {
            file.set_len(0)?;
            here = 0;
        }
        Ok(Self { path, file, here, sha256: bundle.sha256 })
    }

    async fn write(mut self, piece: Vec<u8>) -> anyhow::Result<Self> {
        let writing = tokio::task::spawn_blocking(move || {
            self.file.write_all(&piece)?;
            self.here += piece.len() as u64;
            anyhow::Ok(self)
        });
        writing.await?
    }

    /// Nothing of it is of use.
    fn refused(self, code: &'static str, detail: String) -> Miss {
        // One that stays is swept by nobody, and harmless.
        let _ = std::fs::remove_file(&self.path);
        Miss::Never(code, detail)
    }

    /// Holds it against its hash. Of bytes from before a break the disk may have lost some: it is begun anew, once.
    async fn prove(self, resumed: bool) -> Result<PathBuf, Miss> {
        let proving = tokio::task::spawn_blocking(move || {
            self.file.sync_all()?;
            let mut reader = File::open(&self.path)?;
            let (mut context, mut piece) = (Context::new(&SHA256), vec![0; PIECE]);
            loop {
                match reader.read(&mut piece)? {
                    0 => break,
                    read => context.update(&piece[..read]),
                }
            }
            anyhow::Ok((context.finish().as_ref() == self.sha256.0, self))
        });
        let (holds, part) = proving.await??;
        match (holds, resumed) {
            (true, _) => Ok(part.path),
            (false, true) => {
                std::fs::remove_file(&part.path)?;
                Err(Miss::Later(anyhow::anyhow!(
                    "what was here of it is damaged; it is fetched anew"
                )))
            }
            (false, false) => {
                Err(part
                    .refused("wrong_hash", "its bytes are not those that were ordered".to_owned()))
            }
        }
    }
}
