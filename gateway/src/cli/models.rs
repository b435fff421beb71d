//! `weir models` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::inference::Wish;

/// List, fetch, verify and measure models; install, promote and withdraw versions of them.
#[derive(Args, Debug)]
pub struct ModelsArguments {
    /// The folder of models.
    #[arg(long, value_name = "DIR", env = "WEIR_MODELS", global = true)]
    pub dir: Option<PathBuf>,
    /// On what models run.
    #[arg(long, value_name = "ENGINE", env = "WEIR_ENGINE", default_value = "auto", global = true)]
    pub engine: Wish,
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What to do with models.
#[derive(Subcommand, Debug)]
pub enum ModelsCommand {
    /// The catalogue, and which weights are here.
    List,
    /// Bring weights here: from their pinned source, or from a folder.
    Fetch {
        /// Names from the catalogue; none = those that `--profile` needs, or all.
        names: Vec<String>,
        /// A folder that holds the source files or the converted ones, found by their hash.
        #[arg(long, value_name = "DIR", env = "WEIR_MODEL_MIRROR")]
        mirror: Option<PathBuf>,
        /// Fetch what this profile needs.
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
    },
    /// Hash the weights that are here again.
    Verify {
        /// Names from the catalogue; none = all that are here.
        names: Vec<String>,
    },
    /// Measure speed on this machine.
    Bench {
        /// Names from the catalogue; none = all that are here.
        names: Vec<String>,
    },
    /// Plans of TensorRT: list, build, prune.
    Engines {
        /// What to do.
        #[command(subcommand)]
        command: EnginesCommand,
    },
    /// Make a key that signs bundles; prints its public half.
    Keygen {
        /// The new file.
        file: PathBuf,
    },
    /// Take bundles of this key from now on; without a key, list those that are taken.
    Trust {
        /// A public key, 64 hexadecimal digits.
        key: Option<String>,
    },
    /// Make a signed bundle out of a manifest, weights and golden pictures.
    Bundle {
        /// The key that signs.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The manifest.
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// The weights that the manifest pins.
        #[arg(long, value_name = "FILE")]
        weights: PathBuf,
        /// A folder of golden pictures (PNG), with a golden.toml or without.
        #[arg(long, value_name = "DIR")]
        golden: PathBuf,
        /// The bundle.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Install a bundle as a candidate.
    Install {
        /// The bundle.
        file: PathBuf,
        /// Also a version that is not later than those that are known.
        #[arg(long)]
        older: bool,
    },
    /// Bring a version a stage further: candidate, shadow, canary, active. Works whether the service runs or not.
    Promote {
        /// NAME or NAME@VERSION.
        model: String,
        /// To which stage; default: the next.
        #[arg(long, value_name = "STAGE")]
        to: Option<StageName>,
        /// Of a canary, the share of submissions that it judges [default: 0.05].
        #[arg(long, value_name = "SHARE")]
        share: Option<f64>,
        /// The service's data folder.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Withdraw the shadow or canary, else the active version, in whose place the one before comes back.
    Rollback {
        /// NAME or NAME@VERSION.
        model: String,
        /// The service's data folder.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

/// What to do with plans.
#[derive(Subcommand, Debug)]
pub enum EnginesCommand {
    /// What is kept, and what for.
    List,
    /// Build what is missing, so that no start has to wait for it.
    Build {
        /// NAME (the active version and the one on trial) or NAME@VERSION; none = those that `--profile` needs, or all that are here.
        names: Vec<String>,
        /// Build what this profile needs.
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// Build also what is kept already.
        #[arg(long)]
        anew: bool,
    },
    /// Remove what no model here needs on this device with this library.
    Prune,
}

/// A stage to which a version can be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StageName {
    /// Runs beside; decides nothing.
    Shadow,
    /// Judges a share.
    Canary,
    /// Judges.
    Active,
}
