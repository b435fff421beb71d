//! Finds mistakes in a condition before it ever runs: unknown names, wrong kinds, calls without a bound.
//!
//! Evaluating samples would not do: `a || b` hides an error in `b` whenever `a` holds. So every branch is walked.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators as op,
};

use super::kind::{FUNCTIONS, Kind, VARIABLES};
use crate::problem::suggestion;

/// Loops within loops: more would let 256 findings cost 256³ steps.
const MAX_LOOP_DEPTH: usize = 2;
/// Compiled size of a regular expression in bytes.
const MAX_REGEX_BYTES: usize = 1 << 18;

/// Every mistake in the condition.
pub(super) fn mistakes(root: &IdedExpr) -> Vec<String> {
    let mut typing = Typing::default();
    let kind = typing.kind(root);
    if typing.mistakes.is_empty() && !matches!(kind, Kind::Bool | Kind::Any) {
        typing.mistake(format!("the condition gives {kind}; compare it with something"));
    }
    typing.mistakes
}

/// The text of a literal, if it is one.
pub(super) fn literal(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(s)) => Some(s.inner()),
        _ => None,
    }
}

#[derive(Default)]
struct Typing {
    mistakes: Vec<String>,
    /// Variables of loops, innermost last.
    scope: Vec<(String, Kind)>,
    loops: usize,
}

impl Typing {
    fn mistake(&mut self, message: impl Into<String>) -> Kind {
        let message = message.into();
        if !self.mistakes.contains(&message) {
            self.mistakes.push(message);
        }
        Kind::Any
    }

    fn kind(&mut self, node: &IdedExpr) -> Kind {
        match &node.expr {
            Expr::Literal(value) => match value {
                LiteralValue::Boolean(_) => Kind::Bool,
                LiteralValue::Double(_) => Kind::Double,
                LiteralValue::Int(_) => Kind::Int,
                LiteralValue::String(_) => Kind::Text,
                LiteralValue::Null => Kind::Null,
                LiteralValue::UInt(_) => self.mistake("write whole numbers without `u`"),
                LiteralValue::Bytes(_) => self.mistake("write texts without the prefix `b`"),
            },
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                let operand = self.kind(&select.operand);
                let field = self.field(operand, &select.field);
                if select.test { Kind::Bool } else { field }
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                let mut kind = Kind::Any;
                for element in &list.elements {
                    let next = self.kind(element);
                    kind = match kind.unify(&next) {
                        Some(kind) => kind,
                        None => self.mistake("a list must hold values of one kind"),
                    };
                }
                Kind::List(Box::new(kind))
            }
            Expr::Map(_) | Expr::Struct(_) => {
                self.mistake("map and struct literals have no use here")
            }
            Expr::Unspecified => self.mistake("an empty expression"),
        }
    }

    fn variable(&mut self, name: &str) -> Kind {
        if let Some((_, kind)) = self.scope.iter().rev().find(|(n, _)| n == name) {
            return kind.clone();
        }
        Kind::of_variable(name).unwrap_or_else(|| {
            self.mistake(format!("unknown name `{name}`{}", suggestion(name, VARIABLES)))
        })
    }

    fn field(&mut self, operand: Kind, name: &str) -> Kind {
        match operand {
            Kind::Map(kind) => *kind,
            Kind::Any => Kind::Any,
            Kind::Record(fields) => match fields.iter().find(|(field, _)| *field == name) {
                Some((_, field)) => (*field).into(),
                None => {
                    let hint = suggestion(name, fields.iter().map(|(field, _)| *field));
                    self.mistake(format!("unknown field `{name}`{hint}"))
                }
            },
            other => self.mistake(format!("`.{name}`: {other} has no fields")),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Kind {
        let mut kinds: Vec<Kind> = Vec::new();
        if let Some(target) = &call.target {
            kinds.push(self.kind(target));
        }
        for arg in &call.args {
            kinds.push(self.kind(arg));
        }
        let name = call.func_name.as_str();
        match (name, kinds.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR, [a, b]) => {
                self.want(name, a, &Kind::Bool);
                self.want(name, b, &Kind::Bool);
                Kind::Bool
            }
            ("!_" | op::NOT_STRICTLY_FALSE, [a]) => {
                self.want(name, a, &Kind::Bool);
                Kind::Bool
            }
            (op::CONDITIONAL, [c, a, b]) => {
                self.want(name, c, &Kind::Bool);
                match a.unify(b) {
                    Some(kind) => kind,
                    None => {
                        self.mistake(format!("`? :` gives {a} or {b}; both must be of one kind"))
                    }
                }
            }
            (op::EQUALS | op::NOT_EQUALS, [a, b]) => {
                if !a.comparable(b) {
                    self.mistake(format!("{} compares {a} with {b}", sign(name)));
                }
                Kind::Bool
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [a, b]) => {
                let texts = a.unify(&Kind::Text).is_some() && b.unify(&Kind::Text).is_some();
                let numbers = a.is_number() && b.is_number();
                if !(numbers || texts) {
                    self.mistake(format!("{} compares {a} with {b}", sign(name)));
                }
                Kind::Bool
            }
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [a, b]) => {
                self.arithmetic(call, a, b)
            }
            (op::NEGATE, [a]) if a.is_number() => a.clone(),
            (op::INDEX, [a, b]) => self.index(call, a, b),
            (op::IN, [a, b]) => {
                let fits = match b {
                    Kind::List(element) => a.comparable(element),
                    Kind::Map(_) => a.unify(&Kind::Text).is_some(),
                    Kind::Any => true,
                    _ => false,
                };
                if !fits {
                    self.mistake(format!("`in` looks for {a} in {b}"));
                }
                Kind::Bool
            }
            _ => self.function(call, &kinds),
        }
    }

    fn function(&mut self, call: &CallExpr, kinds: &[Kind]) -> Kind {
        let name = call.func_name.as_str();
        match (name, kinds) {
            ("found" | "top", [Kind::Text, Kind::Text]) if call.target.is_none() => {
                if call.args.iter().any(|arg| literal(arg).is_none()) {
                    self.mistake(format!(
                        "`{name}` takes two texts in quotes, so that they can be checked"
                    ));
                }
                if name == "found" { Kind::Bool } else { Kind::Double }
            }
            ("size", [Kind::Text | Kind::List(_) | Kind::Map(_) | Kind::Any]) => Kind::Int,
            ("int", [k]) if k.is_number() => Kind::Int,
            ("double", [k]) if k.is_number() => Kind::Double,
            ("contains" | "startsWith" | "endsWith", [Kind::Text | Kind::Any, Kind::Text])
                if call.target.is_some() =>
            {
                Kind::Bool
            }
            ("matches", [Kind::Text | Kind::Any, Kind::Text]) if call.target.is_some() => {
                self.regex(call);
                Kind::Bool
            }
            _ if FUNCTIONS.contains(&name) => {
                let given: Vec<String> = kinds.iter().map(ToString::to_string).collect();
                let usage = usage(name);
                self.mistake(format!(
                    "`{name}` is written {usage}; here it got {}",
                    given.join(" and ")
                ))
            }
            _ if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                self.mistake(format!("unknown function `{name}`{}", suggestion(name, FUNCTIONS)))
            }
            _ => self.mistake(format!("{} cannot be used like this", sign(name))),
        }
    }

    fn regex(&mut self, call: &CallExpr) {
        if self.loops > 1 {
            self.mistake("`matches` cannot stand in a loop within a loop: too slow");
        }
        let Some(pattern) = call.args.first().and_then(literal) else {
            self.mistake("`matches` takes a pattern in quotes, so that it can be checked");
            return;
        };
        if let Err(error) = regex::RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build() {
            self.mistake(format!("`matches`: {error}"));
        }
    }

    fn want(&mut self, name: &str, got: &Kind, want: &Kind) {
        if got.unify(want).is_none() {
            self.mistake(format!("{} needs {want}, not {got}", sign(name)));
        }
    }

    /// CEL converts nothing by itself: `1 + 1.0` is an error.
    fn arithmetic(&mut self, call: &CallExpr, a: &Kind, b: &Kind) -> Kind {
        let name = call.func_name.as_str();
        let accumulates =
            |arg: &IdedExpr| matches!(&arg.expr, Expr::Ident(n) if n.starts_with('@'));
        match a.unify(b) {
            Some(kind @ (Kind::Int | Kind::Double | Kind::Any)) => kind,
            Some(Kind::Text) if name == op::ADD => Kind::Text,
            Some(kind @ Kind::List(_)) if name == op::ADD && call.args.iter().any(accumulates) => kind,
            _ if a.is_number() && b.is_number() => self.mistake(format!(
                "{} mixes {a} with {b}; write `double(…)` around the whole number, or `2.0` for `2`",
                sign(name)
            )),
            _ => self.mistake(format!("{} cannot join {a} and {b}", sign(name))),
        }
    }

    fn index(&mut self, call: &CallExpr, a: &Kind, b: &Kind) -> Kind {
        match (a, b) {
            (Kind::List(kind), Kind::Int | Kind::Any) => (**kind).clone(),
            (Kind::Map(kind), Kind::Text | Kind::Any) => (**kind).clone(),
            (Kind::Record(_), Kind::Text) => match call.args.get(1).and_then(literal) {
                Some(name) => self.field(a.clone(), name),
                None => self.mistake("write the field's name in quotes"),
            },
            (Kind::Any, _) => Kind::Any,
            _ => self.mistake(format!("`[…]`: {a} cannot be indexed by {b}")),
        }
    }

    fn comprehension(&mut self, c: &ComprehensionExpr) -> Kind {
        let range = self.kind(&c.iter_range);
        let element = match range {
            Kind::List(kind) => *kind,
            Kind::Map(_) => Kind::Text,
            Kind::Any => Kind::Any,
            other => self
                .mistake(format!("`exists`, `all`, `filter` and `map` need a list, not {other}")),
        };
        if c.iter_var2.is_some() {
            return self.mistake("loops take one variable");
        }
        self.loops += 1;
        if self.loops > MAX_LOOP_DEPTH {
            self.mistake(format!("at most {MAX_LOOP_DEPTH} loops may stand within one another"));
        }
        let start = self.kind(&c.accu_init);
        let depth = self.scope.len();
        self.scope.push((c.iter_var.clone(), element));
        self.scope.push((c.accu_var.clone(), start));
        self.kind(&c.loop_cond);
        let step = self.kind(&c.loop_step);
        self.scope.truncate(depth);
        self.scope.push((c.accu_var.clone(), step));
        let result = self.kind(&c.result);
        self.scope.truncate(depth);
        self.loops -= 1;
        result
    }
}

/// How a function is written.
fn usage(name: &str) -> &'static str {
    match name {
        "found" => "`found(\"detector\", \"label prefix\")`",
        "top" => "`top(\"detector\", \"label\")`",
        "size" => "`size(list or text)`",
        "int" => "`int(number)`",
        "double" => "`double(number)`",
        "contains" => "`text.contains(\"part\")`",
        "startsWith" => "`text.startsWith(\"part\")`",
        "endsWith" => "`text.endsWith(\"part\")`",
        _ => "`text.matches(\"pattern\")`",
    }
}

/// An operator as the author wrote it.
fn sign(name: &str) -> String {
    format!("`{}`", name.trim_matches('_').replace("_:", " :"))
}
