//! `config print`: every key with its value and who set it, as YAML that can be used again, or as
//! JSON. Secrets are replaced by stars, whoever asks.

use std::fmt::Write as _;

use serde_json::json;

use super::load::{Setting, Settings};

/// What stands in for a secret.
const HIDDEN: &str = "******";

/// One line per key: `key: value  # origin`.
pub fn print_text(settings: &Settings) -> String {
    let lines: Vec<(String, String)> = settings
        .all
        .iter()
        .map(|setting| {
            let line = format!("{}: {}", setting.key.name, quoted(&shown(setting)));
            (line, setting.origin.to_string())
        })
        .collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (line, origin) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{line:width$}  # {origin}");
    }
    out
}

/// An array of objects with `key`, `value`, `origin`, `environment` and `description`.
pub fn print_json(settings: &Settings) -> String {
    let all: Vec<_> = settings
        .all
        .iter()
        .map(|setting| {
            json!({
                "key": setting.key.name,
                "value": shown(setting),
                "origin": setting.origin.to_string(),
                "environment": setting.key.env(),
                "description": setting.key.doc,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(all))
}

fn shown(setting: &Setting) -> String {
    if setting.key.secret && !setting.text.is_empty() {
        HIDDEN.to_owned()
    } else {
        setting.text.clone()
    }
}

/// The value as a YAML scalar that reads back as the same text.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-');
    let first = text.chars().next();
    if first.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/'))
        && text.chars().all(plain)
        && text != "null"
    {
        return text.to_owned();
    }
    // `$` begins an expansion when the file is read again.
    serde_json::Value::String(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Key, Kind};
    use super::super::load::Origin;
    use super::super::value::Value;
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        static TOKEN: Key = Key {
            name: "auth.token",
            kind: Kind::Host,
            default: "",
            alias: None,
            secret: true,
            doc: "A token",
        };
        let setting = Setting {
            key: &TOKEN,
            text: "hunter2".to_owned(),
            value: Value::Text("hunter2".to_owned()),
            origin: Origin::Environment("SPANLAKE_AUTH_TOKEN".to_owned()),
        };
        let settings = Settings { all: vec![setting], ..Settings::default() };
        for printed in [print_text(&settings), print_json(&settings)] {
            assert!(!printed.contains("hunter2"), "{printed}");
            assert!(
                printed.contains(HIDDEN) && printed.contains("SPANLAKE_AUTH_TOKEN"),
                "{printed}"
            );
        }
    }
}
