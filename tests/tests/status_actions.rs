//! What stands behind the technician's PIN, as a hostile client and a support desk meet it. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use rig::media::{qr_code, scene};
use rig::service::{Answer, Service};
use rig::weir;
use serde_json::json;

const PIN: &str = "48151623";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn pin(data: &Path, arguments: &[&str], typed: &str) -> weir::Run {
    let mut command = weir::command();
    command.arg("pin").args(arguments).arg("--data").arg(data);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    weir::Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn post(service: &Service, path: &str, cookie: &str, body: &str) -> Answer {
    service.call("POST", path, &[FORM, ("cookie", cookie)], body.as_bytes())
}

/// Cookie and token of a new session.
fn enter(service: &Service) -> (String, String) {
    let answer = post(service, "/page/pin", "", &format!("pin={PIN}"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/#actions")), "{answer:?}");
    let set = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=900"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = set.split(';').next().unwrap().to_owned();
    let page = service.call("GET", "/", &[("cookie", &cookie)], b"").body;
    let page = page.as_str().unwrap();
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    (cookie, rest.split_once('"').unwrap().0.to_owned())
}

fn is_drained(service: &Service) -> bool {
    service.get("/readyz").status == 503
}

#[test]
fn a_pin_is_set_by_shell_only_and_never_kept_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let refused = post(&service, "/page/pin", "", "pin=");
    assert_eq!(refused.status, 403);
    assert!(refused.body.as_str().unwrap().contains("weir pin set"));
    for bad in ["", "1234", "abcdef", "123456", "777777", "48151623481516234815162348151623999"] {
        assert_eq!(pin(dir.path(), &["set"], bad).code, Some(64), "{bad}");
    }
    let made = pin(dir.path(), &["set", "--generate"], "");
    let digits = made.stdout.trim();
    assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()), "{made:?}");
    assert_eq!(post(&service, "/page/pin", "", &format!("pin={digits}")).status, 303);
    assert_eq!(pin(dir.path(), &["clear"], "").code, Some(0));
    assert_eq!(post(&service, "/page/pin", "", &format!("pin={digits}")).status, 403);
    assert_eq!(service.stop(), Some(0));
    // Also where no service runs.
    assert_eq!(pin(dir.path(), &["set"], PIN).code, Some(0));
    for entry in std::fs::read_dir(dir.path()).unwrap().flatten().filter(|e| e.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(PIN.len()).any(|w| w == PIN.as_bytes()), "{:?}", entry.path());
    }
}

#[test]
fn only_a_form_of_a_session_in_force_acts() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    assert_eq!(pin(dir.path(), &["set"], PIN).code, Some(0));
    let (cookie, token) = enter(&service);
    let body = format!("token={token}");
    for (cookie, body) in [
        ("", body.as_str()),
        (&*cookie, "token="),
        (&*cookie, "token=0000"),
        ("weir_technician=00", &*body),
    ] {
        for path in ["drain", "resume", "self-test", "bundle", "leave"] {
            let answer = post(&service, &format!("/page/{path}"), cookie, body);
            assert_eq!((answer.status, answer.header("location")), (303, Some("/?over#actions")));
        }
        assert!(!is_drained(&service));
    }
    // Another site's page that the technician has open.
    let evil = [FORM, ("cookie", cookie.as_str()), ("origin", "http://evil.example")];
    let answer = service.call("POST", "/page/drain", &evil, body.as_bytes());
    assert_eq!((answer.status, &answer.body["reason"]), (403, &json!("origin_foreign")));
    let host = [FORM, ("cookie", cookie.as_str()), ("host", "evil.example")];
    assert_eq!(service.call("POST", "/page/drain", &host, body.as_bytes()).status, 421);
    assert!(!is_drained(&service));
    // No frame, no script from elsewhere, no cache.
    let page = service.get("/");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    // And with both it does.
    assert_eq!(post(&service, "/page/drain", &cookie, &body).status, 303);
    assert!(is_drained(&service));
    assert_eq!(post(&service, "/page/leave", &cookie, &body).status, 303);
    let answer = post(&service, "/page/resume", &cookie, &body);
    assert_eq!(answer.header("location"), Some("/?over#actions"));
    assert!(is_drained(&service), "a session that was left does nothing");
    // A new PIN ends the sessions of the old one.
    let (cookie, token) = enter(&service);
    assert_eq!(pin(dir.path(), &["set"], "90210777").code, Some(0));
    post(&service, "/page/resume", &cookie, &format!("token={token}"));
    assert!(is_drained(&service));
}

#[test]
fn a_support_bundle_tells_of_the_box_and_of_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let secret = dir.path().join("hook.secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = dir.path().join("weir.toml");
    std::fs::write(
        &config,
        format!(
            "hosts = [\"box7.customer.example\"]\ntrusted_proxies = [\"10.20.30.0/24\"]\n[limits]\nqueue = 777\n\
             [tenant.acmecorp]\n[[tenant.acmecorp.webhook]]\nurl = \"http://hooks.customer.example/in?key=hush\"\n\
             secret_file = \"{}\"\nname = \"partnerhook\"\n",
            secret.display()
        ),
    )
    .unwrap();
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    assert_eq!(pin(&data, &["set"], PIN).code, Some(0));
    let token = weir::finish(
        weir::command()
            .args(["token", "create", "--tenant", "acmecorp", "--scope", "submit", "--data"])
            .arg(&data),
    );
    let meta = json!({ "author": "anna-4711", "text": "meet me at the old mill", "client_tag": "tag-0815" });
    let scam = qr_code("https://login.scam.example/win", 6).unwrap().png().unwrap();
    let photo = scene(320, 240, 1).jpeg(85).unwrap();
    let mut hash = String::new();
    for media in [&photo, &scam] {
        let answer = service.submit_with(&[("prefer", "wait=30")], &meta, &[media]);
        assert_eq!(answer.status, 200, "{answer:?}");
        hash = answer.body["media"][0]["sha256"].as_str().unwrap().to_owned();
    }
    let fetch = br#"{"media":[{"url":"http://cdn.customer.example/p.jpg?sig=presigned"}]}"#;
    let json_type = [("content-type", "application/json"), ("prefer", "wait=2")];
    service.call("POST", "/v1/submissions", &json_type, fetch);
    let (cookie, form) = enter(&service);
    let form = format!("token={form}");
    assert_eq!(post(&service, "/page/self-test", &cookie, &form).status, 303);
    let bundle = post(&service, "/page/bundle", &cookie, &form);
    assert_eq!(bundle.status, 200, "{bundle:?}");
    let name = bundle.header("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"weir-support-20"), "{name}");
    let told = &bundle.body;
    assert_eq!(told["format"], "weir-support/1");
    assert_eq!(told["self_test"]["passed"], true, "{}", told["self_test"]);
    assert_eq!(told["store"]["problems"], json!([]));
    let setting = |key: &str| {
        let all = told["settings"].as_array().unwrap();
        all.iter().find(|s| s["key"] == key).unwrap_or_else(|| panic!("{key}"))["value"].clone()
    };
    assert_eq!((setting("limits.queue"), setting("hosts")), (json!("777"), json!("[cut]")));
    assert_eq!((setting("webhooks"), setting("profile")), (json!(1), json!("starter")));
    assert!(told["metrics"].as_array().unwrap().len() > 50);
    let log = told["log"].to_string();
    assert!(log.contains("store opened") && log.contains("self-test"), "{log}");
    let text = told.to_string();
    let token = token.stdout.trim().to_owned();
    assert!(token.len() > 20);
    for secret in [
        "anna-4711",
        "old mill",
        "tag-0815",
        "acmecorp",
        "customer.example",
        "partnerhook",
        "hush",
        "presigned",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "10.20.30",
        "127.0.0.1",
        "scam.example",
        PIN,
        &token,
        &hash,
        data.to_str().unwrap(),
        "pbkdf2",
    ] {
        assert!(!text.contains(secret), "{secret} is in the bundle");
    }
    let number = cookie.split_once('=').unwrap().1;
    assert!(!text.contains(number));
}
