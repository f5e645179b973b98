//! Invented questions.

use super::made::{Dice, EPOCH, KEYS, NAMES, SERVICES, TEXTS};
use crate::query::expression::{
    Comparison, Constant, Element, Expression, Field, Level, List, Operand, Reference,
};
use crate::{AttributeEquals, TraceQuery};

const OPS: &[Comparison] = &[
    Comparison::Eq,
    Comparison::Eq,
    Comparison::Ne,
    Comparison::Gt,
    Comparison::Lt,
    Comparison::Gte,
    Comparison::Lte,
];
const LEVELS: &[Level] =
    &[Level::Any, Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link];

fn attribute(dice: &mut Dice) -> Reference {
    Reference::Attribute(*dice.pick(LEVELS), (*dice.pick(KEYS)).to_owned())
}

fn text(dice: &mut Dice) -> String {
    (*dice.pick(TEXTS)).to_owned()
}

fn constant(dice: &mut Dice, ordered: bool) -> Constant {
    match dice.below(if ordered { 6 } else { 7 }) {
        0..=2 => Constant::Untyped(text(dice)),
        3 => Constant::String(text(dice)),
        4 => Constant::Int(*dice.pick(&[500, 0, 1, 1 << 53])),
        5 => Constant::Double(*dice.pick(&[500.0, 72.5, 0.0, 9_007_199_254_740_992.0])),
        _ => Constant::Bool(dice.one_in(2)),
    }
}

/// A constant for a field, as a filter on the wire writes it or as an embedder does.
fn field_constant(dice: &mut Dice, field: Field) -> Constant {
    let hex = |dice: &mut Dice, length: usize| format!("{:0>length$x}", 1 + dice.below(5));
    match field {
        Field::Kind => {
            let words = ["unspecified", "internal", "server", "client", "producer", "consumer"];
            Constant::Untyped((*dice.pick(&words)).to_owned())
        }
        Field::Status => Constant::String((*dice.pick(&["unset", "ok", "error"])).to_owned()),
        Field::StartTime | Field::EndTime | Field::EventTime => match dice.below(3) {
            0 => Constant::Untyped("2023-11-14T22:13:20.0000002Z".to_owned()),
            1 => Constant::Timestamp(*dice.pick(&[-5, 0, i128::MAX])),
            _ => Constant::Timestamp(i128::from(EPOCH) + dice.below(400) as i128),
        },
        Field::Duration | Field::EventTimeSinceStart => match dice.below(3) {
            0 => Constant::Untyped((*dice.pick(&["20ns", "-3ns", "0", "1h"])).to_owned()),
            _ => Constant::Duration(dice.below(50) as i128 - 10),
        },
        Field::TraceId | Field::LinkTraceId => {
            let tail = hex(dice, 2);
            Constant::Untyped(format!("{}{tail}", "11".repeat(15)))
        }
        Field::SpanId | Field::ParentSpanId | Field::LinkSpanId => {
            let tail = hex(dice, 2);
            Constant::String(format!("{}{tail}", "11".repeat(7)))
        }
        Field::Service => Constant::Untyped((*dice.pick(SERVICES)).to_owned()),
        Field::Name | Field::EventName => Constant::Untyped((*dice.pick(NAMES)).to_owned()),
        Field::StatusMessage => Constant::Untyped((*dice.pick(&["bad", "", "b"])).to_owned()),
        _ => Constant::Untyped((*dice.pick(&["", "s", "url", "lib", "1.0", "500"])).to_owned()),
    }
}

fn leaf(dice: &mut Dice) -> Expression {
    match dice.below(12) {
        0 | 1 => Expression::Legacy {
            key: (*dice.pick(KEYS)).to_owned(),
            value: (*dice.pick(TEXTS)).to_owned(),
        },
        2 => legacy_special(dice),
        3 => Expression::Exists(attribute(dice)),
        4 => Expression::Exists(Reference::Field(*dice.pick(Field::ALL))),
        5 => {
            let list = match dice.below(5) {
                0 => List::Untyped((0..1 + dice.below(3)).map(|_| text(dice)).collect()),
                1 => List::String((0..1 + dice.below(3)).map(|_| text(dice)).collect()),
                2 => List::Int(vec![500, 1]),
                3 => List::Double(vec![500.0, 0.0, 72.5]),
                _ => List::Bool(vec![true]),
            };
            let reference = attribute(dice);
            match dice.one_in(2) {
                true => Expression::In(reference, list),
                false => Expression::NotIn(reference, list),
            }
        }
        6 => Expression::Compare(
            Operand::Reference(attribute(dice)),
            *dice.pick(OPS),
            Operand::Reference(attribute(dice)),
        ),
        7 | 8 => {
            let field = *dice.pick(Field::ALL);
            let unordered = matches!(field, Field::Kind | Field::Status);
            let op = if unordered { *dice.pick(&OPS[..3]) } else { *dice.pick(OPS) };
            let constant = Operand::Constant(field_constant(dice, field));
            let field = Operand::Reference(Reference::Field(field));
            match dice.one_in(4) {
                true => Expression::Compare(constant, op, field),
                false => Expression::Compare(field, op, constant),
            }
        }
        _ => {
            let op = *dice.pick(OPS);
            let ordered = !matches!(op, Comparison::Eq | Comparison::Ne);
            let reference = Operand::Reference(attribute(dice));
            Expression::Compare(reference, op, Operand::Constant(constant(dice, ordered)))
        }
    }
}

fn legacy_special(dice: &mut Dice) -> Expression {
    let (key, values): (&str, &[&str]) = *dice.pick(&[
        ("error", &["true", "0", "yes"][..]),
        ("span.kind", &["SERVER", "client", "", "other"][..]),
        ("span.status", &["OK", "error", "unset", ""][..]),
        ("scope.name", &["lib", "", "500"][..]),
        ("scope.version", &["1.0", ""][..]),
    ]);
    Expression::Legacy { key: key.to_owned(), value: (*dice.pick(values)).to_owned() }
}

/// A tree of some depth; `inside` are the levels that a `some` around it binds.
pub(super) fn expression(dice: &mut Dice, depth: usize, inside: &[Element]) -> Expression {
    if depth == 0 {
        return leaf(dice);
    }
    let some = |dice: &mut Dice, n: usize| -> Vec<Expression> {
        (0..n).map(|_| expression(dice, depth - 1, inside)).collect()
    };
    match dice.below(8) {
        0 | 1 => {
            let n = 1 + dice.below(3);
            Expression::And(some(dice, n))
        }
        2 | 3 => {
            let n = 1 + dice.below(3);
            Expression::Or(some(dice, n))
        }
        4 => Expression::Not(Box::new(expression(dice, depth - 1, inside))),
        5 | 6 => {
            let free = [Element::Event, Element::Link].into_iter().filter(|e| !inside.contains(e));
            let free: Vec<Element> = free.collect();
            if free.is_empty() {
                return leaf(dice);
            }
            let element = *dice.pick(&free);
            let inside = [inside, &[element]].concat();
            Expression::Some(element, Box::new(expression(dice, depth - 1, &inside)))
        }
        _ => leaf(dice),
    }
}

/// A search over the invented spans.
pub(super) fn query(dice: &mut Dice) -> TraceQuery {
    let mut query = TraceQuery { limit: 1 + dice.below(12), ..TraceQuery::default() };
    if dice.one_in(3) {
        query.service = Some((*dice.pick(SERVICES)).to_owned());
    }
    if dice.one_in(4) {
        query.operation = Some((*dice.pick(NAMES)).to_owned());
    }
    if dice.one_in(4) {
        query.start_min = Some(EPOCH + dice.below(400) as u64);
    }
    if dice.one_in(4) {
        query.start_max = Some(EPOCH + dice.below(400) as u64);
    }
    if dice.one_in(5) {
        query.duration_min = Some(dice.below(50) as u64);
    }
    if dice.one_in(5) {
        query.duration_max = Some(dice.below(50) as u64);
    }
    if dice.one_in(3) {
        query.attributes.push(AttributeEquals {
            key: (*dice.pick(KEYS)).to_owned(),
            value: (*dice.pick(TEXTS)).to_owned(),
        });
    }
    if dice.one_in(3) {
        let depth = dice.below(3);
        query.filter = Some(expression(dice, depth, &[]));
    }
    query
}
