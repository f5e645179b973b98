//! The configuration file: YAML text in, a flat list of dotted keys with their line out.
//!
//! Works on parser events, so that every complaint can name a line, and so that anchors and
//! aliases (which have no use here and can blow up) are refused before they cost anything.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// One `key: value` of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Dotted name.
    pub(super) name: String,
    /// The scalar as written; `None` for null.
    pub(super) text: Option<String>,
    /// Line of the key, from 1.
    pub(super) line: usize,
}

/// A complaint about one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Line, from 1.
    pub(super) line: usize,
    /// What is wrong with it.
    pub(super) message: String,
}

/// Deepest nesting that is followed; no key of ours has more than three parts.
const DEPTH_MAX: usize = 16;

/// Reads `text` into entries, in the order of the file.
///
/// # Errors
/// The first thing that is not a plain tree of mappings and scalars.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text), found: Vec::new() };
    reader.document()?;
    Ok(reader.found)
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    found: Vec<Entry>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), Fault> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, line(&span))),
            Some(Err(error)) => {
                Err(Fault { line: error.marker().line(), message: error.info().to_owned() })
            }
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn document(&mut self) -> Result<(), Fault> {
        let mut documents = 0;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(_), line) => {
                    documents += 1;
                    if documents > 1 {
                        return fault(
                            line,
                            "a second document begins here; one file is one document",
                        );
                    }
                    self.root()?;
                }
                _ => {}
            }
        }
    }

    fn root(&mut self) -> Result<(), Fault> {
        match self.next()? {
            (Event::MappingStart(anchor, _), line) => {
                refuse_anchor(anchor, line)?;
                self.mapping("", 1)
            }
            (Event::Scalar(text, ScalarStyle::Plain, ..), _) if is_null(&text) => Ok(()),
            (_, line) => fault(line, "expected `key: value` lines"),
        }
    }

    /// Reads the entries of a mapping whose keys all begin with `prefix`.
    fn mapping(&mut self, prefix: &str, depth: usize) -> Result<(), Fault> {
        loop {
            let (name, at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(()),
                (Event::Scalar(key, _, anchor, _), line) => {
                    refuse_anchor(anchor, line)?;
                    (
                        if prefix.is_empty() {
                            key.into_owned()
                        } else {
                            format!("{prefix}.{key}")
                        },
                        line,
                    )
                }
                (_, line) => return fault(line, "a key must be a plain word"),
            };
            match self.next()? {
                (Event::Scalar(text, style, anchor, _), line) => {
                    refuse_anchor(anchor, line)?;
                    let null = style == ScalarStyle::Plain && is_null(&text);
                    let text = (!null).then(|| text.into_owned());
                    self.add(Entry { name, text, line: at })?;
                }
                (Event::MappingStart(anchor, _), line) => {
                    refuse_anchor(anchor, line)?;
                    if depth >= DEPTH_MAX {
                        return fault(line, "nested too deeply");
                    }
                    self.mapping(&name, depth + 1)?;
                }
                (Event::SequenceStart(..), line) => {
                    return fault(line, &format!("`{name}` takes one value, not a list"));
                }
                (Event::Alias(_), line) => return fault(line, NO_ANCHORS),
                (_, line) => return fault(line, &format!("`{name}` has no readable value")),
            }
        }
    }

    fn add(&mut self, entry: Entry) -> Result<(), Fault> {
        if let Some(first) = self.found.iter().find(|other| other.name == entry.name) {
            let message = format!("`{}` is already set on line {}", entry.name, first.line);
            return Err(Fault { line: entry.line, message });
        }
        self.found.push(entry);
        Ok(())
    }
}

const NO_ANCHORS: &str = "anchors and aliases are not supported here";

fn refuse_anchor(anchor: usize, line: usize) -> Result<(), Fault> {
    if anchor == 0 { Ok(()) } else { fault(line, NO_ANCHORS) }
}

fn fault<T>(line: usize, message: &str) -> Result<T, Fault> {
    Err(Fault { line, message: message.to_owned() })
}

fn line(span: &Span) -> usize {
    span.start.line()
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, text: Option<&str>, line: usize) -> Entry {
        Entry { name: name.to_owned(), text: text.map(str::to_owned), line }
    }

    #[test]
    fn sections_and_dotted_keys_are_one_tree() {
        let text = "# a comment\nstorage:\n  data_dir: /data\notlp.grpc.endpoint: off\n\
                    otlp:\n  http:\n    endpoint: null\nretention: {time: '72h'}\nlog:\n";
        assert_eq!(
            entries(text),
            Ok(vec![
                entry("storage.data_dir", Some("/data"), 3),
                entry("otlp.grpc.endpoint", Some("off"), 4),
                entry("otlp.http.endpoint", None, 7),
                entry("retention.time", Some("72h"), 8),
                entry("log", None, 9),
            ])
        );
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        assert_eq!(entries(""), Ok(vec![]));
        assert_eq!(entries("# nothing\n---\n"), Ok(vec![]));
    }

    #[test]
    fn a_quoted_null_is_text() {
        assert_eq!(
            entries("a: 'null'\nb: ''\n").map(|found| found[0].text.clone()),
            Ok(Some("null".into()))
        );
    }

    #[test]
    fn each_fault_names_its_line() {
        for (text, line, word) in [
            ("a: 1\nb: 2\na: 3\n", 3, "line 1"),
            ("a.b: 1\na:\n  b: 3\n", 3, "already set"),
            ("a: [1, 2]\n", 1, "list"),
            ("a: &x 1\nb: *x\n", 1, "anchors"),
            ("- a\n- b\n", 1, "key: value"),
            ("just words\n", 1, "key: value"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a:\n  b: 1\n c: 2\n", 3, ""),
            ("a: 'open\n", 1, ""),
        ] {
            let found = entries(text).expect_err(text);
            assert!(found.message.contains(word), "{text:?}: {found:?}");
            assert_eq!(found.line, line, "{text:?}: {found:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{}1", "{a: ".repeat(10_000));
        assert!(entries(&deep).is_err());
    }
}
