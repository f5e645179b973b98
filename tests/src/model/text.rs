//! Attribute values as text, as Go's `pcommon.Value.AsString` gives it (jaeger-contract §2.4).
//! A decoded `AnyValue` flows in, text flows out. The tests' table was printed by pdata v1.61.0
//! (collector v0.155), which writes `<`, `>` and `&` in lists and maps as they are; the version
//! inside Jaeger 2.13 (v1.46) still escaped them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Item, Node};

/// The text of a value; `None` (no value at all) and an empty value are `""`.
pub fn as_string(value: Option<&Node>) -> String {
    match value.and_then(content) {
        None => String::new(),
        Some((1, item)) => String::from_utf8_lossy(raw(item)).into_owned(),
        Some((2, item)) => bool_text(item).to_owned(),
        Some((3, Item::Number(n))) => (*n as i64).to_string(),
        Some((4, Item::Number(bits))) => double(f64::from_bits(*bits)),
        Some((7, item)) => STANDARD.encode(raw(item)),
        Some((5 | 6, _)) => {
            let mut out = String::new();
            // Go's encoder refuses NaN and infinities, and AsString drops the error.
            if json(&mut out, value) { out } else { String::new() }
        }
        Some(_) => String::new(),
    }
}

/// The one member of the oneof that is set.
fn content(value: &Node) -> Option<(u32, &Item)> {
    value.fields.iter().next().and_then(|(number, items)| Some((*number, items.last()?)))
}

fn raw(item: &Item) -> &[u8] {
    match item {
        Item::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn bool_text(item: &Item) -> &'static str {
    if *item == Item::Number(0) { "false" } else { "true" }
}

fn double(x: f64) -> String {
    if x.is_nan() {
        "NaN".to_owned()
    } else if x.is_infinite() {
        if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        finite(x)
    }
}

/// ES6 style: plain between 1e-6 and 1e21, else with a signed exponent; shortest digits.
fn finite(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // Rust prints 1e21 as "1e21", JavaScript and Go as "1e+21".
        let text = format!("{x:e}");
        match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
            _ => text,
        }
    } else {
        format!("{x}")
    }
}

/// Writes a value as Go's JSON; false where Go gives up.
fn json(out: &mut String, value: Option<&Node>) -> bool {
    match value.and_then(content) {
        Some((1, item)) => quote(out, raw(item)),
        Some((2, item)) => out.push_str(bool_text(item)),
        Some((3, Item::Number(n))) => out.push_str(&(*n as i64).to_string()),
        Some((4, Item::Number(bits))) => {
            let x = f64::from_bits(*bits);
            if !x.is_finite() {
                return false;
            }
            out.push_str(&finite(x));
        }
        Some((5, Item::Node(list))) => return json_list(out, list),
        Some((6, Item::Node(map))) => return json_map(out, map),
        // An empty byte slice is nil in Go, and nil is null.
        Some((7, item)) if !raw(item).is_empty() => {
            out.push('"');
            out.push_str(&STANDARD.encode(raw(item)));
            out.push('"');
        }
        _ => out.push_str("null"),
    }
    true
}

fn json_list(out: &mut String, list: &Node) -> bool {
    out.push('[');
    for (at, value) in list.nodes(1).enumerate() {
        if at > 0 {
            out.push(',');
        }
        if !json(out, Some(value)) {
            return false;
        }
    }
    out.push(']');
    true
}

fn json_map(out: &mut String, map: &Node) -> bool {
    // A Go map: the last of equal keys wins, and the encoder sorts by bytes.
    let sorted: BTreeMap<&[u8], Option<&Node>> =
        map.nodes(1).map(|pair| (pair.bytes(1), pair.node(2))).collect();
    out.push('{');
    for (at, (key, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote(out, key);
        out.push(':');
        if !json(out, value) {
            return false;
        }
    }
    out.push('}');
    true
}

fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        // Go replaces byte by byte.
        for _ in chunk.invalid() {
            out.push_str("\\ufffd");
        }
    }
    out.push('"');
}

/// What Go's `strconv.ParseBool` makes of a text.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::wire::ANY_VALUE;

    fn value(field: u32, item: Item) -> Node {
        let mut node = Node::default();
        node.fields.insert(field, vec![item]);
        node
    }

    fn list(values: Vec<Node>) -> Node {
        value(5, Item::Node(Node::default().with_nodes(1, values)))
    }

    fn text(s: &[u8]) -> Node {
        value(1, Item::Bytes(s.to_vec()))
    }

    /// Printed by pdata v1.61.0: bits, text alone, text in a list of one.
    const DOUBLES: &[(u64, &str, &str)] = &[
        (0, "0", "[0]"),
        (0x8000000000000000, "-0", "[-0]"),
        (0x3ff0000000000000, "1", "[1]"),
        (0x4052000000000000, "72", "[72]"),
        (0x4052200000000000, "72.5", "[72.5]"),
        (0x4415af1d78b58c40, "100000000000000000000", "[100000000000000000000]"),
        (0x444b1ae4d6e2ef50, "1e+21", "[1e+21]"),
        (0x4454542ba12a337c, "1.5e+21", "[1.5e+21]"),
        (0x437b69b4ba630f35, "123456789012345680", "[123456789012345680]"),
        (0x3eb0c6f7a0b5ed8d, "0.000001", "[0.000001]"),
        (0x3eb0c2ac1dbbe3d8, "9.99e-7", "[9.99e-7]"),
        (0x3e7ad7f29abcaf48, "1e-7", "[1e-7]"),
        (0x3e80c6f7a0b5ed8d, "1.25e-7", "[1.25e-7]"),
        (0x3ddb7cdfd9d7bdbb, "1e-10", "[1e-10]"),
        (1, "5e-324", "[5e-324]"),
        (0x7fefffffffffffff, "1.7976931348623157e+308", "[1.7976931348623157e+308]"),
        (0x3fb999999999999a, "0.1", "[0.1]"),
        (0x3fd5555555555555, "0.3333333333333333", "[0.3333333333333333]"),
        (0x4059000000000000, "100", "[100]"),
        (0x7e37e43c8800759c, "1e+300", "[1e+300]"),
        (0xbe112e0be826d695, "-1e-9", "[-1e-9]"),
        (0xc44b1ae4d6e2ef50, "-1e+21", "[-1e+21]"),
        (0x7ff8000000000001, "NaN", ""),
        (0x7ff0000000000000, "Infinity", ""),
        (0xfff0000000000000, "-Infinity", ""),
        (0x4340000000000000, "9007199254740992", "[9007199254740992]"),
        (0x3ec4f8b588e368f1, "0.0000025", "[0.0000025]"),
    ];

    /// Printed by pdata v1.61.0: a string in a list of one.
    const STRINGS: &[(&[u8], &str)] = &[
        (b"<a href=\"x\">&'</a>", r#"["<a href=\"x\">&'</a>"]"#),
        ("\u{2028}\u{2029}".as_bytes(), r#"["\u2028\u2029"]"#),
        (b"\x08\x0c\n\r\t\x00\x1f\x7f\\/\"", "[\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\\\\/\\\"\"]"),
        (b"\xff\xfe", r#"["\ufffd\ufffd"]"#),
        (b"a\xc3", r#"["a\ufffd"]"#),
        (b"\xed\xa0\x80", r#"["\ufffd\ufffd\ufffd"]"#),
        (b"\xf0\x9f\x98", r#"["\ufffd\ufffd\ufffd"]"#),
        ("😀é\u{fffd}".as_bytes(), "[\"😀é\u{fffd}\"]"),
    ];

    /// The oracle and the engine, both against what Go printed.
    fn both(value: &Node, expected: &str) {
        assert_eq!(as_string(Some(value)), expected, "the oracle");
        let bytes = value.encode(&ANY_VALUE);
        assert_eq!(spanlake::otlp::value::as_string(&bytes), expected, "the engine");
    }

    #[test]
    fn doubles_read_as_go_prints_them() {
        for (bits, alone, listed) in DOUBLES {
            let double = value(4, Item::Number(*bits));
            both(&double, alone);
            both(&list(vec![double]), listed);
        }
    }

    #[test]
    fn strings_in_lists_read_as_go_prints_them() {
        for (bytes, listed) in STRINGS {
            both(&list(vec![text(bytes)]), listed);
        }
    }

    #[test]
    fn scalars_read_as_go_prints_them() {
        both(&Node::default(), "");
        both(&text(b""), "");
        both(&text(b"<&>"), "<&>");
        both(&value(2, Item::Number(0)), "false");
        both(&value(2, Item::Number(1)), "true");
        both(&value(3, Item::Number(i64::MIN as u64)), "-9223372036854775808");
        both(&value(7, Item::Bytes(Vec::new())), "");
        both(&value(7, Item::Bytes(vec![1, 2, 255, 254])), "AQL//g==");
    }

    #[test]
    fn lists_and_maps_read_as_go_prints_them() {
        both(&list(vec![]), "[]");
        both(&value(6, Item::Node(Node::default())), "{}");
        let mixed = vec![
            value(7, Item::Bytes(Vec::new())),
            value(7, Item::Bytes(vec![0, 1, 2, 250])),
            Node::default(),
            text(b""),
            value(3, Item::Number(i64::MIN as u64)),
            value(2, Item::Number(1)),
            list(vec![]),
            value(6, Item::Node(Node::default())),
        ];
        let printed = r#"[null,"AAEC+g==",null,"",-9223372036854775808,true,[],{}]"#;
        both(&list(mixed), printed);

        let pair = |key: &[u8], v: Node| Node::default().with_bytes(1, key).with_node(2, v);
        let map = Node::default().with_nodes(
            1,
            [
                pair(b"b", text(b"1")),
                pair(b"a", text(b"2")),
                pair(b"b", text(b"3")),
                pair("é".as_bytes(), text(b"4")),
                pair(b"\xff", text(b"5")),
                pair(b"B", text(b"6")),
                Node::default(),
            ],
        );
        let printed =
            "{\"\":null,\"B\":\"6\",\"a\":\"2\",\"b\":\"3\",\"é\":\"4\",\"\\ufffd\":\"5\"}";
        both(&value(6, Item::Node(map)), printed);
    }
}
