//! A roll-out as a file: made beside the release key, on a machine that is no hub; brought to the hub as a whole.
//!
//! Each stage is signed for its own address, since boxes take nothing that was released for another. With it comes its way back, signed at the same
//! time and one version higher: whoever has to go back at night does not have the release key.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::directive::{Address, Release, ReleaseKind, Released};
use domain::journal::Code;
use domain::profile::Tried;
use ring::signature::Ed25519KeyPair;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Stages, at most.
pub const MOST: usize = 32;

/// What goes where, and what stood there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is.
    pub kind: ReleaseKind,
    /// Its name: of a policy, the profile whose policy it replaces.
    pub name: Code,
    /// Its version; the way back has the next.
    pub version: u64,
    /// The file, TOML.
    pub text: String,
    /// What the last stage goes back to; nothing: what stands behind it.
    pub before: Option<String>,
    /// To whom, narrow first.
    pub stages: Vec<Address>,
}

/// The file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    stages: Vec<Stage>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    go: Piece,
    back: Piece,
}

/// A release: base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    bytes: String,
    signature: String,
}

/// One stage, as it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub to: Address,
    pub go: Released,
    pub back: Released,
}

impl Plan {
    /// Signs all stages and their ways back. Narrow stages go back to what stands behind them, the last one to `before`.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the plan makes no sense.
    pub fn sign(&self, key: &Ed25519KeyPair) -> Result<File, Error> {
        self.check()?;
        let last = self.stages.len() - 1;
        let stage = |(n, to): (usize, &Address)| {
            let release = |version, text: &str| {
                let Self { kind, name, .. } = self;
                let (name, to, text) = (name.clone(), to.clone(), text.to_owned());
                let release = Release { kind: *kind, name, version, to, text };
                Released::sign(&release, key).map_err(|error| invalid(error.to_string()))
            };
            let before = if n == last { self.before.as_deref() } else { None };
            Ok(Stage {
                go: Piece::of(&release(self.version, &self.text)?),
                back: Piece::of(&release(self.version + 1, before.unwrap_or_default())?),
            })
        };
        let stages = self.stages.iter().enumerate().map(stage).collect::<Result<_, Error>>()?;
        Ok(File { stages })
    }

    /// Whether it makes sense as a whole.
    fn check(&self) -> Result<(), Error> {
        if self.stages.is_empty() || self.stages.len() > MOST {
            return Err(invalid(format!("a roll-out has 1 to {MOST} stages")));
        }
        for (n, to) in self.stages.iter().enumerate() {
            if self.stages[..n].contains(to) {
                return Err(invalid(format!("{to} is a stage twice")));
            }
            if n > 0 && width(to) < width(&self.stages[n - 1]) {
                return Err(invalid(format!(
                    "{to} comes behind {}: narrow stages come first, boxes, then tenants, then the fleet",
                    self.stages[n - 1]
                )));
            }
        }
        if !(1..i64::MAX as u64).contains(&self.version) {
            return Err(invalid("a version is 1 or more".into()));
        }
        readable(self.kind, &self.name, &self.text)?;
        self.before.as_deref().map_or(Ok(()), |text| readable(self.kind, &self.name, text))
    }
}

impl File {
    /// What it says, where all of it is signed by this release key (Ed25519, 32 bytes) and makes sense.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong, by the number of its stage.
    pub(crate) fn open(&self, key: &[u8]) -> Result<(Plan, Vec<Opened>), Error> {
        let (mut plan, mut stages): (Option<Plan>, Vec<Opened>) = (None, Vec::new());
        for (n, stage) in (1..).zip(&self.stages) {
            let wrong = |what: String| invalid(format!("stage {n}: {what}"));
            let open = |piece: &Piece| {
                let released = piece.read().map_err(wrong)?;
                let release = released.open(key).map_err(|error| {
                    wrong(format!(
                        "{error}; the hub tells boxes `boxes.release_key` of its settings"
                    ))
                })?;
                Ok::<_, Error>((released, release))
            };
            let ((go, there), (back, again)) = (open(&stage.go)?, open(&stage.back)?);
            let same = |one: &Release| (one.kind, one.name.clone(), one.to.clone());
            if same(&there) != same(&again) || again.version <= there.version {
                return Err(wrong("its way back is not of the same, one version higher".into()));
            }
            let Release { kind, name, version, to, text } = there;
            let plan = plan.get_or_insert(Plan {
                kind,
                name: name.clone(),
                version,
                text: text.clone(),
                before: None,
                stages: Vec::new(),
            });
            if (plan.kind, &plan.name, plan.version, &plan.text) != (kind, &name, version, &text) {
                return Err(wrong("it releases something else than the first one".into()));
            }
            plan.before = Some(again.text).filter(|text| !text.is_empty());
            plan.stages.push(to.clone());
            stages.push(Opened { to, go, back });
        }
        let plan = plan.ok_or_else(|| invalid("a roll-out has stages".into()))?;
        plan.check()?;
        Ok((plan, stages))
    }
}

impl Piece {
    fn of(released: &Released) -> Self {
        Self {
            bytes: BASE64_STANDARD.encode(&released.bytes),
            signature: BASE64_STANDARD.encode(&released.signature),
        }
    }

    fn read(&self) -> Result<Released, String> {
        let read =
            |text: &str| BASE64_STANDARD.decode(text).map_err(|_| "it is no base64".to_owned());
        Ok(Released { bytes: read(&self.bytes)?, signature: read(&self.signature)? })
    }
}

/// Boxes that a lane may reach: one, a tenant's, all.
fn width(to: &Address) -> u8 {
    match to {
        Address::Box(_) => 0,
        Address::Tenant(_) => 1,
        Address::Fleet => 2,
    }
}

/// Whether boxes could take it: a policy that passes its own cases, or what may be a hash list (boxes look closer at those).
fn readable(kind: ReleaseKind, name: &Code, text: &str) -> Result<(), Error> {
    match kind {
        ReleaseKind::Policy => {
            let tried = Tried::read(text).map_err(|problems| invalid(problems.to_string()))?;
            match tried.failed() {
                Some(verdict) => Err(invalid(format!("a case of its own fails: {verdict}"))),
                None => Ok(()),
            }
        }
        ReleaseKind::Bank => {
            let table: toml::Table = toml::from_str(text)
                .map_err(|error| invalid(format!("not valid TOML: {}", error.message())))?;
            match table.get("name").and_then(toml::Value::as_str) {
                Some(own) if own == name.as_str() => Ok(()),
                own => Err(invalid(format!(
                    "it is released as {name}, and calls itself {}",
                    own.unwrap_or("nothing")
                ))),
            }
        }
    }
}

fn invalid(what: String) -> Error {
    Error::Invalid(what)
}
