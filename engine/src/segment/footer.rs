//! The way from a file to its blob. A Parquet footer has no checksum, so it is not trusted with
//! more than this: its key-value metadata says which format the file has (`spanlake.format`),
//! where the blob lies with its CRC-32C (`spanlake.blob` = offset,length,crc), and the CRC-32C of
//! everything behind the blob, footer and closing magic included (`spanlake.tail`, computed with
//! its own digits as zeros).
//!
//! Source: <https://parquet.apache.org/docs/file-format/>.

use std::ops::Range;

use super::blob::{Cursor, Parsed};
use super::thrift::{BINARY, STRUCT, list_header, next_field, skip};

pub(super) const FORMAT_KEY: &str = "spanlake.format";
pub(super) const BLOB_KEY: &str = "spanlake.blob";
pub(super) const TAIL_KEY: &str = "spanlake.tail";
/// What [`TAIL_KEY`] holds until [`seal`].
pub(super) const TAIL_ZEROS: &str = "00000000";
pub(super) const MAGIC: &[u8; 4] = b"PAR1";
/// The footer's length and the closing magic.
pub(super) const CLOSING_BYTES: usize = 8;

/// `FileMetaData.key_value_metadata`.
const KEY_VALUES_FIELD: i64 = 5;

/// What the footer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) blob: Range<u64>,
    pub(super) blob_crc: u32,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Damaged(&'static str),
    /// A whole file of a format that is not ours.
    Format(String),
}

impl From<&'static str> for Lost {
    fn from(what: &'static str) -> Self {
        Lost::Damaged(what)
    }
}

/// The length of the footer before `closing`, the file's last bytes.
pub(super) fn footer_length(closing: &[u8]) -> Parsed<u32> {
    let mut cursor = Cursor::new(closing);
    let length = cursor.u32()?;
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err("it does not end as a Parquet file");
    }
    Ok(length)
}

pub(super) fn blob_value(offset: usize, length: usize, crc: u32) -> String {
    format!("{offset},{length},{crc:08x}")
}

/// Writes the tail's checksum into a finished file, whose blob ends at `blob_end`.
pub(super) fn seal(file: &mut [u8], blob_end: usize) -> Parsed<()> {
    let closing = file.len().checked_sub(CLOSING_BYTES).ok_or("it is too short")?;
    let length = footer_length(&file[closing..])? as usize;
    let footer = closing.checked_sub(length).ok_or("its footer is longer than itself")?;
    let at = value_of(&file[footer..closing], TAIL_KEY)?.ok_or("its footer has no tail entry")?;
    let at = footer + at.start..footer + at.end;
    if &file[at.clone()] != TAIL_ZEROS.as_bytes() {
        return Err("its tail is sealed already");
    }
    let crc = crc32c::crc32c(file.get(blob_end..).ok_or("its blob ends outside it")?);
    file[at].copy_from_slice(format!("{crc:08x}").as_bytes());
    Ok(())
}

/// Reads the last bytes of a file of `file_length` bytes; `tail` holds at least the footer and,
/// where that is longer, everything behind the blob.
pub(super) fn locate(tail: &[u8], file_length: u64) -> Result<Located, Lost> {
    let closing = tail.len().checked_sub(CLOSING_BYTES).ok_or("it is too short")?;
    let length = footer_length(&tail[closing..])? as usize;
    let start = closing.checked_sub(length).ok_or("its footer is longer than itself")?;
    let footer = &tail[start..closing];
    let text = |key| -> Result<Option<&str>, Lost> {
        let value = value_of(footer, key)?.and_then(|at| footer.get(at));
        Ok(value.map(|v| str::from_utf8(v).unwrap_or("?")))
    };
    let format = text(FORMAT_KEY)?.ok_or("it is no segment: its footer names no format")?;
    let blob = text(BLOB_KEY)?.and_then(parse_blob);
    let sealed = blob.as_ref().and_then(|blob| check_tail(tail, footer, start, file_length, blob));
    match (format == super::SEGMENT_FORMAT.to_string(), sealed) {
        (true, Some(true)) => blob.ok_or(Lost::Damaged("its footer does not locate its index")),
        // Another format may seal its tail in another way; one that fails our check is damage.
        (false, Some(true) | None) if is_number(format) => Err(Lost::Format(format.to_owned())),
        _ => Err(Lost::Damaged("the checksum of its footer is wrong")),
    }
}

/// Formats are numbers; anything else is damage.
fn is_number(format: &str) -> bool {
    !format.is_empty() && format.bytes().all(|digit| digit.is_ascii_digit())
}

fn parse_blob(value: &str) -> Option<Located> {
    let mut numbers = value.split(',');
    let offset: u64 = numbers.next()?.parse().ok()?;
    let length: u64 = numbers.next()?.parse().ok()?;
    let blob_crc = u32::from_str_radix(numbers.next()?, 16).ok()?;
    let blob = offset..offset.checked_add(length)?;
    numbers.next().is_none().then_some(Located { blob, blob_crc })
}

/// Whether the bytes behind the blob are those that were sealed; `None` without what it takes.
fn check_tail(
    tail: &[u8],
    footer: &[u8],
    footer_start: usize,
    file_length: u64,
    located: &Located,
) -> Option<bool> {
    let behind = usize::try_from(file_length.checked_sub(located.blob.end)?).ok()?;
    let from = tail.len().checked_sub(behind)?;
    let at = value_of(footer, TAIL_KEY).ok()??;
    let said = footer.get(at.clone())?;
    let digits = footer_start + at.start..footer_start + at.end;
    if at.len() != TAIL_ZEROS.len() || digits.start < from {
        return Some(false);
    }
    let crc = crc32c::crc32c(&tail[from..digits.start]);
    let crc = crc32c::crc32c_append(crc, TAIL_ZEROS.as_bytes());
    let crc = crc32c::crc32c_append(crc, &tail[digits.end..]);
    // As text: no other spelling of the number is ours.
    Some(format!("{crc:08x}").as_bytes() == said)
}

/// Where in `footer` the value of `key` stands.
fn value_of(footer: &[u8], key: &str) -> Parsed<Option<Range<usize>>> {
    let mut cursor = Cursor::new(footer);
    let mut field = 0;
    while let Some(kind) = next_field(&mut cursor, &mut field)? {
        if field != KEY_VALUES_FIELD {
            skip(&mut cursor, kind)?;
            continue;
        }
        let (count, kind) = list_header(&mut cursor)?;
        if kind != STRUCT {
            return Err("its footer's metadata is no list of entries");
        }
        for _ in 0..count {
            let entry = key_value(&mut cursor, footer)?;
            if entry.0 == key.as_bytes() {
                return Ok(Some(entry.1));
            }
        }
    }
    Ok(None)
}

/// One `KeyValue`: the key, and where the value stands.
fn key_value<'a>(cursor: &mut Cursor<'a>, footer: &'a [u8]) -> Parsed<(&'a [u8], Range<usize>)> {
    let (mut key, mut value) = (&footer[..0], 0..0);
    let mut field = 0;
    while let Some(kind) = next_field(cursor, &mut field)? {
        match (field, kind) {
            (1, BINARY) => key = cursor.bytes()?,
            (2, BINARY) => {
                let length = cursor.bytes()?.len();
                value = cursor.at() - length..cursor.at();
            }
            _ => skip(cursor, kind)?,
        }
    }
    Ok((key, value))
}
