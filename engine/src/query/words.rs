//! The words that questions know of closed sets: kinds of spans and status codes, each at the
//! place of its OTLP number. What OTLP does not define reads as the first. Names only.

/// Kinds of spans.
pub(super) const KINDS: [&str; 6] =
    ["unspecified", "internal", "server", "client", "producer", "consumer"];
/// Status codes.
pub(super) const STATUSES: [&str; 3] = ["unset", "ok", "error"];

/// The word of a number as sent.
pub(super) fn of_number(words: &[&'static str], number: i32) -> &'static str {
    let known = usize::try_from(number).ok().and_then(|number| words.get(number));
    known.or(words.first()).copied().unwrap_or_default()
}

/// The word that `text` spells, in any case.
pub(super) fn of_text(words: &[&'static str], text: &str) -> &'static str {
    let known = words.iter().find(|word| text.eq_ignore_ascii_case(word));
    known.or(words.first()).copied().unwrap_or_default()
}
