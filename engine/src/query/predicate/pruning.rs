//! What is known of every match before a row is read: terms of the index that it must have, and
//! bounds of its times. A tree goes in, what the planner prunes by comes out. May always say less
//! than is true, never more.

use super::tree::{Leaf, Node, Target};
use crate::otlp::value::AnyValue;
use crate::query::expression::{Comparison, Field};
use crate::query::test::{Scalar, Test, Wanted};
use crate::terms;

/// Something a match must have one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Required {
    /// In words.
    pub(crate) text: String,
    /// Hashes, see [`terms`]; none at all where nothing can match.
    pub(crate) terms: Vec<u64>,
}

/// What a match's own times must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Both inclusive; low above high where nothing can match.
    pub(crate) start: (u64, u64),
    pub(crate) duration_min: u64,
}

/// What every span that satisfies all of `conjuncts` must have.
pub(super) fn required(conjuncts: &[Node], leaves: &[Leaf]) -> Vec<Required> {
    let each = conjuncts.iter().flat_map(|node| node.required(leaves));
    each.chain(long_spans(conjuncts, leaves)).collect()
}

/// A service's long spans have terms of their own.
fn long_spans(conjuncts: &[Node], leaves: &[Leaf]) -> Option<Required> {
    let least = bounds(conjuncts, leaves, (0, u64::MAX)).duration_min;
    let services = conjuncts.iter().find_map(|node| node.services(leaves))?;
    let terms: Vec<u64> = services.iter().flat_map(|s| terms::slower(s, least)).collect();
    let text = format!("resource.service = {} with long spans", services.join(" | "));
    (least > 0).then_some(Required { text, terms })
}

/// What the times of such a span must be, within `window`.
pub(super) fn bounds(conjuncts: &[Node], leaves: &[Leaf], window: (u64, u64)) -> Bounds {
    let mut bounds = Bounds { start: window, duration_min: 0 };
    conjuncts.iter().for_each(|node| node.narrow(leaves, &mut bounds));
    bounds
}

impl Node {
    fn required(&self, leaves: &[Leaf]) -> Vec<Required> {
        match self {
            Self::Const(true) | Self::Not(_) => Vec::new(),
            Self::Const(false) => vec![Required { text: "nothing".to_owned(), terms: Vec::new() }],
            Self::And(all) => all.iter().flat_map(|node| node.required(leaves)).collect(),
            // Whatever branch holds, one of its terms is there: one requirement of each branch.
            Self::Or(any) => {
                let mut either = Required { text: String::new(), terms: Vec::new() };
                for node in any {
                    let of_branch = node.required(leaves);
                    let Some(least) = of_branch.into_iter().min_by_key(|r| r.terms.len()) else {
                        return Vec::new();
                    };
                    let or = if either.text.is_empty() { "" } else { " or " };
                    either.text = format!("{}{or}{}", either.text, least.text);
                    either.terms.extend(least.terms);
                }
                vec![either]
            }
            Self::Some(_, inner) => inner.required(leaves),
            Self::Leaf(at) => leaves.get(*at).and_then(Leaf::required).into_iter().collect(),
        }
    }

    /// The services that it asks for, where it asks for nothing else.
    fn services(&self, leaves: &[Leaf]) -> Option<Vec<String>> {
        let Self::Leaf(at) = self else { return None };
        match leaves.get(*at)? {
            Leaf::One { target: Target::Field(Field::Service), test, negated: false } => {
                test.text_forms()
            }
            _ => None,
        }
    }

    fn narrow(&self, leaves: &[Leaf], bounds: &mut Bounds) {
        let Self::Leaf(at) = self else { return };
        let Some(Leaf::One { target: Target::Field(field), test, negated: false }) =
            leaves.get(*at)
        else {
            return;
        };
        let Test::Is(comparison, Wanted { nanos: Some(nanos), .. }) = test else { return };
        let clamp = |nanos: i128| nanos.clamp(0, u64::MAX.into()) as u64;
        let (low, high) = match comparison {
            Comparison::Eq => (Some(*nanos), Some(*nanos)),
            Comparison::Gt => (Some(nanos.saturating_add(1)), None),
            Comparison::Gte => (Some(*nanos), None),
            Comparison::Lt => (None, Some(nanos.saturating_sub(1))),
            Comparison::Lte => (None, Some(*nanos)),
            Comparison::Ne => (None, None),
        };
        match field {
            Field::StartTime => {
                let beyond = low.is_some_and(|low| low > u64::MAX.into())
                    || high.is_some_and(|high| high < 0);
                if beyond {
                    bounds.start = (1, 0);
                    return;
                }
                bounds.start.0 = bounds.start.0.max(low.map_or(0, clamp));
                bounds.start.1 = bounds.start.1.min(high.map_or(u64::MAX, clamp));
            }
            Field::Duration => {
                bounds.duration_min = bounds.duration_min.max(low.map_or(0, clamp));
            }
            _ => {}
        }
    }
}

impl Leaf {
    /// What must be there for it to hold; `None` = cannot be said.
    fn required(&self) -> Option<Required> {
        let Self::One { target, test, negated: false } = self else { return None };
        if target.is_error_alone(test) {
            let text = "span.status = error".to_owned();
            return Some(Required { text, terms: vec![terms::error()] });
        }
        let forms = test.text_forms()?;
        let hashes: Vec<u64> = match target {
            Target::Field(Field::Service) => forms.iter().map(|f| terms::service(f)).collect(),
            Target::Field(Field::Name) => forms.iter().map(|f| terms::operation(f)).collect(),
            Target::Attribute(places) => {
                let keys = std::iter::once(&places.key).chain(&places.resource_key);
                let term = |(key, form): (&String, &String)| terms::attribute(key.as_bytes(), form);
                keys.flat_map(|key| forms.iter().map(move |form| (key, form))).map(term).collect()
            }
            _ => return None,
        };
        let what = match target {
            Target::Field(field) => format!("{}.{}", field.words().0, field.words().1),
            Target::Attribute(places) => places.key.clone(),
            Target::Error => return None,
        };
        Some(Required { text: format!("{what} = {}", forms.join(" | ")), terms: hashes })
    }
}

impl Target {
    /// True where a test of this passes on spans of status ERROR and on no other.
    fn is_error_alone(&self, test: &Test) -> bool {
        let word = |word: &str| test.holds(Scalar::text(word.as_bytes()));
        let bool = |value| test.holds(Scalar::Value(AnyValue::Bool(value)));
        match self {
            Self::Error => bool(true) && !bool(false),
            Self::Field(Field::Status) => word("error") && !word("ok") && !word("unset"),
            _ => false,
        }
    }
}
