//! A search as the JSON body of `POST /explain`. The command line writes it, anyone may; an
//! unknown name in it is an error. Times and durations are integers of nanoseconds.

use serde::{Deserialize, Serialize};
use spanlake::{AttributeEquals, SEARCH_DEPTH_DEFAULT, SEARCH_DEPTH_MAX, TraceQuery};

/// The body; what is absent is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ask {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_min: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_min: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag {
    key: String,
    value: String,
}

impl From<&TraceQuery> for Ask {
    fn from(query: &TraceQuery) -> Self {
        let tag = |a: &AttributeEquals| Tag { key: a.key.clone(), value: a.value.clone() };
        Self {
            service: query.service.clone(),
            operation: query.operation.clone(),
            tags: query.attributes.iter().map(tag).collect(),
            start_min: query.start_min,
            start_max: query.start_max,
            duration_min: query.duration_min,
            duration_max: query.duration_max,
            limit: Some(query.limit),
        }
    }
}

impl Ask {
    /// Reads a body; an empty one asks for the newest traces.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub(super) fn read(body: &[u8]) -> Result<TraceQuery, String> {
        let ask: Self = match body.trim_ascii() {
            b"" => Self::default(),
            text => serde_json::from_slice(text).map_err(|error| error.to_string())?,
        };
        let limit = ask.limit.unwrap_or(SEARCH_DEPTH_DEFAULT);
        if !(1..=SEARCH_DEPTH_MAX).contains(&limit) {
            return Err(format!("limit is {limit}; it lies between 1 and {SEARCH_DEPTH_MAX}"));
        }
        let attribute = |tag: Tag| AttributeEquals { key: tag.key, value: tag.value };
        Ok(TraceQuery {
            service: ask.service,
            operation: ask.operation,
            attributes: ask.tags.into_iter().map(attribute).collect(),
            start_min: ask.start_min,
            start_max: ask.start_max,
            duration_min: ask.duration_min,
            duration_max: ask.duration_max,
            filter: None,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_comes_back_as_it_was() {
        let query = TraceQuery {
            service: Some("shop".into()),
            operation: Some("GET /".into()),
            attributes: vec![AttributeEquals { key: "k".into(), value: "\"v\"".into() }],
            start_min: Some(1),
            start_max: Some(u64::MAX),
            duration_min: Some(3),
            duration_max: Some(4),
            limit: 7,
            ..TraceQuery::default()
        };
        for query in [query, TraceQuery::default()] {
            let body = serde_json::to_vec(&Ask::from(&query)).unwrap();
            assert_eq!(Ask::read(&body).unwrap(), query);
        }
        assert_eq!(Ask::read(b" \n").unwrap(), TraceQuery::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, word) in [
            (r#"{"servce": "x"}"#, "servce"),
            (r#"{"limit": 0}"#, "limit"),
            (r#"{"limit": 10001}"#, "limit"),
            (r#"{"tags": [{"key": "k"}]}"#, "value"),
            (r#"{"start_min": -1}"#, "-1"),
            ("{", "EOF"),
        ] {
            let fault = Ask::read(body.as_bytes()).unwrap_err();
            assert!(fault.contains(word), "{body}: {fault}");
        }
    }
}
