//! The columns of a segment, as any Parquet reader sees them, and how each is stored. No data
//! flows here.
//!
//! Times, ids, name, kind and status stand in columns only; `rest` is the OTLP `Span` message
//! without them ([`super::payload`]). `name` and `service` are always UTF-8; where the bytes sent
//! are not, `name_raw` has them. `span_raw` is a whole message that could not be taken apart.
//! `resource` and `scope` are ordinals into tables in the blob.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr,
};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, SchemaDescPtr, SchemaDescriptor};

use super::{BLOCK_ROWS, GROUP_BLOCKS};

const MESSAGE: &str = "
message span {
    required fixed_len_byte_array(16) trace_id;
    required fixed_len_byte_array(8) span_id;
    optional fixed_len_byte_array(8) parent_span_id;
    required int64 start_time_unix_nano (INTEGER(64,false));
    required int64 duration_nano;
    required binary service (STRING);
    required binary name (STRING);
    required int32 kind;
    required int32 status_code;
    required int32 resource;
    required int32 scope;
    required binary rest;
    optional binary name_raw;
    optional binary span_raw;
}";

/// Columns by their place in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    TraceId,
    SpanId,
    Parent,
    Start,
    Duration,
    Service,
    Name,
    Kind,
    Status,
    Resource,
    Scope,
    Rest,
    NameRaw,
    SpanRaw,
}

impl Column {
    pub(super) const ALL: [Column; 14] = [
        Self::TraceId,
        Self::SpanId,
        Self::Parent,
        Self::Start,
        Self::Duration,
        Self::Service,
        Self::Name,
        Self::Kind,
        Self::Status,
        Self::Resource,
        Self::Scope,
        Self::Rest,
        Self::NameRaw,
        Self::SpanRaw,
    ];

    /// Almost always null: one page a row group instead of one a block.
    pub(super) fn is_sparse(self) -> bool {
        matches!(self, Self::NameRaw | Self::SpanRaw)
    }

    fn is_dictionary(self) -> bool {
        matches!(self, Self::Service | Self::Name)
    }

    /// The encoding of pages without dictionary.
    fn encoding(self) -> Encoding {
        match self {
            Self::Start
            | Self::Duration
            | Self::Kind
            | Self::Status
            | Self::Resource
            | Self::Scope => Encoding::DELTA_BINARY_PACKED,
            _ => Encoding::PLAIN,
        }
    }

    /// Span ids are random.
    pub(super) fn compression(self) -> Compression {
        match self {
            Self::SpanId => Compression::UNCOMPRESSED,
            _ => Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()),
        }
    }
}

/// Astronomy: 53.7 B/span at level 1, 53.3 at 3, 50.5 at 6; 1 and 3 cost the same time within
/// noise, 6 about 1 us a span more.
const ZSTD_LEVEL: i32 = 3;
/// A dictionary beyond this is given up: every point read decodes it.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;
/// A page beyond this is cut, so that a block of giant spans is not one allocation.
const PAGE_BYTES_MAX: usize = 1 << 20;

pub(super) fn descriptor() -> Result<SchemaDescPtr> {
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(MESSAGE)?))))
}

/// How columns of one kind, dense or sparse, are written.
pub(super) fn properties(schema: &SchemaDescriptor, sparse: bool) -> WriterPropertiesPtr {
    // Pages of 512 rows cost 6 B/span on astronomy, of 2,048 save 3 and double a point read.
    let page_rows = if sparse { BLOCK_ROWS * GROUP_BLOCKS } else { BLOCK_ROWS };
    let mut builder = base()
        .set_write_batch_size(BLOCK_ROWS)
        .set_data_page_row_count_limit(page_rows)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX);
    for column in Column::ALL {
        let path: ColumnPath = schema.column(column as usize).path().clone();
        builder = builder
            .set_column_dictionary_enabled(path.clone(), column.is_dictionary())
            .set_column_encoding(path.clone(), column.encoding())
            .set_column_compression(path.clone(), column.compression());
        if column == Column::Start {
            // So that other readers skip row groups by time.
            builder = builder.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
    }
    Arc::new(builder.build())
}

/// How the file around the columns is written: pages are found by our own table.
pub(super) fn file_properties() -> WriterPropertiesPtr {
    Arc::new(base().set_offset_index_disabled(true).build())
}

fn base() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by("spanlake".to_owned())
        .set_statistics_enabled(EnabledStatistics::None)
}
