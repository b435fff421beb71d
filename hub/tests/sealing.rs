//! Secrets of the second factor: the database does not tell them, and the hub's key may be replaced.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use rig::hub::Hub;
use rig::ops::{Page, Person};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// All that the database has of accounts and invitations, as text.
fn all(hub: &Hub) -> String {
    let rows = "SELECT a::text FROM accounts a UNION ALL SELECT i::text FROM invitations i";
    hub.query(rows).join("\n")
}

/// What comes of the right code, as far as the person knows.
fn by_code(hub: &Hub, person: &Person) -> Page {
    hub.query("UPDATE accounts SET totp_step = 0");
    person.code_again(hub)
}

#[test]
fn the_database_alone_makes_no_codes() {
    let mut hub = Hub::start();
    let (ann, ben) =
        (Person::new(&hub, "ann", "admin", &[]), Person::new(&hub, "ben", "admin", &[]));
    for person in [&ann, &ben] {
        assert!(!all(&hub).contains(&hex(person.secret())));
        person.visit(&hub);
    }
    // Under another's name it is nothing.
    hub.query("UPDATE accounts SET totp_sealed = (SELECT totp_sealed FROM accounts WHERE name = 'ben') WHERE name = 'ann'");
    let swapped = hub.query("SELECT count(DISTINCT totp_sealed) FROM accounts");
    assert_eq!(swapped, ["1"]);
    hub.query("UPDATE accounts SET totp_step = 0");
    let half = ann.half(&hub);
    let page = hub.send("/ops/login/code", &half, &[("code", &ben.code(0))]);
    assert_eq!(page.status, 503, "{page:?}");
    ben.visit(&hub);
    hub.query("UPDATE accounts SET totp_sealed = set_byte(totp_sealed, 30, 255 - get_byte(totp_sealed, 30))");
    assert_eq!(by_code(&hub, &ben).status, 503);

    // What lies open from before is good, and sealed by the next login or start.
    let open = |person: &Person| {
        hub_open(&hub, &person.name, person.secret());
        assert!(all(&hub).contains(&hex(person.secret())));
    };
    open(&ann);
    ann.visit(&hub);
    assert!(!all(&hub).contains(&hex(ann.secret())));
    open(&ben);
    assert_eq!(hub.stop(), Some(0));
    hub.serve();
    assert!(!all(&hub).contains(&hex(ben.secret())));
    ben.visit(&hub);
}

fn hub_open(hub: &Hub, name: &str, secret: &[u8]) {
    hub.query(&format!(
        "UPDATE accounts SET totp = decode('{}', 'hex'), totp_sealed = NULL WHERE name = '{name}'",
        hex(secret)
    ));
}

#[test]
fn another_hub_key_reads_what_the_last_one_sealed_also_where_its_change_was_cut_off() {
    let mut hub = Hub::start();
    let ann = Person::new(&hub, "ann", "admin", &[]);
    let settings = hub.settings();
    let settings = settings.to_str().unwrap();
    let line = hub.run(&["account", "add", "ben", "--role", "observer", "--config", settings]);
    assert_eq!(hub.stop(), Some(0));
    let (key, next) = (hub.dir().join("hub.key"), hub.dir().join("hub.key.new"));
    let old = std::fs::read(&key).unwrap();
    hub.run(&["key", "rotate", "--config", settings]);
    let new = std::fs::read(&key).unwrap();
    assert_ne!(old, new);
    // As if the power had failed before the file was put in its place.
    std::fs::write(&key, &old).unwrap();
    std::fs::write(&next, &new).unwrap();
    hub.run(&["key", "rotate", "--config", settings]);
    assert_eq!(std::fs::read(&key).unwrap(), new);
    hub.serve();
    ann.visit(&hub);
    Person::invited(&hub, "ben", &line).visit(&hub);
    // Without the key there is nothing to read.
    assert_eq!(hub.stop(), Some(0));
    std::fs::write(&key, &old).unwrap();
    hub.serve();
    assert_eq!(by_code(&hub, &ann).status, 503);
}
