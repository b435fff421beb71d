//! Policies: what is in force where, drafts, an editor that checks, compares and tries out, and roll-outs.

mod compare;
mod editor;
mod list;
mod replay;
mod rollout;
mod rollouts;

use crate::rollout::known::Known;
use crate::tongue::Text;

pub(super) use editor::{check, download, edit, save};
pub(super) use list::list;
pub(super) use rollout::{act, show};
pub(super) use rollouts::{rollouts, take};

/// A policy that comes with Weir, as people read it.
fn shipped(name: &str) -> Text {
    Text::from("{name}, as Weir brings it").with("name", name)
}

/// A policy that was released, as people read it.
fn released(known: &Known) -> Text {
    let text = Text::from("{name} {version}, released to {lane}");
    text.with("name", &known.name).with("version", known.version).with("lane", &known.lane)
}
