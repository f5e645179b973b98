//! Text for a terminal, out of names that strangers chose.
//!
//! In flow span names, attribute values and messages exactly as clients sent them; out flows text
//! that cannot move a cursor, change a colour, reverse the reading direction or break a column.
//! Everything drawn passes through here; nothing here knows what it draws.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use unicode_width::UnicodeWidthChar;

/// What stands for a removed control sequence: removing in silence would hide the attempt.
const REMOVED: char = '\u{fffd}';
/// Marks text cut for width.
pub(crate) const CUT: char = '…';
/// Zero-width characters kept in a row; more are stacked accents that smear over other lines.
const ZERO_WIDTH_RUN_MAX: usize = 4;

/// The text without anything a terminal acts on: escape sequences and control characters become
/// one replacement character, white space becomes a space, bidirectional controls vanish into
/// the replacement character too.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut zero_width_run = 0;
    while let Some(c) = chars.next() {
        let kept = match c {
            '\u{1b}' => {
                skip_escape(&mut chars);
                REMOVED
            }
            '\u{9b}' => {
                skip_csi(&mut chars);
                REMOVED
            }
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() || is_directional(c) => REMOVED,
            c => c,
        };
        zero_width_run = if kept.width() == Some(0) { zero_width_run + 1 } else { 0 };
        if zero_width_run <= ZERO_WIDTH_RUN_MAX {
            out.push(kept);
        }
    }
    out
}

/// [`clean`], line by line, for text whose lines mean something (stack traces).
pub(crate) fn clean_lines(text: &str) -> Vec<String> {
    text.lines().map(|line| clean(&line.replace('\t', "    "))).collect()
}

/// Embeddings, overrides and isolates: they make `abc` read as `cba`.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What follows an ESC: a CSI, a string up to its terminator, or one character.
fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_csi(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        Some(c) if c.is_ascii() && !c.is_control() => {
            chars.next();
        }
        _ => {}
    }
}

/// Parameters and intermediates up to and with the final byte.
fn skip_csi(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
    chars.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
}

/// Up to BEL, ST or ESC \. An unterminated one ends at the line's end, so that it hides no more.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// Columns the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// The text (already clean) in at most `columns` columns, with [`CUT`] where it was longer.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let mut used = 0;
    let mut out = String::new();
    for c in text.chars() {
        used += char_width(c);
        if used > room {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push(CUT);
    }
    out
}

/// [`cut`], then spaces up to exactly `columns`.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&out))));
    out
}

/// [`cut`], with the spaces in front.
pub(crate) fn fit_right(text: &str, columns: usize) -> String {
    let out = cut(text, columns);
    let mut line = " ".repeat(columns.saturating_sub(width(&out)));
    line.push_str(&out);
    line
}

/// JSON text in which what a terminal would act on is escaped. serde_json escapes only what JSON
/// demands (below 0x20); such characters can stand nowhere but inside strings, so replacing them
/// in the finished text is sound.
pub(crate) fn harmless_json(json: &str) -> Cow<'_, str> {
    if json.is_ascii() && !json.as_bytes().contains(&0x7f) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}') || is_directional(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Digits in groups of three.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 span`, `2 spans`.
pub(crate) fn plural(n: u64, word: &str) -> String {
    format!("{} {word}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_leave_a_visible_mark_and_nothing_else() {
        assert_eq!(clean("GET \u{1b}[31mred\u{1b}[0m"), "GET \u{fffd}red\u{fffd}");
        assert_eq!(clean("\u{1b}]0;owned\u{7}title"), "\u{fffd}title");
        assert_eq!(clean("\u{1b}]8;;http://evil\u{1b}\\link"), "\u{fffd}link");
        assert_eq!(clean("\u{9b}2Jgone"), "\u{fffd}gone");
        assert_eq!(clean("a\nb\tc\r\n"), "a b c  ");
        assert_eq!(clean("\u{202e}cba"), "\u{fffd}cba");
        assert_eq!(clean("nul\0del\u{7f}"), "nul\u{fffd}del\u{fffd}");
        assert_eq!(clean("ends in \u{1b}"), "ends in \u{fffd}");
    }

    #[test]
    fn nothing_clean_holds_a_control_character() {
        let hostile: String = (0..=0x2100).filter_map(char::from_u32).collect();
        assert!(!clean(&hostile).chars().any(|c| c.is_control() || is_directional(c)));
    }

    #[test]
    fn stacked_accents_are_bounded() {
        let zalgo = format!("a{}", "\u{301}".repeat(1000));
        assert_eq!(clean(&zalgo).chars().count(), 1 + ZERO_WIDTH_RUN_MAX);
    }

    #[test]
    fn widths_are_columns_not_characters() {
        assert_eq!(width("数据库"), 6);
        assert_eq!(cut("数据库", 6), "数据库");
        assert_eq!(cut("数据库x", 6), "数据…");
        assert_eq!(fit("数据", 5), "数据 ");
        assert_eq!(fit("checkout", 5), "chec…");
        assert_eq!(fit_right("12", 4), "  12");
        assert_eq!(cut("anything", 0), "");
    }

    #[test]
    fn json_keeps_its_meaning_and_loses_its_teeth() {
        let value = serde_json::json!({"name": "\u{9b}31m\u{202e}x\u{7f}"});
        let json = value.to_string();
        let safe = harmless_json(&json);
        assert!(!safe.chars().any(|c| c.is_control() || is_directional(c)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(7), "7");
        assert_eq!(count(100_353), "100,353");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(plural(1, "span"), "1 span");
        assert_eq!(plural(0, "error"), "0 errors");
    }
}
