//! Page tokens: where a search's next page begins, as text that any replica understands without
//! remembering anything (jaeger-contract §1.12). In flow a query and a cursor, out flows a token,
//! and back; a token of another query and every damaged byte are told, never guessed around.
//!
//! A token is 45 bytes as unpadded URL-safe base64, 60 characters with no bit to spare: version,
//! hash of the query, the cursor (start, trace id), and a checksum of all that. It is no secret and
//! no signature: who makes one up moves within an answer that he may ask for anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use spanlake::{Cursor, TraceId, TraceQuery};
use twox_hash::{XxHash3_64, XxHash3_128};

use crate::status::Refusal;

const VERSION: u8 = 1;
/// Where the parts end: version, hash, start, trace id, checksum.
const HASH_END: usize = 1 + 16;
const START_END: usize = HASH_END + 8;
const TRACE_END: usize = START_END + 16;
const BYTES: usize = TRACE_END + 4;
/// No token of any version will be longer; what is longer is not even decoded.
const TEXT_MAX: usize = 256;

/// The token of the page that begins after `cursor`.
pub(super) fn write(query: &TraceQuery, cursor: Cursor) -> String {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(&hash(query));
    bytes.extend_from_slice(&cursor.newest_match.to_be_bytes());
    bytes.extend_from_slice(&cursor.trace_id.0);
    bytes.extend_from_slice(&checksum(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where the page asked for begins; `None` for the first.
///
/// # Errors
/// The token is none of ours, damaged, or another query's.
pub(super) fn read(query: &TraceQuery, token: &str) -> Result<Option<Cursor>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let foreign = |what: &str| Err(invalid(format!("page_token {what}")));
    if token.len() > TEXT_MAX {
        return foreign("is longer than any this store gives");
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else {
        return foreign("is not valid base64 (URL-safe, unpadded)");
    };
    match bytes.first() {
        Some(&VERSION) => {}
        Some(other) => {
            return foreign(&format!("has version {other}, this build reads version {VERSION}"));
        }
        None => return foreign("is empty"),
    }
    let Ok(bytes) = <[u8; BYTES]>::try_from(bytes) else {
        return foreign("has another length than those this store gives");
    };
    let (body, sum) = bytes.split_at(TRACE_END);
    if checksum(body) != sum {
        return foreign("is damaged: its checksum is wrong");
    }
    if body[1..HASH_END] != hash(query) {
        return foreign(
            "belongs to a different query: a page continues the search that gave its token, with \
             nothing changed but page_size",
        );
    }
    let (mut start, mut trace_id) = ([0; 8], [0; 16]);
    start.copy_from_slice(&body[HASH_END..START_END]);
    trace_id.copy_from_slice(&body[START_END..]);
    Ok(Some(Cursor { newest_match: u64::from_be_bytes(start), trace_id: TraceId(trace_id) }))
}

/// A refusal of a paged search.
pub(super) fn invalid(fault: impl std::fmt::Display) -> Refusal {
    Refusal::invalid(format!("invalid pagination: {fault}")).reason("PAGINATION_INVALID")
}

/// The low half of XXH3-64 of what stands before it.
fn checksum(body: &[u8]) -> [u8; 4] {
    (XxHash3_64::oneshot(body) as u32).to_be_bytes()
}

/// XXH3-128 of the query's canonical form: in the tree already, quick, and fixed by a written
/// specification, so that tokens outlive an upgrade. A cryptographic hash would guard nothing.
fn hash(query: &TraceQuery) -> [u8; 16] {
    XxHash3_128::oneshot(&canonical(query)).to_be_bytes()
}

/// The query without its page size: each part that is set as its number and its length-prefixed
/// bytes, attributes in the order of their keys. Part of the token's version: what it gives for a
/// query must not change.
fn canonical(query: &TraceQuery) -> Vec<u8> {
    // Named one by one, so that no part of a later query stays out by accident.
    let TraceQuery {
        service,
        operation,
        attributes,
        start_min,
        start_max,
        duration_min,
        duration_max,
        filter,
        limit: _,
    } = query;
    let mut out = Vec::new();
    let mut put = |part: u8, bytes: &[u8]| {
        out.push(part);
        out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    // What is searched: another kind of search starts with another word.
    put(0, b"traces");
    for (part, text) in [(1, service), (2, operation)] {
        if let Some(text) = text {
            put(part, text.as_bytes());
        }
    }
    let mut attributes: Vec<_> =
        attributes.iter().map(|a| (a.key.as_str(), a.value.as_str())).collect();
    attributes.sort_unstable();
    attributes.dedup();
    for (key, value) in attributes {
        put(3, key.as_bytes());
        put(4, value.as_bytes());
    }
    for (part, nanos) in [(5, start_min), (6, start_max), (7, duration_min), (8, duration_max)] {
        if let Some(nanos) = nanos {
            put(part, &nanos.to_be_bytes());
        }
    }
    if let Some(filter) = filter {
        put(9, filter.to_string().as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spanlake::AttributeEquals;

    use super::*;

    fn attribute(key: &str, value: &str) -> AttributeEquals {
        AttributeEquals { key: key.into(), value: value.into() }
    }

    fn query() -> TraceQuery {
        TraceQuery {
            service: Some("shop".into()),
            operation: Some("GET /".into()),
            attributes: vec![attribute("a", "1"), attribute("b", "2")],
            start_min: Some(1),
            start_max: Some(2),
            duration_min: Some(3),
            duration_max: Some(4),
            ..TraceQuery::default()
        }
    }

    const CURSOR: Cursor = Cursor { newest_match: 1_700_000_000, trace_id: TraceId([7; 16]) };

    fn fault(query: &TraceQuery, token: &str) -> String {
        let refusal = read(query, token).unwrap_err();
        assert_eq!(refusal.code, tonic::Code::InvalidArgument);
        assert_eq!(refusal.reason, Some("PAGINATION_INVALID"));
        assert!(refusal.message.starts_with("invalid pagination: "), "{}", refusal.message);
        refusal.message
    }

    /// Tokens outlive an upgrade: this one was written by the first version.
    #[test]
    fn a_token_reads_as_it_was_written_in_every_later_version() {
        let token = write(&query(), CURSOR);
        assert_eq!(token, "AaShp5hGq2ZOYa2y04fEWNwAAAAAZVPxAAcHBwcHBwcHBwcHBwcHBwfrH0B8");
        assert_eq!(read(&query(), &token).unwrap(), Some(CURSOR));
        assert_eq!(read(&query(), "").unwrap(), None);
    }

    #[test]
    fn the_page_size_and_the_order_of_attributes_may_change() {
        let mut same = query();
        same.limit = 1;
        same.attributes.reverse();
        same.attributes.push(attribute("a", "1"));
        assert_eq!(read(&same, &write(&query(), CURSOR)).unwrap(), Some(CURSOR));
    }

    #[test]
    fn anything_else_is_a_different_query() {
        let changed = |change: &dyn Fn(&mut TraceQuery)| {
            let mut query = query();
            change(&mut query);
            query
        };
        let others = [
            changed(&|q| q.service = None),
            changed(&|q| q.service = Some("shop2".into())),
            changed(&|q| q.operation = None),
            changed(&|q| std::mem::swap(&mut q.service, &mut q.operation)),
            changed(&|q| drop(q.attributes.pop())),
            changed(&|q| q.attributes[0].value = "2".into()),
            changed(&|q| q.attributes[0].key = "c".into()),
            changed(&|q| q.attributes = vec![attribute("a", "2"), attribute("b", "1")]),
            changed(&|q| q.start_min = None),
            changed(&|q| q.start_min = Some(0)),
            changed(&|q| q.start_max = Some(3)),
            changed(&|q| q.duration_min = None),
            changed(&|q| q.duration_max = Some(u64::MAX)),
            TraceQuery::default(),
        ];
        let token = write(&query(), CURSOR);
        for other in &others {
            assert!(fault(other, &token).contains("different query"), "{other:?}");
            assert!(fault(&query(), &write(other, CURSOR)).contains("different query"));
        }
    }

    #[test]
    fn garbage_is_told_in_the_words_that_jaegers_suite_looks_for() {
        assert!(fault(&query(), "not-a-token!").contains("not valid base64"));
        let token = write(&query(), CURSOR);
        assert!(fault(&query(), &format!("{token}=")).contains("not valid base64"));
        assert!(fault(&query(), &token[4..]).contains("version"));
        assert!(fault(&query(), &token[..56]).contains("length"));
        assert!(fault(&query(), &format!("{token}AAAA")).contains("length"));
        assert!(fault(&query(), &"A".repeat(1 << 20)).contains("longer"));
    }

    #[test]
    fn a_change_of_any_bit_or_letter_is_refused() {
        let token = write(&query(), CURSOR);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert_eq!((bytes.len(), token.len()), (BYTES, 60));
        for (at, bit) in (0..BYTES).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            fault(&query(), &URL_SAFE_NO_PAD.encode(changed));
        }
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            fault(&query(), std::str::from_utf8(&changed).unwrap());
        }
    }

    proptest! {
        #[test]
        fn every_cursor_comes_back(newest_match: u64, id: [u8; 16]) {
            let cursor = Cursor { newest_match, trace_id: TraceId(id) };
            let token = write(&query(), cursor);
            prop_assert_eq!(read(&query(), &token).unwrap(), Some(cursor));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,80}", bytes: Vec<u8>) {
            for token in [text, URL_SAFE_NO_PAD.encode(bytes)] {
                if !token.is_empty() {
                    prop_assert!(read(&query(), &token).is_err());
                }
            }
        }
    }
}
