//! Reading the log after a crash. The rule (design.md §3): a bad frame at or below a later
//! frame's `synced_through` is damaged acknowledged data: it is quarantined, named, and reading
//! goes on. Any other bad frame is the torn tail, never acknowledged: the log is cut there, what
//! follows is dropped, and the cut is synced before the first append.
//!
//! What is read is shown, so it must be durable first. Everything below the last group is, by that
//! group's `synced_through`; the last group itself may be in the kernel's memory alone, and after
//! a failed sync even be taken for written there: it is written again and synced.

use bytes::Bytes;

use super::file::{FRAMES_AT, Header};
use super::frame::{self, Frame};
use super::{DIRECTORY, file_name, slot_of};
use crate::error::{Error, Result};
use crate::events::{Event, Observer};
use crate::world::{Files, LogFile};

/// A log file that still holds frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) slot: u32,
    pub(crate) last_sequence: u64,
    pub(crate) bytes: u64,
}

/// Whether what is found may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Cut the torn tail, set damage aside, empty what holds nothing.
    Repair,
    /// Only look and report.
    Inspect,
}

/// What the log held.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Files with frames, oldest first.
    pub(crate) kept: Vec<Kept>,
    /// Slots whose files hold nothing and may be recycled.
    pub(crate) free: Vec<u32>,
    /// Highest sequence read, 0 where there is none.
    pub(crate) last_sequence: u64,
    /// Highest generation read.
    pub(crate) generation: u64,
    /// Bytes cut from the tail.
    pub(crate) torn_bytes: u64,
}

struct Source {
    slot: u32,
    header: Header,
}

/// Reads every intact frame in order and gives it to `visit`. Frames below `log_start` are known
/// to be sealed or purged: nobody misses them.
///
/// # Errors
/// The system's, `Format` for frames of a newer build, and what `visit` returns.
pub(crate) fn recover(
    files: &dyn Files,
    observer: &dyn Observer,
    mode: Mode,
    log_start: u64,
    visit: &mut dyn FnMut(Frame) -> Result<()>,
) -> Result<Recovered> {
    let mut out = Recovered::default();
    let (sources, bytes_total) = sources(files, observer, mode, &mut out)?;
    let mut scan =
        Scan { files, observer, mode, log_start, last_sequence: None, last_group: None, visit };
    scan.beginning(sources.first())?;
    let (mut cut, mut bytes_done) = (false, 0);
    for (index, source) in sources.iter().enumerate() {
        let name = file_name(source.slot);
        let mut log = open(files, &name)?;
        if cut {
            out.torn_bytes += length(&*log, &name)?.saturating_sub(FRAMES_AT as u64);
            if mode == Mode::Repair {
                empty(&mut *log, &name)?;
            }
            out.free.push(source.slot);
            continue;
        }
        let bytes = read_all(&*log, &name)?;
        let torn = scan.file(source, &bytes, sources.get(index + 1..).unwrap_or_default())?;
        let end = torn.as_ref().map(|torn| torn.at);
        if let Some(Torn { at: end, behind }) = torn {
            cut = true;
            let stated = frame::stated_length(&bytes, end, scan.expected(source));
            out.torn_bytes += stated.max(behind.end.saturating_sub(end) as u64);
            if mode == Mode::Repair {
                log.truncate(end as u64).map_err(|e| Error::io("cutting", &name, e))?;
                log.sync().map_err(|e| Error::io("syncing", &name, e))?;
            }
        }
        bytes_done += bytes.len() as u64;
        observer.observe(&Event::Recovering { bytes_done, bytes_total });
        match scan.last_sequence {
            Some(last_sequence) if last_sequence >= source.header.first_sequence => {
                let bytes = end.unwrap_or(bytes.len()) as u64;
                out.kept.push(Kept { slot: source.slot, last_sequence, bytes });
            }
            _ => out.free.push(source.slot),
        }
    }
    out.last_sequence = scan.last_sequence.unwrap_or(0);
    if mode == Mode::Repair {
        scan.write_last_group_again()?;
    }
    Ok(out)
}

/// The log files by generation; those without a header are free, or set aside where they hold
/// something.
fn sources(
    files: &dyn Files,
    observer: &dyn Observer,
    mode: Mode,
    out: &mut Recovered,
) -> Result<(Vec<Source>, u64)> {
    let mut sources = Vec::new();
    let mut total = 0;
    let names = files.list(DIRECTORY).map_err(|e| Error::io("listing", DIRECTORY, e))?;
    for name in names {
        let Some(slot) = slot_of(&name) else { continue };
        let mut log = open(files, &name)?;
        let head = log.read_at(0, FRAMES_AT).map_err(|e| Error::io("reading", &name, e))?;
        match Header::decode(&head) {
            Some(header) => {
                total += length(&*log, &name)?;
                out.generation = out.generation.max(header.generation);
                sources.push(Source { slot, header });
            }
            None => {
                let bytes = read_all(&*log, &name)?;
                let blank = bytes.iter().all(|&b| b == 0);
                if !blank && bytes.len() > FRAMES_AT {
                    let quarantined = match mode {
                        Mode::Repair => quarantine(files, &name, 0, &bytes)?,
                        Mode::Inspect => String::new(),
                    };
                    let (file, missing) = (name.clone(), (0, 0));
                    observer.observe(&Event::LogDamaged { file, offset: 0, missing, quarantined });
                }
                if mode == Mode::Repair {
                    empty(&mut *log, &name)?;
                }
                out.free.push(slot);
            }
        }
    }
    sources.sort_by_key(|s| s.header.generation);
    Ok((sources, total))
}

struct Scan<'a> {
    files: &'a dyn Files,
    observer: &'a dyn Observer,
    mode: Mode,
    log_start: u64,
    last_sequence: Option<u64>,
    /// The last group read: its slot, where it begins and its bytes.
    last_group: Option<(u32, usize, Bytes)>,
    visit: &'a mut dyn FnMut(Frame) -> Result<()>,
}

impl Scan<'_> {
    fn expected(&self, source: &Source) -> u64 {
        self.last_sequence.map_or(source.header.first_sequence, |s| s + 1)
    }

    /// Frames that the catalog still asks for may have stood before the oldest file.
    fn beginning(&self, oldest: Option<&Source>) -> Result<()> {
        match oldest {
            Some(first) if first.header.first_sequence > self.log_start.max(1) => {
                let missing = (self.log_start.max(1), first.header.first_sequence - 1);
                self.report(first, FRAMES_AT, &[], missing)
            }
            _ => Ok(()),
        }
    }

    /// Reads one file's frames. Returns where the log is to be cut, if it is.
    fn file(&mut self, source: &Source, bytes: &Bytes, later: &[Source]) -> Result<Option<Torn>> {
        let salt = source.header.salt;
        let next_first = later.first().map(|s| s.header.first_sequence);
        let mut at = FRAMES_AT;
        loop {
            let expected = self.expected(source);
            let frame = frame::decode(bytes, at, salt)?;
            if let Some(frame) = frame.filter(|f| f.head.sequence == expected) {
                self.last_sequence = Some(expected);
                let end = at + frame.length;
                let begins = frame.head.synced_through + 1 == expected;
                let group = self.last_group.as_ref().filter(|(slot, ..)| *slot == source.slot);
                let from = group.map_or(at, |(_, from, _)| if begins { at } else { *from });
                self.last_group =
                    Some((source.slot, from, bytes.slice(from..end.min(bytes.len()))));
                at = end;
                (self.visit)(frame)?;
                continue;
            }
            if next_first == Some(expected) {
                return Ok(None);
            }
            let behind = behind(bytes, at, salt)?;
            let acknowledged = behind.synced_through.max(synced_through_of(self.files, later)?);
            // Frames that follow the seal of everything before them are missed by nobody.
            if acknowledged < expected && next_first.is_none_or(|first| first > self.log_start) {
                return Ok(Some(Torn { at, behind }));
            }
            let found = next_frame(bytes, at, salt, expected)?;
            let resume = found.map(|(_, sequence)| sequence).or(next_first);
            let last = resume.map_or(acknowledged, |sequence| sequence.saturating_sub(1));
            let end = found.map_or(bytes.len(), |(offset, _)| offset);
            if last >= self.log_start {
                self.report(source, at, bytes.get(at..end).unwrap_or_default(), (expected, last))?;
            }
            self.last_sequence = Some(last);
            match found {
                Some((offset, _)) => at = offset,
                None => return Ok(None),
            }
        }
    }

    /// Makes durable what no later frame vouches for. The bytes are those that stand there, so a
    /// crash in between changes none of them.
    fn write_last_group_again(&self) -> Result<()> {
        let Some((slot, from, bytes)) = &self.last_group else { return Ok(()) };
        let name = file_name(*slot);
        let mut log = open(self.files, &name)?;
        log.write_at(*from as u64, bytes)
            .and_then(|()| log.sync())
            .map_err(|e| Error::io("writing the last frames again of", &name, e))
    }

    /// Sets damaged bytes aside and names them.
    fn report(&self, source: &Source, at: usize, bad: &[u8], missing: (u64, u64)) -> Result<()> {
        let file = file_name(source.slot);
        let quarantined = match bad.is_empty() || self.mode == Mode::Inspect {
            true => String::new(),
            false => quarantine(self.files, &file, at, bad)?,
        };
        self.observer.observe(&Event::LogDamaged { file, offset: at as u64, missing, quarantined });
        Ok(())
    }
}

/// The next intact frame of at least sequence `expected` at or after `from`.
fn next_frame(
    bytes: &Bytes,
    from: usize,
    salt: u64,
    expected: u64,
) -> Result<Option<(usize, u64)>> {
    for at in (from..bytes.len()).step_by(frame::ALIGNMENT) {
        if frame::looks_like_one(&bytes[at..])
            && let Some(found) = frame::decode(bytes, at, salt)?
            && found.head.sequence >= expected
        {
            return Ok(Some((at, found.head.sequence)));
        }
    }
    Ok(None)
}

/// Where a log is to be cut.
struct Torn {
    at: usize,
    behind: Behind,
}

/// What intact frames behind a bad one say.
#[derive(Default)]
struct Behind {
    /// The highest of theirs.
    synced_through: u64,
    /// Where the last of them ends.
    end: usize,
}

/// Looks at every intact frame at or after `from`.
fn behind(bytes: &Bytes, from: usize, salt: u64) -> Result<Behind> {
    let mut out = Behind::default();
    let mut at = from;
    while at < bytes.len() {
        match frame::looks_like_one(&bytes[at..]) {
            true => match frame::decode(bytes, at, salt)? {
                Some(found) => {
                    out.synced_through = out.synced_through.max(found.head.synced_through);
                    at += found.length;
                    out.end = at;
                }
                None => at += frame::ALIGNMENT,
            },
            false => at += frame::ALIGNMENT,
        }
    }
    Ok(out)
}

fn synced_through_of(files: &dyn Files, later: &[Source]) -> Result<u64> {
    let mut highest = 0;
    for source in later {
        let name = file_name(source.slot);
        let bytes = read_all(&*open(files, &name)?, &name)?;
        highest = highest.max(behind(&bytes, FRAMES_AT, source.header.salt)?.synced_through);
    }
    Ok(highest)
}

fn open(files: &dyn Files, name: &str) -> Result<Box<dyn LogFile>> {
    files.open_log(name).map_err(|e| Error::io("opening", name, e))
}

fn length(log: &dyn LogFile, name: &str) -> Result<u64> {
    log.len().map_err(|e| Error::io("measuring", name, e))
}

fn read_all(log: &dyn LogFile, name: &str) -> Result<Bytes> {
    let length = usize::try_from(length(log, name)?).unwrap_or(usize::MAX);
    log.read_at(0, length).map(Bytes::from).map_err(|e| Error::io("reading", name, e))
}

/// Makes a log file hold nothing, durably.
fn empty(log: &mut dyn LogFile, name: &str) -> Result<()> {
    log.truncate(0).and_then(|()| log.sync()).map_err(|e| Error::io("emptying", name, e))
}

/// Copies damaged bytes aside; a copy that is there from an earlier start is as good.
fn quarantine(files: &dyn Files, name: &str, offset: usize, bytes: &[u8]) -> Result<String> {
    let crc = crc32c::crc32c(bytes);
    let target = format!("quarantine/{}-{offset}-{crc:08x}", name.replace('/', "-"));
    let write = || {
        let mut copy = files.create(&target)?;
        copy.append(bytes)?;
        copy.publish()
    };
    match write() {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::io("writing", &target, e))
        }
        _ => Ok(target),
    }
}
