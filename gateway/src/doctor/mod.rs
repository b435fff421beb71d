//! `weir doctor`: what this machine has of what Weir needs, what is missing, and what to install for it.
//!
//! One file for each thing that is looked at; [`CHECKS`] lists them in the order in which they are told. A check reads,
//! asks the sandbox's program, and changes nothing.

mod clock;
mod devices;
mod disk;
mod engine;
mod report;
mod sandbox;
mod stills;
mod video;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use domain::Profile;
use pipeline::decode::video::chain::Family;
use pipeline::sandbox::{self as fence, Told};

use crate::{paths, profile};
use report::{Line, Report, Section};

/// How long the program of the codecs may take to load them all, drivers included.
const PATIENCE: Duration = Duration::from_secs(20);

/// A check: what the machine has of one thing.
type Check = fn(&Machine) -> Vec<Line>;

/// All that is looked at.
const CHECKS: [(&str, Check); 8] = [
    ("Engine", engine::check),
    ("Pictures", stills::check),
    ("Video", video::check),
    ("Hardware decoders", devices::check),
    ("Words in pictures", words::check),
    ("Sandbox", sandbox::check),
    ("Disk", disk::check),
    ("Clock", clock::check),
];

/// Tell what this machine has of what Weir needs, and what to install.
///
/// Looks and changes nothing. Exit code: 0 all that is required is here, 1 something of it is missing, 64 usage.
#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
    /// The profile whose needs count.
    #[arg(long, value_name = "NAME", default_value = "starter")]
    pub profile: String,
    /// The service's data folder.
    #[arg(long, value_name = "DIR", env = "WEIR_DATA")]
    pub data: Option<PathBuf>,
    /// The root of the tree in which devices and the kernel's files lie.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// What checks look at.
struct Machine {
    /// The root of the file tree: `/` but in tests.
    root: PathBuf,
    /// The data folder.
    data: PathBuf,
    /// The profile whose needs count.
    profile: Profile,
    /// What the program of the codecs says.
    codecs: Result<Told, String>,
    /// Families of decoders whose hardware shows.
    hardware: Vec<Family>,
}

impl Machine {
    fn look(root: &Path, data: PathBuf, profile: Profile) -> Self {
        Self {
            codecs: fence::inventory(None, PATIENCE).map_err(|error| error.to_string()),
            hardware: devices::hardware(root),
            root: root.to_owned(),
            data,
            profile,
        }
    }

    fn examine(&self) -> Report {
        let sections = CHECKS.iter().map(|(title, check)| Section { title, lines: check(self) });
        Report::of(sections.collect())
    }
}

/// Runs the command.
pub fn run(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    let profile = profile::load(&arguments.profile)?;
    let data = arguments.data.clone().unwrap_or_else(paths::data_dir);
    let report = Machine::look(&arguments.root, data, profile).examine();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text());
    }
    Ok(ExitCode::from(u8::from(!report.ok)))
}
