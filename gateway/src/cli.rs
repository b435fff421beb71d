//! The command line.

mod models;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::models::{EnginesCommand, ModelsArguments, ModelsCommand, StageName};
use crate::doctor::DoctorArguments;
use crate::inference::{Inference, Wish};

/// Judges photos, videos and captions on the edge.
#[derive(Parser, Debug)]
#[command(name = "weir", version, about, max_term_width = 100)]
pub struct Cli {
    /// Say more on standard error (repeat for more).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Judge files and print their verdicts.
    Check(CheckArguments),
    /// Measure how well a profile judges a labelled folder.
    Eval(EvalArguments),
    /// Run the gateway: submissions over HTTP, judged behind.
    Serve(ServeArguments),
    /// Take up changed tenants, profiles, policies and lists while the service runs.
    Reload(ReloadArguments),
    /// Tell what this machine has of what Weir needs, and what to install.
    Doctor(DoctorArguments),
    /// Make this box one of a hub's.
    Enroll(EnrollArguments),
    /// Show and check the settings of `serve`.
    Config(ConfigArguments),
    /// Make, list and revoke API keys.
    Token(TokenArguments),
    /// Set and remove the technician's PIN of the status page.
    Pin(PinArguments),
    /// Switch features on and off while the service runs.
    Flag(FlagArguments),
    /// Call webhook endpoints again that said 410 Gone.
    Webhook(WebhookArguments),
    /// Verify, copy and restore the database of a box.
    Store(StoreArguments),
    /// Prove that an author was erased.
    Erase(EraseArguments),
    /// List, fetch, verify and measure models; install, promote and withdraw versions.
    Models(ModelsArguments),
    /// Check and test policies.
    Policy(PolicyArguments),
}

/// By what files are judged, and how.
#[derive(Args, Debug)]
pub struct JudgingArguments {
    /// The profile: one of the built-in names (see `weir policy list`) or a TOML file.
    #[arg(long, value_name = "NAME", default_value = "starter")]
    pub profile: String,
    /// A policy file that takes the place of the profile's own policy.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The kind of place the items would appear in, such as `post` or `avatar`.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub surface: String,
    /// A file of listed hashes; may be given more than once.
    #[arg(long = "bank", value_name = "FILE")]
    pub banks: Vec<PathBuf>,
    /// How many items are decoded at once, while as many more are with the models; default: the number of cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// On what models run.
    #[arg(long, value_name = "ENGINE", env = "WEIR_ENGINE", default_value = "auto")]
    pub engine: Wish,
    /// Fail where that engine cannot be used, instead of taking the CPU.
    #[arg(long, env = "WEIR_REQUIRE_ENGINE")]
    pub require_engine: bool,
}

impl JudgingArguments {
    /// On what models are to run.
    pub fn inference(&self) -> Inference {
        Inference { wish: self.engine, required: self.require_engine }
    }
}

/// Judge files and print their verdicts.
///
/// Exit code: 0 all allowed, 1 something was not allowed, 2 something could not be judged, 64 usage.
#[derive(Args, Debug)]
pub struct CheckArguments {
    /// Files, folders (searched through), or `-` for a list on standard input, one path a line.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print one JSON object a line for each input, in input order.
    #[arg(long)]
    pub json: bool,
    /// A caption, judged with each input; without a path it is judged alone.
    #[arg(long, value_name = "CAPTION")]
    pub text: Option<String>,
    /// By what is judged, and how.
    #[command(flatten)]
    pub judging: JudgingArguments,
}

/// Measure how well a profile judges a labelled folder.
///
/// The folder's sub-folders are named for the label of what lies in them, or its labels.csv (file,label) tells it: good for
/// what must be approved, bad for what must not, or a category, a reason of the policy, a finding (docs/eval.md).
///
/// Exit code: 0 all evaluated, 2 something could not be judged, 64 usage.
#[derive(Args, Debug)]
pub struct EvalArguments {
    /// The labelled folder.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
    /// Draw the curves into this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Another profile, or a policy file to try with the same profile; shows what it would decide otherwise.
    #[arg(long, value_name = "PROFILE|POLICY")]
    pub compare: Option<String>,
    /// The share of good items that a threshold may catch by mistake, above 0 and below 1.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    pub max_fpr: f64,
    /// By what is judged, and how.
    #[command(flatten)]
    pub judging: JudgingArguments,
}

fn share(text: &str) -> Result<f64, String> {
    let within = |share: &f64| 0.0 < *share && *share < 1.0;
    text.parse().ok().filter(within).ok_or_else(|| "write a share such as 0.01".to_owned())
}

/// Run the gateway.
///
/// Settings come from options, the environment (`WEIR_…`), the file of --config, and defaults, in this order.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArguments {
    /// The file of settings (TOML; docs/serve.md has every key).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Folder of database, spool and secrets [default: /var/lib/weir where it exists, else the user's data folder].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Profile of tenants that name none [default: starter].
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}

/// Make this box one of a hub's. Works whether the service runs or not; one that runs connects by itself.
#[derive(Args, Debug)]
pub struct EnrollArguments {
    /// The line that `weir-hub token enroll` printed; `-` reads it from standard input.
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// What people call the box; shown by the hub.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The service's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Make, list and revoke API keys. Works whether the service runs or not.
#[derive(Args, Debug)]
pub struct TokenArguments {
    /// The service's data folder.
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do with API keys.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make one; its secret is printed once and kept nowhere.
    Create {
        /// For whom it speaks.
        #[arg(long, value_name = "TENANT", default_value = "default")]
        tenant: String,
        /// What it may: submit, read, review, admin; may be given more than once.
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        /// What it is called in lists.
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
    },
    /// List them, revoked ones too.
    List {
        /// Of this tenant alone.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
    /// Revoke one; the next call with it is refused.
    Revoke {
        /// Whose.
        #[arg(long, value_name = "TENANT", default_value = "default")]
        tenant: String,
        /// Which.
        id: String,
    },
}

/// Take up changed tenants, profiles, policies and lists while the service runs.
///
/// Either all of it or, where something cannot be used, nothing; then the mistakes are told. Settings that need a
/// restart are named. SIGHUP does the same.
#[derive(Args, Debug)]
pub struct ReloadArguments {
    /// The service's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Set and remove the technician's PIN of the status page. Works whether the service runs or not.
#[derive(Args, Debug)]
pub struct PinArguments {
    /// The service's data folder.
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: PinCommand,
}

/// What to do with the PIN.
#[derive(Subcommand, Debug)]
pub enum PinCommand {
    /// Set it: 6 to 32 digits from standard input, or a new one that is printed once.
    Set {
        /// Make a PIN of 8 digits and print it.
        #[arg(long)]
        generate: bool,
    },
    /// Remove it: nobody can act by PIN any more.
    Clear,
}

/// Switch features on and off while the service runs.
#[derive(Args, Debug)]
pub struct FlagArguments {
    /// The service's data folder.
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: FlagCommand,
}

/// What to do with switches.
#[derive(Subcommand, Debug)]
pub enum FlagCommand {
    /// Set one.
    Set {
        /// Which, for example `movies_modnet_enabled`.
        name: String,
        /// To what.
        state: OnOff,
    },
    /// List all that were ever set.
    List,
}

/// Call webhook endpoints again that said 410 Gone. Works whether the service runs or not.
#[derive(Args, Debug)]
pub struct WebhookArguments {
    /// The service's data folder.
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: WebhookCommand,
}

/// What to do with endpoints.
#[derive(Subcommand, Debug)]
pub enum WebhookCommand {
    /// Call one again, from the next message on.
    Enable {
        /// Its name in the settings.
        name: String,
        /// Whose.
        #[arg(long, value_name = "TENANT", default_value = "default")]
        tenant: String,
    },
    /// List those that are not called any more.
    List,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

/// Verify, copy and restore the database of a box.
#[derive(Args, Debug)]
pub struct StoreArguments {
    /// The service's data folder.
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What to do with the database.
#[derive(Subcommand, Debug)]
pub enum StoreCommand {
    /// Compute the journal's chains anew from the data and compare; may be done while the service runs.
    Verify,
    /// Copy the database whole into a new file; may be done while the service runs.
    Snapshot {
        /// The new file.
        file: PathBuf,
    },
    /// Put a copy in the database's place; the service must not run.
    Restore {
        /// The copy.
        file: PathBuf,
    },
}

/// Show and check the settings of `serve`.
#[derive(Args, Debug)]
pub struct ConfigArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with settings.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Report every error at once.
    Check(ServeArguments),
    /// Print each setting in force and where it comes from.
    Show(ServeArguments),
}

/// Prove that an author was erased.
#[derive(Args, Debug)]
pub struct EraseArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: EraseCommand,
}

/// What to do with erasures.
#[derive(Subcommand, Debug)]
pub enum EraseCommand {
    /// Look for an author in database and log, and recompute the chains. Exit code 1 when something is left.
    Verify {
        /// The platform's name of the author.
        author: String,
        /// Whose author.
        #[arg(long, value_name = "TENANT", default_value = crate::config::DEFAULT_TENANT)]
        tenant: String,
        /// The number that the erasure answered: looks for rows that still carry it.
        #[arg(long, value_name = "NUMBER")]
        tombstone: Option<u64>,
        /// Data folder of the service.
        #[arg(long, value_name = "DIR", env = "WEIR_DATA")]
        data: Option<PathBuf>,
    },
}

/// Check and test policies.
#[derive(Args, Debug)]
pub struct PolicyArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What to do with policies.
#[derive(Subcommand, Debug)]
pub enum PolicyCommand {
    /// The built-in profiles.
    List,
    /// Read a policy or profile file and report every error in it.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Decide the cases of a file and compare.
    Test {
        /// The policy or profile file, or the name of a built-in profile.
        file: PathBuf,
        /// The cases.
        cases: PathBuf,
    },
    /// Decide what a box has seen under another policy, and show what would change; the service may run meanwhile.
    Replay(ReplayArguments),
}

/// What is decided anew, and by what.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// The policy or profile file, or the name of a built-in profile.
    pub file: PathBuf,
    /// The data folder of the box.
    #[arg(long, value_name = "DIR", env = "WEIR_DATA")]
    pub data: Option<PathBuf>,
    /// Of this tenant only.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// How many days back.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// How many submissions to name for each kind of change.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub samples: usize,
    /// Print one JSON document (docs/policy.md).
    #[arg(long)]
    pub json: bool,
}
