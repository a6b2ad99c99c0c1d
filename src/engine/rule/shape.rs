//! What a parsed expression is by its form alone, before anything in it is looked up.

use super::compare::What;
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

/// The operand of an IS, and what it asks.
pub fn is(expression: &Expr) -> Option<(&Expr, What, bool)> {
    match expression {
        Expr::IsNull(of) => Some((of, What::Null, false)),
        Expr::IsNotNull(of) => Some((of, What::Null, true)),
        Expr::IsTrue(of) => Some((of, What::True, false)),
        Expr::IsNotTrue(of) => Some((of, What::True, true)),
        Expr::IsFalse(of) => Some((of, What::False, false)),
        Expr::IsNotFalse(of) => Some((of, What::False, true)),
        _ => None,
    }
}

/// Whether an expression is a value by its form: a name, a function, a literal or arithmetic.
pub fn is_scalar(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(of) => is_scalar(of),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_) | Expr::Value(_) => true,
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, .. } => true,
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide
        ),
        _ => false,
    }
}

/// The operands of a chain of ANDs or of ORs from left to right. The parser nests chains to the left, as deep as they are
/// long: so they are taken apart in a loop.
pub fn links(expression: &Expr) -> Vec<&Expr> {
    let Expr::BinaryOp { op: connective, .. } = expression else { return vec![expression] };
    let (mut links, mut rest) = (Vec::new(), expression);
    while let Expr::BinaryOp { left, op, right } = rest
        && op == connective
    {
        links.push(&**right);
        rest = left;
    }
    links.push(rest);
    links.reverse();
    links
}

/// Whether expressions stand in each other deeper than `limit`; looks no deeper itself.
pub fn is_deeper(expression: &Expr, limit: usize) -> bool {
    if limit == 0 {
        return true;
    }
    let deeper = |of: &Expr| is_deeper(of, limit - 1);
    match expression {
        Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } => {
            links(expression).into_iter().any(deeper)
        }
        Expr::BinaryOp { left, right, .. } => deeper(left) || deeper(right),
        Expr::Nested(of) | Expr::UnaryOp { expr: of, .. } => deeper(of),
        Expr::Between { expr, low, high, .. } => deeper(expr) || deeper(low) || deeper(high),
        Expr::InList { expr, list, .. } => deeper(expr) || list.iter().any(deeper),
        Expr::Like { expr, pattern, .. } => deeper(expr) || deeper(pattern),
        Expr::Function(function) => super::call::arguments(function).into_iter().flatten().any(deeper),
        _ => is(expression).is_some_and(|(of, _, _)| deeper(of)),
    }
}
