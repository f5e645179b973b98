//! Calls, errors and durations by service, kind and minute, over a window. Whole minutes of segments
//! are sums of their rollups; minutes that the window cuts, segments without a rollup and the
//! head are counted from rows, each copy once.

use super::dependencies::{Stretch, Window, each_overlapping};
use super::parts::{Fingerprint, Located, Wanted};
use super::places::{Places, Source, Stored};
use crate::batch::Projection;
use crate::error::Result;
use crate::query::request::Cancel;
use crate::rollup::Services;
use crate::rollup::rates::{Rate, RateCounts};

/// What counting needs of a stored row.
fn projection() -> Projection {
    let none = Projection::default();
    Projection { end: true, kind: true, status: true, resource: true, ..none }
}

/// Counts the window's spans.
///
/// # Errors
/// Cancelled, Corrupted, Io.
pub(crate) fn rates(
    places: &Places,
    window: Window,
    fingerprint: Fingerprint,
    cancel: &Cancel,
) -> Result<Vec<Rate>> {
    let (mut services, mut counts) = (Services::default(), RateCounts::default());
    for segment in &places.segments {
        cancel.work().segments_considered(1);
        if !window.overlaps(segment.starts()) {
            cancel.work().segments_pruned_by_time(1);
            continue;
        }
        for stretch in window.cut() {
            stored(&**segment, stretch, cancel, &mut services, &mut counts)?;
        }
    }
    head(places, window, fingerprint, cancel, &mut services, &mut counts)?;
    Ok(counts.answer(&services))
}

/// A segment's rows that start in a stretch.
fn stored(
    segment: &dyn Stored,
    stretch: Stretch,
    cancel: &Cancel,
    services: &mut Services,
    counts: &mut RateCounts,
) -> Result<()> {
    cancel.check()?;
    let window = match stretch {
        Stretch::Rows(window) => window,
        Stretch::Minutes(from, to) => match segment.unpack_rates()? {
            None => Window::of_minutes(from, to),
            Some(rollup) => {
                counts.add(&rollup, from..to, services);
                return Ok(());
            }
        },
    };
    each_overlapping(segment, window, &projection(), cancel, &mut |batch| {
        let of_resources = services.of_resources(batch);
        for (row, resource) in batch.resource.iter().enumerate() {
            if batch.start.get(row).is_some_and(|start| window.holds(*start)) {
                let service = of_resources.get(*resource as usize).copied();
                counts.row(batch, row, service.unwrap_or_default());
            }
        }
    })
}

/// The head's rows, without those that segments have.
fn head(
    places: &Places,
    window: Window,
    fingerprint: Fingerprint,
    cancel: &Cancel,
    services: &mut Services,
    counts: &mut RateCounts,
) -> Result<()> {
    let mut ids = Vec::new();
    for chunk in &places.chunks {
        cancel.work().chunks_scanned(1);
        cancel.work().rows_scanned(chunk.rows());
        let starts = chunk.batch().trace_id.iter().zip(&chunk.batch().start);
        ids.extend(starts.filter(|(_, start)| window.holds(**start)).map(|(id, _)| *id));
    }
    let located = Located::new(&places.segments, Wanted::new(ids, fingerprint), cancel.work());
    let keys = Projection { span_id: true, ..Projection::default() };
    let all = 0..located.ids().len() as u32;
    located.each(all, &keys, cancel, &mut |_, error| Err(error), &mut |trace, parts| {
        let rows = located.join(places, trace, &parts, &keys)?;
        for &(source, row) in &rows.rows {
            let Some(Source::Chunk(chunk)) = rows.sources.get(source as usize) else { continue };
            let (batch, row) = (chunk.batch(), row as usize);
            let starts_here = batch.start.get(row).is_some_and(|start| window.holds(*start));
            if let Some(resource) = batch.resource(row).filter(|_| starts_here) {
                counts.row(batch, row, services.number(&resource.service));
            }
        }
        Ok(())
    })
}
