//! All that an evaluation says: the document of `--json`, described key by key in docs/eval.md.

use std::path::Path;

use serde::Serialize;

use super::comparison::Comparison;
use super::evaluation::Evaluation;
use super::rate::needed;

/// Rises when a key changes its meaning, which additions do not.
const SCHEMA: u32 = 1;

/// The document.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    /// The folder as given, lossily as UTF-8.
    pub folder: String,
    /// Items in it.
    pub items: usize,
    /// The wanted share of good items caught by mistake.
    pub max_fpr: f64,
    /// Good items without a mistake that it takes to show that share with 95 % confidence.
    pub good_items_needed: usize,
    /// The profile and policy that were asked about.
    pub this: Evaluation,
    /// Those that they are compared with.
    pub other: Option<Evaluation>,
    /// Between the two.
    pub comparison: Option<Comparison>,
}

impl Report {
    /// Of one profile and policy, and of what it is compared with.
    pub fn new(
        folder: &Path,
        max_fpr: f64,
        items: usize,
        this: Evaluation,
        compared: Option<(Evaluation, Comparison)>,
    ) -> Self {
        let (other, comparison) = compared.unzip();
        Self {
            schema: SCHEMA,
            folder: folder.to_string_lossy().into_owned(),
            items,
            max_fpr,
            good_items_needed: needed(max_fpr),
            this,
            other,
            comparison,
        }
    }

    /// Whether every item was judged.
    pub fn is_whole(&self) -> bool {
        self.this.unjudged.is_empty()
            && self.other.as_ref().is_none_or(|other| other.unjudged.is_empty())
    }
}
