//! Where a value comes from: command line, environment, file, default. The first that says something counts.
//!
//! Every key of the file but those of tenants may come from the environment: `WEIR_` and the key in capitals, with `__`
//! for each dot (`limits.max_connections` is `WEIR_LIMITS__MAX_CONNECTIONS`). The value is TOML; what is no TOML value is
//! taken as a string.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use domain::Problem;
use domain::reader::{Source, Table};

use super::raw::Raw;

/// Before the key in the names of environment variables.
const PREFIX: &str = "WEIR_";

/// Variables with the prefix that are no settings of the service.
const OTHERS: [&str; 8] = [
    "WEIR_SANDBOX",
    "WEIR_TENSORRT",
    "WEIR_TRTEXEC",
    "WEIR_ONNXRUNTIME",
    "WEIR_MODELS",
    "WEIR_MODEL_MIRROR",
    "WEIR_REQUIRE_SHARED",
    "WEIR_SHARED_DATA",
];

/// What begins so is the hub's, which may run on the same machine.
const HUBS: &str = "WEIR_HUB_";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// An option of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One source of settings, read and not yet checked against the others.
#[derive(Debug, Default)]
pub struct Layer {
    /// What it says.
    pub raw: Raw,
    /// Mistakes in it.
    pub problems: Vec<Problem>,
    from: From,
}

#[derive(Debug, Default)]
enum From {
    #[default]
    Flags,
    Environment(BTreeMap<String, String>),
    File(PathBuf),
}

impl Layer {
    /// The options of the command line.
    pub fn flags(raw: Raw) -> Self {
        Self { raw, ..Self::default() }
    }

    /// The environment variables that name settings.
    pub fn environment(variables: impl Iterator<Item = (String, String)>) -> Self {
        let (mut text, mut names) = (String::new(), BTreeMap::new());
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let others = OTHERS.contains(&name.as_str()) || name.starts_with(HUBS);
            if others || rest.is_empty() {
                continue;
            }
            let key = rest.to_lowercase().replace("__", ".");
            let line = format!("{key} = {value}\n");
            // A bare word or path is a string without its quotes.
            let line = match toml::from_str::<toml::Table>(&line) {
                Ok(table) if table.len() == 1 => line,
                _ => format!("{key} = {}\n", toml::Value::String(value)),
            };
            text.push_str(&line);
            names.insert(key, name);
        }
        let (raw, mut problems) = read(&text);
        for problem in &mut problems {
            problem.line = None;
            if let Some(name) = names.get(&problem.key) {
                problem.key.clone_from(name);
            }
        }
        Self { raw, problems, from: From::Environment(names) }
    }

    /// A file's text.
    pub fn file(path: &Path, text: &str) -> Self {
        let (raw, problems) = read(text);
        Self { raw, problems, from: From::File(path.to_owned()) }
    }

    /// Where its value of a key comes from.
    pub fn origin(&self, key: &'static str) -> Origin {
        match &self.from {
            From::Flags => Origin::Flag(key),
            From::Environment(names) => {
                Origin::Environment(names.get(key).cloned().unwrap_or_else(|| PREFIX.into()))
            }
            From::File(path) => Origin::File(path.clone()),
        }
    }
}

fn read(text: &str) -> (Raw, Vec<Problem>) {
    let (mut source, root) = Source::parse(text);
    let raw = Raw::read(&mut source, Table::new("", None, &root));
    (raw, source.problems())
}
