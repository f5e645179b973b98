//! `${env:NAME:-default}` inside values, as the OpenTelemetry Collector writes it. One pass, no
//! recursion: what a variable holds is taken as it is.

/// Replaces every `${env:NAME}` and `${env:NAME:-default}` in `text`; `$$` stands for one `$`.
///
/// # Errors
/// A sentence, for an unset variable without a default and for anything else after `${`.
pub(super) fn expand(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(body) = after.strip_prefix('{') {
            let end = body.find('}').ok_or_else(|| format!("`{text}`: `${{` has no `}}`"))?;
            out.push_str(&variable(&body[..end], &lookup)?);
            rest = &body[end + 1..];
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of `env:NAME` or `env:NAME:-default`.
fn variable(body: &str, lookup: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let Some(named) = body.strip_prefix("env:") else {
        return Err(format!(
            "`${{{body}}}` is not known; write ${{env:NAME}} or ${{env:NAME:-default}}"
        ));
    };
    let (name, default) = match named.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (named, None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("`${{{body}}}` does not name an environment variable"));
    }
    // As in a shell, `:-` also stands in for a variable that is set and empty.
    match (lookup(name).filter(|value| default.is_none() || !value.is_empty()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "environment variable {name} is not set; set it, or write ${{env:{name}:-default}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "DIR" => Some("/data".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${env:DIR}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn expansion() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${env:DIR}/lake", "/data/lake"),
            ("${env:NONE:-/tmp}/x", "/tmp/x"),
            ("${env:DIR:-/tmp}", "/data"),
            ("${env:EMPTY}", ""),
            ("${env:EMPTY:-full}", "full"),
            ("${env:NONE:-}", ""),
            ("$${env:DIR}", "${env:DIR}"),
            ("cost 5$", "cost 5$"),
            ("${env:TRICKY}", "${env:DIR}"),
        ] {
            assert_eq!(expand(text, lookup).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_says_why() {
        let unset = expand("${env:NONE}", lookup).expect_err("NONE is not set");
        assert!(unset.contains("NONE is not set"), "{unset}");
        assert!(expand("${env:DIR", lookup).is_err());
        assert!(expand("${DIR}", lookup).expect_err("no env:").contains("${env:NAME}"));
        assert!(expand("${env:}", lookup).is_err());
        assert!(expand("${file:/etc/passwd}", lookup).is_err());
    }
}
