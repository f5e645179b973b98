//! PLAIN and BYTE_STREAM_SPLIT: values as they are in memory, and their bytes sorted by place.

use std::ops::Range;

use super::bits::{self, Number};
use super::chunk::{Source, Strings};
use crate::segment::blob::Parsed;

const SHORT: &str = "a page has too few values";

impl Source<'_> {
    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Source::Bool(values) => values.len(),
            Source::I32(values) => values.len(),
            Source::I64(values) => values.len(),
            Source::F64(values) => values.len(),
            Source::Fixed { width, data } => data.len() / (*width).max(1) as usize,
            Source::Bytes(strings) => strings.len(),
            Source::Codes { codes, .. } => codes.len(),
        }
    }

    /// Codes have no PLAIN form here.
    pub(super) fn put_plain(&self, range: Range<usize>, out: &mut Vec<u8>) -> Parsed<()> {
        match self {
            Source::Bool(values) => {
                bits::pack(out, values[range].iter().map(|&value| value.into()), 1);
            }
            Source::I32(values) => put_words(out, &values[range], |v| v.to_le_bytes()),
            Source::I64(values) => put_words(out, &values[range], |v| v.to_le_bytes()),
            Source::F64(values) => put_words(out, &values[range], |v| v.to_le_bytes()),
            Source::Fixed { width, data } => {
                let width = *width as usize;
                out.extend_from_slice(&data[range.start * width..range.end * width]);
            }
            Source::Bytes(strings) => return strings.put(range, out),
            Source::Codes { .. } => return Err("codes are not written as they are"),
        }
        Ok(())
    }

    pub(super) fn put_split(&self, range: Range<usize>, out: &mut Vec<u8>) -> Parsed<()> {
        match self {
            Source::I32(values) => put_streams(out, &values[range], 4, |v| u64::from(v as u32)),
            Source::I64(values) => put_streams(out, &values[range], 8, |v| v as u64),
            Source::F64(values) => put_streams(out, &values[range], 8, |v| v),
            _ => return Err("only numbers are split"),
        }
        Ok(())
    }
}

fn put_words<T: Copy, const N: usize>(out: &mut Vec<u8>, values: &[T], bytes: fn(T) -> [u8; N]) {
    out.reserve(values.len() * N);
    values.iter().for_each(|&value| out.extend_from_slice(&bytes(value)));
}

/// Streams of values of `size` bytes; eight values a time.
fn put_streams<T: Copy>(out: &mut Vec<u8>, values: &[T], size: usize, word: fn(T) -> u64) {
    let from = out.len();
    out.resize(from + values.len() * size, 0);
    let mut streams: Vec<&mut [u8]> = out[from..].chunks_exact_mut(values.len().max(1)).collect();
    for (group, values) in values.chunks(8).enumerate() {
        let mut words = [0; 8];
        words.iter_mut().zip(values).for_each(|(to, &value)| *to = word(value));
        for (stream, bytes) in streams.iter_mut().zip(bits::transpose(words)) {
            let at = group * 8..group * 8 + values.len();
            stream[at].copy_from_slice(&bytes.to_le_bytes()[..values.len()]);
        }
    }
}

impl Strings<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Strings::Packed { ends, .. } => ends.len(),
            Strings::Slices(slices) => slices.len(),
        }
    }

    fn put(&self, range: Range<usize>, out: &mut Vec<u8>) -> Parsed<()> {
        match self {
            Strings::Packed { ends, data } => {
                let mut from = range.start.checked_sub(1).map_or(0, |last| ends[last]) as usize;
                for &end in &ends[range] {
                    let value = data.get(from..end as usize).ok_or("strings end outside")?;
                    put_string(out, value)?;
                    from = end as usize;
                }
            }
            Strings::Slices(slices) => {
                for value in &slices[range] {
                    put_string(out, value)?;
                }
            }
        }
        Ok(())
    }
}

fn put_string(out: &mut Vec<u8>, value: &[u8]) -> Parsed<()> {
    let length = u32::try_from(value.len()).map_err(|_| "a string is over 4 GiB")?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// Takes `count` values of `size` bytes off `bytes`.
pub(super) fn take<'p>(bytes: &mut &'p [u8], count: usize, size: usize) -> Parsed<&'p [u8]> {
    let length = count.checked_mul(size).ok_or(SHORT)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(SHORT)?;
    *bytes = rest;
    Ok(taken)
}

/// Takes a string off `bytes`.
pub(super) fn take_string<'p>(bytes: &mut &'p [u8]) -> Parsed<&'p [u8]> {
    let (length, rest) = bytes.split_first_chunk().ok_or(SHORT)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (value, rest) = rest.split_at_checked(length).ok_or("a string ends outside its page")?;
    *bytes = rest;
    Ok(value)
}

/// Values of `N` bytes, whole.
pub(super) fn words<'p, const N: usize>(bytes: &'p [u8]) -> impl Iterator<Item = [u8; N]> + 'p {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// PLAIN booleans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'p> {
    bytes: &'p [u8],
    at: usize,
}

impl<'p> Bits<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn read(&mut self, count: usize, out: &mut Vec<bool>) -> Parsed<()> {
        let first = self.at;
        self.skip(count)?;
        let from = out.len();
        out.resize(from + count, false);
        bits::unpack(self.bytes, 1, first, &mut out[from..]);
        Ok(())
    }

    pub(super) fn skip(&mut self, count: usize) -> Parsed<()> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len() * 8);
        self.at = end.ok_or(SHORT)?;
        Ok(())
    }
}

/// Numbers whose bytes lie in streams, one for each place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split<'p> {
    bytes: &'p [u8],
    at: usize,
}

impl<'p> Split<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Appends the next `count` numbers, of 4 or 8 bytes; eight a time.
    pub(super) fn read<T: Number>(&mut self, count: usize, out: &mut Vec<T>) -> Parsed<()> {
        let length = self.bytes.len() / size_of::<T>();
        if length * size_of::<T>() != self.bytes.len() {
            return Err("a page has a piece of a value");
        }
        let end = self.at.checked_add(count).filter(|&end| end <= length).ok_or(SHORT)?;
        let mut streams = [&self.bytes[..0]; 8];
        for (stream, bytes) in streams.iter_mut().zip(self.bytes.chunks_exact(length.max(1))) {
            *stream = bytes;
        }
        out.reserve(count);
        while self.at < end {
            let step = (end - self.at).min(8);
            let values = bits::transpose(streams.map(|stream| bits::word(stream, self.at)));
            out.extend(values[..step].iter().map(|&value| T::of(value)));
            self.at += step;
        }
        Ok(())
    }

    /// Passes over numbers of `size` bytes.
    pub(super) fn skip(&mut self, count: usize, size: usize) -> Parsed<()> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len() / size);
        self.at = end.ok_or(SHORT)?;
        Ok(())
    }
}
