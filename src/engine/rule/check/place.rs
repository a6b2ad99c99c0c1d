//! Where the parts of a condition are in the file, for warnings about them.

use super::shape::{coalesced, is_coalesce_of_conditions, is_condition, is_scalar, is_test, operands};
use super::sql::SqlText;
use sqlparser::ast::{BinaryOperator, Expr, Spanned, UnaryOperator};

/// The place of a condition; its parts are the operands of the compiled condition, in the same order.
#[derive(Debug)]
pub struct Place {
    /// Offset in the file.
    pub start: usize,
    /// As SQL, printed by the parser.
    pub text: String,
    pub parts: Vec<Place>,
}

impl Place {
    /// The place of an expression that was checked and found right.
    pub fn of(expression: &Expr, sql: &SqlText<'_>) -> Self {
        if let Expr::Nested(of) = expression {
            return Self::of(of, sql);
        }
        let parts = parts(expression).into_iter().map(|part| Self::of(part, sql)).collect();
        Self { start: sql.offset(expression.span().start), text: expression.to_string(), parts }
    }
}

fn parts(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } => operands(expression),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => vec![expr],
        Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right }
            if is_condition(left) || is_condition(right) =>
        {
            vec![left, right]
        }
        Expr::Function(function) if is_coalesce_of_conditions(function) => coalesced(function).unwrap_or_default(),
        _ => is_test(expression).filter(|(of, _, _)| !is_scalar(of)).map(|(of, _, _)| of).into_iter().collect(),
    }
}
