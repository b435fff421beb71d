//! The peer: verdicts as the API tells them, each a message over MQTT 5, by a client and a broker that others wrote. Nobody stores them: the broker's
//! word that it has a message ends its time.
#![allow(clippy::unwrap_used, reason = "a bench may stop at what it does not expect")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, NetworkOptions, Packet, PublishOptions, QoS};
use rustls::pki_types::ServerName;
use sync::identity::{HUB_NAME, Own, client};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::simulated::{Simulated, authority};
use crate::verdicts::verdict;

/// Messages under way.
const WINDOW: u16 = 100;

const PORT: u16 = 8883;

/// A broker that runs.
pub struct Json {
    address: String,
    child: Child,
}

/// How far it came.
pub struct Came {
    pub took: Duration,
    /// Whether every message was acknowledged.
    pub all: bool,
}

impl Json {
    /// A Mosquitto at the near end, with a certificate of the hub's authority.
    pub fn broker(around: &Path, settings: &Path) -> Self {
        let address = rig::wan::NEAR.to_string();
        let [own, key] = authority(settings).server(std::slice::from_ref(&address)).unwrap().pem();
        let file = |name: &str| around.join(name);
        std::fs::write(file("broker.pem"), own).unwrap();
        std::fs::write(file("broker.key"), key).unwrap();
        let text = format!(
            "listener {PORT} {address}\nallow_anonymous true\nmax_inflight_messages {WINDOW}\nset_tcp_nodelay true\nuser root\n\
             cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
            settings.with_file_name("authority.pem").display(),
            file("broker.pem").display(),
            file("broker.key").display()
        );
        std::fs::write(file("broker.conf"), text).unwrap();
        let usual = Path::new("/usr/sbin/mosquitto");
        let program = if usual.is_file() { usual } else { Path::new("mosquitto") };
        let mut command = Command::new(program);
        command.arg("-c").arg(file("broker.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        Self { address: format!("{address}:{PORT}"), child }
    }

    /// Publishes so many verdicts as a box would.
    pub async fn publish(&self, one: &Simulated, verdicts: usize, within: Duration) -> Came {
        let tls =
            Arc::new(client(&one.authority, &Own::new(one.certified()).unwrap(), b"mqtt").unwrap());
        let mut options = MqttOptions::new("peer", ("broker", PORT));
        let address = self.address.clone();
        options.set_socket_connector(move |_: String, _: NetworkOptions| {
            let (tls, address) = (Arc::clone(&tls), address.clone());
            async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from(HUB_NAME).map_err(std::io::Error::other)?;
                TlsConnector::from(tls).connect(name, stream).await
            }
        });
        options.set_outgoing_inflight_upper_limit(WINDOW);
        options.set_keep_alive(60);
        options.set_connect_timeout(Duration::from_secs(30));
        let (client, mut events) = AsyncClient::builder(options).capacity(1000).build();
        let messages: Vec<_> = (0..verdicts).map(|n| verdict(n).2.to_string()).collect();
        let begun = Instant::now();
        let sending = tokio::spawn(async move {
            for message in messages {
                let options = PublishOptions::new(QoS::AtLeastOnce);
                if client.publish("verdicts", message, options).await.is_err() {
                    return;
                }
            }
            // The loop ends with the last client.
            std::future::pending::<()>().await;
        });
        let mut acknowledged = 0;
        while acknowledged < verdicts && begun.elapsed() < within {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => acknowledged += 1,
                Ok(_) => {}
                Err(error) => {
                    println!("the peer connects anew: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        sending.abort();
        Came { took: begun.elapsed(), all: acknowledged == verdicts }
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
