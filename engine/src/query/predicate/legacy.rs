//! Jaeger's older way to ask, put in the words of expressions: the fields that a search has beside
//! its filter, and those keys of its attribute search that mean no attribute. Questions in,
//! expressions out; what they mean is decided where every other expression is.

use crate::query::constant::parse_bool;
use crate::query::expression::{
    Comparison, Constant, Expression, Field, Level, Operand, Reference,
};
use crate::query::request::TraceQuery;
use crate::query::words::{self, KINDS, STATUSES};

/// The legacy fields, all of which must hold.
pub(super) fn fields(query: &TraceQuery) -> Vec<Expression> {
    let duration = |comparison, nanos: u64| {
        let field = Operand::Reference(Reference::Field(Field::Duration));
        let constant = Operand::Constant(Constant::Duration(nanos.into()));
        Expression::Compare(field, comparison, constant)
    };
    let mut all = Vec::new();
    all.extend(query.service.as_ref().map(|name| text_is(Field::Service, name)));
    all.extend(query.operation.as_ref().map(|name| Expression::field_is(Field::Name, name)));
    // A span that ends before it starts counts as one of duration 0.
    all.extend(query.duration_min.filter(|&n| n > 0).map(|n| duration(Comparison::Gte, n)));
    all.extend(query.duration_max.map(|n| duration(Comparison::Lte, n)));
    all.extend(query.attributes.iter().map(|attribute| Expression::Legacy {
        key: attribute.key.clone(),
        value: attribute.value.clone(),
    }));
    all
}

/// What a special key asks for (jaeger-contract §2.6); `None` where the key is an attribute's.
pub(super) fn special(key: &str, value: &str) -> Option<Expression> {
    Some(match key {
        "error" => match parse_bool(value) {
            Some(value) => Expression::Compare(
                Operand::Reference(Reference::Attribute(Level::Any, key.to_owned())),
                Comparison::Eq,
                Operand::Constant(Constant::Bool(value)),
            ),
            None => Expression::Or(Vec::new()),
        },
        "span.kind" => Expression::field_is(Field::Kind, words::of_text(&KINDS, value)),
        "span.status" => Expression::field_is(Field::Status, words::of_text(&STATUSES, value)),
        "scope.name" => text_is(Field::ScopeName, value),
        "scope.version" => text_is(Field::ScopeVersion, value),
        _ => return None,
    })
}

/// The field has this text; `""` asks for spans without, since no field is there when empty.
fn text_is(field: Field, text: &str) -> Expression {
    match text {
        "" => Expression::Not(Box::new(Expression::Exists(Reference::Field(field)))),
        text => Expression::field_is(field, text),
    }
}
