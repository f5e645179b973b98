//! What a segment's calls add up to, as a part of the index: packed in memory until a question
//! needs them, since most never do. Before the packed body stands what tells whether it is
//! needed: the minutes it speaks of, and the segments that its corrections stand on.
//!
//! The body lists columns, not rows: all minutes, all callers, all counts; so zstd halves it.

use std::sync::Arc;

use bytes::Bytes;

use super::blob::{self, Cursor, Parsed, put_bytes, put_varint};
use crate::error::Result;
use crate::rollup::{CallRollup, Edge, MINUTES, Torn};

/// Bytes of a body at most: far more than a segment's rows can add up to.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// A [`CallRollup`] of an open segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedCalls {
    /// First and last minute that an edge speaks of; none where there are no edges.
    pub(crate) minutes: Option<(u32, u32)>,
    /// Names of the segments that corrections were made with.
    pub(crate) bases: Vec<String>,
    /// Some trace has no correction.
    pub(crate) is_lacking: bool,
    /// Rows of the segment.
    rows: u32,
    plain: u64,
    packed: Bytes,
}

pub(super) fn encode(rollup: &CallRollup) -> std::io::Result<Vec<u8>> {
    let edges = || rollup.alone.iter().chain(rollup.torn.iter().flat_map(|t| &t.corrections));
    let least = edges().map(|(edge, _)| edge.minute).min();
    let most = edges().map(|(edge, _)| edge.minute).max();
    let mut out = Vec::new();
    put_varint(&mut out, u64::from(least.is_some()));
    if let (Some(least), Some(most)) = (least, most) {
        put_varint(&mut out, least.into());
        put_varint(&mut out, (most - least).into());
    }
    put_varint(&mut out, u64::from(rollup.torn.iter().any(|torn| torn.bases.is_empty())));
    put_varint(&mut out, rollup.bases.len() as u64);
    rollup.bases.iter().for_each(|name| put_bytes(&mut out, name.as_bytes()));
    let body = encode_body(rollup, least.unwrap_or_default());
    put_varint(&mut out, body.len() as u64);
    out.extend(blob::pack(&body)?);
    Ok(out)
}

pub(super) fn encode_body(rollup: &CallRollup, first_minute: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, rollup.services.len() as u64);
    rollup.services.iter().for_each(|name| put_bytes(&mut out, name.as_bytes()));
    put_varint(&mut out, rollup.alone.len() as u64);
    put_edges(&mut out, rollup.alone.iter(), first_minute);
    rollup.alone.iter().for_each(|(_, count)| put_varint(&mut out, *count as u64));
    put_varint(&mut out, rollup.torn.len() as u64);
    let mut last = 0;
    for torn in &rollup.torn {
        put_varint(&mut out, (torn.first_row - last).into());
        last = torn.first_row;
    }
    rollup.torn.iter().for_each(|torn| put_varint(&mut out, torn.bases.len() as u64));
    rollup.torn.iter().flat_map(|t| &t.bases).for_each(|base| put_varint(&mut out, (*base).into()));
    rollup.torn.iter().for_each(|torn| put_varint(&mut out, torn.corrections.len() as u64));
    let corrections = || rollup.torn.iter().flat_map(|torn| &torn.corrections);
    put_edges(&mut out, corrections(), first_minute);
    corrections().for_each(|(_, count)| put_varint(&mut out, zigzag(*count)));
    out
}

/// Minutes as steps from the one before, there and back.
fn put_edges<'a>(
    out: &mut Vec<u8>,
    edges: impl Iterator<Item = &'a (Edge, i64)> + Clone,
    first_minute: u32,
) {
    let mut last = first_minute;
    for (edge, _) in edges.clone() {
        put_varint(out, zigzag(i64::from(edge.minute) - i64::from(last)));
        last = edge.minute;
    }
    edges.clone().for_each(|(edge, _)| put_varint(out, edge.caller.into()));
    edges.for_each(|(edge, _)| put_varint(out, edge.called.into()));
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

impl PackedCalls {
    pub(super) fn decode(bytes: &[u8], rows: u32) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let minutes = match cursor.varint()? {
            0 => None,
            _ => {
                let (least, span) = (cursor.varint_u32()?, cursor.varint_u32()?);
                let most = least.checked_add(span).filter(|&most| most < MINUTES);
                Some((least, most.ok_or("its rollup has an absurd minute")?))
            }
        };
        let is_lacking = cursor.varint()? != 0;
        let count = cursor.count(1)?;
        let mut bases = Vec::with_capacity(count);
        for _ in 0..count {
            bases.push(text(&mut cursor)?.to_owned());
        }
        let plain = cursor.varint()?;
        if plain > BODY_BYTES_MAX {
            return Err("its rollup has an absurd length");
        }
        let packed = Bytes::copy_from_slice(cursor.take(cursor.left())?);
        Ok(Self { minutes, bases, is_lacking, rows, plain, packed })
    }

    /// As of a file.
    #[cfg(test)]
    pub(crate) fn of(rollup: &CallRollup, rows: u32) -> Self {
        Self::decode(&encode(rollup).unwrap(), rows).unwrap()
    }

    /// With another body.
    #[cfg(test)]
    pub(super) fn of_body(rollup: &CallRollup, rows: u32, body: &[u8]) -> Self {
        let (plain, packed) = (body.len() as u64, blob::pack(body).unwrap().into());
        Self { plain, packed, ..Self::of(rollup, rows) }
    }

    /// All of it.
    pub(crate) fn unpack(&self) -> Parsed<CallRollup> {
        let body = blob::unpack(&self.packed, self.plain)?;
        let mut cursor = Cursor::new(&body);
        let count = cursor.count(1)?;
        let mut services: Vec<Arc<str>> = Vec::with_capacity(count);
        for _ in 0..count {
            services.push(text(&mut cursor)?.into());
        }
        let count = cursor.count(4)?;
        let mut alone = self.edges(&mut cursor, count, count)?;
        for (_, count) in &mut alone {
            *count = i64::try_from(cursor.varint()?)
                .ok()
                .filter(|&count| count > 0)
                .ok_or("its rollup has an absurd count")?;
        }
        let torn = self.torn(&mut cursor)?;
        cursor.finish()?;
        let numbers = alone.iter().chain(torn.iter().flat_map(|torn| &torn.corrections));
        let highest = numbers.map(|(edge, _)| edge.caller.max(edge.called)).max();
        if highest.is_some_and(|highest| highest as usize >= services.len()) {
            return Err("its rollup has a service that is not listed");
        }
        Ok(CallRollup { services, alone, bases: self.bases.clone(), torn })
    }

    fn torn(&self, cursor: &mut Cursor<'_>) -> Parsed<Vec<Torn>> {
        let count = cursor.count(3)?;
        let mut torn = Vec::with_capacity(count);
        let mut first_row = 0u32;
        for at in 0..count {
            let step = cursor.varint_u32()?;
            first_row = first_row
                .checked_add(step)
                .filter(|&row| row < self.rows && (at == 0 || step > 0))
                .ok_or("its rollup has an absurd row")?;
            torn.push(Torn { first_row, ..Torn::default() });
        }
        let mut counts = Vec::with_capacity(count);
        for _ in 0..count {
            counts.push(cursor.count(1)?);
        }
        for (torn, count) in torn.iter_mut().zip(counts) {
            // All bases follow here, so what is left bounds each of the counts.
            for _ in 0..count {
                let base = cursor.varint_u32()?;
                if base as usize >= self.bases.len() {
                    return Err("its rollup stands on a segment that is not listed");
                }
                torn.bases.push(base);
            }
        }
        let mut counts = Vec::with_capacity(count);
        let mut all = 0usize;
        for _ in 0..count {
            let count = cursor.count(4)?;
            all = all.checked_add(count).ok_or("its rollup has an absurd count")?;
            counts.push(count);
        }
        if all > cursor.left() / 4 {
            return Err("its rollup lists more than it has room for");
        }
        let mut edges = self.edges(cursor, all, all)?.into_iter();
        for (torn, count) in torn.iter_mut().zip(counts) {
            torn.corrections.extend(edges.by_ref().take(count));
        }
        for (_, count) in torn.iter_mut().flat_map(|torn| &mut torn.corrections) {
            *count = unzigzag(cursor.varint()?);
        }
        Ok(torn)
    }

    /// Edges without their counts.
    fn edges(
        &self,
        cursor: &mut Cursor<'_>,
        count: usize,
        capacity: usize,
    ) -> Parsed<Vec<(Edge, i64)>> {
        let (least, most) = self.minutes.unwrap_or((1, 0));
        let mut edges = Vec::with_capacity(capacity);
        let mut minute = i64::from(least);
        for _ in 0..count {
            let step = unzigzag(cursor.varint()?);
            minute = minute
                .checked_add(step)
                .filter(|minute| (i64::from(least)..=i64::from(most)).contains(minute))
                .ok_or("its rollup has a minute that it should not have")?;
            edges.push((Edge { minute: minute as u32, caller: 0, called: 0 }, 0));
        }
        for (edge, _) in &mut edges {
            edge.caller = cursor.varint_u32()?;
        }
        for (edge, _) in &mut edges {
            edge.called = cursor.varint_u32()?;
        }
        Ok(edges)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.packed.len() + self.bases.iter().map(|name| name.capacity() + 24).sum::<usize>()
    }
}

pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    str::from_utf8(cursor.bytes()?).map_err(|_| "a name in its rollup is not UTF-8")
}

impl super::Segment {
    /// What its calls add up to; none in files written before there were rollups.
    pub(crate) fn calls(&self) -> Option<&PackedCalls> {
        self.index.calls.as_ref()
    }

    /// Unpacks them.
    ///
    /// # Errors
    /// `Corrupted` naming the file.
    pub(crate) fn unpack_calls(&self) -> Result<Option<CallRollup>> {
        let unpacked = self.calls().map(PackedCalls::unpack).transpose();
        unpacked.map_err(|what| self.damaged(format_args!("in its index, {what}")))
    }
}
