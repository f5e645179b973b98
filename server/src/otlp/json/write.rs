//! Protobuf's wire, as much of it as the transcoder writes.

/// A field that is a varint.
pub(super) fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, 0);
    varint(out, value);
}

/// A field of eight bytes.
pub(super) fn fixed64_field(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of four bytes.
pub(super) fn fixed32_field(out: &mut Vec<u8>, number: u32, value: u32) {
    tag(out, number, 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field with a length: text, bytes, a message.
pub(super) fn bytes_field(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    tag(out, number, 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn tag(out: &mut Vec<u8>, number: u32, wire_type: u64) {
    varint(out, u64::from(number) << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
