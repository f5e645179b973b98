//! The `parquet` crate as reader of our pages and as writer of pages for us.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::ColumnReader;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use super::super::*;
use super::cases::{Case, Form, cases, resolved, sample};
use super::check;

/// A file with the chunk as its only column.
fn file_of(case: &Case, encoded: &Encoded) -> Bytes {
    let schema = Arc::new(parse_message_type(&case.schema()).unwrap());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let column = file.schema_descr().column(0);
    let mut group = file.next_row_group().unwrap();
    group.append_column(&encoded.bytes, encoded.close(column).unwrap()).unwrap();
    group.close().unwrap();
    file.into_inner().unwrap().into()
}

fn levels(levels: Vec<i16>) -> Vec<u8> {
    levels.into_iter().map(|level| level as u8).collect()
}

/// What the `parquet` crate reads of a file's only column.
fn stock_read(file: Bytes) -> (Vec<u8>, Vec<u8>, Vec<Vec<u8>>) {
    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.metadata().row_group(0).num_rows() as usize;
    let column = reader.get_row_group(0).unwrap().get_column_reader(0).unwrap();
    let (mut def, mut rep) = (Vec::new(), Vec::new());
    macro_rules! all {
        ($reader:expr, $bytes:expr) => {{
            let mut values = Vec::new();
            let (read, ..) =
                $reader.read_records(rows, Some(&mut def), Some(&mut rep), &mut values).unwrap();
            assert_eq!(read, rows);
            values.iter().map($bytes).collect()
        }};
    }
    let values = match column {
        ColumnReader::BoolColumnReader(mut r) => all!(r, |&v| vec![u8::from(v)]),
        ColumnReader::Int32ColumnReader(mut r) => all!(r, |v| v.to_le_bytes().to_vec()),
        ColumnReader::Int64ColumnReader(mut r) => all!(r, |v| v.to_le_bytes().to_vec()),
        ColumnReader::DoubleColumnReader(mut r) => {
            all!(r, |v: &f64| v.to_bits().to_le_bytes().to_vec())
        }
        ColumnReader::ByteArrayColumnReader(mut r) => all!(r, |v: &ByteArray| v.data().to_vec()),
        ColumnReader::FixedLenByteArrayColumnReader(mut r) => {
            all!(r, |v: &FixedLenByteArray| v.data().to_vec())
        }
        _ => unreachable!(),
    };
    (levels(def), levels(rep), values)
}

/// The same column written by the `parquet` crate: its pages with their rows.
fn stock_pages(case: &Case) -> (Option<Bytes>, Vec<(Bytes, usize)>) {
    use parquet::basic::Encoding as Stock;
    let compression = match case.packing {
        Packing::None => Compression::UNCOMPRESSED,
        _ => Compression::ZSTD(ZstdLevel::try_new(1).unwrap()),
    };
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(compression)
        .set_dictionary_enabled(case.encoding == Encoding::Dictionary)
        .set_encoding(match case.encoding {
            Encoding::Delta => Stock::DELTA_BINARY_PACKED,
            Encoding::Split => Stock::BYTE_STREAM_SPLIT,
            _ => Stock::PLAIN,
        })
        .set_write_batch_size(64)
        .set_data_page_row_count_limit(100)
        .build();
    let schema = Arc::new(parse_message_type(&case.schema()).unwrap());
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties.into()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let def: Vec<i16> = case.definition().into_iter().map(i16::from).collect();
    let rep: Vec<i16> = case.repetition().into_iter().map(i16::from).collect();
    let def = (case.form != Form::Required).then_some(&def[..]);
    let rep = case.form.is_list().then_some(&rep[..]);
    let values = resolved(&case.values, &case.dictionary);
    fn number<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().unwrap()
    }
    macro_rules! all {
        ($writer:expr, $value:expr) => {{
            let values: Vec<_> = values.iter().map($value).collect();
            $writer.write_batch(&values, def, rep).unwrap();
        }};
    }
    match column.untyped() {
        ColumnWriter::BoolColumnWriter(w) => all!(w, |v| v[0] == 1),
        ColumnWriter::Int32ColumnWriter(w) => all!(w, |v| i32::from_le_bytes(number(v))),
        ColumnWriter::Int64ColumnWriter(w) => all!(w, |v| i64::from_le_bytes(number(v))),
        ColumnWriter::DoubleColumnWriter(w) => {
            all!(w, |v| f64::from_bits(u64::from_le_bytes(number(v))))
        }
        ColumnWriter::ByteArrayColumnWriter(w) => all!(w, |v| ByteArray::from(v.clone())),
        ColumnWriter::FixedLenByteArrayColumnWriter(w) => {
            all!(w, |v| FixedLenByteArray::from(v.clone()))
        }
        _ => unreachable!(),
    }
    column.close().unwrap();
    group.close().unwrap();
    let metadata = file.finish().unwrap();
    let rows = case.shape.len() as i64;
    drop(file);
    let bytes = Bytes::from(bytes);
    let chunk = metadata.row_group(0).column(0);
    let dictionary = chunk.dictionary_page_offset();
    let index = metadata.offset_index().unwrap()[0][0].page_locations().clone();
    let end_row = |n: usize| index.get(n + 1).map_or(rows, |next| next.first_row_index);
    let pages = index.iter().enumerate().map(|(n, page)| {
        let at = page.offset as usize;
        let length = page.compressed_page_size as usize;
        (bytes.slice(at..at + length), (end_row(n) - page.first_row_index) as usize)
    });
    let first = index[0].offset;
    let dictionary = dictionary.map(|at| bytes.slice(at as usize..first as usize));
    (dictionary, pages.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_parquet_crate_reads_what_is_written(case in cases(30)) {
        let encoded = case.encode(&mut Encoder::default());
        prop_assert_eq!(stock_read(file_of(&case, &encoded)), case.expected(0..case.shape.len()));
    }

    #[test]
    fn what_the_parquet_crate_writes_is_read(case in cases(30), ends in any::<(u16, u16)>()) {
        let written = stock_pages(&case);
        prop_assert_eq!(written.1.iter().map(|page| page.1).sum::<usize>(), case.shape.len());
        check(&case, &written, case.packing != Packing::None, ends)?;
    }
}

/// The footer says what readers plan by.
#[test]
fn the_footer_knows_the_chunk() {
    let mut case = sample(Form::At, 8, Packing::Zstd(3), 500);
    case.dictionary = Values::I64((-1..60).collect());
    if let Values::Codes(codes) = &mut case.values {
        codes.iter_mut().for_each(|code| *code %= 61);
    }
    let encoded = case.encode(&mut Encoder::default());
    let reader = SerializedFileReader::new(file_of(&case, &encoded)).unwrap();
    let chunk = reader.metadata().row_group(0).column(0).clone();
    assert_eq!(chunk.num_values(), 500);
    assert_eq!(chunk.compressed_size(), encoded.bytes.len() as i64);
    assert_eq!(chunk.uncompressed_size(), encoded.plain_bytes as i64);
    assert_eq!(chunk.dictionary_page_offset(), Some(4));
    assert_eq!(chunk.data_page_offset(), 4 + i64::from(encoded.dictionary));
    assert!(matches!(chunk.compression(), Compression::ZSTD(_)));
    let statistics = chunk.statistics().unwrap();
    assert_eq!(statistics.min_bytes_opt(), Some(&(-1i64).to_le_bytes()[..]));
    assert_eq!(statistics.max_bytes_opt(), Some(&59i64.to_le_bytes()[..]));
    assert_eq!(statistics.null_count_opt(), Some(encoded.nulls));
}
