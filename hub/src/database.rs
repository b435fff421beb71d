//! Connections to Postgres.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::Error;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Clone, Debug)]
pub struct Database {
    config: tokio_postgres::Config,
}

/// A connection; closed with this.
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Database {
    /// Reads an address: `host=… user=… dbname=…` or `postgres://…`.
    ///
    /// # Errors
    /// Where it is none.
    pub fn new(address: &str) -> Result<Self, Error> {
        let mut config: tokio_postgres::Config =
            address.parse().map_err(|_| Error::Address(address.to_owned()))?;
        config.connect_timeout(CONNECT).keepalives_idle(Duration::from_secs(15));
        config.application_name("weir-hub");
        Ok(Self { config })
    }

    /// The same where no statement may take longer: whoever asked has given up by then, and others wait for the connection.
    pub fn within(mut self, limit: Duration) -> Self {
        let own = self.config.get_options().unwrap_or_default();
        let options = format!("{own} -c statement_timeout={}", limit.as_millis());
        self.config.options(options.trim());
        self
    }

    /// As it was read.
    pub(crate) fn config(&self) -> &tokio_postgres::Config {
        &self.config
    }

    /// Connects.
    ///
    /// # Errors
    /// Where the database is away or refuses.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let connecting = tokio::time::timeout(CONNECT, self.config.connect(NoTls));
        let (client, connection) = connecting.await.map_err(|_| Error::Slow(CONNECT))??;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to Postgres ended");
            }
        });
        let connection = Connection { client, driver };
        // An operator may have relaxed it for other databases of the server; an ack here means durable.
        connection
            .batch_execute("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
            .await?;
        Ok(connection)
    }

    /// Connects and listens on a channel: what is told there comes out of the receiver, which ends with the connection.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn listen(
        &self,
        channel: &str,
    ) -> Result<(Connection, mpsc::Receiver<String>), Error> {
        let (client, mut connection) = self.config.connect(NoTls).await?;
        let (told, heard) = mpsc::channel(64);
        let driver = tokio::spawn(async move {
            let messages = std::future::poll_fn(|cx| connection.poll_message(cx));
            let mut messages = std::pin::pin!(messages);
            while let Some(Ok(message)) = messages.as_mut().await {
                if let AsyncMessage::Notification(note) = message {
                    // Whoever is behind looks at everything anyway.
                    let _ = told.try_send(note.payload().to_owned());
                }
            }
        });
        let connection = Connection { client, driver };
        connection.batch_execute(&format!("LISTEN {channel}")).await?;
        Ok((connection, heard))
    }
}

impl std::ops::Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A few connections for short reads and writes, made when first needed and again after they broke.
#[derive(Debug)]
pub struct Pool {
    database: Database,
    places: Vec<Mutex<Option<Connection>>>,
    turn: std::sync::atomic::AtomicUsize,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A connection of a [`Pool`], back in its place when dropped.
pub struct Borrowed<'a>(MutexGuard<'a, Option<Connection>>);

impl Pool {
    /// At most so many connections; whoever comes later waits for one.
    pub fn new(database: Database, most: usize) -> Self {
        let places = (0..most.max(1)).map(|_| Mutex::new(None)).collect();
        Self { database, places, turn: Default::default() }
    }

    /// A connection that was open when last used.
    ///
    /// # Errors
    /// Where a new one is needed and the database is away.
    pub async fn take(&self) -> Result<Borrowed<'_>, Error> {
        let free = self.places.iter().find_map(|place| place.try_lock().ok());
        let mut place = match free {
            Some(place) => place,
            None => {
                let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.places[turn % self.places.len()].lock().await
            }
        };
        if place.as_ref().is_none_or(|connection| connection.is_closed()) {
            *place = None;
            *place = Some(self.database.connect().await?);
        }
        Ok(Borrowed(place))
    }

    /// The database behind it.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl std::ops::Deref for Borrowed<'_> {
    type Target = Client;

    #[expect(clippy::expect_used, reason = "`Pool::take` put one there, and nothing takes it away")]
    fn deref(&self) -> &Client {
        self.0.as_ref().expect("a borrowed connection is there")
    }
}

impl std::ops::DerefMut for Borrowed<'_> {
    #[expect(clippy::expect_used, reason = "`Pool::take` put one there, and nothing takes it away")]
    fn deref_mut(&mut self) -> &mut Client {
        self.0.as_mut().expect("a borrowed connection is there")
    }
}
