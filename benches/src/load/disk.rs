//! Bytes on disk: what a directory has allocated, which part of it is which column or index of a
//! segment, and how to make the page cache forget it. Segments are read as what they are, Parquet
//! files with a blob of ours: nothing of the engine is asked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use rustix::fs::{Advice, fadvise};
use spanlake_benches::Result;

/// Footer key under which a segment says where its blob lies: offset,length,checksum.
const BLOB_KEY: &str = "spanlake.blob";
const BLOB_MAGIC: &[u8; 8] = b"SPANLAKE";
/// Magic, format, number of parts; then for each part kind, coding, stored and plain length.
const BLOB_HEAD_BYTES: usize = 16;
const BLOB_ENTRY_BYTES: usize = 24;
/// Parts of the blob by their number, in format 0 and in format 1.
const BLOB_PARTS: [&[&str]; 2] = [
    &["facts", "page table", "blocks", "index", "directory", "resources", "scopes", "operations"],
    &[
        "facts",
        "page table",
        "blocks",
        "columns",
        "shapes",
        "resources",
        "scopes",
        "contexts",
        "operations",
        "directory",
        "index",
        "calls",
        "rates",
    ],
];
/// Parts of the blob, and what is no part, without which spans could not be restored.
const DATA: [&str; 6] = ["columns", "shapes", "resources", "scopes", "contexts", REST];
const REST: &str = "footer, rounding";

/// What a data directory has allocated.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// By entry of the data directory.
    pub(crate) entries: BTreeMap<String, u64>,
    /// Files under segments/.
    pub(crate) segments: u64,
    /// Rows in them.
    pub(crate) rows: u64,
    /// Bytes in them by column.
    pub(crate) columns: BTreeMap<String, u64>,
    /// Bytes in them that are no column's: parts of the blob, and footers.
    pub(crate) others: BTreeMap<String, u64>,
}

impl Disk {
    /// Of any directory: its entries.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let mut disk = Self::default();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            disk.entries.insert(name, files(&entry.path())?.iter().map(|(_, bytes)| bytes).sum());
        }
        Ok(disk)
    }

    /// Of a Spanlake's data directory: its entries, and its segments by part.
    pub(crate) fn of_spanlake(dir: &Path) -> Result<Self> {
        let mut disk = Self::of(dir)?;
        let segments = dir.join("segments");
        if !segments.is_dir() {
            return Ok(disk);
        }
        let is_segment = |path: &Path| path.extension().is_some_and(|e| e == "parquet");
        for (path, allocated) in files(&segments)?.into_iter().filter(|(path, _)| is_segment(path))
        {
            let named = |e| format!("{}: {e}", path.display());
            disk.segment(&path, allocated).map_err(named)?;
        }
        Ok(disk)
    }

    fn segment(&mut self, path: &Path, allocated: u64) -> Result<()> {
        let reader = SerializedFileReader::new(File::open(path)?)?;
        let metadata = reader.metadata();
        self.segments += 1;
        let mut known = 0;
        for group in metadata.row_groups() {
            self.rows += u64::try_from(group.num_rows())?;
            for column in group.columns() {
                let bytes = u64::try_from(column.compressed_size())?;
                *self.columns.entry(column.column_path().string()).or_default() += bytes;
                known += bytes;
            }
        }
        let pairs = metadata.file_metadata().key_value_metadata();
        let blob = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == BLOB_KEY));
        if let Some(value) = blob.and_then(|pair| pair.value.as_deref()) {
            for (name, bytes) in blob_parts(path, value)? {
                *self.others.entry(name).or_default() += bytes;
                known += bytes;
            }
        }
        *self.others.entry(REST.to_owned()).or_default() += allocated.saturating_sub(known);
        Ok(())
    }

    /// Everything under segments/.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.entries.get("segments").copied().unwrap_or(0)
    }

    /// What there is to find things by: index, directory, filters and tables, without data.
    pub(crate) fn index_bytes(&self) -> u64 {
        let others = self.others.iter();
        others.filter(|(name, _)| !DATA.contains(&name.as_str())).map(|(_, bytes)| bytes).sum()
    }
}

/// The parts of a segment's blob, from the table it begins with.
fn blob_parts(path: &Path, value: &str) -> Result<BTreeMap<String, u64>> {
    let mut numbers = value.split(',').map(str::parse::<u64>);
    let (Some(Ok(offset)), Some(Ok(length))) = (numbers.next(), numbers.next()) else {
        return Err(format!("{BLOB_KEY} is {value:?}").into());
    };
    let mut parts = BTreeMap::new();
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut head = [0; BLOB_HEAD_BYTES];
    file.read_exact(&mut head)?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    if &head[..8] != BLOB_MAGIC {
        parts.insert("blob".to_owned(), length);
        return Ok(parts);
    }
    let named =
        usize::try_from(number(&head[8..12])).ok().and_then(|format| BLOB_PARTS.get(format));
    let mut known = 0;
    for _ in 0..number(&head[12..]) {
        let mut entry = [0; BLOB_ENTRY_BYTES];
        file.read_exact(&mut entry)?;
        let (kind, stored) = (number(&entry[..4]), number(&entry[8..16]));
        let place = usize::try_from(kind).ok().and_then(|kind| kind.checked_sub(1));
        let name = place.and_then(|place| named?.get(place));
        let name = name.map_or_else(|| format!("part {kind}"), |name| (*name).to_owned());
        *parts.entry(name).or_default() += stored;
        known += stored;
    }
    *parts.entry("table of parts".to_owned()).or_default() += length.saturating_sub(known);
    Ok(parts)
}

/// Makes the page cache forget every file below a directory.
pub(crate) fn drop_from_page_cache(dir: &Path) -> Result<()> {
    for (path, _) in files(dir)? {
        let file = File::open(&path)?;
        // Dirty pages would stay.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// The files at or below a path with their allocated bytes. What vanishes meanwhile (a log file
/// recycled, a segment replaced) is not counted.
fn files(path: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(Vec::new()) };
    if !metadata.is_dir() {
        return Ok(vec![(path.to_owned(), metadata.blocks() * 512)]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        found.extend(files(&entry?.path())?);
    }
    Ok(found)
}
