//! To whom a directive goes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::journal::{BoxId, TenantId};

/// A lane of the hub's journal of directives. In words `fleet`, `tenant/NAME` or `box/UUID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// Every box.
    Fleet,
    /// The boxes that serve this tenant.
    Tenant(TenantId),
    /// One box.
    Box(BoxId),
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nobody's address: write `fleet`, `tenant/NAME` or `box/UUID`")]
pub struct NotAddress(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Tenant(tenant) => write!(f, "tenant/{tenant}"),
            Self::Box(of) => write!(f, "box/{of}"),
        }
    }
}

impl FromStr for Address {
    type Err = NotAddress;

    fn from_str(text: &str) -> Result<Self, NotAddress> {
        let no = || NotAddress(text.to_owned());
        match text.split_once('/') {
            None if text == "fleet" => Ok(Self::Fleet),
            Some(("tenant", name)) => name.parse().map(Self::Tenant).map_err(|_| no()),
            Some(("box", id)) => id.parse().map(Self::Box).map_err(|_| no()),
            _ => Err(no()),
        }
    }
}
