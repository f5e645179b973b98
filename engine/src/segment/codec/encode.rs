//! A column chunk to pages.

use std::ops::Range;

use parquet::errors::{ParquetError, Result};

use super::chunk::{Chunk, Encoding, Packing, Source};
use super::encoded::{Encoded, EncodedPage};
use super::header::{Coding, Header, Kind};
use super::levels::Cut;
use super::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, bits, delta, hybrid};
use crate::segment::blob::Parsed;

/// [`Packing::Best`] compresses where that saves one part in so many.
const SAVED_MIN: u64 = 8;

/// Encodes chunks, one after the other; keeps the zstd context and buffers between them.
#[derive(Default)]
pub(crate) struct Encoder {
    /// With its level.
    zstd: Option<(zstd::bulk::Compressor<'static>, i32)>,
    plain: Vec<u8>,
    packed: Vec<u8>,
    literals: Vec<u32>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// # Errors
    /// Where the parts of `chunk` do not fit each other, or a page would be beyond
    /// [`super::PAGE_BYTES_MAX`] or [`super::PAGE_ENTRIES_MAX`]: both are the caller's doing.
    pub(crate) fn encode(&mut self, chunk: &Chunk<'_>) -> Result<Encoded> {
        let cuts = chunk.cut().map_err(bad)?;
        let first = self.pages(chunk, &cuts)?;
        let saved = first.plain_bytes.saturating_sub(first.bytes.len() as u64);
        match chunk.packing {
            Packing::Best(_) if saved < first.plain_bytes / SAVED_MIN => {
                self.pages(&Chunk { packing: Packing::None, ..*chunk }, &cuts)
            }
            _ => Ok(first),
        }
    }

    fn pages(&mut self, chunk: &Chunk<'_>, cuts: &[Cut]) -> Result<Encoded> {
        let mut out = Output::default();
        if let Source::Codes { dictionary, .. } = &chunk.values {
            let values = dictionary.source();
            self.plain.clear();
            values.put_plain(0..values.len(), &mut self.plain).map_err(bad)?;
            self.page(chunk.packing, Kind::Dictionary, values.len(), Coding::Plain, &mut out)?;
        }
        let dictionary = out.bytes.len();
        let mut pages = Vec::with_capacity(cuts.len());
        for cut in cuts {
            self.plain.clear();
            chunk.levels.write(cut, &mut self.plain, &mut self.literals);
            let coding = self.values(chunk, cut.values.clone()).map_err(bad)?;
            let from = out.bytes.len();
            self.page(chunk.packing, Kind::Data, cut.entries.len(), coding, &mut out)?;
            pages.push(EncodedPage {
                length: (out.bytes.len() - from) as u32,
                rows: cut.rows.len() as u32,
            });
        }
        let last = cuts.last();
        let entries = last.map_or(0, |cut| cut.entries.end as u64);
        Ok(Encoded {
            bytes: out.bytes.into(),
            dictionary: dictionary as u32,
            pages,
            compressed: chunk.packing != Packing::None,
            plain_bytes: out.plain_bytes,
            rows: last.map_or(0, |cut| cut.rows.end as u64),
            entries,
            nulls: entries - last.map_or(0, |cut| cut.values.end as u64),
            bounds: if chunk.statistics { chunk.values.bounds() } else { None },
            encoding: chunk.encoding,
        })
    }

    /// Appends a page's values to its levels.
    fn values(&mut self, chunk: &Chunk<'_>, range: Range<usize>) -> Parsed<Coding> {
        let out = &mut self.plain;
        match (chunk.encoding, &chunk.values) {
            (Encoding::Plain, values) => {
                values.put_plain(range, out)?;
                Ok(Coding::Plain)
            }
            (Encoding::Split, values) => {
                values.put_split(range, out)?;
                Ok(Coding::Split)
            }
            (Encoding::Delta, Source::I32(values)) => {
                delta::put_i32(out, &values[range]);
                Ok(Coding::Delta)
            }
            (Encoding::Delta, Source::I64(values)) => {
                delta::put_i64(out, &values[range]);
                Ok(Coding::Delta)
            }
            (Encoding::Dictionary, Source::Codes { codes, dictionary }) => {
                let last = dictionary.source().len().saturating_sub(1);
                let width = bits::width_of(last as u64);
                out.push(width as u8);
                let mut writer = hybrid::Writer::new(out, &mut self.literals, width);
                writer.all(&codes[range]);
                writer.finish();
                Ok(Coding::Codes)
            }
            _ => Err("values cannot be encoded so"),
        }
    }

    /// Appends the page whose plain body stands in `self.plain`.
    fn page(
        &mut self,
        packing: Packing,
        kind: Kind,
        entries: usize,
        coding: Coding,
        out: &mut Output,
    ) -> Result<()> {
        let plain = self.plain.len();
        if plain > PAGE_BYTES_MAX || entries > PAGE_ENTRIES_MAX {
            return Err(bad("a page is larger than a page may be"));
        }
        let body = match packing {
            Packing::None => &self.plain,
            Packing::Zstd(level) | Packing::Best(level) => {
                self.packed.clear();
                self.packed.reserve(zstd::zstd_safe::compress_bound(plain));
                let zstd = match &mut self.zstd {
                    Some((zstd, of)) => {
                        if *of != level {
                            zstd.set_compression_level(level)?;
                            *of = level;
                        }
                        zstd
                    }
                    slot => &mut slot.insert((zstd::bulk::Compressor::new(level)?, level)).0,
                };
                zstd.compress_to_buffer(&self.plain, &mut self.packed)?;
                &self.packed
            }
        };
        let header = Header { kind, stored: body.len(), plain, entries, coding };
        let from = out.bytes.len();
        header.write(&mut out.bytes);
        out.plain_bytes += (out.bytes.len() - from + plain) as u64;
        out.bytes.extend_from_slice(body);
        if u32::try_from(out.bytes.len()).is_err() {
            return Err(bad("a column chunk is over 4 GiB"));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    plain_bytes: u64,
}

fn bad(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}
