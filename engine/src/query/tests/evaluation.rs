//! Every expression gives the rows that brute force gives, on full batches and on batches that
//! hold no more than the expression asked for.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::filters::expression;
use super::made::{Dice, bytes, export, plain};
use super::store::Sealed;
use crate::batch::Batch;
use crate::error::ErrorKind;
use crate::otlp::walk::{Interner, admit};
use crate::query::evaluate::Evaluator;
use crate::query::expression::{
    Comparison, Constant, EXPRESSION_DEPTH_MAX, Element, Expression, Field, Level, List, Operand,
    Reference,
};
use crate::query::places::Stored;
use crate::query::predicate::Predicate;
use crate::query::rowset::RowSet;
use crate::{AttributeEquals, TraceQuery};

fn batch_of(export: &ExportTraceServiceRequest) -> Batch {
    admit(&bytes(export), &Interner::default()).unwrap().batch
}

fn compile(filter: Expression) -> crate::Result<Predicate> {
    Predicate::compile(&TraceQuery { filter: Some(filter), ..TraceQuery::default() })
}

/// Rows that match, a few at a time, as a planner asks.
fn rows(predicate: &Predicate, batch: &Batch) -> Vec<usize> {
    let mut evaluator = Evaluator::new(predicate);
    let mut all = Vec::new();
    for part in 0..2 {
        let mut set = RowSet::full(batch.rows());
        set.retain(|row| row % 2 == part);
        evaluator.keep_fixed(batch, &mut set);
        evaluator.keep_rest(batch, &mut set);
        all.extend(set.iter());
    }
    all.sort_unstable();
    all
}

#[test]
fn expressions_mean_what_brute_force_says() {
    let mut hits = 0;
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let export = export(&mut dice, 40, 6);
        let batch = batch_of(&export);
        let spans = plain(&export);
        assert_eq!(batch.rows(), spans.len());
        let all: Vec<(&Batch, usize)> = (0..batch.rows()).map(|row| (&batch, row)).collect();
        let sealed = Sealed::new("s", &all);
        let everything = crate::batch::Projection::all();
        let order = sealed.read(0..sealed.rows(), &everything).unwrap();
        for _ in 0..40 {
            let depth = dice.below(4);
            let expression = expression(&mut dice, depth, &[]);
            let predicate = compile(expression.clone()).unwrap();
            let expected: Vec<usize> =
                (0..spans.len()).filter(|&row| spans[row].holds(&expression)).collect();
            hits += expected.len();
            assert_eq!(rows(&predicate, &batch), expected, "seed {seed}: {expression}");
            // What a match must have is there.
            for required in predicate.required() {
                for &row in &expected {
                    let has = required_is_there(&required.terms, &batch, row);
                    assert!(has, "seed {seed}: {expression}: row {row} is without {required:?}");
                }
            }
            for bounds in [predicate.bounds((0, u64::MAX))] {
                for &row in &expected {
                    assert!((bounds.start.0..=bounds.start.1).contains(&batch.start[row]));
                    assert!(batch.duration(row) >= bounds.duration_min, "{expression}");
                }
            }
            let wanted = predicate.fixed_projection().union(&predicate.rest_projection());
            let partial = sealed.read(0..sealed.rows(), &wanted).unwrap();
            assert_eq!(
                rows(&predicate, &partial),
                rows(&predicate, &order),
                "seed {seed}: {expression} under {wanted:?}"
            );
            assert_eq!(rows(&predicate, &order).len(), expected.len());
        }
    }
    assert!(hits > 20_000, "questions must hit: {hits}");
}

fn required_is_there(terms: &[u64], batch: &Batch, row: usize) -> bool {
    let sealed = Sealed::new("one", &[(batch, row)]);
    terms.iter().any(|&term| sealed.blocks_of(term) != crate::query::places::BlockSet::None)
}

#[test]
fn text_that_is_not_utf_8_is_found_by_what_replaces_it() {
    // name "\xff", attribute "\xfe" = "\xfd" on the span
    let span = b"\x0a\x10ABCDEFGHIJKLMNOP\x12\x08abcdefgh\x2a\x01\xff\x4a\x08\x0a\x01\xfe\x12\x03\x0a\x01\xfd";
    let (mut scope, mut resource, mut request) = (Vec::new(), Vec::new(), Vec::new());
    crate::otlp::wire::put_bytes(&mut scope, 2, span);
    crate::otlp::wire::put_bytes(&mut resource, 2, &scope);
    crate::otlp::wire::put_bytes(&mut request, 1, &resource);
    let batch = admit(&request, &Interner::default()).unwrap().batch;
    let sealed = Sealed::new("s", &[(&batch, 0)]);
    for (name, key, value, found) in [
        ("\u{fffd}", "\u{fffd}", "\u{fffd}", true),
        ("x", "\u{fffd}", "\u{fffd}", false),
        ("\u{fffd}", "x", "\u{fffd}", false),
        ("\u{fffd}", "\u{fffd}", "x", false),
    ] {
        let query = TraceQuery {
            operation: Some(name.to_owned()),
            attributes: vec![AttributeEquals { key: key.to_owned(), value: value.to_owned() }],
            ..TraceQuery::default()
        };
        let predicate = Predicate::compile(&query).unwrap();
        let wanted = predicate.fixed_projection().union(&predicate.rest_projection());
        let partial = sealed.read(0..1, &wanted).unwrap();
        assert_eq!(rows(&predicate, &batch).len(), usize::from(found), "{query:?}");
        assert_eq!(rows(&predicate, &partial).len(), usize::from(found), "{query:?}");
        if found {
            let required = predicate.required();
            assert!(
                required.iter().all(|r| required_is_there(&r.terms, &batch, 0)),
                "{required:?}"
            );
        }
    }
}

fn field(field: Field) -> Operand {
    Operand::Reference(Reference::Field(field))
}

fn untyped(text: &str) -> Operand {
    Operand::Constant(Constant::Untyped(text.to_owned()))
}

fn attribute() -> Reference {
    Reference::Attribute(Level::Span, "a".to_owned())
}

#[test]
fn what_makes_no_sense_is_refused() {
    use Comparison::{Eq, Gt};
    let string = |text: &str| Operand::Constant(Constant::String(text.to_owned()));
    let event = |inner| Expression::Some(Element::Event, Box::new(inner));
    let cases = [
        Expression::Compare(field(Field::Duration), Eq, Operand::Constant(Constant::Int(5))),
        Expression::Compare(field(Field::Duration), Eq, string("2s")),
        Expression::Compare(field(Field::Duration), Eq, untyped("2")),
        Expression::Compare(field(Field::StartTime), Gt, untyped("yesterday")),
        Expression::Compare(field(Field::Kind), Eq, untyped("SERVER")),
        Expression::Compare(field(Field::Kind), Gt, untyped("server")),
        Expression::Compare(field(Field::Status), Eq, string("bad")),
        Expression::Compare(field(Field::Name), Eq, Operand::Constant(Constant::Int(1))),
        Expression::Compare(field(Field::Name), Eq, field(Field::Duration)),
        Expression::Compare(
            Operand::Reference(attribute()),
            Gt,
            Operand::Constant(Constant::Bool(true)),
        ),
        Expression::Compare(
            Operand::Reference(attribute()),
            Eq,
            Operand::Constant(Constant::Duration(1)),
        ),
        Expression::Compare(Operand::Constant(Constant::Int(1)), Eq, string("1")),
        Expression::In(attribute(), List::Untyped(Vec::new())),
        Expression::In(Reference::Field(Field::Duration), List::Int(vec![1])),
        event(event(Expression::Exists(attribute()))),
    ];
    for case in cases {
        let error = compile(case.clone()).expect_err(&case.to_string());
        assert_eq!(error.kind(), ErrorKind::Invalid, "{case}: {error}");
    }
    let words = vec!["x".to_owned()];
    for (case, op) in [
        (Expression::Regex(attribute(), "x".to_owned()), "regex"),
        (Expression::Phrase(attribute(), words.clone()), "phrase"),
        (Expression::Not(Box::new(Expression::FullText(attribute(), words))), "fulltext"),
    ] {
        let error = compile(case).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unimplemented);
        assert!(error.message().contains(op), "{error}");
    }
    let nested = |depth: usize| {
        (1..depth).fold(Expression::Exists(attribute()), |inner, _| Expression::Not(inner.into()))
    };
    assert!(compile(nested(EXPRESSION_DEPTH_MAX)).is_ok());
    assert!(compile(nested(EXPRESSION_DEPTH_MAX + 1)).is_err());
}

#[test]
fn constants_are_compared_with_each_other() {
    let mut dice = Dice::new(1);
    let batch = batch_of(&export(&mut dice, 3, 2));
    let int = |value| Operand::Constant(Constant::Int(value));
    for (left, op, right, holds) in [
        (int(1), Comparison::Lt, Operand::Constant(Constant::Double(1.5)), true),
        (untyped("2"), Comparison::Gt, int(1), true),
        (int(1), Comparison::Ne, untyped("1"), false),
        (untyped("10"), Comparison::Lt, untyped("9"), true),
        (Operand::Constant(Constant::Duration(5)), Comparison::Lte, untyped("5ns"), true),
    ] {
        let expression = Expression::Compare(left, op, right);
        let predicate = compile(expression.clone()).unwrap();
        assert_eq!(!rows(&predicate, &batch).is_empty(), holds, "{expression}");
    }
}

#[test]
fn expressions_are_written_as_calls() {
    let expression = Expression::And(vec![
        Expression::field_is(Field::Service, "cart"),
        Expression::Not(Box::new(Expression::Some(
            Element::Event,
            Box::new(Expression::Exists(Reference::Attribute(Level::Event, "a".to_owned()))),
        ))),
        Expression::NotIn(Reference::Attribute(Level::Any, "b".to_owned()), List::Int(vec![1, 2])),
    ]);
    assert_eq!(
        expression.to_string(),
        "and(eq(resource.service, \"cart\"), not(some(event, exists(event[\"a\"]))), \
         not_in([\"b\"], int [1, 2]))"
    );
}
