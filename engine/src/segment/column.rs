//! Values of one column to Parquet pages and back, through the `parquet` crate's own column
//! writer and reader. Typed values in, page bytes out, and the reverse; pages are checked against
//! their CRC before they come here. Which pages, and where they lie, is not known here.

use std::sync::Arc;

use super::BLOCK_ROWS;
use super::page::Source;
use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::reader::ColumnReaderImpl;
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

pub(super) use parquet::column::writer::ColumnCloseResult;

/// The pages of one column in one row group, dictionary first.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    /// What the row group's writer wants to know.
    pub(super) close: ColumnCloseResult,
    /// Length of the dictionary page, 0 where there is none.
    pub(super) dictionary: usize,
    /// Length and rows of each data page.
    pub(super) pages: Vec<(usize, usize)>,
}

/// Encodes a column. With `present` (1 a value, 0 null) it is optional, and `values` are those
/// that are there.
pub(super) fn encode<T: DataType>(
    column: ColumnDescPtr,
    properties: WriterPropertiesPtr,
    values: &[T::T],
    present: Option<&[i16]>,
) -> Result<Encoded> {
    let mut sink = TrackedWrite::new(Vec::new());
    let pages = Box::new(SerializedPageWriter::new(&mut sink));
    let mut writer = ColumnWriterImpl::<T>::new(column, properties, pages);
    match present {
        None => {
            // One block a batch, so that pages end where blocks end.
            for block in values.chunks(BLOCK_ROWS) {
                writer.write_batch(block, None, None)?;
            }
        }
        Some(levels) => {
            let mut left = values;
            for block in levels.chunks(BLOCK_ROWS) {
                let here = block.iter().filter(|&&level| level == 1).count();
                let (now, later) = left
                    .split_at_checked(here)
                    .ok_or_else(|| ParquetError::General("values lack".to_owned()))?;
                writer.write_batch(now, Some(block), None)?;
                left = later;
            }
        }
    }
    let close = writer.close()?;
    let bytes = Bytes::from(sink.into_inner()?);
    split_pages(bytes, close)
}

/// Takes the page places out of `close`: they go to our own table.
fn split_pages(bytes: Bytes, mut close: ColumnCloseResult) -> Result<Encoded> {
    let bad = || ParquetError::General("the column writer's pages do not add up".to_owned());
    close.column_index = None;
    let places = close.offset_index.take().ok_or_else(bad)?.page_locations;
    let dictionary = places.first().ok_or_else(bad)?.offset;
    let dictionary = usize::try_from(dictionary).map_err(|_| bad())?;
    let mut pages = Vec::with_capacity(places.len());
    let mut end = dictionary;
    for (index, place) in places.iter().enumerate() {
        let next_row =
            places.get(index + 1).map_or(close.rows_written as i64, |p| p.first_row_index);
        let length = usize::try_from(place.compressed_page_size).map_err(|_| bad())?;
        if place.offset != end as i64 {
            return Err(bad());
        }
        let rows = usize::try_from(next_row - place.first_row_index).map_err(|_| bad())?;
        pages.push((length, rows));
        end += length;
    }
    if end != bytes.len() {
        return Err(bad());
    }
    Ok(Encoded { bytes, close, dictionary, pages })
}

/// The values of `take` rows behind `skip`, and for an optional column which are there. `pages`
/// are whole and checked: the dictionary page where there is one, then data pages in order.
pub(super) fn decode<T: DataType>(
    column: &ColumnDescPtr,
    compression: Compression,
    pages: Vec<Bytes>,
    skip: usize,
    take: usize,
) -> Result<(Vec<T::T>, Vec<i16>)> {
    let short = || ParquetError::EOF("a column has too few rows".to_owned());
    let source = Box::new(Source::new(pages, compression));
    let mut reader = ColumnReaderImpl::<T>::new(Arc::clone(column), source);
    if skip > 0 && reader.skip_records(skip)? != skip {
        return Err(short());
    }
    let optional = column.max_def_level() > 0;
    let (mut values, mut present) = (Vec::new(), Vec::new());
    let (rows, found, _) =
        reader.read_records(take, optional.then_some(&mut present), None, &mut values)?;
    let levels = if optional { present.len() } else { take };
    if rows != take || values.len() != found || levels != take || (!optional && found != take) {
        return Err(short());
    }
    Ok((values, present))
}
