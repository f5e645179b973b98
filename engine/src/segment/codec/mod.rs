//! Parquet pages of one column chunk, written and read. Typed values and levels go in and the
//! pages' bytes come out ([`Encoder`]); whole pages, checked against their CRC before they come
//! here, give the values of the rows asked for ([`PageCursor`], [`dictionary`]). No I/O, no
//! hashing, nothing of spans, batches or files. What a page says is never believed: every length
//! is held against the bytes that are there, so a forged page is an error and never a panic or an
//! allocation beyond [`PAGE_BYTES_MAX`] and [`PAGE_ENTRIES_MAX`].
//!
//! Data pages are of version 1: version 2 measured larger. Encodings: [`Encoding`], RLE levels.
//! The `parquet` crate's column reader and writer take and give strings one by one, each an
//! allocation or a count of references, and want a reader, a page reader and level decoders made
//! for each column of each block; here a column is a few vectors that are used again.
//!
//! Source: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>.

mod bits;
mod chunk;
mod decode;
mod delta;
mod encode;
mod encoded;
mod header;
mod hybrid;
mod levels;
mod plain;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use chunk::{Chunk, Dictionary, Encoding, Packing, Source, Strings};
pub(crate) use decode::{Decoded, Leaf, PageCursor, Scratch, dictionary};
pub(crate) use encode::Encoder;
pub(crate) use encoded::Encoded;
pub(crate) use levels::Levels;
pub(crate) use values::{Physical, Values};

/// No page is larger, uncompressed: [`Encoder::encode`] refuses it, [`PageCursor::open`] too.
pub(crate) const PAGE_BYTES_MAX: usize = 1 << 30;
/// No page has more entries (values and nulls). One span of 64 MiB has fewer attributes.
pub(crate) const PAGE_ENTRIES_MAX: usize = 1 << 26;
