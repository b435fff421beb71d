//! TLS at the real service, with certificates made here and a client that looks at what it is shown.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rig::service::Service;
use rig::weir;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

const PATIENCE: Duration = Duration::from_secs(30);

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate of its own making.
struct Made {
    certificate: String,
    der: CertificateDer<'static>,
    key: String,
}

fn made() -> Made {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    Made {
        certificate: made.cert.pem(),
        der: made.cert.der().clone(),
        key: made.signing_key.serialize_pem(),
    }
}

/// Puts a file in place as certificate tools do: whole or not at all.
fn put(path: &Path, text: &str, mode: u32) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn install(dir: &Path, made: &Made) {
    put(&dir.join("key.pem"), &made.key, 0o600);
    put(&dir.join("cert.pem"), &made.certificate, 0o644);
}

fn settings(dir: &Path) -> String {
    let config = dir.join("weir.toml");
    let text = format!(
        "[limits]\nhead_seconds = 2\n[tls]\ncertificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
        dir.display()
    );
    std::fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

fn start(dir: &Path) -> Service {
    let service = Service::start(&dir.join("data"), &["--config", &settings(dir)]);
    assert!(service.base().starts_with("https://127.0.0.1:"), "{}", service.base());
    service
}

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.base().trim_start_matches("https://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection on which hands have been shaken, by a client that believes these certificates.
fn shake(
    service: &Service,
    believed: &[&Made],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> std::io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    for made in believed {
        roots.add(made.der.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = connect(service);
    while client.is_handshaking() {
        client.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(client, stream))
}

fn modern(service: &Service, believed: &[&Made]) -> Stream {
    shake(service, believed, &[&rustls::version::TLS13], &[b"http/1.1"]).unwrap()
}

/// Asks on a connection that stays open.
fn healthy(stream: &mut Stream) -> bool {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).unwrap();
    bytes[..count].starts_with(b"HTTP/1.1 200")
}

fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn tls_1_3_is_spoken_and_nothing_older_or_plain() {
    let dir = tempfile::tempdir().unwrap();
    let own = made();
    install(dir.path(), &own);
    let service = start(dir.path());
    let mut stream = modern(&service, &[&own]);
    assert!(healthy(&mut stream));
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let both = [&b"h2"[..], b"http/1.1"];
    let offered = shake(&service, &[&own], &[&rustls::version::TLS13], &both).unwrap();
    assert_eq!(offered.conn.alpn_protocol(), Some(&b"h2"[..]));
    let old = shake(&service, &[&own], &[&rustls::version::TLS12], &both);
    let told = old.map(drop).unwrap_err().to_string();
    assert!(told.contains("ProtocolVersion"), "{told}");
    // Whoever calls by http is told what is wrong.
    let mut plain = connect(&service);
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = plain.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https"), "{answer}");
    // Nobody keeps a place without shaking hands.
    let mut silent = connect(&service);
    let start = Instant::now();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert!(healthy(&mut modern(&service, &[&own])));
}

#[test]
fn a_renewed_certificate_is_in_force_for_the_next_connection_and_cuts_none() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third) = (made(), made(), made());
    let all = [&first, &second, &third];
    install(dir.path(), &first);
    let config = settings(dir.path());
    // Heads may take longer here: the first connection stays open all the while.
    let text = std::fs::read_to_string(&config).unwrap().replace("= 2\n", "= 60\n");
    std::fs::write(&config, text).unwrap();
    let service = Service::start(&dir.path().join("data"), &["--config", &config]);
    let mut open = modern(&service, &all);
    assert!(healthy(&mut open) && shown(&open) == first.der);
    let until = |new: &Made, old: &Made| {
        let start = Instant::now();
        loop {
            let mut stream = modern(&service, &all);
            assert!(healthy(&mut stream));
            if shown(&stream) == new.der {
                return;
            }
            assert!(shown(&stream) == old.der && start.elapsed() < PATIENCE, "nothing changed");
        }
    };
    install(dir.path(), &second);
    until(&second, &first);
    // What cannot be used changes nothing, and what comes after it counts again.
    put(&dir.path().join("cert.pem"), "no certificate", 0o644);
    assert!(healthy(&mut open));
    install(dir.path(), &third);
    until(&third, &second);
    assert!(healthy(&mut open) && shown(&open) == first.der);
    drop(open);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn files_that_cannot_be_used_are_told_before_anything_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (made(), made());
    let config = settings(dir.path());
    let told = |command: &[&str]| {
        let run = weir::run(command.iter().copied().chain(["--config", config.as_str()]));
        assert_eq!(run.code, Some(64), "{run:#?}");
        run.stderr
    };
    let check = ["config", "check"];
    assert!(told(&check).contains("cert.pem"), "{}", told(&check));
    install(dir.path(), &own);
    assert_eq!(weir::run(["config", "check", "--config", &config]).code, Some(0));
    put(&dir.path().join("key.pem"), &own.key, 0o644);
    assert!(told(&check).contains("chmod 600"), "{}", told(&check));
    put(&dir.path().join("key.pem"), &other.key, 0o600);
    assert!(told(&check).contains("is not the key of"), "{}", told(&check));
    put(&dir.path().join("key.pem"), "nothing", 0o600);
    assert!(told(&check).contains("has no private key in PEM"), "{}", told(&check));
    let data = dir.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    assert!(told(&serve).contains("has no private key in PEM"));
    put(&dir.path().join("cert.pem"), "", 0o644);
    assert!(told(&check).contains("has no certificate in PEM"), "{}", told(&check));
    std::fs::write(&config, "[tls]\nkey = \"k\"\n").unwrap();
    assert!(told(&check).contains("tls.certificate: missing"), "{}", told(&check));
}

#[test]
fn key_and_certificate_may_be_credentials_that_systemd_hands_over() {
    let dir = tempfile::tempdir().unwrap();
    let own = made();
    let given = dir.path().join("given");
    std::fs::create_dir(&given).unwrap();
    put(&given.join("weir-key"), &own.key, 0o440);
    put(&given.join("weir-cert"), &own.certificate, 0o440);
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[tls]\ncertificate = \"weir-cert\"\nkey = \"weir-key\"\n").unwrap();
    let check = |folder: Option<&Path>| {
        let mut command = weir::command();
        command.args(["config", "check", "--config", config.to_str().unwrap()]);
        command.env_remove("CREDENTIALS_DIRECTORY");
        if let Some(folder) = folder {
            command.env("CREDENTIALS_DIRECTORY", folder);
        }
        weir::finish(&mut command).code
    };
    assert_eq!((check(Some(&given)), check(None)), (Some(0), Some(64)));
}
