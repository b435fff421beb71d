//! The reference data beside the checkout. The product never needs it; tests that use it are named `shared_*`.

use std::path::{Path, PathBuf};

/// The folder of the reference data: `$WEIR_SHARED_DATA`, else `../shared/data` beside the workspace.
///
/// Prints one line and gives `None` where it is absent. With `WEIR_REQUIRE_SHARED=1`, which `make test` sets
/// where the folder exists, absence is a failure.
///
/// # Panics
/// When the data is required and absent.
pub fn data(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("WEIR_SHARED_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if dir.join("MANIFEST.csv").is_file() {
        return Some(dir);
    }
    let required = std::env::var_os("WEIR_REQUIRE_SHARED").is_some_and(|v| v == "1");
    assert!(
        !required,
        "{test}: the reference data is required, but {} has no MANIFEST.csv",
        dir.display()
    );
    eprintln!("SKIPPED {test}: no reference data at {}", dir.display());
    None
}

/// Gives the folder of the reference data, or returns from the test with one line.
#[macro_export]
macro_rules! shared {
    () => {{
        let name = std::any::type_name_of_val(&|| ());
        match $crate::shared::data(name) {
            Some(dir) => dir,
            None => return,
        }
    }};
}
