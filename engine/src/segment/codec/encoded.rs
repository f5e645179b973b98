//! What was encoded: the pages of a column chunk, and what the file's footer says of them.

use bytes::Bytes;
use parquet::basic::{Compression, PageType, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::Encoding;

/// The pages of a column chunk, dictionary page first.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// Length of the dictionary page with its header, 0 where there is none.
    pub(crate) dictionary: u32,
    /// The data pages, in order; they lie behind the dictionary page without gaps.
    pub(crate) pages: Vec<EncodedPage>,
    /// Whether pages are zstd. Readers must know it ([`super::Leaf::compressed`]).
    pub(crate) compressed: bool,
    /// Length of all pages before compression, with their headers.
    pub(crate) plain_bytes: u64,
    pub(crate) rows: u64,
    /// Values and nulls.
    pub(crate) entries: u64,
    pub(crate) nulls: u64,
    /// Least and greatest value, where asked for and where there is a value.
    pub(crate) bounds: Option<(i64, i64)>,
    pub(super) encoding: Encoding,
}

/// A data page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EncodedPage {
    /// With its header.
    pub(crate) length: u32,
    pub(crate) rows: u32,
}

impl Encoded {
    /// What `SerializedRowGroupWriter::append_column` wants to know, with `bytes` as its reader.
    pub(crate) fn close(&self, column: ColumnDescPtr) -> Result<ColumnCloseResult> {
        let coding = match self.encoding {
            Encoding::Plain => parquet::basic::Encoding::PLAIN,
            Encoding::Dictionary => parquet::basic::Encoding::RLE_DICTIONARY,
            Encoding::Delta => parquet::basic::Encoding::DELTA_BINARY_PACKED,
            Encoding::Split => parquet::basic::Encoding::BYTE_STREAM_SPLIT,
        };
        let mut encodings = vec![coding];
        let mut stats = Vec::with_capacity(2);
        if self.dictionary > 0 {
            encodings.push(parquet::basic::Encoding::PLAIN);
            stats.push(PageEncodingStats {
                page_type: PageType::DICTIONARY_PAGE,
                encoding: parquet::basic::Encoding::PLAIN,
                count: 1,
            });
        }
        if column.max_def_level() > 0 || column.max_rep_level() > 0 {
            encodings.push(parquet::basic::Encoding::RLE);
        }
        stats.push(PageEncodingStats {
            page_type: PageType::DATA_PAGE,
            encoding: coding,
            count: self.pages.len() as i32,
        });
        let compression = if self.compressed {
            Compression::ZSTD(ZstdLevel::default())
        } else {
            Compression::UNCOMPRESSED
        };
        let is_i32 = column.physical_type() == parquet::basic::Type::INT32;
        let mut builder = ColumnChunkMetaData::builder(column)
            .set_encodings(encodings)
            .set_page_encoding_stats(stats)
            .set_compression(compression)
            .set_num_values(self.entries as i64)
            .set_total_compressed_size(self.bytes.len() as i64)
            .set_total_uncompressed_size(self.plain_bytes as i64)
            .set_data_page_offset(self.dictionary.into())
            .set_dictionary_page_offset((self.dictionary > 0).then_some(0));
        if let Some((min, max)) = self.bounds {
            let nulls = Some(self.nulls);
            builder = builder.set_statistics(if is_i32 {
                Statistics::int32(Some(min as i32), Some(max as i32), None, nulls, false)
            } else {
                Statistics::int64(Some(min), Some(max), None, nulls, false)
            });
        }
        Ok(ColumnCloseResult {
            bytes_written: self.bytes.len() as u64,
            rows_written: self.rows,
            metadata: builder.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        })
    }
}
