//! Blobs: bytes that boxes fetch, such as bundles of models, named by their SHA-256 and kept in pieces, so that nobody ever holds one
//! whole.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::journal::{Code, Sha256};
use ring::digest::{Context, SHA256};
use serde::Serialize;
use sync::blob::{MOST_BLOB_BYTES, UNKNOWN};
use sync::quic::Fetching;
use tokio::sync::Semaphore;
use tokio_postgres::Client;

use crate::{Error, Pool};

/// Bytes of a piece; the last one may have fewer.
const PIECE: usize = 1 << 20;

/// Boxes served at once by a node, of which a piece or two of each lie in memory; further ones wait.
const MOST_SERVED: usize = 32;

/// A blob as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Blob {
    /// SHA-256 of the whole, hexadecimal.
    pub sha256: String,
    /// How many bytes.
    pub bytes: i64,
    /// What the file was called.
    pub name: String,
    /// Seconds since 1970.
    pub added_at: f64,
}

/// Takes a file in, in one transaction; one that is here already stays as it is.
///
/// # Errors
/// [`Error::Invalid`] where the file cannot be read, is empty, too long, or changes meanwhile; where the database is away.
pub async fn add(client: &mut Client, path: &Path) -> Result<Sha256, Error> {
    let (sha256, bytes) = pieces(path)?.digest()?;
    let name =
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let length = i64::try_from(bytes).unwrap_or(i64::MAX);
    let transaction = client.transaction().await?;
    let put = "INSERT INTO blobs (sha256, bytes, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    if transaction.execute(put, &[&sha256.0.as_slice(), &length, &name]).await? == 0 {
        return Ok(sha256);
    }
    let put = transaction
        .prepare("INSERT INTO blob_pieces (sha256, n, bytes) VALUES ($1, $2, $3)")
        .await?;
    let mut file = pieces(path)?;
    let mut context = Context::new(&SHA256);
    let mut n = 0i32;
    while let Some(piece) = file.next()? {
        context.update(&piece);
        transaction.execute(&put, &[&sha256.0.as_slice(), &n, &piece]).await?;
        n += 1;
    }
    if context.finish().as_ref() != sha256.0 {
        return Err(Error::Invalid(format!("{} changed meanwhile", path.display())));
    }
    transaction.commit().await?;
    Ok(sha256)
}

/// All blobs, newest first.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client) -> Result<Vec<Blob>, Error> {
    let query = "SELECT encode(sha256, 'hex'), bytes, name, extract(epoch FROM added_at)::float8
        FROM blobs ORDER BY blobs.added_at DESC, 1";
    let blob = |row: &tokio_postgres::Row| {
        Ok(Blob {
            sha256: row.try_get(0)?,
            bytes: row.try_get(1)?,
            name: row.try_get(2)?,
            added_at: row.try_get(3)?,
        })
    };
    client.query(query, &[]).await?.iter().map(blob).collect()
}

/// Removes one. Boxes that are still to fetch it are refused.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn remove(client: &Client, sha256: Sha256) -> Result<(), Error> {
    match client.execute("DELETE FROM blobs WHERE sha256 = $1", &[&sha256.0.as_slice()]).await? {
        0 => Err(Error::NotFound(format!("no blob {sha256} is here"))),
        _ => Ok(()),
    }
}

/// How many bytes one has.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn bytes(client: &Client, sha256: Sha256) -> Result<u64, Error> {
    let query = "SELECT bytes FROM blobs WHERE sha256 = $1";
    let row = client.query_opt(query, &[&sha256.0.as_slice()]).await?;
    let row = row.ok_or_else(|| {
        Error::NotFound(format!("no blob {sha256} is here: `weir-hub blob add FILE` takes one in"))
    })?;
    Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
}

/// A file, piece by piece.
struct Pieces<'a> {
    path: &'a Path,
    file: File,
}

fn pieces(path: &Path) -> Result<Pieces<'_>, Error> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Pieces { path, file })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::Invalid(format!("cannot read {}: {error}", path.display()))
}

impl Pieces<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut self.file).take(PIECE as u64).read_to_end(&mut piece);
        let read = read.map_err(|error| unreadable(self.path, &error))?;
        Ok((read > 0).then_some(piece))
    }

    fn digest(mut self) -> Result<(Sha256, u64), Error> {
        let (mut context, mut bytes) = (Context::new(&SHA256), 0u64);
        while let Some(piece) = self.next()? {
            context.update(&piece);
            bytes += piece.len() as u64;
            if bytes > MOST_BLOB_BYTES {
                let what = format!("{} has more than a gibibyte", self.path.display());
                return Err(Error::Invalid(what));
            }
        }
        if bytes == 0 {
            return Err(Error::Invalid(format!("{} is empty", self.path.display())));
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(context.finish().as_ref());
        Ok((Sha256(sha256), bytes))
    }
}

/// Serves boxes that fetch. Clones share their places.
#[derive(Clone, Debug)]
pub struct Blobs {
    pool: Arc<Pool>,
    places: Arc<Semaphore>,
    served: Arc<AtomicU64>,
}

impl Blobs {
    /// Over connections of its own, so that no acknowledgement waits for a piece.
    pub fn new(pool: Arc<Pool>) -> Self {
        let places = Arc::new(Semaphore::new(MOST_SERVED));
        Self { pool, places, served: Arc::default() }
    }

    /// Bytes sent to boxes since the start.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Serves one fetch to its end, or until the box is gone.
    pub(crate) async fn serve(self, fetching: Fetching) {
        let Ok(_place) = self.places.acquire().await else { return };
        let sha256 = fetching.fetch.sha256;
        if let Err(error) = self.send(fetching).await {
            tracing::info!(%sha256, error = format!("{error:#}"), "a box did not get all of a blob");
        }
    }

    async fn send(&self, mut fetching: Fetching) -> anyhow::Result<()> {
        let (sha256, offset) = (fetching.fetch.sha256, fetching.fetch.offset);
        let bytes = match bytes(&*self.pool.take().await?, sha256).await {
            Ok(bytes) if offset <= bytes => bytes,
            Ok(_) => {
                fetching.refuse(Code::lossy("bad_offset")).await;
                return Ok(());
            }
            Err(Error::NotFound(_)) => {
                fetching.refuse(Code::lossy(UNKNOWN)).await;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        fetching.begin(bytes).await?;
        let piece_bytes = PIECE as u64;
        for n in offset / piece_bytes..bytes.div_ceil(piece_bytes) {
            let query = "SELECT bytes FROM blob_pieces WHERE sha256 = $1 AND n = $2";
            let n_of = i32::try_from(n)?;
            // Given back before anything is sent: a slow box holds no connection.
            let row =
                self.pool.take().await?.query_opt(query, &[&sha256.0.as_slice(), &n_of]).await?;
            let piece: Vec<u8> = row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
            let skip = usize::try_from(offset.saturating_sub(n * piece_bytes))?;
            // Removed meanwhile: what is missing tells the box.
            let Some(rest) = piece.get(skip..) else { break };
            fetching.send(rest).await?;
            self.served.fetch_add(rest.len() as u64, Ordering::Relaxed);
        }
        fetching.finish().await;
        Ok(())
    }
}
