//! The way to a broker.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AckMode, AsyncClient, EventLoop, IncomingPacketSizeLimit, LastWill, MqttOptions, NetworkOptions,
};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{MOST_PACKET_BYTES, PROTOCOL};
use crate::identity::{Certified, HUB_NAME, IdentityError, Own, client};

/// How long a connection to the broker may take, from the name's look-up to the broker's word.
const CONNECT: Duration = Duration::from_secs(5);

/// Seconds between signs of life. The broker takes a client for gone after one and a half of them.
const KEEP_ALIVE_SECS: u16 = 10;

/// Requests that may wait within the client. Few, so that what is critical overtakes in our own queues.
const REQUESTS: usize = 2;

/// Where a broker is, and with which certificate to go there. The broker shows a certificate of the hub's authority.
#[derive(Clone)]
pub struct Broker {
    address: String,
    tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a client is to the broker.
pub(super) struct Identity {
    /// Unique at the broker: the later of two of one name throws the earlier out.
    pub name: String,
    pub will: Option<LastWill>,
    /// Messages that may wait for an acknowledgement by hand; `None` acknowledges by itself.
    pub by_hand: Option<u16>,
}

impl Broker {
    /// A broker at `host:port`.
    ///
    /// # Errors
    /// Where the certificate cannot be used, or the address is none.
    pub fn new(
        address: &str,
        authority: &CertificateDer<'static>,
        own: Certified,
    ) -> Result<Self, IdentityError> {
        Self::renewing(address, authority, &Own::new(own)?)
    }

    /// The same with a certificate that may be replaced: each connection shows the newest.
    ///
    /// # Errors
    /// Where the address is none.
    pub fn renewing(
        address: &str,
        authority: &CertificateDer<'static>,
        own: &Own,
    ) -> Result<Self, IdentityError> {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            let detail = format!("{address} is no host:port");
            return Err(IdentityError::Unusable { what: "the broker's address", detail });
        }
        let tls = Arc::new(client(authority, own, PROTOCOL)?);
        Ok(Self { address: address.to_owned(), tls })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A client that connects once its loop is polled. It is good for one connection: the loop would connect anew by itself, at once
    /// and with what is left of the last one; we do neither.
    pub(super) fn open(&self, identity: Identity) -> (AsyncClient, EventLoop) {
        // The address is only for the connector, which knows it.
        let mut options = MqttOptions::new(identity.name, ("broker", 8883));
        let broker = self.clone();
        options.set_socket_connector(move |_: String, _: NetworkOptions| broker.clone().connect());
        options.set_clean_start(true);
        options.set_keep_alive(KEEP_ALIVE_SECS);
        options.set_connect_timeout(CONNECT);
        let most = u32::try_from(MOST_PACKET_BYTES).unwrap_or(u32::MAX);
        options.set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(most));
        if let Some(will) = identity.will {
            options.set_last_will(will);
        }
        if let Some(most) = identity.by_hand {
            options.set_ack_mode(AckMode::Manual);
            options.set_receive_maximum(Some(most));
        }
        AsyncClient::builder(options).capacity(REQUESTS).build()
    }

    async fn connect(self) -> std::io::Result<TlsStream<TcpStream>> {
        let connected = tokio::time::timeout(CONNECT, async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(HUB_NAME).map_err(std::io::Error::other)?;
            TlsConnector::from(self.tls).connect(name, stream).await
        });
        connected.await.map_err(std::io::Error::from)?
    }
}
