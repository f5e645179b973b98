//! Flags of `services`, `traces` and `trace`.
//!
//! The command line flows in, an engine's question flows out. Wrong values are told apart here, so
//! that a typing error is a usage error and never an empty answer.

use clap::{Args, ValueEnum};
use spanlake::{AttributeEquals, SEARCH_DEPTH_MAX, TraceId, TraceQuery};

use super::time::{parse_duration, parse_moment};
use crate::client::{AdminPlace, Place};

const SERVICES_JSON: &str = "\
JSON (moments: strings of ns since 1970; *_nano: integers):
  {\"services\": [{name, spans, errors, calls, p50_nano, p95_nano, operations?: [{name, kind}]}],
   \"sample\": {traces, spans, errors, complete, oldest_start_unix_nano, newest_start_unix_nano}}
  All figures are of the sample; calls are spans whose parent is in another service or missing.";

const TRACES_JSON: &str = "\
All conditions must hold on one span of the trace.

JSON (moments: strings of ns since 1970; *_nano: integers; ids: hex):
  {\"traces\": [{trace_id, root_service, root_operation, start_unix_nano, duration_nano, spans,
    errors, orphans, services: [{name, spans, errors}]}]}";

const EXPLAIN_JSON: &str = "\
The search is run, and how it was answered is told. All conditions must hold on one span.

JSON: {predicate, required: [...], start: [from, to], duration_min, head: [chunks, rows],
  segments: [{name, rows, fate, terms: [[term, blocks]]}], found, nanos, counts: {name: count}};
  more names may come.";

const SEGMENTS_JSON: &str = "\
JSON (moments: strings of ns since 1970):
  {\"segments\": [{name, tenancy, partition, spans, traces, bytes, min_start_unix_nano,
    max_start_unix_nano, max_end_unix_nano}]}";

const TRACE_JSON: &str = "\
JSON (moments: strings of ns since 1970; *_nano: integers; ids: hex; bytes: base64):
  {trace_id, start_unix_nano, duration_nano, errors, orphans, services: [{name, spans, errors}],
   \"spans\": [{trace_id, span_id, parent_span_id, service, name, kind, start_unix_nano,
     end_unix_nano, duration_nano, status: {code, message}, trace_state, flags, attributes,
     events: [{time_unix_nano, name, attributes, dropped_attributes}],
     links: [{trace_id, span_id, trace_state, flags, attributes, dropped_attributes}],
     dropped: {attributes, events, links}, resource: {attributes, schema_url},
     scope: {name, version, attributes, schema_url}}]}
  attributes: [{key, type, value}], type = string, bool, int, double, bytes, array, map, empty or\n  undecoded (base64 of what is no value, or nested too deep)";

/// `spanlake services`
#[derive(Debug, Args)]
#[command(after_help = SERVICES_JSON)]
pub struct ServicesArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// List each service's operations too
    #[arg(long)]
    pub(crate) operations: bool,
    /// Newest traces to read for the figures; 0 reads none
    #[arg(long, value_name = "TRACES", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=SEARCH_DEPTH_MAX as i64))]
    pub(crate) sample: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// `spanlake traces`
#[derive(Debug, Args)]
#[command(after_help = TRACES_JSON)]
pub struct TracesArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// `spanlake explain`
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_JSON)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub(crate) place: AdminPlace,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `spanlake segments`
#[derive(Debug, Args)]
#[command(after_help = SEGMENTS_JSON)]
pub struct SegmentsArgs {
    #[command(flatten)]
    pub(crate) place: AdminPlace,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print SQL that makes DuckDB's view `spans` over these files, every attribute included
    #[arg(long, conflicts_with = "json")]
    pub(crate) duckdb: bool,
}

/// `spanlake flush`
#[derive(Debug, Args)]
pub struct FlushArgs {
    #[command(flatten)]
    pub(crate) place: AdminPlace,
    /// Return when no background work is due
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What to search for.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// A span of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// A span of this name
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// A span of this status
    #[arg(long)]
    status: Option<Status>,
    /// A span at least this long (250ms, 1.5s, 2m)
    #[arg(long, value_name = "DURATION", value_parser = parse_bound)]
    min_duration: Option<u64>,
    /// A span at most this long
    #[arg(long, value_name = "DURATION", value_parser = parse_bound)]
    max_duration: Option<u64>,
    /// A span with this attribute, on itself, its events, links, scope or resource; repeat for more
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    tags: Vec<AttributeEquals>,
    /// Started at or after: how long ago (2h) or a moment in UTC (2026-11-21T09:00)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Started at or before
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Traces at most
    #[arg(long, value_name = "TRACES", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=SEARCH_DEPTH_MAX as i64))]
    limit: u32,
}

/// `spanlake trace`
#[derive(Debug, Args)]
#[command(after_help = TRACE_JSON)]
pub struct TraceArgs {
    /// The trace's id, 1 to 32 hex digits
    #[arg(value_name = "ID", value_parser = parse_id)]
    pub(crate) id: TraceId,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Draw every span, however many there are
    #[arg(long)]
    pub(crate) all: bool,
    /// Show all attributes, events and stack traces
    #[arg(long, short)]
    pub(crate) attributes: bool,
    /// Print JSON instead of a drawing
    #[arg(long, conflicts_with_all = ["all", "attributes"])]
    pub(crate) json: bool,
}

/// A span's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Error,
    Ok,
    Unset,
}

impl SearchArgs {
    /// The question, asked at `now`.
    ///
    /// # Errors
    /// A sentence about the flag that is wrong.
    pub(crate) fn query(&self, now: u64) -> Result<TraceQuery, String> {
        let moment = |flag: &str, text: &Option<String>| match text {
            Some(text) => parse_moment(text, now).map(Some).map_err(|e| format!("{flag}: {e}")),
            None => Ok(None),
        };
        let query = TraceQuery {
            service: self.service.clone(),
            operation: self.operation.clone(),
            attributes: self.attributes(),
            start_min: moment("--since", &self.since)?,
            start_max: moment("--until", &self.until)?,
            duration_min: self.min_duration,
            duration_max: self.max_duration,
            filter: None,
            limit: self.limit as usize,
        };
        ordered(query.start_min, query.start_max, "--since is after --until")?;
        ordered(query.duration_min, query.duration_max, "--min-duration is above --max-duration")?;
        Ok(query)
    }

    fn attributes(&self) -> Vec<AttributeEquals> {
        let mut attributes = self.tags.clone();
        // Jaeger's words for a status (jaeger-contract §2.6): `error` is known to every backend.
        let status = self.status.map(|status| match status {
            Status::Error => ("error", "true"),
            Status::Ok => ("span.status", "OK"),
            Status::Unset => ("span.status", "UNSET"),
        });
        attributes.extend(
            status.map(|(key, value)| AttributeEquals { key: key.into(), value: value.into() }),
        );
        attributes
    }
}

fn ordered(low: Option<u64>, high: Option<u64>, wrong: &str) -> Result<(), String> {
    match (low, high) {
        (Some(low), Some(high)) if low > high => Err(wrong.to_owned()),
        _ => Ok(()),
    }
}

fn parse_tag(text: &str) -> Result<AttributeEquals, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok(AttributeEquals { key: key.into(), value: value.into() })
        }
        _ => Err("write KEY=VALUE, for instance http.response.status_code=500".to_owned()),
    }
}

/// Jaeger's API says 0 for "no bound", so a bound of 0 cannot be asked.
fn parse_bound(text: &str) -> Result<u64, String> {
    match parse_duration(text)? {
        0 => Err("a bound of 0 cannot be asked; leave the flag out, or write 1ns".to_owned()),
        nanos => Ok(nanos),
    }
}

fn parse_id(text: &str) -> Result<TraceId, String> {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    match TraceId::from_hex(text) {
        Ok(id) if digits => Ok(id),
        _ => Err("a trace id is 1 to 32 hex digits".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Traces {
        #[command(flatten)]
        args: TracesArgs,
    }

    #[derive(Debug, Parser)]
    struct One {
        #[command(flatten)]
        args: TraceArgs,
    }

    fn query(flags: &str) -> Result<TraceQuery, String> {
        let words = std::iter::once("traces").chain(flags.split_whitespace());
        let parsed = Traces::try_parse_from(words).map_err(|e| e.to_string())?;
        parsed.args.search.query(7_200_000_000_000)
    }

    fn pair(key: &str, value: &str) -> AttributeEquals {
        AttributeEquals { key: key.into(), value: value.into() }
    }

    #[test]
    fn flags_become_a_question() {
        let all = query(
            "--service cart --operation Get --status error --min-duration 1.5s --max-duration 2m \
             --tag a=b=c --tag empty= --since 2h --until 1h --limit 5",
        );
        assert_eq!(
            all,
            Ok(TraceQuery {
                service: Some("cart".into()),
                operation: Some("Get".into()),
                attributes: vec![pair("a", "b=c"), pair("empty", ""), pair("error", "true")],
                start_min: Some(0),
                start_max: Some(3_600_000_000_000),
                duration_min: Some(1_500_000_000),
                duration_max: Some(120_000_000_000),
                limit: 5,
                ..TraceQuery::default()
            })
        );
        assert_eq!(query(""), Ok(TraceQuery { limit: 20, ..TraceQuery::default() }));
        let status = |flags| query(flags).unwrap().attributes;
        assert_eq!(status("--status ok"), [pair("span.status", "OK")]);
        assert_eq!(status("--status unset"), [pair("span.status", "UNSET")]);
    }

    #[test]
    fn wrong_flags_are_usage_errors() {
        for wrong in [
            "--status bad",
            "--tag nothing",
            "--tag =v",
            "--limit 0",
            "--limit 10001",
            "--min-duration 5",
            "--max-duration 0s",
            "--since yesterday",
            "--since 1h --until 2h",
            "--min-duration 2s --max-duration 1s",
            "--server localhost --data-dir x",
        ] {
            assert!(query(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_are_hex_of_any_length() {
        let id = |text| One::try_parse_from(["trace", text]).map(|one| one.args.id.to_string());
        assert_eq!(id("AbC").unwrap(), format!("{:0>32}", "abc"));
        for wrong in ["", "xyz", "+12", &"1".repeat(33)] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
