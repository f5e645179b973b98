//! What stands below a span in the waterfall.
//!
//! A span flows in, lines of clean text flow out: by default what a reader looks for first (why it
//! failed, what it links to, which slow statement it ran), on request everything it carries. What
//! is cut is counted.

use std::collections::HashSet;

use super::model::{Span, Trace, attribute, hex, value_text};
use super::otlp::{Event, KeyValue};
use super::text::{clean, clean_lines, plural};
use super::time;

/// Exceptions and links shown by default.
const FEW: usize = 3;
/// Lines of one stack trace.
const STACK_LINES_MAX: usize = 20;
/// A statement is worth a line where its span took at least 1/5 of the trace.
const SLOW_SHARE: u64 = 5;
/// Attributes that hold a statement, by OpenTelemetry's newer and older name.
const STATEMENTS: [&str; 2] = ["db.query.text", "db.statement"];
const STACK_TRACE: &str = "exception.stacktrace";

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) text: String,
    /// Tells of a failure.
    pub(crate) alarming: bool,
}

fn calm(text: impl AsRef<str>) -> Detail {
    Detail { text: clean(text.as_ref()), alarming: false }
}

fn alarm(text: impl AsRef<str>) -> Detail {
    Detail { text: clean(text.as_ref()), alarming: true }
}

/// What the lines of all drawn spans have in common.
#[derive(Debug)]
pub(crate) struct Details {
    trace_start: u64,
    /// From this duration on a statement is worth a line.
    slow: u64,
    everything: bool,
    /// Messages of the exceptions: a status that only repeats one on its way up says nothing new.
    told: HashSet<String>,
}

impl Details {
    /// For the `drawn` spans of `trace`.
    pub(crate) fn new<'a>(
        trace: &Trace,
        drawn: impl Iterator<Item = &'a Span>,
        everything: bool,
    ) -> Self {
        let exceptions = drawn.flat_map(|s| &s.events).filter(|e| is_exception(e));
        let told = exceptions.filter_map(|e| attribute(&e.attributes, "exception.message"));
        Self {
            trace_start: trace.start(),
            slow: (trace.duration() / SLOW_SHARE).max(1),
            everything,
            told: told.collect(),
        }
    }

    /// The lines below `span`; `above` is the span it hangs on, whose resource and scope are not
    /// repeated.
    pub(crate) fn of(&self, span: &Span, above: Option<&Span>) -> Vec<Detail> {
        let mut lines = self.failures(span);
        links(span, self.everything, &mut lines);
        if self.everything {
            own_attributes(span, &mut lines);
            context(span, above, &mut lines);
            all_events(span, self.trace_start, &mut lines);
        } else if span.is_error() || span.duration() >= self.slow {
            let statement = STATEMENTS.iter().find_map(|key| span.attribute(key));
            lines.extend(statement.map(|s| calm(one_space(&s))));
        }
        lines
    }

    /// Exceptions, and the status message where it says more.
    fn failures(&self, span: &Span) -> Vec<Detail> {
        let message = String::from_utf8_lossy(&span.status_message);
        let news = self.everything || !self.told.contains(message.as_ref());
        let mut lines = Vec::new();
        if span.is_error() && !message.is_empty() && news {
            lines.push(alarm(format!("! {message}")));
        }
        let exceptions = span.events.iter().filter(|e| is_exception(e));
        lines.extend(exceptions.clone().take(FEW).map(|e| alarm(format!("! {}", exception(e)))));
        let more = exceptions.count().saturating_sub(FEW) as u64;
        if more > 0 {
            lines.push(alarm(format!("! … and {}", plural(more, "more exception"))));
        }
        lines
    }
}

fn is_exception(event: &Event) -> bool {
    event.name.as_ref() == b"exception"
}

fn exception(event: &Event) -> String {
    let part = |key| attribute(&event.attributes, key).filter(|v| !v.is_empty());
    match (part("exception.type"), part("exception.message")) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "exception without type or message".to_owned(),
    }
}

fn links(span: &Span, everything: bool, lines: &mut Vec<Detail>) {
    let shown = if everything { usize::MAX } else { FEW };
    for link in span.links.iter().take(shown) {
        lines.push(calm(format!("-> trace {} span {}", hex(&link.trace_id), hex(&link.span_id))));
        if everything {
            lines.extend(link.attributes.iter().map(|a| calm(format!("   {}", pair(a)))));
        }
    }
    let more = span.links.len().saturating_sub(shown) as u64;
    if more > 0 {
        lines.push(calm(format!("-> … and {}", plural(more, "more link"))));
    }
}

fn own_attributes(span: &Span, lines: &mut Vec<Detail>) {
    lines.push(calm(format!("span.id = {}", hex(&span.id))));
    if !span.kind.word().is_empty() {
        lines.push(calm(format!("span.kind = {}", span.kind.word())));
    }
    lines.extend(span.attributes.iter().map(|a| calm(pair(a))));
    let dropped = span.dropped;
    for (count, what) in
        [(dropped.attributes, "attribute"), (dropped.events, "event"), (dropped.links, "link")]
    {
        if count > 0 {
            lines.push(calm(format!("({} dropped by the client)", plural(count.into(), what))));
        }
    }
}

/// Scope and resource where they are not those of the span above.
fn context(span: &Span, above: Option<&Span>, lines: &mut Vec<Detail>) {
    let scope = &span.scope;
    let same =
        above.is_some_and(|a| a.scope.name == scope.name && a.scope.version == scope.version);
    if !scope.name.is_empty() && !same {
        let of = |bytes| String::from_utf8_lossy(bytes).into_owned();
        lines.push(calm(format!("scope = {} {}", of(&scope.name), of(&scope.version))));
    }
    let attributes = &span.resource.attributes;
    if above.is_none_or(|a| a.resource.attributes != *attributes) {
        lines.extend(attributes.iter().map(|a| calm(format!("resource.{}", pair(a)))));
    }
}

fn all_events(span: &Span, trace_start: u64, lines: &mut Vec<Detail>) {
    for event in &span.events {
        let at = time::duration(event.time_unix_nano.saturating_sub(trace_start));
        lines.push(calm(format!("event at {at}: {}", String::from_utf8_lossy(&event.name))));
        for attribute in &event.attributes {
            if attribute.key.as_ref() == STACK_TRACE.as_bytes() {
                stack_trace(&value_text(attribute), lines);
            } else {
                lines.push(calm(format!("   {}", pair(attribute))));
            }
        }
    }
}

fn stack_trace(text: &str, lines: &mut Vec<Detail>) {
    let stack = clean_lines(text);
    lines.extend(stack.iter().take(STACK_LINES_MAX).map(|l| calm(format!("   {l}"))));
    let more = stack.len().saturating_sub(STACK_LINES_MAX) as u64;
    if more > 0 {
        lines.push(calm(format!("   … and {} (--json has them)", plural(more, "more line"))));
    }
}

fn pair(attribute: &KeyValue) -> String {
    let key = String::from_utf8_lossy(&attribute.key);
    format!("{key} = {}", one_space(&value_text(attribute)))
}

/// Statements are indented for editors; on one line only their words matter.
fn one_space(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::shop_trace;
    use super::*;

    fn of(span: &Span, trace: &Trace, everything: bool) -> Vec<Detail> {
        Details::new(trace, trace.spans.iter(), everything).of(span, None)
    }

    #[test]
    fn a_status_is_told_once() {
        let mut trace = shop_trace();
        let place = trace.spans.iter_mut().find(|s| s.name.as_ref() == b"PlaceOrder").unwrap();
        let alone = of(&place.clone(), &shop_trace(), false);
        assert_eq!(alone[0].text, "! payment refused");
        place.status_message = "card expired".into();
        let place = place.clone();
        assert_eq!(of(&place, &trace, false), [], "the exception below says it");
        assert_eq!(of(&place, &trace, true)[0].text, "! card expired");
    }

    #[test]
    fn a_failed_span_says_why_and_names_its_statement() {
        let trace = shop_trace();
        let charge = trace.spans.iter().find(|s| s.name.as_ref() == b"Charge").unwrap();
        assert_eq!(
            of(charge, &trace, false),
            [
                Detail { text: "! PaymentDeclined: card expired".into(), alarming: true },
                Detail { text: "SELECT * FROM cards \u{fffd}WHERE id = ?".into(), alarming: false },
            ]
        );
    }

    #[test]
    fn many_exceptions_are_counted() {
        let mut trace = shop_trace();
        let charge = trace.spans.iter_mut().find(|s| s.name.as_ref() == b"Charge").unwrap();
        charge.events = vec![charge.events[0].clone(); 5];
        let charge = charge.clone();
        let lines = of(&charge, &trace, false);
        assert_eq!(lines[3].text, "! … and 2 more exceptions");
    }

    #[test]
    fn a_fast_statement_is_no_news() {
        let trace = shop_trace();
        let hgetall = trace.spans.iter().find(|s| s.name.as_ref() == b"HGETALL").unwrap();
        assert_eq!(of(hgetall, &trace, false), []);
    }

    #[test]
    fn long_stack_traces_end_with_a_count() {
        let mut lines = Vec::new();
        stack_trace(&"at f\n".repeat(30), &mut lines);
        assert_eq!(lines.len(), STACK_LINES_MAX + 1);
        assert_eq!(lines[STACK_LINES_MAX].text, "   … and 10 more lines (--json has them)");
    }
}
