//! Days and minutes that are added or compared as if they were of one unit.

use crate::engine::feature::Unit;
use crate::engine::rule::compiled::predicate::Predicate;
use crate::engine::rule::compiled::scalar::{ArithmeticOperator, Scalar};

/// What to do if the predicate puts both together.
pub fn mixed(predicate: &Predicate) -> Option<String> {
    let mut is_mixed = false;
    predicate.for_each_operand(|operand| {
        unit(operand, &mut is_mixed);
    });
    predicate.for_each_pair(|left, right| {
        let units = (unit(left, &mut is_mixed), unit(right, &mut is_mixed));
        is_mixed |= differ(units);
    });
    is_mixed.then(|| "since('cart_add') and `cart_idle_minutes / 1440` are in days".into())
}

fn differ(units: (Option<Unit>, Option<Unit>)) -> bool {
    matches!(units, (Some(left), Some(right)) if left != right)
}

/// Days or minutes, if the scalar plainly is one of them. A factor makes another unit of it.
fn unit(scalar: &Scalar, is_mixed: &mut bool) -> Option<Unit> {
    match scalar {
        Scalar::Feature(call) => match call.unit {
            Unit::Days | Unit::Minutes => Some(call.unit),
            _ => call.feature.name.ends_with("_days").then_some(Unit::Days),
        },
        Scalar::Negative(of) => unit(of, is_mixed),
        Scalar::Arithmetic(operator, left, right) => {
            let (left, right) = (unit(left, is_mixed), unit(right, is_mixed));
            match operator {
                ArithmeticOperator::Add | ArithmeticOperator::Subtract => {
                    *is_mixed |= differ((left, right));
                    left.or(right)
                }
                ArithmeticOperator::Multiply | ArithmeticOperator::Divide => None,
            }
        }
        Scalar::Coalesce(of) => {
            let mut units = of.iter().filter_map(|one| unit(one, is_mixed)).collect::<Vec<_>>();
            units.dedup();
            *is_mixed |= units.len() > 1;
            units.first().copied()
        }
        _ => None,
    }
}
