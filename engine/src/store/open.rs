//! Opening a data directory, in order: format, leftovers, catalog, segments, orphans, log. What
//! comes out is a state to publish and the two writing ends; nothing is served before.

use std::sync::Arc;

use super::room::Reserve;
use crate::catalog::partition::WIDTH_DEFAULT;
use crate::catalog::state::CatalogState;
use crate::catalog::store::CatalogStore;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::formats::DIRECTORY;
use crate::head::Head;
use crate::options::Options;
use crate::otlp::walk::{self, Interner};
use crate::segment::DictionaryCache;
use crate::view::{CatalogView, LiveSegment, State};
use crate::wal::frame::Frame;
use crate::wal::recover::{self, Mode};
use crate::wal::writer::LogWriter;
use crate::world::{Dice, Files, World};

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_WORDS: &str = "spanlake data directory, format ";

pub(super) struct Opened {
    pub(super) state: State,
    pub(super) catalog: CatalogStore,
    pub(super) log: LogWriter,
    pub(super) interner: Interner,
    pub(super) next_segment: u64,
    pub(super) cache: Arc<DictionaryCache>,
    pub(super) reserve: Reserve,
}

/// A sixteenth of the memory goes to decoded dictionaries.
fn cache_bytes(options: &Options) -> usize {
    usize::try_from(options.memory_limit / 16).unwrap_or(usize::MAX)
}

pub(super) fn open(world: &World, options: &Options) -> Result<Opened> {
    let files = &world.files;
    let mut reserve = Reserve::new(files);
    reserve.give_up_if_short();
    check_format(&**files)?;
    remove_drafts(&**files)?;
    let mut dice = Dice::new(world.seed);
    let fresh = || CatalogState::new(format!("w{:08x}", dice.roll() as u32), WIDTH_DEFAULT);
    let catalog =
        CatalogStore::open(Arc::clone(files), fresh)?.with_edit_bytes(options.catalog_edit_bytes);
    let known = Arc::clone(catalog.state());
    let cache = Arc::new(DictionaryCache::new(cache_bytes(options)));
    let segments = known
        .segments
        .values()
        .map(|entry| LiveSegment::open(files, entry.clone(), &cache))
        .collect::<Result<Vec<_>>>()?;
    let next_segment = remove_orphans(&**files, &known)?;
    let (head, interner, log, sequence) = replay(world, options, &known, &mut dice)?;
    let catalog_view = Arc::new(CatalogView::new(known, segments));
    let state = State { head, catalog: catalog_view, sequence };
    reserve.restore();
    Ok(Opened { state, catalog, log, interner, next_segment, cache, reserve })
}

/// Reads every frame above what is sealed into a head.
fn replay(
    world: &World,
    options: &Options,
    known: &CatalogState,
    dice: &mut Dice,
) -> Result<(Head, Interner, LogWriter, u64)> {
    let own = known.own();
    let (mut head, interner) = (Head::default(), Interner::default());
    let (mut batches, mut spans) = (0, 0);
    let began = world.clock.monotonic();
    let mut visit = |frame: Frame| {
        if frame.head.sequence <= own.replay_above(&frame.tenancy) {
            return Ok(());
        }
        let mut batch = walk::replay(&frame.payload, &frame.dropped, &interner)?;
        batch.sequence.fill(frame.head.sequence);
        batches += 1;
        spans += batch.rows() as u64;
        head.add(&frame.tenancy, vec![batch], frame.head.arrival);
        Ok(())
    };
    let observer = &*options.observer;
    let recovered =
        recover::recover(&*world.files, observer, Mode::Repair, own.log_start, &mut visit)?;
    let torn_bytes = recovered.torn_bytes;
    let sequence = recovered.last_sequence.max(own.highest());
    let log_dice = Dice::new(dice.roll());
    let mut log = LogWriter::new(Arc::clone(&world.files), log_dice, recovered, own.highest())
        .with_file_bytes(options.log_file_bytes);
    log.trim(head.oldest_sequence().unwrap_or(sequence + 1));
    let took = world.clock.monotonic().saturating_sub(began);
    observer.observe(&Event::Recovered { batches, spans, torn_bytes, took });
    Ok((head, interner, log, sequence))
}

/// Refuses a directory of a newer build; marks a new one.
pub(super) fn check_format(files: &dyn Files) -> Result<()> {
    let file = match files.open(FORMAT_FILE) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return mark_format(files),
        Err(e) => return Err(Error::io("reading", FORMAT_FILE, e)),
    };
    let range = 0..file.len().min(4096);
    let bytes = file.read_many(&[range]).map_err(|e| Error::io("reading", FORMAT_FILE, e))?;
    let text = bytes.first().map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
    let version = text.trim_end().strip_prefix(FORMAT_WORDS).and_then(|v| v.parse::<u32>().ok());
    match version {
        Some(version) if version <= DIRECTORY => Ok(()),
        Some(version) => Err(Error::new(
            ErrorKind::Format,
            format!(
                "the data directory has format {version}, this build reads up to \
                 {DIRECTORY}: run the newer spanlake that wrote it"
            ),
        )),
        None => Err(Error::new(
            ErrorKind::Format,
            format!("{FORMAT_FILE} says {text:?}: this is no spanlake data directory"),
        )),
    }
}

fn mark_format(files: &dyn Files) -> Result<()> {
    let mark = || {
        let mut file = files.create(FORMAT_FILE)?;
        file.append(format!("{FORMAT_WORDS}{DIRECTORY}\n").as_bytes())?;
        file.publish()
    };
    mark().map_err(|e| Error::io("writing", FORMAT_FILE, e))
}

/// Drafts that a crash left behind.
fn remove_drafts(files: &dyn Files) -> Result<()> {
    let drafts = files.list("tmp").map_err(|e| Error::io("listing", "tmp", e))?;
    drafts.iter().try_for_each(|d| files.remove(d).map_err(|e| Error::io("removing", d, e)))
}

/// Segments that this writer published and never committed, or dropped and did not get to
/// remove. Returns the next free number: names are unique for ever.
fn remove_orphans(files: &dyn Files, known: &CatalogState) -> Result<u64> {
    let mut next = known.next_segment;
    let names = files.list("segments").map_err(|e| Error::io("listing", "segments", e))?;
    for name in names {
        let Some(number) = known.own_number(&name) else { continue };
        next = next.max(number + 1);
        if !known.segments.contains_key(&name) {
            files.remove(&name).map_err(|e| Error::io("removing", &name, e))?;
        }
    }
    Ok(next)
}
