//! `weir-hub proof verify` on documents from anywhere: what it says, and what it refuses.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// By proof-1.py beside it, which knows nothing of our code.
const GOLDEN: &str = include_str!("data/proof-1.json");

/// The public key of a seed of that byte, in hex.
fn public(seed: u8) -> String {
    let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    key.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `weir-hub proof verify` as others run it: in an empty folder, with nothing in its environment.
fn checked(folder: &std::path::Path, bytes: &[u8], more: &[&str]) -> (Option<i32>, String) {
    let file = folder.join("proof.json");
    std::fs::write(&file, bytes).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-hub"));
    command.env_clear().current_dir(folder).args(["proof", "verify", "proof.json"]).args(more);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn files_that_are_no_proof_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let hub = public(2);
    let (code, text) = checked(folder.path(), GOLDEN.as_bytes(), &["--hub-key", &hub]);
    assert_eq!(code, Some(0), "{text}");
    for word in [
        "01930000-0000-7000-8000-00000000002a of tenant shop",
        "rejected, severity high, action reject; all that",
        "sexual, severity high, score 0.970",
        "1, in place of 0",
        "starter@1",
        "2023-11-14T22:13:20.04Z by the box's clock",
        "by the hub at 2023-11-14T22:13:22Z",
        "entry 40 of lane bulk, epoch fedcba9876543210, of box 01920000-0000-7000-8000-000000000007",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.ends_with("HOLDS\n"), "{text}");
    let (code, text) = checked(folder.path(), GOLDEN.as_bytes(), &[]);
    assert_eq!(code, Some(0));
    assert!(text.contains(&format!("HOLDS, BUT ONLY IF {hub} IS THE HUB'S KEY")), "{text}");
    let (code, text) = checked(folder.path(), GOLDEN.as_bytes(), &["--json"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &value["holds"], &value["hub_key_trusted"]),
        (Some(0), &true.into(), &false.into())
    );
    let box_key = public(1);
    let (code, text) = checked(folder.path(), GOLDEN.as_bytes(), &["--hub-key", &box_key]);
    assert!(
        code == Some(1) && text.contains(&format!("by hub key {hub}, which is none")),
        "{text}"
    );
    let (code, text) = checked(folder.path(), GOLDEN.as_bytes(), &["--hub-key", "abc"]);
    assert!(code == Some(64) && text.contains("64 hexadecimal digits"), "{text}");

    let cut = &GOLDEN.as_bytes()[..GOLDEN.len() / 2];
    let spliced = GOLDEN.replace("\"seq\"", "\"\\u001b[2Jseq\"");
    let deep = "[".repeat(100_000);
    let many = format!("\"following\": [{}\"\"", "\"\",".repeat(4096));
    let many = GOLDEN.replace("\"following\": [", &format!("{many},"));
    let huge = [GOLDEN.as_bytes(), &vec![b' '; 8 << 20]].concat();
    for (bytes, why) in [
        (&b""[..], "no proof, or was cut"),
        (b"\xff\xd8\xff\xe0", "no proof, or was cut"),
        (b"{}", "missing field `format`"),
        (b"{\"format\":\"weir-proof/2\",\"new\":1}", "the format `weir-proof/2`"),
        (cut, "no proof, or was cut"),
        (spliced.as_bytes(), "unknown field `\u{fffd}[2Jseq`"),
        (deep.as_bytes(), "no proof, or was cut"),
        (many.as_bytes(), "more than 4096 records follow"),
        (&huge, "more than 8388608 bytes"),
        (GOLDEN.replace("\"bulk\"", "\"side\"").as_bytes(), "`critical` or `bulk`"),
        (GOLDEN.replace("hub_key", "hub").as_bytes(), "unknown field `hub`"),
        (GOLDEN.replacen("AQGS", "AQG!", 1).as_bytes(), "no proof, or was cut"),
    ] {
        let (code, text) = checked(folder.path(), bytes, &[]);
        assert!(code == Some(1) && text.contains(why), "{why}: {text}");
        assert!(text.starts_with("DOES NOT HOLD: ") && !text.contains('\u{1b}'), "{text}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-hub"));
    let missing = command.args(["proof", "verify", "/nowhere/proof.json"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(64));
}
