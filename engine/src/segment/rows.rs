//! Pages to rows: the columns a read needs are decoded and put together as [`SpanRow`]s that share
//! their segment's resources and scopes. Pages were checked before; what does not add up is damage.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArrayType, Int32Type, Int64Type,
};

use super::Columns;
use super::column::decode;
use super::pages::Fetched;
use super::payload::{Fixed, put_together};
use super::read::Segment;
use super::schema::Column;
use crate::error::{Error, Result};
use crate::span::{SpanId, SpanRow, TraceId};

/// The columns of a read, in file order, so that neighbours are read together.
pub(super) fn columns_of(columns: Columns) -> &'static [Column] {
    match columns {
        Columns::Fixed => &FIXED_COLUMNS,
        Columns::Payload => &PAYLOAD_COLUMNS,
    }
}

const FIXED_COLUMNS: [Column; 11] = [
    Column::TraceId,
    Column::SpanId,
    Column::Parent,
    Column::Start,
    Column::Duration,
    Column::Name,
    Column::Kind,
    Column::Status,
    Column::Resource,
    Column::Scope,
    Column::NameRaw,
];
const PAYLOAD_COLUMNS: [Column; 13] = [
    Column::TraceId,
    Column::SpanId,
    Column::Parent,
    Column::Start,
    Column::Duration,
    Column::Name,
    Column::Kind,
    Column::Status,
    Column::Resource,
    Column::Scope,
    Column::Rest,
    Column::NameRaw,
    Column::SpanRaw,
];

/// Pages in memory, waiting to be decoded.
pub(super) struct Fetching<'a> {
    segment: &'a Segment,
    columns: Vec<(Column, Option<Fetched>)>,
    rows: usize,
}

impl<'a> Fetching<'a> {
    /// These columns of `rows` rows.
    pub(super) fn new(
        segment: &'a Segment,
        rows: usize,
        columns: impl Iterator<Item = (Column, Fetched)>,
    ) -> Self {
        let columns = columns.map(|(column, fetched)| (column, Some(fetched))).collect();
        Self { segment, columns, rows }
    }

    /// Decodes the columns of [`columns_of`] and adds the rows to `out`.
    pub(super) fn into_rows(mut self, columns: Columns, out: &mut Vec<SpanRow>) -> Result<()> {
        let fixed = FixedRows::decode(&mut self)?;
        let bytes = match columns {
            Columns::Fixed => None,
            Columns::Payload => Some((self.bytes(Column::Rest)?, self.optional(Column::SpanRaw)?)),
        };
        fixed.assemble(self.segment, bytes, out)
    }

    fn take<T: DataType>(&mut self, column: Column) -> Result<(Vec<T::T>, Vec<i16>)> {
        let fetched = self.columns.iter_mut().find(|(c, _)| *c == column);
        let fetched = fetched
            .and_then(|(_, fetched)| fetched.take())
            .ok_or_else(|| Error::internal(format!("column {column:?} was not fetched")))?;
        let descriptor = self.segment.schema.column(column as usize);
        let Fetched { pages, skip, take } = fetched;
        decode::<T>(&descriptor, column.compression(), pages, skip, take)
            .map_err(|e| self.segment.damaged(format_args!("column {column:?}: {e}")))
    }

    fn ints(&mut self, column: Column) -> Result<Vec<i32>> {
        self.take::<Int32Type>(column).map(|(values, _)| values)
    }

    fn longs(&mut self, column: Column) -> Result<Vec<i64>> {
        self.take::<Int64Type>(column).map(|(values, _)| values)
    }

    pub(super) fn bytes(&mut self, column: Column) -> Result<Vec<ByteArray>> {
        self.take::<ByteArrayType>(column).map(|(values, _)| values)
    }

    pub(super) fn fixed<const N: usize>(&mut self, column: Column) -> Result<Vec<[u8; N]>> {
        let (values, _) = self.take::<FixedLenByteArrayType>(column)?;
        values.iter().map(|id| self.id(id.data())).collect()
    }

    fn id<const N: usize>(&self, bytes: &[u8]) -> Result<[u8; N]> {
        bytes.try_into().map_err(|_| self.segment.damaged("an id has a wrong length"))
    }

    fn parents(&mut self) -> Result<Vec<Option<SpanId>>> {
        let (values, present) = self.take::<FixedLenByteArrayType>(Column::Parent)?;
        spread(values, &present)
            .map(|id| id.map(|id| self.id(id.data()).map(SpanId)).transpose())
            .collect()
    }

    fn optional(&mut self, column: Column) -> Result<Vec<Option<ByteArray>>> {
        let (values, present) = self.take::<ByteArrayType>(column)?;
        Ok(spread(values, &present).collect())
    }
}

/// Puts nulls between the values.
fn spread<T>(values: Vec<T>, present: &[i16]) -> impl Iterator<Item = Option<T>> {
    let mut values = values.into_iter();
    present.iter().map(move |&level| if level > 0 { values.next() } else { None })
}

/// The decoded columns that every read needs; all of one length.
struct FixedRows {
    trace_ids: Vec<[u8; 16]>,
    span_ids: Vec<[u8; 8]>,
    /// As the message had them, zeros included.
    parents: Vec<Option<SpanId>>,
    starts: Vec<i64>,
    durations: Vec<i64>,
    names: Vec<Bytes>,
    kinds: Vec<i32>,
    statuses: Vec<i32>,
    resources: Vec<i32>,
    scopes: Vec<i32>,
}

impl FixedRows {
    fn decode(columns: &mut Fetching<'_>) -> Result<Self> {
        let rows = columns.rows;
        let decoded = Self {
            trace_ids: columns.fixed(Column::TraceId)?,
            span_ids: columns.fixed(Column::SpanId)?,
            parents: columns.parents()?,
            starts: columns.longs(Column::Start)?,
            durations: columns.longs(Column::Duration)?,
            names: names(&columns.bytes(Column::Name)?, columns.optional(Column::NameRaw)?),
            kinds: columns.ints(Column::Kind)?,
            statuses: columns.ints(Column::Status)?,
            resources: columns.ints(Column::Resource)?,
            scopes: columns.ints(Column::Scope)?,
        };
        if decoded.parents.len() == rows && decoded.names.len() == rows {
            // The others have a value for each row: `decode` checks that.
            return Ok(decoded);
        }
        Err(columns.segment.damaged("its columns differ in length"))
    }

    /// Makes rows; `bytes` are the rest and the whole messages where the payload is wanted.
    fn assemble(
        self,
        segment: &Segment,
        bytes: Option<(Vec<ByteArray>, Vec<Option<ByteArray>>)>,
        out: &mut Vec<SpanRow>,
    ) -> Result<()> {
        let table = |what| move || segment.damaged(format_args!("a row's {what} is not listed"));
        for (at, name) in self.names.iter().enumerate() {
            let start = self.starts[at] as u64;
            let fixed = Fixed {
                trace_id: TraceId(self.trace_ids[at]),
                span_id: SpanId(self.span_ids[at]),
                parent: self.parents[at],
                name,
                kind: self.kinds[at],
                start,
                end: start.wrapping_add(self.durations[at] as u64),
            };
            let span = match &bytes {
                None => Bytes::new(),
                Some((rest, raw)) => match raw.get(at).and_then(Option::as_ref) {
                    Some(raw) => Bytes::copy_from_slice(raw.data()),
                    None => rest
                        .get(at)
                        .and_then(|rest| put_together(&fixed, rest.data()))
                        .ok_or_else(|| segment.damaged("a span cannot be put together"))?,
                },
            };
            let resource = segment.index.resources.get(self.resources[at] as usize);
            let scope = segment.index.scopes.get(self.scopes[at] as usize);
            out.push(SpanRow {
                trace_id: fixed.trace_id,
                span_id: fixed.span_id,
                parent: fixed.parent.filter(|id| *id != SpanId::default()),
                start,
                end: fixed.end,
                kind: fixed.kind,
                status: self.statuses[at],
                name: name.clone(),
                resource: Arc::clone(resource.ok_or_else(table("resource"))?),
                scope: Arc::clone(scope.ok_or_else(table("scope"))?),
                span,
                sequence: 0,
            });
        }
        Ok(())
    }
}

/// Names as sent. Values of one dictionary entry lie at one address and become one allocation.
fn names(names: &[ByteArray], raw: Vec<Option<ByteArray>>) -> Vec<Bytes> {
    let mut shared: HashMap<(*const u8, usize), Bytes> = HashMap::new();
    let one = |(name, raw): (&ByteArray, Option<ByteArray>)| match raw {
        Some(raw) => Bytes::copy_from_slice(raw.data()),
        None => {
            let data = name.data();
            let key = (data.as_ptr(), data.len());
            shared.entry(key).or_insert_with(|| Bytes::copy_from_slice(data)).clone()
        }
    };
    names.iter().zip(raw).map(one).collect()
}
