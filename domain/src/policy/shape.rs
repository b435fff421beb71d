//! What can be told of a condition from its form alone.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators as op};

use super::{BANK_DETECTOR, MINORS_BANK, typing::literal};

/// Why the condition may stop holding as evidence grows; `None` when it cannot.
///
/// While a scan goes on findings are added, the highest score of a label and the most faces only rise, the youngest
/// age only falls, and the context stays. So `&&` and `||` over `found(…)`, `x > n`, `x >= n` for such scores,
/// `scores.estimated_age < n`, and comparisons of `context` with a text are safe; nothing else is allowed.
/// (Blur rises with the frames of a video and falls with the pictures of a submission: neither way is safe.)
pub(super) fn may_lapse(node: &IdedExpr) -> Option<String> {
    let Expr::Call(call) = &node.expr else {
        return Some("stands on something that may change as more is seen".into());
    };
    let [a, b] = call.args.as_slice() else {
        return Some(format!("`{}` may change as more is seen", call.func_name));
    };
    match call.func_name.as_str() {
        op::LOGICAL_AND | op::LOGICAL_OR => may_lapse(a).or_else(|| may_lapse(b)),
        "found" => None,
        op::GREATER | op::GREATER_EQUALS if rises(a) && number(b) => None,
        op::LESS | op::LESS_EQUALS if number(a) && rises(b) => None,
        op::LESS | op::LESS_EQUALS if falls(a) && number(b) => None,
        op::GREATER | op::GREATER_EQUALS if number(a) && falls(b) => None,
        op::EQUALS | op::NOT_EQUALS if of_context(a) && literal(b).is_some() => None,
        _ => Some("compares something that may change as more is seen".into()),
    }
}

/// Whether the condition can hold only where the hash bank of sexual/minors matched.
pub(super) fn needs_bank(node: &IdedExpr) -> bool {
    match binary(node) {
        Some((op::LOGICAL_AND, a, b)) => needs_bank(a) || needs_bank(b),
        Some((op::LOGICAL_OR, a, b)) => needs_bank(a) && needs_bank(b),
        Some(("found", a, b)) => {
            literal(a) == Some(BANK_DETECTOR)
                && literal(b).is_some_and(|l| l.starts_with(MINORS_BANK))
        }
        _ => false,
    }
}

/// The detectors named by `found`, `top`, `labels.<detector>` and `nsfw`; each once, sorted.
pub(super) fn detectors(root: &IdedExpr) -> Vec<String> {
    let mut names = Vec::new();
    visit(root, &mut |node| {
        match &node.expr {
            Expr::Ident(name) if name == "nsfw" => names.push("nsfw".to_owned()),
            Expr::Select(select) if is_variable(&select.operand, "labels") => {
                names.push(select.field.clone())
            }
            _ => {}
        }
        match binary(node) {
            Some(("found" | "top", detector, _)) => {
                names.extend(literal(detector).map(str::to_owned))
            }
            Some((op::INDEX, map, key)) if is_variable(map, "labels") => {
                names.extend(literal(key).map(str::to_owned));
            }
            _ => {}
        }
    });
    names.sort();
    names.dedup();
    names
}

/// Whether the condition looks at an estimate of age.
pub(super) fn looks_at_age(root: &IdedExpr) -> bool {
    let mut looks = detectors(root).iter().any(|d| d == "age");
    visit(root, &mut |node| looks |= score(node) == Some("estimated_age"));
    looks
}

/// Values that only rise while a scan goes on.
fn rises(node: &IdedExpr) -> bool {
    if matches!(score(node), Some("nsfw_score" | "face_count")) {
        return true;
    }
    match &node.expr {
        Expr::Select(select) if !select.test => {
            is_variable(&select.operand, "nsfw")
                || member(&select.operand).is_some_and(|v| is_variable(v, "labels"))
        }
        Expr::Call(CallExpr { func_name, .. }) if func_name == "top" => true,
        Expr::Call(_) => match binary(node) {
            Some((op::INDEX, map, key)) => {
                literal(key).is_some()
                    && (is_variable(map, "nsfw")
                        || member(map).is_some_and(|v| is_variable(v, "labels")))
            }
            _ => false,
        },
        _ => false,
    }
}

/// Values that only fall while a scan goes on.
fn falls(node: &IdedExpr) -> bool {
    score(node) == Some("estimated_age")
}

fn of_context(node: &IdedExpr) -> bool {
    member(node).is_some_and(|v| is_variable(v, "context"))
}

fn number(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Literal(LiteralValue::Double(_) | LiteralValue::Int(_)))
}

/// `x` of `scores.x` or `scores["x"]`.
fn score(node: &IdedExpr) -> Option<&str> {
    let name = match &node.expr {
        Expr::Select(select) => Some(select.field.as_str()),
        Expr::Call(call) => call.args.get(1).and_then(literal),
        _ => None,
    };
    name.filter(|_| member(node).is_some_and(|v| is_variable(v, "scores")))
}

/// What a member is taken of: `a` of `a.b` or `a["b"]`.
fn member(node: &IdedExpr) -> Option<&IdedExpr> {
    match &node.expr {
        Expr::Select(select) => Some(&select.operand),
        _ => binary(node)
            .filter(|(name, _, key)| *name == op::INDEX && literal(key).is_some())
            .map(|(_, a, _)| a),
    }
}

fn is_variable(node: &IdedExpr, name: &str) -> bool {
    matches!(&node.expr, Expr::Ident(n) if n == name)
}

fn binary(node: &IdedExpr) -> Option<(&str, &IdedExpr, &IdedExpr)> {
    match &node.expr {
        Expr::Call(call) => match call.args.as_slice() {
            [a, b] if call.target.is_none() => Some((call.func_name.as_str(), a, b)),
            _ => None,
        },
        _ => None,
    }
}

fn visit(node: &IdedExpr, see: &mut impl FnMut(&IdedExpr)) {
    see(node);
    match &node.expr {
        Expr::Call(call) => {
            if let Some(target) = &call.target {
                visit(target, see);
            }
            for arg in &call.args {
                visit(arg, see);
            }
        }
        Expr::Select(select) => visit(&select.operand, see),
        Expr::List(list) => {
            for element in &list.elements {
                visit(element, see);
            }
        }
        Expr::Comprehension(c) => {
            for part in [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result] {
                visit(part, see);
            }
        }
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) => {}
    }
}
