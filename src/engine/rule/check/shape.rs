//! Questions about a parsed expression that its form alone answers, before any name in it is looked up.

use crate::engine::rule::compiled::truth::IsTest;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, UnaryOperator,
};

/// The operand of an IS, what it asks for, and whether it is negated.
pub fn is_test(expression: &Expr) -> Option<(&Expr, IsTest, bool)> {
    match expression {
        Expr::IsNull(of) => Some((of, IsTest::Null, false)),
        Expr::IsNotNull(of) => Some((of, IsTest::Null, true)),
        Expr::IsTrue(of) => Some((of, IsTest::True, false)),
        Expr::IsNotTrue(of) => Some((of, IsTest::True, true)),
        Expr::IsFalse(of) => Some((of, IsTest::False, false)),
        Expr::IsNotFalse(of) => Some((of, IsTest::False, true)),
        _ => None,
    }
}

/// Whether an expression is a value by its form: a name, a function, a literal or arithmetic. COALESCE is one unless
/// one of its arguments is a condition.
pub fn is_scalar(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(of) => is_scalar(of),
        Expr::Function(function) => !is_coalesce_of_conditions(function),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, .. } => true,
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide
        ),
        _ => false,
    }
}

/// The arguments of a call of COALESCE.
pub fn coalesced(function: &Function) -> Option<Vec<&Expr>> {
    let [ObjectNamePart::Identifier(name)] = &function.name.0[..] else { return None };
    let is_coalesce = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("coalesce");
    if is_coalesce { arguments(function) } else { None }
}

/// Whether an argument of this COALESCE is a condition: then it is one itself.
pub fn is_coalesce_of_conditions(function: &Function) -> bool {
    coalesced(function).is_some_and(|arguments| arguments.into_iter().any(is_condition))
}

/// Whether an expression is a condition by its form: a comparison, a connective or a test.
pub fn is_condition(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(of) => is_condition(of),
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::And
                | BinaryOperator::Or
                | BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
        ),
        Expr::UnaryOp { op: UnaryOperator::Not, .. }
        | Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::Like { .. } => true,
        Expr::Function(function) => is_coalesce_of_conditions(function),
        _ => is_test(expression).is_some(),
    }
}

/// Whether an operand of `=` or `<>` is a condition that stands alone without parentheses. Databases do not agree on
/// what `a > 1 = b` means, and most refuse it.
pub fn is_bare_condition(expression: &Expr) -> bool {
    is_condition(expression) && !matches!(expression, Expr::Nested(_) | Expr::Function(_))
}

/// The operands of a chain of ANDs or of ORs from left to right. The parser nests chains to the left, as deep as they
/// are long, so they are collected in a loop.
pub fn operands(expression: &Expr) -> Vec<&Expr> {
    let Expr::BinaryOp { op: connective, .. } = expression else { return vec![expression] };
    let (mut operands, mut rest) = (Vec::new(), expression);
    while let Expr::BinaryOp { left, op, right } = rest
        && op == connective
    {
        operands.push(&**right);
        rest = left;
    }
    operands.push(rest);
    operands.reverse();
    operands
}

/// Whether expressions are nested deeper than `limit`. It descends no deeper itself.
pub fn is_deeper(expression: &Expr, limit: usize) -> bool {
    if limit == 0 {
        return true;
    }
    let deeper = |of: &Expr| is_deeper(of, limit - 1);
    match expression {
        Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } => {
            operands(expression).into_iter().any(deeper)
        }
        Expr::BinaryOp { left, right, .. } => deeper(left) || deeper(right),
        Expr::Nested(of) | Expr::UnaryOp { expr: of, .. } => deeper(of),
        Expr::Between { expr, low, high, .. } => deeper(expr) || deeper(low) || deeper(high),
        Expr::InList { expr, list, .. } => deeper(expr) || list.iter().any(deeper),
        Expr::Like { expr, pattern, escape_char, .. } => {
            deeper(expr) || deeper(pattern) || escape_char.as_deref().is_some_and(deeper)
        }
        Expr::Function(function) => arguments(function).into_iter().flatten().any(deeper),
        _ => is_test(expression).is_some_and(|(of, _, _)| deeper(of)),
    }
}

/// The arguments of a function call; `None` if the call has anything but plain arguments.
pub fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let plain = !function.uses_odbc_syntax
        && matches!(function.parameters, FunctionArguments::None)
        && function.within_group.is_empty()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.over.is_none();
    match &function.args {
        FunctionArguments::List(list) if plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
            let arguments = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
                _ => None,
            });
            arguments.collect()
        }
        _ => None,
    }
}
