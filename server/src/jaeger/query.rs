//! `TraceQueryParameters` as the engine's [`TraceQuery`]: presence, defaults, limits and refusals
//! of jaeger-contract §1.2, §1.12 and §2, for direct callers too, since older Jaegers check
//! little.

use prost::Message as _;
use spanlake::{AttributeEquals, Cursor, SEARCH_DEPTH_DEFAULT, SEARCH_DEPTH_MAX, TraceQuery};
use spanlake_proto::jaeger::storage::v2::{KeyValue, Pagination, TraceQueryParameters};

use super::time::{Bound, bound, duration};
use super::{filter, token};
use crate::status::Refusal;

/// A search, translated.
#[derive(Debug, PartialEq)]
pub(super) struct Search {
    pub(super) query: TraceQuery,
    /// True where the caller asked for more traces than one search returns.
    pub(super) cut: bool,
    /// The page asked for; `None` where the caller wants no pages.
    pub(super) page: Option<Asked>,
}

/// One page of a search; its size is the query's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// Where the page before it ended; `None` for the first page.
    pub(super) after: Option<Cursor>,
}

impl Search {
    /// The token with which the next page is asked for; empty where there is none.
    pub(super) fn token(&self, next: Option<Cursor>) -> String {
        next.map_or_else(String::new, |cursor| token::write(&self.query, cursor))
    }
}

/// Whether the search may be asked in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// `FindTraces`: its answer has no place for a token.
    Never,
    /// The others.
    Served,
}

/// Translates a search.
///
/// # Errors
/// Whatever a caller may send that has no meaning here.
pub(super) fn search(
    parameters: Option<TraceQueryParameters>,
    pages: Pages,
) -> Result<Search, Refusal> {
    let Some(parameters) = parameters else {
        return Err(Refusal::invalid("the request has no query"));
    };
    let duration_min = duration("duration_min", parameters.duration_min.as_ref())?;
    let duration_max = duration("duration_max", parameters.duration_max.as_ref())?;
    if let Some(filter) = &parameters.filter {
        let legacy = !parameters.service_name.is_empty()
            || !parameters.operation_name.is_empty()
            || !parameters.attributes.is_empty()
            || duration_min.is_some()
            || duration_max.is_some();
        return Err(filter::refuse(filter, legacy));
    }
    let (limit, cut) = limit(&parameters, pages)?;
    let (start_min, start_max) = window(&parameters)?;
    let query = TraceQuery {
        service: named(parameters.service_name),
        operation: named(parameters.operation_name),
        attributes: parameters.attributes.into_iter().map(attribute).collect(),
        start_min,
        start_max,
        duration_min,
        duration_max,
        filter: None,
        limit,
    };
    let page = match &parameters.pagination {
        Some(pagination) => Some(Asked { after: token::read(&query, &pagination.page_token)? }),
        None => None,
    };
    Ok(Search { query, cut, page })
}

fn named(name: String) -> Option<String> {
    Some(name).filter(|name| !name.is_empty())
}

/// Production sends text, direct callers typed values; both mean the value's text.
fn attribute(pair: KeyValue) -> AttributeEquals {
    let value = pair.value.unwrap_or_default().encode_to_vec();
    AttributeEquals { key: pair.key, value: spanlake::otlp::value::as_string(&value) }
}

fn limit(parameters: &TraceQueryParameters, pages: Pages) -> Result<(usize, bool), Refusal> {
    let wanted: i64 = match &parameters.pagination {
        None => parameters.search_depth.into(),
        Some(pagination) => page(pagination, parameters.search_depth, pages)?.into(),
    };
    let Some(wanted) = usize::try_from(wanted).ok().filter(|wanted| *wanted > 0) else {
        return Ok((SEARCH_DEPTH_DEFAULT, false));
    };
    // A page may be shorter than asked; a search depth that is cut is told.
    let cut = wanted > SEARCH_DEPTH_MAX && parameters.pagination.is_none();
    Ok((wanted.min(SEARCH_DEPTH_MAX), cut))
}

fn page(pagination: &Pagination, search_depth: i32, pages: Pages) -> Result<u32, Refusal> {
    let fault = if pages == Pages::Never {
        "FindTraces has no pages: page FindTraceIDs or FindTraceSummaries"
    } else if pagination.page_size == 0 {
        "page_size must be at least 1"
    } else if search_depth != 0 {
        "search_depth must be 0 beside it"
    } else {
        return Ok(pagination.page_size);
    };
    Err(token::invalid(fault))
}

/// The bounds; a window in which no span can lie becomes an inverted one.
fn window(parameters: &TraceQueryParameters) -> Result<(Option<u64>, Option<u64>), Refusal> {
    const EMPTY: (Option<u64>, Option<u64>) = (Some(1), Some(0));
    let min = bound("start_time_min", parameters.start_time_min.as_ref())?;
    let max = bound("start_time_max", parameters.start_time_max.as_ref())?;
    let start_min = match min {
        Bound::AfterAll => return Ok(EMPTY),
        Bound::At(nanos) => Some(nanos),
        Bound::Unset | Bound::BeforeAll => None,
    };
    let start_max = match max {
        Bound::BeforeAll => return Ok(EMPTY),
        Bound::At(nanos) => Some(nanos),
        Bound::Unset | Bound::AfterAll => None,
    };
    Ok((start_min, start_max))
}

#[cfg(test)]
mod tests {
    use prost_types::{Duration, Timestamp};
    use spanlake_proto::jaeger::expression::v1::Call;
    use spanlake_proto::jaeger::storage::v2::{AnyValue, any_value::Value};

    use super::*;

    fn ok(parameters: TraceQueryParameters) -> Search {
        search(Some(parameters), Pages::Served).unwrap()
    }

    fn reason(parameters: TraceQueryParameters, pages: Pages) -> Option<&'static str> {
        let refusal = search(Some(parameters), pages).unwrap_err();
        refusal.reason
    }

    #[test]
    fn what_an_old_go_client_sends_when_nothing_is_set_is_open() {
        let zero = Some(Timestamp { seconds: -62_135_596_800, nanos: 0 });
        let nothing = Some(Duration::default());
        let sent = TraceQueryParameters {
            start_time_min: zero,
            start_time_max: zero,
            duration_min: nothing,
            duration_max: nothing,
            ..TraceQueryParameters::default()
        };
        let expected = Search { query: TraceQuery::default(), cut: false, page: None };
        assert_eq!(ok(sent), expected);
    }

    #[test]
    fn each_field_goes_to_its_place() {
        let sent = TraceQueryParameters {
            service_name: "shop".into(),
            operation_name: "GET /".into(),
            start_time_min: Some(Timestamp { seconds: 1, nanos: 0 }),
            start_time_max: Some(Timestamp { seconds: 2, nanos: 0 }),
            duration_min: Some(Duration { seconds: 3, nanos: 0 }),
            duration_max: Some(Duration { seconds: 4, nanos: 0 }),
            search_depth: 20,
            ..TraceQueryParameters::default()
        };
        let second = 1_000_000_000;
        let expected = TraceQuery {
            service: Some("shop".into()),
            operation: Some("GET /".into()),
            attributes: vec![],
            start_min: Some(second),
            start_max: Some(2 * second),
            duration_min: Some(3 * second),
            duration_max: Some(4 * second),
            limit: 20,
            ..TraceQuery::default()
        };
        assert_eq!(ok(sent).query, expected);
    }

    #[test]
    fn typed_values_become_their_text() {
        let pair = |key: &str, value| KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(value) }),
        };
        let sent = TraceQueryParameters {
            attributes: vec![
                pair("s", Value::StringValue("x".into())),
                pair("i", Value::IntValue(500)),
                pair("d", Value::DoubleValue(72.5)),
                pair("w", Value::DoubleValue(72.0)),
                pair("b", Value::BoolValue(true)),
                KeyValue { key: "none".into(), value: None },
            ],
            ..TraceQueryParameters::default()
        };
        let texts: Vec<_> =
            ok(sent).query.attributes.into_iter().map(|a| (a.key, a.value)).collect();
        let expected =
            [("s", "x"), ("i", "500"), ("d", "72.5"), ("w", "72"), ("b", "true"), ("none", "")];
        assert_eq!(texts, expected.map(|(k, v)| (k.into(), v.into())));
    }

    #[test]
    fn depth_has_a_default_and_a_cap_that_is_told() {
        for (depth, limit, cut) in [
            (0, 100, false),
            (-7, 100, false),
            (i32::MIN, 100, false),
            (1, 1, false),
            (10_000, 10_000, false),
            (10_001, 10_000, true),
            (i32::MAX, 10_000, true),
        ] {
            let search =
                ok(TraceQueryParameters { search_depth: depth, ..TraceQueryParameters::default() });
            assert_eq!((search.query.limit, search.cut), (limit, cut), "{depth}");
        }
    }

    #[test]
    fn windows_that_hold_no_span_are_inverted_not_open() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let window = |start_time_min, start_time_max| {
            let query = ok(TraceQueryParameters {
                start_time_min,
                start_time_max,
                ..TraceQueryParameters::default()
            })
            .query;
            (query.start_min, query.start_max)
        };
        assert_eq!(window(at(-5), at(i64::MAX)), (None, None));
        assert_eq!(window(None, at(-5)), (Some(1), Some(0)));
        assert_eq!(window(at(i64::MAX), None), (Some(1), Some(0)));
        assert_eq!(window(at(0), at(0)), (Some(0), Some(0)));
    }

    #[test]
    fn pages_keep_their_rules() {
        let paged = |page_size, token: &str, search_depth| TraceQueryParameters {
            search_depth,
            pagination: Some(Pagination { page_size, page_token: token.into() }),
            ..TraceQueryParameters::default()
        };
        assert_eq!(ok(paged(7, "", 0)).query.limit, 7);
        let large = ok(paged(u32::MAX, "", 0));
        assert_eq!((large.query.limit, large.cut), (10_000, false));
        for (sent, pages) in [
            (paged(0, "", 0), Pages::Served),
            (paged(7, "", 1), Pages::Served),
            (paged(7, "", -1), Pages::Served),
            (paged(7, "", 0), Pages::Never),
            (paged(7, "token", 0), Pages::Served),
        ] {
            assert_eq!(reason(sent, pages), Some("PAGINATION_INVALID"));
        }

        let first = ok(paged(7, "", 0));
        assert_eq!(first.page, Some(Asked { after: None }));
        let end = Cursor { newest_match: 5, trace_id: spanlake::TraceId([3; 16]) };
        let next = ok(paged(8, &first.token(Some(end)), 0));
        assert_eq!(next.page, Some(Asked { after: Some(end) }));
        assert_eq!(first.token(None), "");
        let other = TraceQueryParameters {
            service_name: "shop".into(),
            ..paged(7, &first.token(Some(end)), 0)
        };
        let refusal = search(Some(other), Pages::Served).unwrap_err();
        assert!(refusal.message.contains("different query"), "{}", refusal.message);
    }

    #[test]
    fn filters_and_missing_queries_are_refused() {
        let sent = TraceQueryParameters {
            filter: Some(Call::default()),
            ..TraceQueryParameters::default()
        };
        assert_eq!(reason(sent, Pages::Served), Some("FILTER_INVALID"));
        assert!(search(None, Pages::Served).unwrap_err().message.contains("no query"));
    }
}
