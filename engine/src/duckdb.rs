//! A view for DuckDB over the files of one snapshot. A catalog with its open segments flows in,
//! SQL flows out; no row is read. The view gives every attribute back wherever a file keeps it,
//! and hides how: a column in one file, another type's in the next, the remainder in a third.

use std::collections::BTreeMap;
use std::path::Path;

use crate::batch::{Level, Type};
use crate::catalog::registry::{ColumnLevel, ColumnType};
use crate::error::{Error, Result};
use crate::tenancy::Tenancy;
use crate::view::CatalogView;

/// SQL that makes the view `spans` over a tenancy's segments, whose names are below `directory`;
/// `None` where nothing is sealed.
///
/// # Errors
/// `Corrupted` for a column that the catalog does not know, `Invalid` for a directory whose name
/// is no UTF-8.
pub(crate) fn view_of(
    catalog: &CatalogView,
    tenancy: &Tenancy,
    directory: &Path,
) -> Result<Option<String>> {
    let segments = catalog.segments(tenancy);
    let mut files = Vec::with_capacity(segments.len());
    let mut columns = BTreeMap::new();
    let registered: BTreeMap<_, _> = catalog
        .state
        .columns
        .columns()
        .iter()
        .map(|c| ((c.level, c.key.as_bytes(), c.kind), c))
        .collect();
    for live in segments {
        let path = directory.join(&live.entry.name);
        let path = path.to_str().ok_or_else(|| {
            Error::invalid(format!("{} is no UTF-8, which SQL needs", path.display()))
        })?;
        files.push(path.to_owned());
        for (level, key, kind) in live.segment.promoted() {
            let known = ColumnType::of(kind)
                .and_then(|typed| registered.get(&(ColumnLevel::from(level), &key[..], typed)));
            let Some(known) = known else {
                return Err(Error::corrupted(format!(
                    "{} has a column for attribute {:?} that the catalog does not know",
                    live.entry.name,
                    String::from_utf8_lossy(key)
                )));
            };
            let promoted = Promoted { level, key: &known.key, kind, name: &known.name };
            columns.insert(known.id, promoted);
        }
    }
    let columns: Vec<Promoted<'_>> = columns.into_values().collect();
    Ok((!files.is_empty()).then(|| view(&files, &columns)))
}

/// A column that holds an attribute's values in at least one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Promoted<'a> {
    level: Level,
    key: &'a str,
    kind: Type,
    /// The column's name in every file that has it.
    name: &'a str,
}

/// What an attribute is in the view's lists.
const ENTRY: &str = "STRUCT(key VARCHAR, type VARCHAR, value VARCHAR)[]";

/// `CREATE VIEW spans` over the files, which must not be empty. `columns` must be exactly those
/// that the files have between them.
fn view(files: &[String], columns: &[Promoted<'_>]) -> String {
    let of = |level: Level| columns.iter().filter(move |c| c.level == level);
    let paths: Vec<String> = files.iter().map(|file| format!("    {}", literal(file))).collect();
    format!(
        "{HEAD}\
CREATE OR REPLACE VIEW spans AS
SELECT * REPLACE (map_from_entries(list_transform(
    list_filter(attribute_list, lambda a, n:
      list_position(list_transform(attribute_list, lambda b: b.key), a.key) = n),
    lambda a: {{'key': a.key, 'value': a.value}})) AS attributes)
FROM (SELECT
  lower(hex(trace_id)) AS trace_id,
  lower(hex(span_id)) AS span_id,
  lower(hex(coalesce(parent_span_id, CASE WHEN parent_distance <> 0 THEN
    lag(span_id, parent_distance) OVER (PARTITION BY file ORDER BY file_row_number) END)))
    AS parent_span_id,
  start_time,
  duration,
  service,
  name,
  CASE kind WHEN 0 THEN 'unspecified' WHEN 1 THEN 'internal' WHEN 2 THEN 'server'
    WHEN 3 THEN 'client' WHEN 4 THEN 'producer' WHEN 5 THEN 'consumer'
    ELSE kind::VARCHAR END AS kind,
  CASE status_code WHEN 0 THEN 'unset' WHEN 1 THEN 'ok' WHEN 2 THEN 'error'
    ELSE status_code::VARCHAR END AS status,
  status_message,
  resource::JSON AS resource,
  scope::JSON AS scope,
  NULL AS attributes,
  {span} AS attribute_list,
  list_transform(events, lambda e, n: {{'time_since_start': e.time_since_start, 'name': e.name,
    'attributes': {event},
    'dropped_attributes_count': e.dropped_attributes_count}}) AS events,
  list_transform(links, lambda l, n: {{'trace_id': lower(hex(l.trace_id)),
    'span_id': lower(hex(l.span_id)), 'trace_state': l.trace_state, 'flags': l.flags,
    'attributes': {link},
    'dropped_attributes_count': l.dropped_attributes_count}}) AS links,
  trace_state,
  flags,
  dropped_attributes_count,
  dropped_events_count,
  dropped_links_count,
  span_raw,
  file
FROM read_parquet([
{paths}
  ], union_by_name = true, file_row_number = true, filename = 'file'));
",
        span = attributes(of(Level::Span), "", "0"),
        event = attributes(of(Level::Event), "e.", "n"),
        link = attributes(of(Level::Link), "l.", "-n"),
        paths = paths.join(",\n"),
    )
}

const HEAD: &str = "\
-- Spans of the segments of one moment; what was sealed, merged or removed later needs a new view.
-- DuckDB 1.4 or later. `attributes` maps a key to the text of its value (the first where a key
-- repeats), `attribute_list` has every key with type and text. Times are nanoseconds.
";

/// All attributes of one owner: those with a column, then those of the remainder, whose `type` is
/// the number of the `AnyValue`'s member, 0 where it has none, -1 where there is no value.
fn attributes<'a>(
    columns: impl Iterator<Item = &'a Promoted<'a>>,
    element: &str,
    owner: &str,
) -> String {
    let entries: Vec<String> = columns.map(|column| entry(column, element)).collect();
    let promoted = match entries.is_empty() {
        true => format!("CAST([] AS {ENTRY})"),
        false => format!(
            "list_filter([\n    {}\n    ], lambda a: a IS NOT NULL)",
            entries.join(",\n    ")
        ),
    };
    format!(
        "list_concat({promoted},
    list_transform(list_filter(other_attributes, lambda o: o.owner = {owner}), lambda o: {{
      'key': o.key,
      'type': CASE o.type WHEN 1 THEN 'string' WHEN 2 THEN 'bool' WHEN 3 THEN 'int'
        WHEN 4 THEN 'double' WHEN 7 THEN 'bytes' WHEN 0 THEN 'empty' WHEN -1 THEN 'missing'
        ELSE 'json' END,
      'value': CASE o.type WHEN 2 THEN {bool} WHEN 3 THEN {int}
        WHEN 4 THEN {double}
        WHEN 7 THEN {bytes} ELSE o.string END}}))",
        bool = text(Type::Bool, "o.bool"),
        int = text(Type::Int, "o.\"int\""),
        double = text(Type::Double, "o.\"double\""),
        bytes = text(Type::Bytes, "o.bytes"),
    )
}

fn entry(column: &Promoted<'_>, element: &str) -> String {
    let value = format!("{element}{}", name(column.name));
    format!(
        "CASE WHEN {value} IS NOT NULL THEN {{'key': {}, 'type': '{}', 'value': {}}} END",
        literal(column.key),
        word(column.kind),
        text(column.kind, &value)
    )
}

/// The name of a type in the view.
fn word(kind: Type) -> &'static str {
    match kind {
        Type::String => "string",
        Type::Bool => "bool",
        Type::Int => "int",
        Type::Double => "double",
        Type::Bytes => "bytes",
        Type::Other => "json",
        Type::Empty => "empty",
        Type::Missing => "missing",
    }
}

/// A value as text, as searches compare it; doubles outside of 0.0001 to 10^15 are written
/// DuckDB's way, which loses nothing either.
fn text(kind: Type, value: &str) -> String {
    match kind {
        Type::Bool | Type::Int => format!("{value}::VARCHAR"),
        Type::Double => format!(
            "CASE WHEN isnan({value}) THEN 'NaN' \
             WHEN isinf({value}) THEN if({value} > 0, 'Infinity', '-Infinity') \
             WHEN {value} = trunc({value}) AND abs({value}) < 1e15 \
             AND {value}::VARCHAR <> '-0.0' THEN {value}::BIGINT::VARCHAR \
             ELSE {value}::VARCHAR END"
        ),
        Type::Bytes => format!("to_base64({value})"),
        Type::String | Type::Other | Type::Empty | Type::Missing => value.to_owned(),
    }
}

fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A string literal. Keys are what anybody sent: whatever a terminal or a parser might act on is
/// written as its number.
fn literal(text: &str) -> String {
    let plain = |c: char| matches!(c, ' '..='~') || c.is_alphanumeric();
    if text.chars().all(plain) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| plain(c) != plain(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        match plain(first) {
            true => parts.push(format!("'{}'", run.replace('\'', "''"))),
            false => parts.extend(run.chars().map(|c| format!("chr({})", u32::from(c)))),
        }
        rest = after;
    }
    format!("({})", parts.join(" || "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_hold_what_anybody_sent() {
        for (text, sql) in [
            ("http.status_code", "'http.status_code'"),
            ("", "''"),
            ("it's", "'it''s'"),
            ("größe", "'größe'"),
            ("a\u{1b}[2J\n'b", "('a' || chr(27) || '[2J' || chr(10) || '''b')"),
            ("\0", "(chr(0))"),
            ("\u{202e}x", "(chr(8238) || 'x')"),
        ] {
            assert_eq!(literal(text), sql);
        }
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn each_column_stands_once_under_its_key() {
        let promoted = |level, key, kind, name| Promoted { level, key, kind, name };
        let sql = view(
            &["/data/a.parquet".to_owned(), "/data/it's.parquet".to_owned()],
            &[
                promoted(Level::Span, "code", Type::Int, "span_code_int"),
                promoted(Level::Span, "code", Type::String, "span_code"),
                promoted(Level::Event, "x", Type::Bytes, "event_x_bytes"),
            ],
        );
        for part in [
            "CASE WHEN \"span_code_int\" IS NOT NULL THEN {'key': 'code', 'type': 'int', \
             'value': \"span_code_int\"::VARCHAR} END",
            "{'key': 'code', 'type': 'string', 'value': \"span_code\"} END",
            "'value': to_base64(e.\"event_x_bytes\")} END",
            "'attributes': list_concat(CAST([] AS STRUCT",
            "    '/data/a.parquet',\n    '/data/it''s.parquet'\n  ], union_by_name",
        ] {
            assert_eq!(sql.matches(part).count(), 1, "{part:?} in\n{sql}");
        }
    }
}
