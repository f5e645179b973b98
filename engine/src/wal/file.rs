//! The header of a log file. It stands twice in the first 4 KiB, so that one bad sector does not
//! take a file's frames with it:
//!
//! ```text
//!  0  magic "SPANWAL1"   8  generation u64   16  salt u64   24  first sequence u64
//! 32  CRC32C u32 of 0..32; the same again at 2048; zeros between; frames from 4096 on
//! ```

/// Where frames begin.
pub(crate) const FRAMES_AT: usize = 4096;

const MAGIC: [u8; 8] = *b"SPANWAL1";
const LENGTH: usize = 36;
const COPIES: [usize; 2] = [0, 2048];

/// Which life of a recycled file this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Log files are read in ascending generation.
    pub(crate) generation: u64,
    /// Seeds the frames' checksums.
    pub(crate) salt: u64,
    /// Sequence of the first frame.
    pub(crate) first_sequence: u64,
}

impl Header {
    /// The first [`FRAMES_AT`] bytes of a log file.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut one = Vec::with_capacity(LENGTH);
        one.extend_from_slice(&MAGIC);
        for field in [self.generation, self.salt, self.first_sequence] {
            one.extend_from_slice(&field.to_le_bytes());
        }
        one.extend_from_slice(&crc32c::crc32c(&one).to_le_bytes());
        let mut out = vec![0; FRAMES_AT];
        for at in COPIES {
            out[at..at + LENGTH].copy_from_slice(&one);
        }
        out
    }

    /// The newest intact copy; `None` where there is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        COPIES.iter().filter_map(|&at| Self::copy(bytes.get(at..)?)).max_by_key(|h| h.generation)
    }

    fn copy(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..LENGTH)?;
        let field = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let crc = u32::from_le_bytes(bytes.get(32..36)?.try_into().ok()?);
        if !bytes.starts_with(&MAGIC) || crc32c::crc32c(bytes.get(..32)?) != crc {
            return None;
        }
        Some(Self { generation: field(8)?, salt: field(16)?, first_sequence: field(24)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_copy_is_enough_and_the_newest_counts() {
        let old = Header { generation: 3, salt: 5, first_sequence: 8 };
        let new = Header { generation: 4, salt: 6, first_sequence: 90 };
        let mut bytes = old.encode();
        assert_eq!(Header::decode(&bytes), Some(old));
        bytes[..2048].copy_from_slice(&new.encode()[..2048]);
        assert_eq!(Header::decode(&bytes), Some(new), "a recycling torn in the middle");
        bytes[9] ^= 1;
        assert_eq!(Header::decode(&bytes), Some(old));
        bytes[2050] ^= 1;
        assert_eq!(Header::decode(&bytes), None);
        assert_eq!(Header::decode(b"SPANWAL1"), None);
    }
}
