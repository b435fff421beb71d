//! What was installed and is not any more as it was.

use std::fs;

use super::life::{Maker, png};
use crate::life::bundle::{LIST, MANIFEST, WEIGHTS};
use crate::life::state::Wish;
use crate::life::{Ledger, Roster, Stage, State, folder, install};

/// What came in a bundle cannot be fetched.
pub(super) fn says_install(error: &dyn std::fmt::Display) {
    let said = error.to_string();
    assert!(said.contains("weir models install") && !said.contains("weir models fetch"), "{said}");
}

#[test]
fn the_same_bundle_again_mends_what_was_changed_or_lost_and_its_version_stays_where_it_is() {
    let maker = Maker::new();
    let models = maker.models();
    let dir = models.path();
    let bundle = maker.bundle("1");
    let kept = dir.join("kept");
    fs::copy(&bundle, &kept).unwrap();
    install(dir, &bundle, false, 1).unwrap();
    let mut ledger = Ledger::open(dir).unwrap();
    let wish = Wish { name: "tiny".into(), version: None, to: Some(Stage::Active), share: None };
    ledger.change(|state| state.promote(&wish, false, None, 2)).unwrap().unwrap();
    drop(ledger);
    let place = folder(dir, "tiny", "1");
    let harms: [&dyn Fn(); 5] = [
        &|| fs::write(place.join(WEIGHTS), b"other").unwrap(),
        &|| fs::write(place.join(LIST), b"other").unwrap(),
        &|| fs::remove_file(place.join(MANIFEST)).unwrap(),
        &|| fs::remove_file(place.join(LIST)).unwrap(),
        &|| fs::remove_dir_all(&place).unwrap(),
    ];
    for (n, harm) in harms.iter().enumerate() {
        harm();
        let usable = || {
            let roster = Roster::load(dir).map_err(|lines| lines.join("\n"))?;
            let tiny = roster.active().find("tiny").map_err(|error| error.to_string())?;
            crate::Library::new(dir).locate(tiny).map(drop).map_err(|error| error.to_string())
        };
        says_install(&usable().unwrap_err());
        let done = install(dir, &bundle, false, 3).unwrap();
        assert!(done.repaired && !done.new, "{n}");
        assert_eq!(usable(), Ok(()), "{n}");
        let state = State::read(dir).unwrap();
        assert_eq!(state.entry("tiny", "1").map(|entry| entry.stage), Some(Stage::Active), "{n}");
        assert!(!install(dir, &bundle, false, 4).unwrap().repaired, "{n}");
    }
    // Not even where its folder is gone may other bytes take its name.
    fs::remove_dir_all(&place).unwrap();
    png(&maker.dir.path().join("golden/blue.png"), [10, 200, 10]);
    let error = install(dir, &maker.bundle("1"), true, 5).map(drop).unwrap_err().to_string();
    assert!(error.contains("other bytes"), "{error}");
    assert!(install(dir, &kept, false, 6).unwrap().repaired);
}
