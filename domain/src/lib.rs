//! The vocabulary that everything in Weir is written in, and the pure decision: no I/O, no clock, no async.
#![forbid(unsafe_code)]

pub mod category;
pub mod coverage;
pub mod decision;
pub mod directive;
pub mod evidence;
pub mod finding;
pub mod journal;
pub mod media;
pub mod policy;
pub mod problem;
pub mod profile;
pub mod reader;
pub mod sampling;
pub mod severity;
pub mod standing;

pub use category::Category;
pub use coverage::Coverage;
pub use decision::{Decision, Status};
pub use evidence::{Context, Evidence, Failure, Scores};
pub use finding::{BBox, Finding, Span};
pub use media::{Format, Media, MediaKind};
pub use policy::Policy;
pub use problem::{Problem, Problems};
pub use profile::Profile;
pub use sampling::{Pace, Sampling};
pub use severity::{Action, Severity};
