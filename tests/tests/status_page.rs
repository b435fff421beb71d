//! The status page in a real browser, as a technician has it on a phone. Needs chromium and chromedriver (`make test`
//! installs them) and no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use rig::browser::Browser;
use rig::media::{qr_code, scene};
use rig::service::Service;
use rig::weir;
use serde_json::json;

const PIN: &str = "48151623";

/// Contrast of all text by the formula of WCAG 2.2, against the background that computed styles give; what is too weak.
const CONTRAST: &str = r#"
const part = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
const colour = text => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const ground = e => { for (; e; e = e.parentElement) {
  const c = colour(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; if (c[3] !== 0) return null;
} return [255, 255, 255, 1]; };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), weak = [];
let seen = 0;
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), e = walker.currentNode.parentElement;
  if (!text || e.closest('script,style,noscript,[hidden]') || !e.checkVisibility()) continue;
  const style = getComputedStyle(e), a = light(colour(style.color)), under = ground(e);
  if (!under) { weak.push(`no ground under ${text}`); continue; }
  const b = light(under), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
  seen++;
  if (ratio < (large ? 3 : 4.5)) weak.push(`${ratio.toFixed(2)}: ${text}`);
}
return seen < 20 ? ['only ' + seen + ' texts'] : weak;
"#;

/// What a screen reader or a finger needs and does not find.
const ACCESS: &str = r##"
const bad = [], all = s => [...document.querySelectorAll(s)];
if (document.documentElement.lang !== 'en') bad.push('no language');
if (!document.title.includes('Weir')) bad.push('title');
if (all('main').length !== 1 || all('header').length !== 1 || all('h1').length !== 1) bad.push('landmarks');
let level = 0;
for (const h of all('h1,h2,h3,h4')) { const n = Number(h.tagName[1]); if (n > level + 1) bad.push('heading ' + h.textContent); level = n; }
for (const e of all('button,a,input:not([type=hidden])')) {
  const name = e.tagName === 'INPUT' ? [...e.labels].map(l => l.textContent).join() : e.textContent;
  if (!name.trim()) bad.push('no name: ' + e.outerHTML);
  const box = e.getBoundingClientRect();
  if (e.tagName !== 'A' && box.height < 24) bad.push('small: ' + e.outerHTML);
}
for (const e of all('svg')) if (e.getAttribute('role') !== 'img' || !e.getAttribute('aria-label')) bad.push('svg');
for (const e of all('section')) if (!document.getElementById(e.getAttribute('aria-labelledby'))?.textContent) bad.push('section ' + e.id);
for (const e of all('table')) if (!e.caption && !e.getAttribute('aria-labelledby')) bad.push('table');
for (const e of all('th')) if (!e.scope) bad.push('th without scope');
const ids = all('[id]').map(e => e.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push('twice: ' + id);
for (const e of all('[aria-describedby]')) if (!document.getElementById(e.getAttribute('aria-describedby'))) bad.push('describedby');
for (const e of all('[tabindex]')) if (Number(e.tabIndex) > 0) bad.push('tabindex');
return bad;
"##;

fn set_pin(data: &Path, pin: &str) {
    let mut command = weir::command();
    command.args(["pin", "set", "--data"]).arg(data).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{pin}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn work(service: &Service) {
    let photo = scene(320, 240, 1).jpeg(85).unwrap();
    let scam = qr_code("https://login.scam.example/win", 6).unwrap().png().unwrap();
    let meta = json!({ "author": "anna-4711", "text": "a caption of hers" });
    for media in [photo, scam] {
        let answer = service.submit_with(&[("prefer", "wait=30")], &meta, &[&media]);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Nothing that a browser complains of, and nothing asked of anybody else.
fn clean(browser: &Browser, service: &Service) {
    // A refused PIN is an answer with an error's status, which the console repeats.
    let said: Vec<_> = browser
        .console()
        .into_iter()
        .filter(|l| {
            !(l.contains("/page/pin") && l.contains("the server responded with a status of 4"))
        })
        .collect();
    assert_eq!(said, Vec::<String>::new());
    let base = format!("{}/", service.base());
    let strange: Vec<_> = browser
        .requests()
        .into_iter()
        .filter(|url| {
            !url.starts_with(&base) && !url.starts_with("data:") && !url.starts_with("chrome:")
        })
        .collect();
    assert_eq!(strange, Vec::<String>::new());
}

/// Looks at the page as it is, light and dark, narrow and wide; leaves pictures where `WEIR_SCREENSHOTS` says.
fn inspect(browser: &Browser, name: &str) {
    for (width, height) in [(360, 740), (320, 600), (1280, 900)] {
        browser.resize(width, height);
        for dark in [false, true] {
            browser.dark(dark);
            let at = format!("{name} at {width} px, dark: {dark}");
            let wide = browser.run("return document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{at}: {wide} wide");
            assert_eq!(browser.run(CONTRAST), json!([]), "{at}");
            assert_eq!(browser.run(ACCESS), json!([]), "{at}");
            if let Some(folder) = std::env::var_os("WEIR_SCREENSHOTS") {
                let file = format!("{name}-{width}-{}.png", if dark { "dark" } else { "light" });
                std::fs::write(Path::new(&folder).join(file), browser.picture()).unwrap();
                browser.resize(width, height);
            }
        }
    }
    browser.resize(360, 740);
    browser.dark(false);
}

/// The box is well: nothing is wrong but what may be wrong with the machine that runs the tests, its room on the disk.
fn assert_well(browser: &Browser) {
    let notices = "[...document.querySelectorAll('#health [data-code]')].map(e => e.dataset.code)";
    let notices = browser.run(&format!("return {notices}"));
    if notices == json!(["little_room"]) {
        assert_eq!(browser.text("#headline"), "Needs attention");
    } else {
        assert_eq!((notices, browser.text("#headline")), (json!([]), "All is well".to_owned()));
    }
}

/// The text of an element in one line.
fn flat(browser: &Browser, selector: &str) -> String {
    browser.text(selector).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn enter(browser: &Browser, pin: &str) {
    browser.tab_to("#pin");
    browser.keys(pin);
    browser.keys("\u{e007}");
}

#[test]
fn a_phone_shows_what_the_box_did_and_nothing_of_what_it_saw() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let browser = Browser::start(360, 740);
    browser.open(&format!("{}/", service.base()));
    assert_well(&browser);
    assert!(browser.text("main").contains("Nothing was judged in the last hour."));
    assert!(browser.text("#actions").contains("weir pin set"), "without a PIN nothing can be done");
    assert!(!browser.has("form"));
    inspect(&browser, "idle");
    work(&service);
    // The page refreshes itself: nobody reloads.
    browser.until(
        "return document.querySelectorAll('[aria-labelledby=verdicts] tbody tr').length === 2",
    );
    let verdicts = browser.text("section[aria-labelledby=verdicts]");
    assert!(verdicts.contains("approved") && verdicts.contains("rejected"), "{verdicts}");
    let hour = flat(&browser, "section[aria-labelledby=hour]");
    for want in
        ["approved 1 50 %", "rejected 1 50 %", "scam_link 1", "queue wait", "decode", "total"]
    {
        assert!(hour.contains(want), "{want} is not in\n{hour}");
    }
    let says = browser.run("return document.querySelector('svg.bars').getAttribute('aria-label')");
    assert!(says.as_str().unwrap().contains("2 in all, at most"), "{says}");
    assert_eq!(browser.text("#queue .value"), "0");
    assert!(browser.text("#disk .value").contains("B"), "{}", browser.text("#disk"));
    assert!(
        ["floor", "landlock", "namespaces"].contains(&browser.text("#sandbox .value").as_str())
    );
    assert!(browser.text("section[aria-labelledby=versions]").contains("starter@1"));
    inspect(&browser, "working");
    let source =
        [service.get("/").body.to_string(), service.get("/v1/status").body.to_string()].concat();
    for secret in ["anna-4711", "caption of hers", "default", "127.0.0.1"] {
        assert!(!source.contains(secret), "{secret} is in\n{source}");
    }
    clean(&browser, &service);
    // A box that does not answer is not shown as well.
    service.kill();
    browser.until("return !document.getElementById('lost').hidden");
    assert!(browser.text("#lost").contains("does not answer"));
}

#[test]
fn the_keyboard_alone_leads_through_pin_and_self_test() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    set_pin(dir.path(), PIN);
    work(&service);
    let before = service.get("/v1/submissions").body["items"].as_array().unwrap().len();
    let browser = Browser::start(360, 740);
    browser.open(&format!("{}/", service.base()));
    inspect(&browser, "asking");
    enter(&browser, "48151624");
    browser
        .until("return document.querySelector('#wrong')?.textContent === 'That is not the PIN.'");
    inspect(&browser, "refused");
    enter(&browser, PIN);
    browser.until("return !!document.querySelector('#self-test')");
    browser.tab_to("#self-test");
    browser.keys("\u{e007}");
    browser.until("return !!document.querySelector('#self-test-result')");
    let result = flat(&browser, "#self-test-result");
    assert!(result.starts_with("Self-test passed"), "{result}");
    for stage in
        ["spool", "accept", "queue wait", "decode", "detect", "decide", "commit", "clean up"]
    {
        assert!(result.contains(stage), "{stage} is not in\n{result}");
    }
    inspect(&browser, "open");
    clean(&browser, &service);
    // The test is in no list, count or answer, and its bytes are gone.
    assert_eq!(service.get("/v1/submissions").body["items"].as_array().unwrap().len(), before);
    assert_eq!(service.get("/v1/status").body["hour"]["accepted"], before);
    let metrics = service.get("/metrics").body;
    let line = format!("weir_submissions_accepted_total {before}");
    assert!(metrics.as_str().unwrap().lines().any(|l| l == line), "{metrics}");
    browser.tab_to("#leave");
    browser.keys("\u{e007}");
    browser.until("return !!document.querySelector('#pin')");
    let data = service.data().to_owned();
    assert_eq!(service.stop(), Some(0));
    let verify = weir::finish(weir::command().args(["store", "verify", "--data"]).arg(&data));
    assert!(verify.stdout.contains("the chains hold"), "{verify:#?}");
    // Of the rejected code there is evidence for an appeal; of the self-test nothing is left.
    let count = |folder: &str| std::fs::read_dir(data.join(folder)).unwrap().count();
    assert_eq!((count("spool/blobs"), count("evidence")), (0, 1));
}

#[test]
fn a_drained_box_says_so_and_refuses_until_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    set_pin(dir.path(), PIN);
    let browser = Browser::start(360, 740);
    browser.open(&format!("{}/", service.base()));
    enter(&browser, PIN);
    browser.until("return !!document.querySelector('#drain')");
    browser.click("#drain");
    browser.until("return !!document.querySelector('#resume')");
    assert_eq!(browser.text("#headline"), "Stopped: takes no new work");
    assert!(browser.text("#health").contains("Press “Resume” below"));
    inspect(&browser, "drained");
    let ready = service.get("/readyz");
    assert_eq!((ready.status, &ready.body["reason"]), (503, &json!("draining")));
    let refused = service.submit(&json!({ "text": "hello" }), &[]);
    assert_eq!((refused.status, &refused.body["reason"]), (503, &json!("draining")));
    assert!(refused.header("retry-after").is_some());
    // What tells its health to others still answers.
    assert_eq!(service.get("/healthz").status, 200);
    browser.click("#resume");
    browser.until("return !!document.querySelector('#drain')");
    assert_well(&browser);
    assert_eq!(service.submit(&json!({ "text": "hello" }), &[]).status, 202);
    clean(&browser, &service);
}

#[test]
fn wrong_pins_are_locked_out_and_the_shell_lets_in_again() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    set_pin(dir.path(), PIN);
    let browser = Browser::start(360, 740);
    browser.open(&format!("{}/", service.base()));
    for _ in 0..5 {
        enter(&browser, "11223344");
        browser.until(
            "return document.querySelector('#wrong')?.textContent === 'That is not the PIN.'",
        );
        browser.open(&format!("{}/", service.base()));
    }
    // Not even the right one is looked at.
    enter(&browser, PIN);
    browser.until(
        "return document.querySelector('#wrong')?.textContent.startsWith('Too many wrong PINs.')",
    );
    inspect(&browser, "locked");
    let answer = service.call(
        "POST",
        "/page/pin",
        &[("content-type", "application/x-www-form-urlencoded")],
        format!("pin={PIN}").as_bytes(),
    );
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((800..=900).contains(&wait), "{wait}");
    set_pin(dir.path(), "90210777");
    enter(&browser, "90210777");
    browser.until("return !!document.querySelector('#drain')");
}

#[test]
fn without_a_script_the_page_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    set_pin(dir.path(), PIN);
    work(&service);
    let browser = Browser::start(360, 740);
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&format!("{}/", service.base()));
    assert_well(&browser);
    assert!(flat(&browser, "section[aria-labelledby=hour]").contains("scam_link 1"));
    assert!(browser.text("noscript").contains("reload it"));
    browser.click("#pin");
    browser.keys(PIN);
    browser.click("form.pin button");
    browser.appears("#drain");
    browser.click("#drain");
    browser.reads("#headline", "Stopped: takes no new work");
    assert_eq!(service.get("/v1/status").body["drained"], true);
}
