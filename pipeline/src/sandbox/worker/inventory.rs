//! The program's other use: it writes what can be decoded on this machine to standard output, as JSON, and ends.

use std::io::Write as _;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::decode::still;
use crate::decode::video::inventory::{self, Inventory};

/// The first argument that asks for it.
pub const INVENTORY: &str = "inventory";

/// The second argument that leaves out what talks to drivers.
pub const PLAIN: &str = "plain";

/// What is written.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) struct Written {
    /// Libraries of stills that are missing, a sentence each.
    pub stills: Vec<String>,
    /// What GStreamer has.
    pub video: Inventory,
}

/// Reads and writes it. No untrusted byte is near, so nothing is given up.
pub fn inventory() -> ExitCode {
    let plain = std::env::args().nth(2).as_deref() == Some(PLAIN);
    let found = Written {
        stills: still::preload().iter().map(|error| error.detail().to_owned()).collect(),
        video: inventory::read(!plain),
    };
    let written = serde_json::to_vec(&found)
        .map_err(std::io::Error::from)
        .and_then(|json| std::io::stdout().write_all(&json));
    match written {
        // Without the libraries' destructors, some of which take drivers down badly.
        Ok(()) => crate::sandbox::sys::exit_now(0),
        Err(error) => {
            eprintln!("weir-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}
