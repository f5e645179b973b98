//! A recorded set of OTLP requests, held once in memory: its `ResourceSpans` messages (units) as
//! bytes, and the sites in them that copies patch. Memory is the set's own size whatever the
//! number of copies.

use std::collections::HashMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use prost::Message as _;
use spanlake_proto::otlp::trace::ResourceSpans;

use crate::Result;
use crate::sites::{Kind, Site, UUID_LEN, sites};
use crate::wire::{Fields, Value, varint};

/// A UUID that occurs more often than this in a set is a constant of the application (a route, a
/// product) and stays; a rarer one belongs to a request, an order or a session and is re-drawn.
const UUID_OCCURRENCES_MAX: u32 = 256;

/// One `ResourceSpans`.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    bytes: Range<usize>,
    sites: Range<usize>,
    /// Its spans.
    pub(crate) spans: u32,
    /// Latest end of its spans: when a collector sees it.
    pub(crate) end_max: u64,
}

/// A set of spans to make copies of.
#[derive(Debug)]
pub struct Set {
    /// What it is called in reports.
    pub name: String,
    blob: Vec<u8>,
    sites: Vec<Site>,
    units: Vec<Unit>,
    spans: u64,
    start_min: u64,
    end_max: u64,
}

impl Set {
    /// Reads a `*.otlp.zst` file: one zstd frame of requests, each behind its length as a varint.
    ///
    /// # Errors
    /// The file cannot be read or does not hold such requests.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(".otlp.zst").unwrap_or(&name).to_owned();
        let file = std::fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut stream = zstd::Decoder::new(file)?;
        let mut set = Building::new(name);
        let mut pending = Vec::new();
        loop {
            let more = stream.by_ref().take(1 << 20).read_to_end(&mut pending)?;
            let mut done = 0;
            while let Some((len, begin)) = varint(&pending, done) {
                let end = usize::try_from(len).ok().and_then(|len| begin.checked_add(len));
                let Some(request) = end.and_then(|end| pending.get(begin..end)) else { break };
                set.request(request)?;
                done = begin + request.len();
            }
            pending.drain(..done);
            if more == 0 {
                break;
            }
        }
        if !pending.is_empty() {
            return Err(format!("{} is cut off inside a request", path.display()).into());
        }
        set.finish()
    }

    /// A set of encoded `ExportTraceServiceRequest`s.
    ///
    /// # Errors
    /// A request does not decode.
    pub fn of_requests(
        name: impl Into<String>,
        requests: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Self> {
        let mut set = Building::new(name.into());
        requests.into_iter().try_for_each(|request| set.request(&request))?;
        set.finish()
    }

    /// Spans in it.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Bytes of its encoded `ResourceSpans`.
    pub fn bytes(&self) -> u64 {
        self.blob.len() as u64
    }

    /// Latest end minus earliest start.
    pub fn length(&self) -> u64 {
        self.end_max.saturating_sub(self.start_min)
    }

    pub(crate) fn end_max(&self) -> u64 {
        self.end_max
    }

    pub(crate) fn units(&self) -> &[Unit] {
        &self.units
    }

    pub(crate) fn unit(&self, unit: usize) -> (&[u8], &[Site]) {
        let Some(found) = self.units.get(unit) else { return (&[], &[]) };
        (&self.blob[found.bytes.clone()], &self.sites[found.sites.clone()])
    }
}

struct Building {
    set: Set,
    uuids: HashMap<[u8; UUID_LEN], u32>,
}

impl Building {
    fn new(name: String) -> Self {
        let set = Set {
            name,
            blob: Vec::new(),
            sites: Vec::new(),
            units: Vec::new(),
            spans: 0,
            start_min: u64::MAX,
            end_max: 0,
        };
        Self { set, uuids: HashMap::new() }
    }

    fn request(&mut self, request: &[u8]) -> Result<()> {
        for field in Fields::new(request, 0) {
            let field = field.ok_or("a request is damaged")?;
            if let (1, Value::Bytes(resource_spans)) = (field.number, field.value) {
                self.unit(resource_spans)?;
            }
        }
        Ok(())
    }

    fn unit(&mut self, bytes: &[u8]) -> Result<()> {
        let found = sites(bytes).ok_or("a ResourceSpans is damaged")?;
        let decoded = ResourceSpans::decode(bytes)?;
        let (mut spans, mut end_max) = (0, 0);
        for span in decoded.scope_spans.iter().flat_map(|scope| &scope.spans) {
            spans += 1;
            end_max = end_max.max(span.end_time_unix_nano);
            self.set.start_min = self.set.start_min.min(span.start_time_unix_nano);
        }
        for site in found.iter().filter(|site| site.kind == Kind::Uuid) {
            if let Some(uuid) = bytes.get(site.at as usize..).and_then(<[u8]>::first_chunk) {
                *self.uuids.entry(*uuid).or_default() += 1;
            }
        }
        let set = &mut self.set;
        set.spans += u64::from(spans);
        set.end_max = set.end_max.max(end_max);
        set.units.push(Unit {
            bytes: set.blob.len()..set.blob.len() + bytes.len(),
            sites: set.sites.len()..set.sites.len() + found.len(),
            spans,
            end_max,
        });
        set.blob.extend_from_slice(bytes);
        set.sites.extend(found);
        Ok(())
    }

    /// Drops the sites of UUIDs that are constants.
    fn finish(self) -> Result<Set> {
        let Self { mut set, uuids } = self;
        if set.spans == 0 {
            return Err(format!("the set {} has no spans", set.name).into());
        }
        let mut kept: Vec<Site> = Vec::with_capacity(set.sites.len());
        for unit in &mut set.units {
            let bytes = &set.blob[unit.bytes.clone()];
            let begin = kept.len();
            kept.extend(set.sites[unit.sites.clone()].iter().filter(|site| {
                let text = bytes.get(site.at as usize..).and_then(<[u8]>::first_chunk);
                let occurrences = text.and_then(|uuid| uuids.get(uuid));
                site.kind != Kind::Uuid || occurrences.is_some_and(|&n| n <= UUID_OCCURRENCES_MAX)
            }));
            unit.sites = begin..kept.len();
        }
        set.sites = kept;
        Ok(set)
    }
}
