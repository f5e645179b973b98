//! One frame: an Export as it came, with what the engine decided about it. Encode and decode
//! face to face; bytes in, bytes out. Little-endian, padded with zeros to eight bytes:
//!
//! ```text
//!  0  magic "SPLF"        4  body length u32     8  CRC32C u32 over salt, 12..40 and body
//! 12  version u8 = 1     13  kind u8 = 1        14  codec u8 = 0    15  zero
//! 16  sequence u64       24  synced_through u64 32  arrival, ns since 1970, u64
//! 40  body: tenant (u8 length, bytes), namespace (same),
//!           dropped spans (varint count, varint gaps), payload: OTLP to the end
//! ```
//!
//! The salt is the file's own, so that frames of a recycled file's earlier life never verify.

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::otlp::wire::put_varint;
use crate::tenancy::Tenancy;

pub(crate) const HEADER_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;
/// Largest body: the largest request plus room for names and a drop list.
pub(crate) const BODY_BYTES_MAX: usize = crate::limits::INGEST_BYTES_MAX + 16 * 1024 * 1024;

const MAGIC: [u8; 4] = *b"SPLF";
const VERSION: u8 = crate::formats::LOG as u8;
const KIND_EXPORT: u8 = 1;
const CODEC_PLAIN: u8 = 0;

/// What a frame says beside its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    /// Every frame up to this sequence was known durable when this one was written.
    pub(crate) synced_through: u64,
    /// Nanoseconds since 1970.
    pub(crate) arrival: u64,
}

/// A frame read back.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) head: Head,
    pub(crate) tenancy: Tenancy,
    /// Ordinals of spans that admission dropped, ascending.
    pub(crate) dropped: Vec<u32>,
    pub(crate) payload: Bytes,
    /// Bytes it takes in the file, padding included.
    pub(crate) length: usize,
}

fn checksum(salt: u64, head: &[u8], body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, head), body)
}

/// Appends a frame to `out`, whose length must be a multiple of [`ALIGNMENT`].
pub(crate) fn encode(
    out: &mut Vec<u8>,
    salt: u64,
    head: &Head,
    tenancy: &Tenancy,
    dropped: &[u32],
    payload: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&[VERSION, KIND_EXPORT, CODEC_PLAIN, 0]);
    out.extend_from_slice(&head.sequence.to_le_bytes());
    out.extend_from_slice(&head.synced_through.to_le_bytes());
    out.extend_from_slice(&head.arrival.to_le_bytes());
    for name in [tenancy.tenant(), tenancy.namespace()] {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
    }
    put_varint(out, dropped.len() as u64);
    let mut last = 0;
    for &ordinal in dropped {
        put_varint(out, u64::from(ordinal - last));
        last = ordinal;
    }
    out.extend_from_slice(payload);
    let body = start + HEADER_BYTES;
    let length = (out.len() - body) as u32;
    let crc = checksum(salt, &out[start + 12..body], &out[body..]);
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// True where a frame may begin: cheap, for the search after a bad one.
pub(crate) fn looks_like_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Bytes of a torn frame that was to become `sequence`, 0 where none stands at `offset`. One that
/// says a lower sequence is of the file's earlier life; a higher one is this one, damaged.
pub(crate) fn stated_length(file: &Bytes, offset: usize, sequence: u64) -> u64 {
    let Some(header) = file.get(offset..offset + HEADER_BYTES) else { return 0 };
    let stated = u64::from_le_bytes(header[16..24].try_into().unwrap_or_default());
    if !looks_like_one(header) || stated < sequence {
        return 0;
    }
    let length = u32::from_le_bytes(header[4..8].try_into().unwrap_or_default());
    u64::from(length) + HEADER_BYTES as u64
}

/// Reads the frame at `offset` of a log file's bytes; `None` where no intact one stands.
///
/// # Errors
/// `Format` where an intact frame is of a version, kind or codec this build does not know.
pub(crate) fn decode(file: &Bytes, offset: usize, salt: u64) -> Result<Option<Frame>> {
    let Some(intact) = intact(file, offset, salt) else { return Ok(None) };
    let (header, body) = (&intact[..HEADER_BYTES], offset + HEADER_BYTES..offset + intact.len());
    let (version, kind, codec) = (header[12], header[13], header[14]);
    if (version, kind, codec) != (VERSION, KIND_EXPORT, CODEC_PLAIN) {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "a log frame of version {version}, kind {kind}, codec {codec} was written by a \
                 newer spanlake; this build reads version 1, kind 1, codec 0: run the newer build"
            ),
        ));
    }
    let field = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default());
    let head = Head { sequence: field(16), synced_through: field(24), arrival: field(32) };
    let mut body = Cursor { bytes: file.slice(body) };
    let parsed = (|| {
        let tenancy = Tenancy::new(&body.name()?, &body.name()?).ok()?;
        let count = body.varint()?;
        let mut dropped = Vec::new();
        let mut last = 0u32;
        for _ in 0..count {
            last = last.checked_add(u32::try_from(body.varint()?).ok()?)?;
            dropped.push(last);
        }
        Some((tenancy, dropped))
    })();
    let Some((tenancy, dropped)) = parsed else { return Ok(None) };
    let length = intact.len().next_multiple_of(ALIGNMENT);
    Ok(Some(Frame { head, tenancy, dropped, payload: body.bytes, length }))
}

/// Header and body of the frame at `offset` if its checksum holds.
fn intact(file: &Bytes, offset: usize, salt: u64) -> Option<&[u8]> {
    let bytes = file.get(offset..)?;
    let header = bytes.get(..HEADER_BYTES)?;
    let length = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?);
    if !looks_like_one(header) || length > BODY_BYTES_MAX {
        return None;
    }
    let body = bytes.get(HEADER_BYTES..HEADER_BYTES + length)?;
    (checksum(salt, &header[12..], body) == crc).then(|| &bytes[..HEADER_BYTES + length])
}

struct Cursor {
    bytes: Bytes,
}

impl Cursor {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.bytes.len()).then(|| self.bytes.split_to(length))
    }

    fn name(&mut self) -> Option<String> {
        let length = *self.take(1)?.first()?;
        String::from_utf8(self.take(usize::from(length))?.to_vec()).ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(salt: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let head = Head { sequence: 7, synced_through: 5, arrival: 9 };
        encode(&mut out, salt, &head, &Tenancy::default(), &[1, 130], b"payload");
        out
    }

    #[test]
    fn a_frame_comes_back() {
        let bytes = Bytes::from(example(42));
        let frame = decode(&bytes, 0, 42).unwrap().unwrap();
        assert_eq!(frame.head, Head { sequence: 7, synced_through: 5, arrival: 9 });
        assert_eq!(frame.dropped, [1, 130]);
        assert_eq!(&frame.payload[..], b"payload");
        assert_eq!(frame.length, bytes.len());
        assert_eq!(bytes.len() % ALIGNMENT, 0);
    }

    /// The format is final: these bytes are the fossil.
    #[test]
    fn frame_bytes_are_stable() {
        let hex: String = example(42).iter().map(|b| format!("{b:02x}")).collect();
        let header = "53504c461b000000405a9c7901010000";
        let fields = "070000000000000005000000000000000900000000000000";
        let body = "0764656661756c740764656661756c74020181017061796c6f61640000000000";
        assert_eq!(hex, [header, fields, body].concat());
    }

    #[test]
    fn another_salt_or_any_flipped_bit_is_no_frame() {
        let good = example(42);
        assert!(decode(&Bytes::from(good.clone()), 0, 43).unwrap().is_none());
        let framed = good.len() - 5;
        for bit in 0..framed * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&Bytes::from(bad), 0, 42).unwrap().is_none(), "bit {bit}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        let good = example(1);
        for cut in 0..good.len() - 5 {
            assert!(decode(&Bytes::copy_from_slice(&good[..cut]), 0, 1).unwrap().is_none());
        }
    }
}
