//! A question as one line for a log: keys and services by name, no values of attributes and no
//! names of operations, which may be anything. Short however large the question is.

use super::request::TraceQuery;

/// Attributes and characters of a name that the line tells.
const ATTRIBUTES_MAX: usize = 16;
const NAME_CHARS_MAX: usize = 128;

impl TraceQuery {
    /// The question as one line for a log: services and keys by name, without values of
    /// attributes and names of operations.
    pub fn outline(&self) -> String {
        let mut parts = Vec::new();
        if let Some(service) = &self.service {
            parts.push(format!("service {}", quoted(service)));
        }
        if self.operation.is_some() {
            parts.push("operation ?".to_owned());
        }
        for wanted in self.attributes.iter().take(ATTRIBUTES_MAX) {
            parts.push(format!("attribute {} = ?", quoted(&wanted.key)));
        }
        if let Some(more @ 1..) = self.attributes.len().checked_sub(ATTRIBUTES_MAX) {
            parts.push(format!("{more} more attributes"));
        }
        if self.filter.is_some() {
            parts.push("a filter".to_owned());
        }
        let ranges = [
            ("start", self.start_min, self.start_max),
            ("duration", self.duration_min, self.duration_max),
        ];
        for (name, min, max) in ranges {
            if min.is_some() || max.is_some() {
                let side = |bound: Option<u64>| bound.map_or_else(String::new, |n| n.to_string());
                parts.push(format!("{name} {}..={} ns", side(min), side(max)));
            }
        }
        let what = if parts.is_empty() { "any span".to_owned() } else { parts.join(", ") };
        format!("the {} newest traces: {what}", self.limit)
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttributeEquals;

    #[test]
    fn keys_are_told_and_values_are_not() {
        let query = TraceQuery {
            service: Some("shop".into()),
            operation: Some("GET /secret".into()),
            attributes: vec![AttributeEquals { key: "user".into(), value: "alice".into() }],
            start_max: Some(7),
            duration_min: Some(5),
            limit: 20,
            ..TraceQuery::default()
        };
        assert_eq!(
            query.outline(),
            "the 20 newest traces: service \"shop\", operation ?, attribute \"user\" = ?, start \
             ..=7 ns, duration 5..= ns"
        );
        let many = TraceQuery {
            attributes: vec![AttributeEquals { key: "é".repeat(9999), value: "v".into() }; 999],
            ..TraceQuery::default()
        };
        let line = many.outline();
        assert!(line.len() < 8000 && line.ends_with("983 more attributes"), "{}", line.len());
        let all = TraceQuery { limit: 3, ..TraceQuery::default() };
        assert_eq!(all.outline(), "the 3 newest traces: any span");
    }
}
