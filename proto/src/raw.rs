//! A message that stays bytes: what a server receives or sends without looking inside. It claims
//! to be a prost message only so that generated services can name it; it never decodes.

use bytes::{Buf, BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType};

/// The encoded form of any message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawMessage(pub Bytes);

impl prost::Message for RawMessage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    /// Takes the whole buffer; without a copy where it is one piece.
    fn merge(&mut self, mut buf: impl Buf) -> Result<(), DecodeError> {
        self.0 = buf.copy_to_bytes(buf.remaining());
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        // Only reached as a field of another message, which nothing here generates.
        prost::encoding::skip_field(wire_type, tag, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0 = Bytes::new();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn bytes_pass_unchanged_even_when_they_are_no_message() {
        let bytes = Bytes::from_static(b"\xff\xfe not protobuf");
        let raw = RawMessage::decode(bytes.clone()).unwrap();
        assert_eq!(raw.0, bytes);
        assert_eq!(raw.0.as_ptr(), bytes.as_ptr(), "decoding copied the bytes");
        assert_eq!(raw.encode_to_vec(), bytes);
    }
}
