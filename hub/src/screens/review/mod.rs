//! The queue, and an item of it.

mod acts;
mod beside;
mod bulk;
mod evidence;
mod item;
mod list;
mod made;
mod near;

pub(super) use acts::{assign, claim, comment, decide, escalate, next, release, undo};
pub(super) use bulk::bulk;
pub(super) use evidence::{evidence, preview, reveal};
pub(super) use item::item;
pub(super) use list::{live, queue};
