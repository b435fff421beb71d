#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use super::*;

fn file(text: &str) -> Layer {
    Layer::file(Path::new("weir.toml"), text)
}

fn environment(pairs: &[(&str, &str)]) -> Layer {
    Layer::environment(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

fn problems(layers: Vec<Layer>) -> String {
    build(layers).unwrap_err().to_string()
}

#[test]
fn nothing_said_is_a_box_for_this_machine_alone() {
    let (config, shown) = build(Vec::new()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(!config.auth.required);
    assert_eq!(config.tenants.keys().map(ToString::to_string).collect::<Vec<_>>(), ["default"]);
    assert!(shown.iter().all(|s| s.origin == Origin::Default));
}

#[test]
fn the_command_line_beats_the_environment_and_that_the_file() {
    let layers = || {
        vec![
            Layer::flags(Raw { listen: Some("127.0.0.1:3".into()), ..Raw::default() }),
            environment(&[
                ("WEIR_LISTEN", "127.0.0.1:2"),
                ("WEIR_WORKERS", "7"),
                ("WEIR_LIMITS__QUEUE", "99"),
                ("WEIR_MODELS", "/elsewhere"),
                ("WEIR_HUB_DATABASE", "the hub's own"),
                ("HOME", "/root"),
            ]),
            file("listen = \"127.0.0.1:1\"\nworkers = 5\ndrain_seconds = 9\n"),
        ]
    };
    let (config, shown) = build(layers()).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!((config.workers, config.limits.queue), (7, 99));
    assert_eq!(config.drain, Duration::from_secs(9));
    let origin = |key| shown.iter().find(|s| s.key == key).unwrap().origin.to_string();
    assert_eq!(origin("listen"), "listen");
    assert_eq!(origin("workers"), "WEIR_WORKERS");
    assert_eq!(origin("limits.queue"), "WEIR_LIMITS__QUEUE");
    assert_eq!(origin("drain_seconds"), "weir.toml");
    assert_eq!(origin("profile"), "default");
}

#[test]
fn every_mistake_is_told_at_once_with_its_line_and_what_to_write() {
    let text = "\
listen = \"here\"
workers = 0
lisen = \"127.0.0.1:1\"
trusted_proxies = [\"10.0.0.0/8\", \"proxy\"]
[tenant.shop]
profile = \"photo-datin\"
gate_unknown = \"ajar\"
[[tenant.shop.webhook]]
url = \"ftp://example.org\"
secret_file = \"s\"
";
    let told = problems(vec![environment(&[("WEIR_DRAIN_SECONDS", "soon")]), file(text)]);
    for part in [
        "listen: `here`",
        "line 2: workers: write a whole number from 1 to 256",
        "line 3: lisen: unknown key; did you mean `listen`?",
        "trusted_proxies: `proxy` is neither an address nor a network",
        "tenant.shop.profile: `photo-datin` is neither a built-in profile",
        "tenant.shop.gate_unknown: `ajar`",
        "tenant.shop.webhook[1].url: write an address that starts with https://",
        "WEIR_DRAIN_SECONDS: write a whole number",
    ] {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
    }
}

#[test]
fn calls_without_a_credential_are_for_loopback_only() {
    let told = problems(vec![file("listen = \"0.0.0.0:80\"\n[auth]\nrequired = false\n")]);
    assert!(told.contains("auth.required"), "{told}");
    let (config, _) = build(vec![file("listen = \"0.0.0.0:80\"\n")]).unwrap();
    assert!(config.auth.required);
}
