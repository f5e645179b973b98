//! Reading what `strace -f -yy -xx` wrote: text flows in, calls in the order of their beginnings
//! and endings flow out, and what an HTTP/2 server told its clients. Knows nothing of tests.

use std::collections::{BTreeMap, HashMap};

/// One system call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Line of the trace on which it began.
    pub began: usize,
    /// Line on which it ended.
    pub ended: usize,
    /// Its name.
    pub name: String,
    /// What its first argument, a descriptor, stands for: a path, or `TCP:[from->to]`.
    pub target: String,
    /// All quoted bytes of its arguments, joined.
    pub bytes: Vec<u8>,
    /// What it returned; negative for errors and calls that never ended.
    pub result: i64,
}

/// All calls of a trace, by beginning.
pub fn parse(trace: &str) -> Vec<Call> {
    let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (at, begin.to_owned()));
        } else if rest.starts_with("<... ") {
            let Some((began, begin)) = unfinished.remove(thread) else { continue };
            let Some((_, end)) = rest.split_once(" resumed>") else { continue };
            calls.extend(call(began, at, &(begin + end)));
        } else {
            calls.extend(call(at, at, rest));
        }
    }
    calls.sort_by_key(|c| c.began);
    calls
}

fn call(began: usize, ended: usize, text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result = result.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(-1);
    let target = arguments
        .split_once('<')
        .and_then(|(_, rest)| {
            let end = if rest.starts_with("TCP") { "]>" } else { ">" };
            rest.split_once(end).map(|(inside, _)| inside)
        })
        .map(|inside| String::from_utf8_lossy(&unhex(inside)).into_owned())
        .unwrap_or_default();
    let bytes = arguments.split('"').skip(1).step_by(2).flat_map(unhex).collect();
    Some(Call { began, ended, name: name.to_owned(), target, bytes, result })
}

/// `\x68\x69` becomes `hi`; text without such escapes stays.
fn unhex(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some(first) = rest.first() {
        let escaped = rest.strip_prefix(b"\\x").and_then(|hex| hex.get(..2));
        let byte = escaped
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(*first);
                rest = &rest[1..];
            }
        }
    }
    out
}

/// An HTTP/2 frame and the call that carried its first byte and its last.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Its type: 0 DATA, 1 HEADERS, and so on.
    pub kind: u8,
    /// Its flags; 1 ends the stream.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Trace line on which the call with its first byte began.
    pub began: usize,
    /// Trace line on which the call with its last byte ended.
    pub ended: usize,
}

/// The frames of each connection in one direction, by the connection's name. `calls` are the
/// reads or the writes of the server; `preface` is the bytes a client sends before its frames.
pub fn frames<'a>(
    calls: impl Iterator<Item = &'a Call>,
    preface: usize,
) -> BTreeMap<String, Vec<Frame>> {
    struct Pipe {
        buffer: Vec<(u8, usize, usize)>,
        skip: usize,
        frames: Vec<Frame>,
    }
    let mut pipes: BTreeMap<String, Pipe> = BTreeMap::new();
    for call in calls {
        let Ok(length) = usize::try_from(call.result) else { continue };
        let pipe = pipes.entry(call.target.clone()).or_insert_with(|| Pipe {
            buffer: Vec::new(),
            skip: preface,
            frames: Vec::new(),
        });
        assert!(call.bytes.len() >= length, "the trace cut a call short; raise strace's -s");
        pipe.buffer.extend(call.bytes[..length].iter().map(|b| (*b, call.began, call.ended)));
        let skipped = pipe.skip.min(pipe.buffer.len());
        pipe.buffer.drain(..skipped);
        pipe.skip -= skipped;
        while pipe.skip == 0 && pipe.buffer.len() >= 9 {
            let at = |i: usize| u32::from(pipe.buffer[i].0);
            let payload = (at(0) << 16 | at(1) << 8 | at(2)) as usize;
            if pipe.buffer.len() < 9 + payload {
                break;
            }
            pipe.frames.push(Frame {
                kind: pipe.buffer[3].0,
                flags: pipe.buffer[4].0,
                stream: (at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8)) & 0x7fff_ffff,
                began: pipe.buffer[0].1,
                ended: pipe.buffer[8 + payload].2,
            });
            pipe.buffer.drain(..9 + payload);
        }
    }
    pipes.into_iter().map(|(name, pipe)| (name, pipe.frames)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"7 pwrite64(3<\x2f\x77\x61\x6c\x2f\x31>, "\x61\x62"..., 110, 0) = 110
8 writev(5<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="\x00\x00\x02\x01", iov_len=4}, {iov_base="\x04\x00\x00\x00\x01\x88\x99", iov_len=7}], 2 <unfinished ...>
7 fdatasync(3<\x2f\x77\x61\x6c\x2f\x31>) = -1 EIO (Input/output error)
8 <... writev resumed>) = 11
7 +++ exited with 0 +++
"#;

    #[test]
    fn calls_and_frames_are_found() {
        let calls = parse(TRACE);
        assert_eq!(calls.len(), 3);
        assert_eq!((calls[0].name.as_str(), calls[0].target.as_str()), ("pwrite64", "/wal/1"));
        assert_eq!((calls[0].bytes.as_slice(), calls[0].result), (&b"ab"[..], 110));
        assert_eq!((calls[1].began, calls[1].ended, calls[1].result), (1, 3, 11));
        assert_eq!((calls[2].name.as_str(), calls[2].result), ("fdatasync", -1));
        let frames = frames(calls[1..2].iter(), 0);
        let (name, frames) = frames.first_key_value().expect("one connection");
        assert_eq!(name, "TCP:[127.0.0.1:1->127.0.0.1:2");
        let [frame] = frames.as_slice() else { panic!("{frames:?}") };
        assert_eq!((frame.kind, frame.flags, frame.stream), (1, 4, 1));
        assert_eq!((frame.began, frame.ended), (1, 3));
    }
}
