//! `weir eval` over labelled folders of our own making: what it tells is so, and what it proposes does what it says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use rig::media::{photo, scam, scene};
use rig::{manifest, weir};
use serde_json::Value;

/// Sharp pictures without scam links; the rules follow.
const PROFILE: &str = r#"
name = "sharp"
title = "Sharp pictures"
[detectors.quality]
kind = "quality"
[detectors.qr]
kind = "qr"
[detectors.link]
kind = "link"
blocked = ["scam.example"]
[policy]
"#;

fn policy(name: &str, blurry: &str) -> String {
    format!(
        r#"
name = "{name}"
version = 1
required = ["quality", "qr", "link"]
[[rule]]
id = "blurry"
when = '{blurry}'
category = "quality"
severity = "low"
action = "reject"
reason = "blurry"
[[rule]]
id = "blocked"
when = 'found("link", "link:blocked")'
category = "spam"
severity = "high"
reason = "scam_link"
settles = true
"#
    )
}

/// A folder with a profile, and a folder `set` of labelled items beside it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let rules =
            policy("sharp", "scores.blur_variance < 100").replace("[[rule]]", "[[policy.rule]]");
        folder.write("sharp.toml", format!("{PROFILE}{rules}").as_bytes());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Good photos, blurred ones, codes of scammers.
    fn with_items(self, good: u32, blurred: u32, scams: u32) -> Self {
        for n in 0..good {
            self.write(&format!("set/good/{n}.jpg"), &photo(n));
        }
        for n in 0..blurred {
            let picture = scene(320, 240, 100 + n).blurred(6).jpeg(85).unwrap();
            self.write(&format!("set/blurry/{n}.jpg"), &picture);
        }
        for n in 0..scams {
            self.write(&format!("set/spam/{n}.png"), &scam(&format!("a{n}")));
        }
        self
    }

    fn run(&self, arguments: &[&str]) -> weir::Run {
        let (profile, set) = (self.path("sharp.toml"), self.path("set"));
        weir::finish(
            weir::command()
                .current_dir(self.0.path())
                .args(["eval", "--profile"])
                .arg(profile)
                .args(arguments)
                .arg(set),
        )
    }

    fn report(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[&["--json"], arguments].concat());
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:#?}"))
    }
}

fn row<'v>(evaluation: &'v Value, label: &str) -> &'v Value {
    evaluation["labels"].as_array().unwrap().iter().find(|row| row["label"] == label).unwrap()
}

fn curve<'v>(evaluation: &'v Value, label: &str, score: &str) -> &'v Value {
    let curves = evaluation["curves"].as_array().unwrap();
    curves
        .iter()
        .find(|curve| curve["label"] == label && curve["score"] == score)
        .unwrap_or_else(|| panic!("no curve of {score} for {label}"))
}

/// Items, approved, rejected, unjudged, right, named.
fn counts(row: &Value) -> [Option<u64>; 6] {
    let keys = ["items", "approved", "rejected", "unjudged"].map(|key| row[key].as_u64());
    [keys[0], keys[1], keys[2], keys[3], row["right"]["hits"].as_u64(), row["named"].as_u64()]
}

#[test]
fn decisions_are_counted_by_label_and_what_could_not_be_judged_is_apart() {
    let folder = Folder::new().with_items(5, 4, 3);
    folder.write("set/good/broken.jpg", b"\xff\xd8\xff\xe0 no picture");
    // A blurred photo that somebody called good, and a good one that somebody called spam.
    folder.write("set/good/wrong.jpg", &scene(320, 240, 7).blurred(6).jpeg(85).unwrap());
    folder.write("set/spam/wrong.jpg", &photo(50));
    let run = folder.run(&["--json"]);
    assert_eq!(run.code, Some(2), "something could not be judged: {run:#?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["schema"], &report["items"]), (&1.into(), &15.into()));
    let this = &report["this"];
    let good = [Some(7), Some(5), Some(1), Some(1), Some(5), None];
    assert_eq!(counts(row(this, "good")), good);
    assert_eq!(counts(row(this, "blurry")), [4, 0, 4, 0, 4, 4].map(Some));
    assert_eq!(counts(row(this, "spam")), [4, 1, 3, 0, 3, 3].map(Some));
    assert_eq!(this["labels"][0]["label"], "good", "the good ones stand first");
    let rate = |key: &str| (this[key]["hits"].as_u64(), this[key]["of"].as_u64());
    assert_eq!(rate("good_not_approved"), (Some(1), Some(6)));
    assert_eq!(rate("bad_approved"), (Some(1), Some(8)));
    let files = |key: &str| -> Vec<String> {
        let entries = this[key].as_array().unwrap().iter();
        entries.map(|entry| entry["file"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(files("wrong"), ["good/wrong.jpg", "spam/wrong.jpg"]);
    assert_eq!(files("unjudged"), ["good/broken.jpg"]);
    assert_eq!(
        curve(this, "blurry", "scores.blur_variance")["negatives"],
        6,
        "without the broken one"
    );
}

#[test]
fn a_proposed_condition_does_in_a_policy_what_was_told_of_it() {
    let folder = Folder::new().with_items(10, 3, 2);
    // Between sharp and blurred there is no clear line: a soft good photo, and blurred ones that are sharper.
    folder.write("set/good/soft.jpg", &scene(320, 240, 20).blurred(2).jpeg(85).unwrap());
    for (n, radius) in [1, 1, 3].into_iter().enumerate() {
        let picture = scene(320, 240, 30 + n as u32).blurred(radius).jpeg(85).unwrap();
        folder.write(&format!("set/blurry/soft{n}.jpg"), &picture);
    }
    let mut told = Vec::new();
    for most in ["0.01", "0.1"] {
        let report = folder.report(&["--max-fpr", most]);
        let curve = curve(&report["this"], "blurry", "scores.blur_variance");
        let at = &curve["at_max_fpr"];
        assert_eq!((&curve["positives"], &curve["negatives"]), (&6.into(), &11.into()), "{report}");
        assert_eq!(at["shown"], false, "eleven photos show neither 1 nor 10 %");
        folder.write(
            "proposed.toml",
            policy("proposed", at["condition"].as_str().unwrap()).as_bytes(),
        );
        let tried = folder.report(&["--policy", "proposed.toml"]);
        assert_eq!(tried["this"]["good_not_approved"]["hits"], at["wrong"]["hits"], "{at}");
        assert_eq!(row(&tried["this"], "blurry")["rejected"], at["caught"]["hits"], "{at}");
        told.push((at["caught"]["hits"].as_u64().unwrap(), at["wrong"]["hits"].as_u64().unwrap()));
    }
    assert_eq!((told[0].1, told[1].1), (0, 1), "1 of 11 is within 10 %: {told:?}");
    assert!(told[1].0 > told[0].0, "the mistake buys something: {told:?}");
}

#[test]
fn scores_of_settled_rejections_are_looked_at_all_the_same() {
    let folder = Folder::new().with_items(4, 0, 0);
    // A name that is a blocked address settles the matter before the picture is opened.
    for n in 0..3 {
        folder.write(&format!("set/spam/{n}/scam.example.jpg"), &photo(60 + n));
    }
    let report = folder.report(&[]);
    assert_eq!(counts(row(&report["this"], "spam")), [3, 0, 3, 0, 3, 3].map(Some), "{report}");
    let link = curve(&report["this"], "spam", "top(\"link\", \"link:blocked\")");
    let found = (&link["average_precision"], &link["unmeasured"]);
    assert_eq!(found, (&1.0.into(), &0.into()), "{link}");
    let sharpness = curve(&report["this"], "spam", "scores.blur_variance");
    assert_eq!((&sharpness["positives"], &sharpness["unmeasured"]), (&3.into(), &0.into()));
}

#[test]
fn another_policy_is_compared_on_the_same_findings_and_another_profile_on_its_own() {
    let folder = Folder::new().with_items(5, 8, 2);
    folder.write("blind.toml", policy("blind", "scores.blur_variance < 0").as_bytes());
    // The starter notes what is blurred, and approves it.
    for (other, same_findings) in [("blind.toml", true), ("starter", false)] {
        let report = folder.report(&["--compare", other]);
        let comparison = &report["comparison"];
        assert_eq!(comparison["same_findings"], same_findings, "{other}");
        let pair = |key: &str| {
            let pair = &comparison[key];
            (pair["only_this"].as_u64(), pair["only_other"].as_u64(), pair["p"].as_f64().unwrap())
        };
        assert_eq!(pair("good"), (Some(0), Some(0), 1.0), "{other}");
        let (only_this, only_other, p) = pair("not_good");
        assert_eq!((only_this, only_other), (Some(8), Some(0)), "{other}");
        assert!((p - 2.0 / 256.0).abs() < 1e-12, "eight coins on one side: {p}");
        let changes = comparison["changes"].as_array().unwrap();
        assert_eq!(changes.len(), 8);
        for change in changes {
            assert_eq!((&change["label"], &change["effect"]), (&"blurry".into(), &"worse".into()));
            assert_eq!(change["this"]["reasons"], serde_json::json!(["blurry"]));
            assert_eq!(change["other"]["status"], "approved");
        }
        assert_eq!(counts(row(&report["other"], "spam")), [2, 0, 2, 0, 2, 2].map(Some), "{other}");
    }
    let text = folder.run(&["--compare", "blind.toml"]);
    assert_eq!(text.code, Some(0), "{text:#?}");
    assert!(
        text.stdout.contains("the other is worse") && text.stdout.contains("0.0078"),
        "{text:#?}"
    );
}

#[test]
fn people_read_it_within_a_hundred_columns_and_see_the_curves() {
    let folder = Folder::new().with_items(5, 4, 3);
    let svg = folder.path("curves.svg");
    let run = folder.run(&["--svg", svg.to_str().unwrap(), "--compare", "starter"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest}: {}", run.stdout);
    for told in [
        "Good items not approved: 0 of 5, 0.0 % (0.0–43.4)",
        "381 without a mistake would",
        "scores.blur_variance < ",
    ] {
        assert!(run.stdout.contains(told), "{told}: {}", run.stdout);
    }
    let svg = std::fs::read_to_string(svg).unwrap();
    assert_eq!(
        svg.matches("<path class=\"curve").count(),
        3 * 2,
        "two curves and a sample for each of two labels"
    );
    assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("precision"), "{svg}");
    let outside = svg.replace("http://www.w3.org/2000/svg", "");
    assert!(
        !outside.contains("http") && !outside.contains("href") && !outside.contains("<script"),
        "{svg}"
    );
}

#[test]
fn a_table_of_labels_covers_words_as_well() {
    let folder = Folder::new();
    folder.write("set/a.txt", b"I will k i l l you, f@ggot");
    folder.write("set/b.txt", b"a lovely day at Lake Victoria");
    folder.write("set/unlisted.txt", b"nobody asked");
    folder.write("set/labels.csv", b"file,label\na.txt,hate\nb.txt,good\n");
    let set = folder.path("set");
    let run = weir::run(["eval".as_ref(), "--json".as_ref(), set.as_os_str()]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["items"], 2, "what is not listed is not asked about");
    assert_eq!(counts(row(&report["this"], "hate")), [1, 0, 1, 0, 1, 1].map(Some), "{report}");
    assert_eq!(row(&report["this"], "good")["approved"], 1);
}

#[test]
fn what_cannot_be_evaluated_is_told_whole_before_any_work() {
    let folder = Folder::new().with_items(1, 0, 0);
    folder.write("set/cats/1.jpg", &photo(1));
    folder.write("set/dogs/1.jpg", &photo(2));
    let run = folder.run(&["--svg", "early.svg"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(64), ""), "{run:#?}");
    for told in ["\"cats\" (1 item)", "\"dogs\" (1 item)", "scam_link", "sexual/minors"] {
        assert!(run.stderr.contains(told), "{told}: {}", run.stderr);
    }
    assert!(!folder.path("early.svg").exists(), "no empty plot is left behind");
    assert_eq!(folder.run(&["--max-fpr", "1"]).code, Some(64));
    assert_eq!(weir::run(["eval"]).code, Some(64));
    let nowhere = weir::run(["eval", "/nonexistent"]);
    assert!(nowhere.code == Some(64) && nowhere.stderr.contains("is not a folder"), "{nowhere:#?}");
}

/// The pictures of the reference data whose blur is known, against sharp portraits of the same data.
fn ladder(data: &Path) -> String {
    let mut table = "file,label\n".to_owned();
    for entry in manifest::entries(data) {
        let label = match entry.purpose.as_str() {
            "blur/quality ladder" if entry.expected.contains("sigma=0") => "good",
            "blur/quality ladder" => "blurry",
            "face count / partial face" => "good",
            _ => continue,
        };
        table.push_str(&format!("{},{label}\n", entry.path.display()));
    }
    table
}

#[test]
fn shared_the_ladder_of_blurred_pictures_is_told_from_sharp_ones() {
    let data = rig::shared!();
    let folder = Folder::new();
    folder.write("set/labels.csv", ladder(&data).as_bytes());
    let report = folder.report(&[]);
    let this = &report["this"];
    assert_eq!(counts(row(this, "blurry")), [8, 0, 8, 0, 8, 8].map(Some), "{this}");
    let sharpness = curve(this, "blurry", "scores.blur_variance");
    assert!(sharpness["negatives"].as_u64() >= Some(8), "{sharpness}");
    assert_eq!(
        sharpness["average_precision"], 1.0,
        "no blurred one is sharper than a good one: {sharpness}"
    );
    assert_eq!(this["good_not_approved"]["hits"], 0, "{this}");
}
