//! Structured filters are not evaluated yet, and a filter of which a part is ignored gives wrong
//! answers, so each is refused with the reason by which Jaeger tells malformed from unsupported
//! (jaeger-contract §1.5, §3).

use spanlake_proto::jaeger::expression::v1::expression::Term as Kind;
use spanlake_proto::jaeger::expression::v1::{Call, Expression};
use tonic::Code;

use crate::status::Refusal;

/// Deepest nesting of calls; the filter itself is level 1.
const DEPTH_MAX: usize = 20;

/// Why the filter is refused.
pub(super) fn refuse(filter: &Call, beside_legacy_fields: bool) -> Refusal {
    if let Err(fault) = well_formed(filter, 1) {
        return malformed(fault);
    }
    if beside_legacy_fields {
        return malformed(
            "it stands beside service_name, operation_name, attributes or a duration, which it \
             must replace"
                .into(),
        );
    }
    Refusal::new(
        Code::Unimplemented,
        "structured filters are not served by this version: search by service, operation, \
         attributes, durations and times",
    )
    .reason("FILTER_UNSUPPORTED")
}

fn malformed(fault: String) -> Refusal {
    Refusal::invalid(format!("invalid filter: {fault}")).reason("FILTER_INVALID")
}

fn well_formed(call: &Call, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
    }
    if call.op.is_empty() {
        return Err("a call names no operator".into());
    }
    if call.args.is_empty() {
        return Err(format!("{:?} has no operands", call.op));
    }
    call.args.iter().try_for_each(|arg| operand(arg, &call.op, depth))
}

fn operand(arg: &Expression, op: &str, depth: usize) -> Result<(), String> {
    match &arg.term {
        None => Err(format!("an operand of {op:?} is empty")),
        Some(Kind::Call(inner)) => well_formed(inner, depth + 1),
        Some(Kind::List(list)) if list.values.is_empty() => {
            Err(format!("a list of {op:?} has no values"))
        }
        Some(Kind::Field(field)) if field.level.is_empty() => {
            Err(format!("field {:?} names no level", field.name))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use spanlake_proto::jaeger::expression::v1::{AttributeReference, Scalar};

    use super::*;

    fn wrap(kind: Kind) -> Expression {
        Expression { term: Some(kind) }
    }

    fn leaf() -> Call {
        let key = AttributeReference { key: "k".into(), level: String::new() };
        let value = Scalar { value: "v".into(), r#type: String::new() };
        Call { op: "eq".into(), args: vec![wrap(Kind::Attr(key)), wrap(Kind::Scalar(value))] }
    }

    fn nested(levels: usize) -> Call {
        (1..levels)
            .fold(leaf(), |inner, _| Call { op: "not".into(), args: vec![wrap(Kind::Call(inner))] })
    }

    #[test]
    fn malformed_and_unsupported_are_told_apart() {
        let unsupported = refuse(&nested(20), false);
        assert_eq!(
            (unsupported.code, unsupported.reason),
            (Code::Unimplemented, Some("FILTER_UNSUPPORTED"))
        );
        for refusal in [
            refuse(&nested(21), false),
            refuse(&leaf(), true),
            refuse(&Call::default(), false),
            refuse(&Call { op: "and".into(), args: vec![] }, false),
            refuse(&Call { op: "not".into(), args: vec![Expression::default()] }, false),
        ] {
            assert_eq!(
                (refusal.code, refusal.reason),
                (Code::InvalidArgument, Some("FILTER_INVALID")),
                "{}",
                refusal.message
            );
        }
    }
}
