//! The sample media are what they say they are.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// CRC-32 of ISO 3309, as in PNG and zip files, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn the_listed_picture_is_the_one_whose_hash_was_computed_by_the_reference() {
    // The CRC is that of the pixels over which the literal LISTED_PDQ was computed.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of the CRC's definition");
    assert_eq!(crc32(&rig::samples::listed().rgb), LISTED_CRC, "recompute LISTED_PDQ with pdqhash");
}

/// zlib.crc32 of the decoded pixels of 6-listed.png, by Python.
const LISTED_CRC: u32 = 0x4cfa_28f6;

#[test]
fn all_samples_are_written_with_the_bank_that_lists_the_picture() {
    let directory = tempfile::tempdir().unwrap();
    let status =
        Command::new(env!("CARGO_BIN_EXE_weir-samples")).arg(directory.path()).status().unwrap();
    assert!(status.success());
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    assert!(read("media/1-sharp.jpg").starts_with(b"\xff\xd8\xff"));
    assert!(read("media/2-blurred.jpg").starts_with(b"\xff\xd8\xff"));
    for png in ["media/3-screenshot.png", "media/4-qr-code.png", "media/6-listed.png"] {
        assert!(read(png).starts_with(b"\x89PNG"), "{png}");
    }
    assert_eq!(read("media/5-listed-in-6th-second.mp4").get(4..8), Some(&b"ftyp"[..]));
    assert!(String::from_utf8(read("bank.toml")).unwrap().contains(rig::samples::LISTED_PDQ));
}

#[test]
fn usage_is_told_when_the_folder_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-samples")).output().unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8(output.stderr).unwrap().contains("usage: weir-samples [self-test] DIR")
    );
}
