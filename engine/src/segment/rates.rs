//! What a segment's spans come to by service, kind and minute, as a part of the index: packed in memory
//! until somebody asks. Each kind of number is a stream that is packed alone: steps of minutes,
//! steps of buckets and counts differ so much in what is common that zstd does better apart.

use std::sync::Arc;

use bytes::Bytes;

use super::blob::{self, Cursor, Parsed, put_bytes, put_varint};
use super::rollup::{text, unzigzag, zigzag};
use crate::error::Result;
use crate::rollup::MINUTES;
use crate::rollup::rates::{BUCKETS, Group, RateRollup};
use crate::span::SpanKind;

/// Bytes of a stream at most: far more than a segment's rows can come to.
const STREAM_BYTES_MAX: u64 = 1 << 30;
/// Series, groups of each and steps of minutes; buckets a group; steps of buckets; spans;
/// errors.
const STREAMS: usize = 5;

/// A [`RateRollup`] of an open segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedRates {
    /// Plain length and packed bytes.
    streams: [(u64, Bytes); STREAMS],
}

pub(super) fn encode(rollup: &RateRollup) -> std::io::Result<Vec<u8>> {
    let mut streams: [Vec<u8>; STREAMS] = Default::default();
    let [groups, lengths, steps, spans, errors] = &mut streams;
    put_varint(groups, rollup.series.len() as u64);
    let mut left = rollup.groups.as_slice();
    for (number, (name, kind)) in (0u32..).zip(&rollup.series) {
        put_bytes(groups, name.as_bytes());
        groups.push(kind.number());
        let length = left.partition_point(|group| group.series == number);
        let (of_series, others) = left.split_at_checked(length).unwrap_or((left, &[]));
        left = others;
        put_varint(groups, of_series.len() as u64);
        let (mut minute, mut bucket) = (0, 0);
        for group in of_series {
            put_varint(groups, (group.minute - minute).into());
            minute = group.minute;
            put_varint(lengths, group.buckets.len() as u64);
            // The first as a step from the first of the minute before, which is mostly near.
            let first = group.buckets.first().map_or(0, |(bucket, _)| *bucket);
            put_varint(steps, zigzag(i64::from(first) - bucket));
            bucket = i64::from(first);
            for pair in group.buckets.windows(2) {
                put_varint(steps, (pair[1].0 - pair[0].0).into());
            }
            group.buckets.iter().for_each(|(_, count)| put_varint(spans, *count));
            put_varint(errors, group.errors);
        }
    }
    let mut out = Vec::new();
    for stream in streams {
        let packed = blob::pack(&stream)?;
        put_varint(&mut out, stream.len() as u64);
        put_bytes(&mut out, &packed);
    }
    Ok(out)
}

impl PackedRates {
    pub(super) fn decode(bytes: &[u8]) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut streams: [(u64, Bytes); STREAMS] = Default::default();
        for (plain, packed) in &mut streams {
            *plain = cursor.varint()?;
            if *plain > STREAM_BYTES_MAX {
                return Err("its rates have an absurd length");
            }
            *packed = Bytes::copy_from_slice(cursor.bytes()?);
        }
        cursor.finish()?;
        Ok(Self { streams })
    }

    /// As of a file.
    #[cfg(test)]
    pub(crate) fn of(rollup: &RateRollup) -> Self {
        Self::decode(&encode(rollup).unwrap()).unwrap()
    }

    /// All of it.
    pub(crate) fn unpack(&self) -> Parsed<RateRollup> {
        let mut plain: [Bytes; STREAMS] = Default::default();
        for (plain, (length, packed)) in plain.iter_mut().zip(&self.streams) {
            *plain = blob::unpack(packed, *length)?;
        }
        let [groups, lengths, steps, spans, errors] = &plain;
        let mut lengths = Cursor::new(lengths);
        let mut groups = Cursor::new(groups);
        let mut buckets = Buckets { steps: Cursor::new(steps), spans: Cursor::new(spans) };
        let mut errors = Cursor::new(errors);
        let mut rollup = RateRollup::default();
        for series in 0..groups.count(3)? as u32 {
            let name: Arc<str> = text(&mut groups)?.into();
            let one = (name, SpanKind::from_number(groups.u8()?.into()));
            if rollup.series.last().is_some_and(|last| *last >= one) {
                return Err("the series of its rates are out of order");
            }
            rollup.series.push(one);
            let (mut minute, mut first) = (0u32, 0);
            for at in 0..groups.count(1)? {
                let step = groups.varint_u32()?;
                minute = minute
                    .checked_add(step)
                    .filter(|&minute| minute < MINUTES && (at == 0 || step > 0))
                    .ok_or("its rates have an absurd minute")?;
                let buckets = buckets.next(lengths.varint()?, &mut first)?;
                let group = Group { series, minute, errors: errors.varint()?, buckets };
                if group.errors > group.calls() {
                    return Err("its rates have more errors than calls");
                }
                rollup.groups.push(group);
            }
        }
        for cursor in [lengths, groups, buckets.steps, buckets.spans, errors] {
            cursor.finish()?;
        }
        Ok(rollup)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.streams.iter().map(|(_, packed)| packed.len()).sum()
    }
}

struct Buckets<'a> {
    steps: Cursor<'a>,
    spans: Cursor<'a>,
}

impl Buckets<'_> {
    /// The buckets of the next group; `first` is the first of the one before.
    fn next(&mut self, length: u64, first: &mut i64) -> Parsed<Vec<(u16, u64)>> {
        let absurd = "its rates have an absurd bucket";
        if length == 0 || length > u64::from(BUCKETS) {
            return Err(absurd);
        }
        let mut buckets = Vec::with_capacity(length as usize);
        let mut bucket = *first;
        for at in 0..length {
            let step = self.steps.varint()?;
            let step = match at {
                0 => unzigzag(step),
                _ => i64::try_from(step).ok().filter(|&step| step > 0).ok_or(absurd)?,
            };
            bucket = bucket
                .checked_add(step)
                .filter(|bucket| (0..i64::from(BUCKETS)).contains(bucket))
                .ok_or(absurd)?;
            if at == 0 {
                *first = bucket;
            }
            let spans = self.spans.varint()?;
            if spans == 0 {
                return Err("its rates count no spans");
            }
            buckets.push((bucket as u16, spans));
        }
        Ok(buckets)
    }
}

impl super::Segment {
    /// What its spans come to; none in files written before there were rollups.
    ///
    /// # Errors
    /// `Corrupted` naming the file.
    pub(crate) fn unpack_rates(&self) -> Result<Option<RateRollup>> {
        let unpacked = self.index.rates.as_ref().map(PackedRates::unpack).transpose();
        unpacked.map_err(|what| self.damaged(format_args!("in its index, {what}")))
    }
}
