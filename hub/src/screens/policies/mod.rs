//! Policies: what is in force where, drafts, an editor that checks, compares and tries out, and roll-outs.

mod compare;
mod editor;
mod list;
mod replay;
mod rollout;
mod rollouts;

pub(super) use editor::{check, download, edit, save};
pub(super) use list::list;
pub(super) use rollout::{act, show};
pub(super) use rollouts::{rollouts, take};
