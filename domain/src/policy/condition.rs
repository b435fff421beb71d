//! One condition: compiled once, checked in every branch, bounded, evaluated without side effects.

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, IdedExpr, Value};

use super::{facts::Facts, shape, typing};
use crate::Evidence;

/// Length of a condition in bytes. With [`MAX_NESTING`] and the loop bound of [`typing`] it bounds the work.
const MAX_BYTES: usize = 2_000;
/// Depth of nesting (brackets, operators) that the parser follows.
const MAX_NESTING: u16 = 48;

/// The standard functions of CEL, made once.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) root: IdedExpr,
}

/// What came of evaluating a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
    /// It touches something that was not measured, so nothing can be said.
    Unmeasured,
    /// It cannot be evaluated, for example a division by zero.
    Fault(String),
}

impl Condition {
    /// Compiles and checks; gives every mistake.
    pub(super) fn compile(source: &str) -> Result<Self, Vec<String>> {
        if source.trim().is_empty() {
            return Err(vec!["write a condition, for example `scores.nsfw_score > 0.8`".into()]);
        }
        if source.len() > MAX_BYTES {
            let message =
                format!("{} bytes long; split it into rules of at most {MAX_BYTES}", source.len());
            return Err(vec![message]);
        }
        let parser = ENV.parser().max_recursion_depth(MAX_NESTING);
        let root = parser.parse(source).map_err(|errors| {
            errors.errors.iter().map(|e| format!("not valid CEL: {}", e.msg)).collect::<Vec<_>>()
        })?;
        let mistakes = typing::mistakes(&root);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let condition = Self { root };
        for sample in [Evidence::default(), super::sample::full()] {
            let facts = Facts::of(&sample, 0.5);
            if let Outcome::Fault(fault) = condition.evaluate(&facts.context()) {
                return Err(vec![format!("fails on a sample: {fault}")]);
            }
        }
        Ok(condition)
    }

    /// Evaluates against the facts of one submission.
    pub(super) fn evaluate(&self, context: &Context<'_, '_>) -> Outcome {
        match Value::resolve(&self.root, context) {
            Ok(Value::Bool(true)) => Outcome::Holds,
            Ok(Value::Bool(false)) => Outcome::Fails,
            Ok(other) => Outcome::Fault(format!("gives {other:?} instead of true or false")),
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => {
                Outcome::Unmeasured
            }
            Err(error) => Outcome::Fault(error.to_string()),
        }
    }

    /// Why the condition may stop holding as evidence grows; `None` when it cannot.
    pub(super) fn may_lapse(&self) -> Option<String> {
        shape::may_lapse(&self.root)
    }

    /// Whether it can hold only where a verified hash bank for sexual/minors matched.
    pub(super) fn needs_bank(&self) -> bool {
        shape::needs_bank(&self.root)
    }

    /// Detectors that it names.
    pub(super) fn detectors(&self) -> Vec<String> {
        shape::detectors(&self.root)
    }

    /// Whether it looks at an estimate of age.
    pub(super) fn looks_at_age(&self) -> bool {
        shape::looks_at_age(&self.root)
    }
}
