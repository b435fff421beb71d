//! Who may do what at the broker, tried with another client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;

use rig::mosquitto::Outsider;
use sync::identity::{Authority, Certified, HUB_NAME};

use bench::{Bench, of};

fn client(bench: &Bench, name: &str, port: usize, certified: Option<Certified>) -> Outsider {
    let file = |suffix: &str, text: &str| {
        let path = bench.dir.path().join(format!("{name}.{suffix}"));
        std::fs::write(&path, text).unwrap();
        path
    };
    let certified = certified.map(|certified| {
        let [certificate, key] = certified.pem();
        [file("pem", &certificate), file("key", &key)]
    });
    let authority = bench.dir.path().join("ca.pem");
    Outsider { port: bench.mosquitto.ports()[port], authority, certified }
}

#[tokio::test]
async fn a_box_uses_its_own_topics_only_and_strangers_none() {
    let bench = Bench::new();
    let [one, other] = [of(1), of(2)];
    // In the name of a box. Not for a device's key: OpenSSL does not read the second version of PKCS#8.
    let own = bench.authority.client(&one.to_string()).unwrap();
    let mine = client(&bench, "one", 0, Some(own));
    let hub = client(&bench, "hub", 1, Some(bench.authority.client(HUB_NAME).unwrap()));

    for kind in ["state", "telemetry", "up", "up/abc"] {
        assert!(mine.leave(&format!("weir/v1/{one}/{kind}"), "own"));
        // Refused in the broker's answer, which the client only prints.
        mine.leave(&format!("weir/v1/{other}/{kind}"), "forged");
        let seen = hub.left(&format!("weir/v1/+/{kind}"));
        assert_eq!(seen, [format!("weir/v1/{one}/{kind} own")]);
    }
    mine.leave("weir/v1/elsewhere", "forged");
    mine.leave(&format!("weir/v1/{one}/down"), "forged");
    assert_eq!(hub.left("#"), hub.left("weir/v1/+/#"), "nothing else lies there");

    assert!(hub.leave(&format!("weir/v1/{one}/down"), "for one"));
    assert!(hub.leave(&format!("weir/v1/{other}/down"), "for the other"));
    for topic in ["weir/v1/+/down", "#"] {
        assert_eq!(mine.left(topic), [format!("weir/v1/{one}/down for one")], "{topic}");
    }
    assert!(mine.left(&format!("weir/v1/{other}/down")).is_empty());

    // The name of a client is that of its certificate: nobody is thrown out by another.
    mine.call("mosquitto_pub", &["-i", &other.to_string(), "-t", "x", "-m", "x"]);
    assert!(!bench.mosquitto.said().contains(&format!("as {other}")));
    assert!(bench.mosquitto.said().contains(&format!("as {one}")));
}

#[tokio::test]
async fn nobody_connects_without_a_certificate_of_the_hubs_authority() {
    let bench = Bench::new();
    let (certificate, key) = Authority::create("another").unwrap();
    let another = Authority::open(&certificate, &key).unwrap();
    for port in [0, 1] {
        let nobody = client(&bench, "nobody", port, None);
        assert!(!nobody.leave(&format!("weir/v1/{}/state", of(1)), "forged"));
        let stranger = client(&bench, "stranger", port, Some(another.client(HUB_NAME).unwrap()));
        assert!(!stranger.leave(&format!("weir/v1/{}/state", of(1)), "forged"));
        // A server's certificate does not open a client's door.
        let server = client(&bench, "server", port, Some(bench.authority.server(&[]).unwrap()));
        assert!(!server.leave(&format!("weir/v1/{}/state", of(1)), "forged"));
    }
    let hub = client(&bench, "hub", 1, Some(bench.authority.client(HUB_NAME).unwrap()));
    assert!(hub.left("weir/v1/+/state").is_empty());
    assert!(hub.leave("weir/v1/x/down", "it is reached by who may"));
}
