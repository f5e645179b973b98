//! Copies of a set. Copy 0 keeps its ids; every other copy has ids, request ids and ports of its
//! own, drawn from (old value, copy number), so that parent links and shared ids stay what they
//! were. Every copy has its own time. Replaying the same ids would let any dictionary win.

use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::set::Set;
use crate::sites::{Kind, PORTS, UUID_LEN};
use crate::wire::put_varint;

/// A number of copies of a set, spread over a window of time.
#[derive(Debug, Clone)]
pub struct Scale {
    set: Arc<Set>,
    /// The number of its first copy, which ids are hashed with.
    first: u32,
    copies: u32,
    /// Nanoseconds from the end of one copy to the end of the next.
    stride: u64,
    /// When the last copy ends, nanoseconds since 1970.
    end: u64,
}

impl Scale {
    /// The least number of whole copies with at least `spans` spans, one every `stride`
    /// nanoseconds, the last of which ends at `end`.
    pub fn new(set: Arc<Set>, spans: u64, stride: u64, end: u64) -> Self {
        let copies = spans.div_ceil(set.spans()).clamp(1, u32::MAX.into()) as u32;
        Self { set, first: 0, copies, stride, end }
    }

    /// Further copies, with ids of their own, all of them later than these and than the first
    /// `skipped` of such copies.
    pub fn after(&self, skipped: u32, copies: u32) -> Self {
        let copies = copies.max(1);
        let first = self.first + self.copies + skipped;
        let before = self.stride * u64::from(skipped + copies - 1);
        let end = self.end + 1 + self.set.length() + before;
        Self { set: Arc::clone(&self.set), first, copies, stride: self.stride, end }
    }

    /// The set.
    pub fn set(&self) -> &Arc<Set> {
        &self.set
    }

    /// Nanoseconds from the end of one copy to the end of the next.
    pub fn stride(&self) -> u64 {
        self.stride
    }

    /// Copies.
    pub fn copies(&self) -> u32 {
        self.copies
    }

    /// Spans of all copies.
    pub fn spans(&self) -> u64 {
        self.set.spans() * u64::from(self.copies)
    }

    /// From the earliest start to the latest end over all copies.
    pub fn range(&self) -> (u64, u64) {
        let before = self.stride * u64::from(self.copies - 1) + self.set.length();
        (self.end.saturating_sub(before), self.end)
    }

    /// A time of the set as it is in a copy. Zero stays zero.
    pub fn time(&self, copy: u32, time: u64) -> u64 {
        if time == 0 {
            return 0;
        }
        let copies_after = u64::from(self.copies - 1 - copy.min(self.copies - 1));
        let end = self.end.wrapping_sub(copies_after.wrapping_mul(self.stride));
        end.wrapping_sub(self.set.end_max()).wrapping_add(time)
    }

    /// A trace id of the set as it is in a copy.
    pub fn trace_id(&self, copy: u32, id: [u8; 16]) -> [u8; 16] {
        trace_id(self.first + copy, id)
    }

    /// A span id of the set as it is in a copy.
    pub fn span_id(&self, copy: u32, id: [u8; 8]) -> [u8; 8] {
        span_id(self.first + copy, id)
    }

    /// The text of a re-drawn UUID of the set as it is in a copy.
    pub fn uuid(&self, copy: u32, text: [u8; UUID_LEN]) -> [u8; UUID_LEN] {
        uuid(self.first + copy, text)
    }

    /// Appends a unit of a copy as field 1 of an `ExportTraceServiceRequest`; returns its spans.
    pub fn write(&self, copy: u32, unit: usize, out: &mut Vec<u8>) -> u64 {
        let (bytes, sites) = self.set.unit(unit);
        out.push(0x0a);
        put_varint(out, bytes.len() as u64);
        let begin = out.len();
        out.extend_from_slice(bytes);
        for site in sites {
            if let Some(place) = out.get_mut(begin + site.at as usize..) {
                self.patch(copy, site.kind, place);
            }
        }
        self.set.units().get(unit).map_or(0, |unit| unit.spans.into())
    }

    fn patch(&self, copy: u32, kind: Kind, place: &mut [u8]) {
        let number = self.first + copy;
        match kind {
            Kind::TraceId => {
                if let Some(id) = place.first_chunk_mut() {
                    *id = trace_id(number, *id);
                }
            }
            Kind::SpanId => {
                if let Some(id) = place.first_chunk_mut() {
                    *id = span_id(number, *id);
                }
            }
            Kind::Time => {
                if let Some(time) = place.first_chunk_mut() {
                    *time = self.time(copy, u64::from_le_bytes(*time)).to_le_bytes();
                }
            }
            Kind::Uuid => {
                if let Some(text) = place.first_chunk_mut() {
                    *text = uuid(number, *text);
                }
            }
            Kind::Port => {
                if let Some(port) = place.first_chunk_mut() {
                    *port = ephemeral_port(number, *port);
                }
            }
        }
    }
}

fn hash(copy: u32, salt: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(u64::from(copy) << 8 | salt, bytes)
}

/// A trace id in a copy.
fn trace_id(copy: u32, id: [u8; 16]) -> [u8; 16] {
    if copy == 0 || id == [0; 16] {
        return id;
    }
    let mut new = [0; 16];
    new[..8].copy_from_slice(&hash(copy, 1, &id).to_be_bytes());
    new[8..].copy_from_slice(&hash(copy, 2, &id).to_be_bytes());
    new
}

/// A span id in a copy.
fn span_id(copy: u32, id: [u8; 8]) -> [u8; 8] {
    if copy == 0 || id == [0; 8] {
        return id;
    }
    hash(copy, 3, &id).to_be_bytes()
}

/// A re-drawn UUID's text in a copy; its version and variant stay.
fn uuid(copy: u32, text: [u8; UUID_LEN]) -> [u8; UUID_LEN] {
    if copy == 0 {
        return text;
    }
    let mut new = text;
    let mut digits = u128::from(hash(copy, 4, &text)) << 64 | u128::from(hash(copy, 5, &text));
    for (index, byte) in new.iter_mut().enumerate() {
        if !matches!(index, 8 | 13 | 14 | 18 | 19 | 23) {
            *byte = b"0123456789abcdef"[(digits & 15) as usize];
            digits >>= 4;
        }
    }
    new
}

/// A port (a varint of 3 bytes) in a copy.
fn ephemeral_port(copy: u32, port: [u8; 3]) -> [u8; 3] {
    if copy == 0 {
        return port;
    }
    let new = PORTS.start + hash(copy, 6, &port) % (PORTS.end - PORTS.start);
    [new as u8 | 0x80, (new >> 7) as u8 | 0x80, (new >> 14) as u8]
}
