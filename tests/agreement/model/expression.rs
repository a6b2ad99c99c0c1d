//! The SQL of rules (R1) as a tree: scalars, comparisons, and the connectives over them.

use super::feature::Feature;
use super::moment;
use super::value::Value;
use sqlparser::ast::{self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Literal(Value),
    Feature(Feature),
    Arithmetic(char, Box<Scalar>, Box<Scalar>),
    Coalesce(Vec<Scalar>),
    /// The value of another segmentation.
    Segment(String),
    /// Whether the customer is in another audience.
    Audience(String),
}

/// The operand of `IS [NOT] …`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Is {
    Null,
    True,
    False,
}

#[derive(Clone, Debug)]
pub enum Test {
    /// `=`, `<>`, `<`, `<=`, `>`, `>=`
    Compare(&'static str, Scalar),
    Between {
        negated: bool,
        low: Scalar,
        high: Scalar,
    },
    In {
        negated: bool,
        list: Vec<Scalar>,
    },
    Like {
        negated: bool,
        pattern: Vec<Pattern>,
    },
    Is {
        negated: bool,
        what: Is,
    },
    /// A boolean by itself.
    Bare,
}

/// A part of the pattern of LIKE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// `%`
    Anything,
    /// `_`
    OneCharacter,
    Character(char),
}

/// The smallest part of a rule that is true, false or NULL; `because` lists these.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub text: String,
    pub left: Scalar,
    pub test: Test,
}

#[derive(Clone, Debug)]
pub enum Condition {
    Comparison(Box<Comparison>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Is {
        negated: bool,
        what: Is,
        of: Box<Condition>,
    },
    /// The first operand that is not NULL.
    Coalesce(Vec<Condition>),
    /// `=`, or `<>` if it is negated.
    Same {
        negated: bool,
        left: Box<Condition>,
        right: Box<Condition>,
    },
    /// `TRUE`, `FALSE` or `NULL`.
    Constant(Option<bool>),
}

impl Condition {
    pub fn parse(text: &str) -> Condition {
        condition(&expression(text))
    }

    /// All comparisons from left to right.
    pub fn comparisons(&self) -> Vec<&Comparison> {
        match self {
            Condition::Comparison(comparison) => vec![comparison.as_ref()],
            Condition::And(left, right) | Condition::Or(left, right) | Condition::Same { left, right, .. } => {
                [left.comparisons(), right.comparisons()].concat()
            }
            Condition::Not(of) | Condition::Is { of, .. } => of.comparisons(),
            Condition::Coalesce(operands) => operands.iter().flat_map(Condition::comparisons).collect(),
            Condition::Constant(_) => Vec::new(),
        }
    }
}

impl Scalar {
    pub fn parse(text: &str) -> Scalar {
        scalar(&expression(text))
    }

    /// The scalars without parts in this one.
    pub fn leaves(&self) -> Vec<&Scalar> {
        match self {
            Scalar::Arithmetic(_, left, right) => [left.leaves(), right.leaves()].concat(),
            Scalar::Coalesce(parts) => parts.iter().flat_map(Scalar::leaves).collect(),
            Scalar::Feature(Feature::Of { source, .. }) => [vec![self], source.leaves()].concat(),
            leaf => vec![leaf],
        }
    }
}

impl Comparison {
    /// The left side, then all scalars that it is compared with.
    pub fn scalars(&self) -> Vec<&Scalar> {
        let mut all = vec![&self.left];
        all.extend(self.partners());
        all
    }

    /// The scalars whose order relative to the left side decides.
    pub fn partners(&self) -> Vec<&Scalar> {
        match &self.test {
            Test::Compare(_, right) => vec![right],
            Test::Between { low, high, .. } => vec![low, high],
            Test::In { list, .. } => list.iter().collect(),
            Test::Like { .. } | Test::Is { .. } | Test::Bare => Vec::new(),
        }
    }
}

fn expression(text: &str) -> Expr {
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).expect("rules are SQL");
    parser.parse_expr().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn condition(expr: &Expr) -> Condition {
    match expr {
        Expr::Nested(inner) => condition(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            Condition::And(Box::new(condition(left)), Box::new(condition(right)))
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Condition::Or(Box::new(condition(left)), Box::new(condition(right)))
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Condition::Not(Box::new(condition(expr))),
        Expr::IsNull(of) => is(expr, of, false, Is::Null),
        Expr::IsNotNull(of) => is(expr, of, true, Is::Null),
        Expr::IsTrue(of) => is(expr, of, false, Is::True),
        Expr::IsNotTrue(of) => is(expr, of, true, Is::True),
        Expr::IsFalse(of) => is(expr, of, false, Is::False),
        Expr::IsNotFalse(of) => is(expr, of, true, Is::False),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if !is_scalar(left) || !is_scalar(right) => {
            Condition::Same { negated: false, left: Box::new(condition(left)), right: Box::new(condition(right)) }
        }
        Expr::BinaryOp { left, op: BinaryOperator::NotEq, right } if !is_scalar(left) || !is_scalar(right) => {
            Condition::Same { negated: true, left: Box::new(condition(left)), right: Box::new(condition(right)) }
        }
        Expr::Function(function) if !is_scalar(expr) => {
            Condition::Coalesce(arguments(function).into_iter().map(condition).collect())
        }
        Expr::Value(value) => match &value.value {
            ast::Value::Null => Condition::Constant(None),
            ast::Value::Boolean(boolean) => Condition::Constant(Some(*boolean)),
            other => panic!("no condition: {other}"),
        },
        _ => Condition::Comparison(Box::new(comparison(expr))),
    }
}

/// `IS …` over a scalar is a comparison, over anything else a connective.
fn is(whole: &Expr, of: &Expr, negated: bool, what: Is) -> Condition {
    if is_scalar(of) {
        let test = Test::Is { negated, what };
        Condition::Comparison(Box::new(Comparison { text: whole.to_string(), left: scalar(of), test }))
    } else {
        Condition::Is { negated, what, of: Box::new(condition(of)) }
    }
}

fn is_scalar(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_scalar(inner),
        Expr::Identifier(_) | Expr::Value(_) | Expr::TypedString(_) => true,
        // COALESCE is a condition as soon as one of its operands is.
        Expr::Function(function) => arguments(function).into_iter().all(is_scalar),
        Expr::UnaryOp { op, .. } => *op != UnaryOperator::Not,
        Expr::BinaryOp { op, .. } => arithmetic(op).is_some(),
        _ => false,
    }
}

fn comparison(expr: &Expr) -> Comparison {
    let (left, test) = match expr {
        Expr::BinaryOp { left, op, right } => {
            let operator = match op {
                BinaryOperator::Eq => "=",
                BinaryOperator::NotEq => "<>",
                BinaryOperator::Lt => "<",
                BinaryOperator::LtEq => "<=",
                BinaryOperator::Gt => ">",
                BinaryOperator::GtEq => ">=",
                other => panic!("no such comparison: {other}"),
            };
            (scalar(left), Test::Compare(operator, scalar(right)))
        }
        Expr::Between { expr, negated, low, high } => {
            (scalar(expr), Test::Between { negated: *negated, low: scalar(low), high: scalar(high) })
        }
        Expr::InList { expr, list, negated } => {
            (scalar(expr), Test::In { negated: *negated, list: list.iter().map(scalar).collect() })
        }
        Expr::Like { negated, expr, pattern, escape_char, .. } => {
            let escape = escape_char.as_ref().map(|escape| text(escape).chars().next().expect("one character"));
            (scalar(expr), Test::Like { negated: *negated, pattern: parts(&text(pattern), escape) })
        }
        boolean => (scalar(boolean), Test::Bare),
    };
    Comparison { text: expr.to_string(), left, test }
}

fn text(expr: &Expr) -> String {
    match scalar(expr) {
        Scalar::Literal(Value::Text(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

/// A pattern taken apart: the character after the escape character stands for itself.
fn parts(pattern: &str, escape: Option<char>) -> Vec<Pattern> {
    let mut parts = Vec::new();
    let mut is_escaped = false;
    for letter in pattern.chars() {
        if !is_escaped && escape == Some(letter) {
            is_escaped = true;
            continue;
        }
        parts.push(match letter {
            '%' if !is_escaped => Pattern::Anything,
            '_' if !is_escaped => Pattern::OneCharacter,
            letter => Pattern::Character(letter),
        });
        is_escaped = false;
    }
    parts
}

fn scalar(expr: &Expr) -> Scalar {
    match expr {
        Expr::Nested(inner) => scalar(inner),
        Expr::Value(value) => literal(&value.value),
        Expr::TypedString(typed) => moment_literal(typed),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match scalar(expr) {
            Scalar::Literal(Value::Integer(integer)) => Scalar::Literal(Value::Integer(-integer)),
            Scalar::Literal(Value::Literal(text)) => Scalar::Literal(Value::Literal(format!("-{text}"))),
            other => Scalar::Arithmetic('-', Box::new(Scalar::Literal(Value::Integer(0))), Box::new(other)),
        },
        Expr::BinaryOp { left, op, right } => {
            let operator = arithmetic(op).unwrap_or_else(|| panic!("no arithmetic: {expr}"));
            Scalar::Arithmetic(operator, Box::new(scalar(left)), Box::new(scalar(right)))
        }
        Expr::Identifier(name) => Scalar::Feature(Feature::named(&name.value.to_lowercase())),
        Expr::Function(function) => call(function),
        other => panic!("no scalar: {other}"),
    }
}

fn arithmetic(op: &BinaryOperator) -> Option<char> {
    match op {
        BinaryOperator::Plus => Some('+'),
        BinaryOperator::Minus => Some('-'),
        BinaryOperator::Multiply => Some('*'),
        BinaryOperator::Divide => Some('/'),
        _ => None,
    }
}

fn literal(value: &ast::Value) -> Scalar {
    Scalar::Literal(match value {
        ast::Value::Null => return Scalar::Null,
        ast::Value::Boolean(boolean) => Value::Boolean(*boolean),
        ast::Value::SingleQuotedString(text) => Value::Text(text.clone()),
        ast::Value::Number(text, _) => match text.parse() {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Value::Literal(text.clone()),
        },
        other => panic!("no literal: {other}"),
    })
}

/// F4: `TIMESTAMP` with Z, `DATE` at its UTC midnight.
fn moment_literal(typed: &ast::TypedString) -> Scalar {
    let ast::Value::SingleQuotedString(text) = &typed.value.value else { panic!("no moment: {typed}") };
    Scalar::Literal(Value::Moment(moment::written(text)))
}

fn call(function: &ast::Function) -> Scalar {
    let arguments: Vec<Scalar> = arguments(function).into_iter().map(scalar).collect();
    let name = function.name.to_string().to_lowercase();
    match (name.as_str(), arguments.as_slice()) {
        ("coalesce", _) => Scalar::Coalesce(arguments),
        ("segment", [Scalar::Literal(Value::Text(of))]) => Scalar::Segment(of.clone()),
        ("audience", [Scalar::Literal(Value::Text(of))]) => Scalar::Audience(of.clone()),
        (name, arguments) => Scalar::Feature(Feature::called(name, arguments)),
    }
}

fn arguments(function: &ast::Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { panic!("a function has arguments: {function}") };
    list.args.iter().map(argument).collect()
}

fn argument(argument: &FunctionArg) -> &Expr {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expr,
        other => panic!("no argument: {other}"),
    }
}
