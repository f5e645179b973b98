//! The predicate tree: one language for every question about spans (jaeger-contract §3). Jaeger's
//! legacy fields, structured filters and SQL predicates all become an [`Expression`]; a search
//! compiles it once and asks it of many spans. Plain values with their text form; what they mean
//! and which are refused stands in `predicate`.

use std::fmt;

/// Deepest nesting of a filter, as in Jaeger.
pub const EXPRESSION_DEPTH_MAX: usize = 20;

/// A predicate over **one** span with its resource, scope, events and links. A reference that the
/// span does not have makes every leaf false, `ne` and `not_in` too; only [`Expression::Not`]
/// turns that round.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// All hold; true where there are none.
    And(Vec<Expression>),
    /// Some hold; false where there are none.
    Or(Vec<Expression>),
    /// The opposite.
    Not(Box<Expression>),
    /// Two values compared.
    Compare(Operand, Comparison, Operand),
    /// A reference's value is one of the list.
    In(Reference, List),
    /// The reference is there and none of its values is in the list.
    NotIn(Reference, List),
    /// The reference is there.
    Exists(Reference),
    /// Some event, or some link, satisfies the predicate: references of that level inside mean
    /// that one element.
    Some(Element, Box<Expression>),
    /// Jaeger's own attribute search, which compares text forms on all five levels and knows
    /// special keys (jaeger-contract §2.4 to 2.6).
    Legacy {
        /// An attribute's key, or `error`, `span.kind`, `span.status`, `scope.name`,
        /// `scope.version`, `resource.<key>`.
        key: String,
        /// The value in its text form.
        value: String,
    },
    /// A string matches a pattern in Go's RE2 syntax. Not served yet: refused by name.
    Regex(Reference, String),
    /// A string has these words next to each other. Not served yet: refused by name.
    Phrase(Reference, Vec<String>),
    /// A string has these words. Not served yet: refused by name.
    FullText(Reference, Vec<String>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// There, and no value equal.
    Ne,
    /// Greater.
    Gt,
    /// Less.
    Lt,
    /// Greater or equal.
    Gte,
    /// Less or equal.
    Lte,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// What a span has.
    Reference(Reference),
    /// A value.
    Constant(Constant),
}

/// Something a span has, or has not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// An attribute.
    Attribute(Level, String),
    /// A field.
    Field(Field),
}

/// Where an attribute is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// On the span and on its resource.
    Any,
    /// On the span.
    Span,
    /// On its resource.
    Resource,
    /// On its scope.
    Scope,
    /// On any of its events.
    Event,
    /// On any of its links.
    Link,
}

/// What a span has several of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// Its events.
    Event,
    /// Its links.
    Link,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// Text without a type: read as what it is compared with.
    Untyped(String),
    /// A string and nothing else.
    String(String),
    /// A number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A bool.
    Bool(bool),
    /// Nanoseconds.
    Duration(i128),
    /// Nanoseconds since 1970.
    Timestamp(i128),
}

/// Values of one type. Beside an attribute, numbers match values stored at the very type.
#[derive(Debug, Clone, PartialEq)]
pub enum List {
    /// Text without a type: each read as what it is compared with.
    Untyped(Vec<String>),
    /// Strings.
    String(Vec<String>),
    /// Ints.
    Int(Vec<i64>),
    /// Doubles.
    Double(Vec<f64>),
    /// Bools.
    Bool(Vec<bool>),
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident $level:literal $word:literal,)*) => {
        /// A field of OTLP, or one derived from it (jaeger-contract §3.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// All.
            pub const ALL: &[Field] = &[$(Field::$name,)*];

            /// Its level and name in Jaeger's words.
            pub fn words(self) -> (&'static str, &'static str) {
                match self { $(Field::$name => ($level, $word),)* }
            }
        }
    };
}

fields! {
    /// As 32 lower-case hex digits.
    TraceId "span" "traceID",
    /// As 16 lower-case hex digits.
    SpanId "span" "spanID",
    /// As 16 lower-case hex digits; not there on a root.
    ParentSpanId "span" "parentSpanID",
    /// Text; not there when empty.
    TraceState "span" "traceState",
    /// Text.
    Name "span" "name",
    /// One of `unspecified internal server client producer consumer`.
    Kind "span" "kind",
    /// A timestamp.
    StartTime "span" "startTime",
    /// A timestamp.
    EndTime "span" "endTime",
    /// One of `unset ok error`.
    Status "span" "status",
    /// Text; not there when empty.
    StatusMessage "span" "statusMessage",
    /// End minus start, perhaps negative.
    Duration "span" "duration",
    /// `service.name` where it is a string; not there when empty.
    Service "resource" "service",
    /// Text; not there when empty.
    ResourceSchemaUrl "resource" "schemaURL",
    /// Text; not there when empty.
    ScopeName "scope" "name",
    /// Text; not there when empty.
    ScopeVersion "scope" "version",
    /// Text; not there when empty.
    ScopeSchemaUrl "scope" "schemaURL",
    /// Text.
    EventName "event" "name",
    /// A timestamp.
    EventTime "event" "time",
    /// The event's time minus the span's start.
    EventTimeSinceStart "event" "timeSinceStart",
    /// The linked span's, as lower-case hex digits.
    LinkTraceId "link" "traceID",
    /// The linked span's, as lower-case hex digits.
    LinkSpanId "link" "spanID",
    /// The linked span's.
    LinkTraceState "link" "traceState",
}

impl Field {
    /// The field of these words, as Jaeger spells them.
    pub fn from_words(level: &str, name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.words() == (level, name))
    }
}

impl Comparison {
    /// Jaeger's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::Gte => "gte",
            Self::Lte => "lte",
        }
    }

    /// The same comparison with its sides swapped.
    pub(crate) fn reversed(self) -> Self {
        match self {
            Self::Eq | Self::Ne => self,
            Self::Gt => Self::Lt,
            Self::Lt => Self::Gt,
            Self::Gte => Self::Lte,
            Self::Lte => Self::Gte,
        }
    }
}

impl Level {
    /// Jaeger's word, `""` for [`Level::Any`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Span => "span",
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Event => "event",
            Self::Link => "link",
        }
    }
}

impl Element {
    /// Jaeger's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Link => "link",
        }
    }
}

impl Expression {
    /// `field = text`.
    pub fn field_is(field: Field, text: impl Into<String>) -> Self {
        let constant = Operand::Constant(Constant::Untyped(text.into()));
        Self::Compare(Operand::Reference(Reference::Field(field)), Comparison::Eq, constant)
    }
}

fn dynamic(printed: &impl fmt::Display) -> &dyn fmt::Display {
    printed
}

fn call<'a>(
    f: &mut fmt::Formatter<'_>,
    op: &str,
    args: impl IntoIterator<Item = &'a dyn fmt::Display>,
) -> fmt::Result {
    write!(f, "{op}(")?;
    for (at, arg) in args.into_iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        write!(f, "{comma}{arg}")?;
    }
    f.write_str(")")
}

/// `and(eq(resource.service, "cart"), gte(span.duration, 500ms))`: the calls of Jaeger's grammar.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(all) => call(f, "and", all.iter().map(dynamic)),
            Self::Or(any) => call(f, "or", any.iter().map(dynamic)),
            Self::Not(inner) => call(f, "not", [dynamic(&**inner)]),
            Self::Compare(left, op, right) => call(f, op.word(), [dynamic(left), right]),
            Self::In(reference, list) => call(f, "in", [dynamic(reference), list]),
            Self::NotIn(reference, list) => call(f, "not_in", [dynamic(reference), list]),
            Self::Exists(reference) => call(f, "exists", [dynamic(reference)]),
            Self::Some(element, inner) => call(f, "some", [dynamic(&element.word()), inner]),
            Self::Legacy { key, value } => write!(f, "legacy({key:?}, {value:?})"),
            Self::Regex(reference, pattern) => write!(f, "regex({reference}, {pattern:?})"),
            Self::Phrase(reference, words) => write!(f, "phrase({reference}, {words:?})"),
            Self::FullText(reference, words) => write!(f, "fulltext({reference}, {words:?})"),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Constant(constant) => constant.fmt(f),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(level, key) => write!(f, "{}[{key:?}]", level.word()),
            Self::Field(field) => {
                let (level, name) = field.words();
                write!(f, "{level}.{name}")
            }
        }
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untyped(text) => write!(f, "{text:?}"),
            Self::String(text) => write!(f, "string {text:?}"),
            Self::Int(value) => write!(f, "int {value}"),
            Self::Double(value) => write!(f, "double {value}"),
            Self::Bool(value) => write!(f, "bool {value}"),
            Self::Duration(nanos) => write!(f, "{nanos}ns"),
            Self::Timestamp(nanos) => write!(f, "{nanos}ns since 1970"),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untyped(values) => write!(f, "{values:?}"),
            Self::String(values) => write!(f, "string {values:?}"),
            Self::Int(values) => write!(f, "int {values:?}"),
            Self::Double(values) => write!(f, "double {values:?}"),
            Self::Bool(values) => write!(f, "bool {values:?}"),
        }
    }
}
