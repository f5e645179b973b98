//! Counts a segment's rows again and compares its rollups with them. A segment flows in, an error
//! that names it flows out where they say something else. Corrections stand on other segments
//! too, so only their form is checked here.

use std::collections::BTreeSet;
use std::ops::Range;

use super::read::Segment;
use crate::batch::Projection;
use crate::error::Result;
use crate::rollup::calls::{Member, Rule};
use crate::rollup::rates::RateCounts;
use crate::rollup::{CallRollup, Counts, Edge, Services, minute_of};

/// Rows read at once; a longer trace is read whole.
const RUN_ROWS: u32 = 16 * 1024;

impl Segment {
    /// Checks the rollups, where there are any.
    ///
    /// # Errors
    /// `Corrupted` naming the file; `Io`.
    pub(super) fn verify_rollups(&self) -> Result<()> {
        let (calls, rates) = (self.unpack_calls()?, self.unpack_rates()?);
        if calls.is_none() && rates.is_none() {
            return Ok(());
        }
        let mut traces: Vec<Range<u32>> = self.traces().map(|(_, rows)| rows).collect();
        traces.sort_unstable_by_key(|rows| rows.start);
        let mut sums = Sums::default();
        let mut left = traces.as_slice();
        while let Some(first) = left.first().map(|rows| rows.start) {
            let fits = |rows: &&Range<u32>| rows.end - first <= RUN_ROWS;
            let length = left.iter().take_while(fits).count().max(1);
            let (run, others) = left.split_at_checked(length).unwrap_or((left, &[]));
            left = others;
            self.add_up(run, &mut sums)?;
        }
        if calls.is_some_and(|calls| !sums.is_alone(&calls) || !is_sound(&calls, &traces)) {
            return Err(self.damaged("its rollup of calls is not that of its rows"));
        }
        if rates.is_some_and(|rates| rates != sums.rates.rollup(&sums.services)) {
            return Err(self.damaged("its rollup of rates is not that of its rows"));
        }
        Ok(())
    }

    /// Adds traces that follow each other.
    fn add_up(&self, traces: &[Range<u32>], sums: &mut Sums) -> Result<()> {
        let (Some(first), Some(last)) = (traces.first(), traces.last()) else { return Ok(()) };
        let batch = self.read(first.start..last.end, &Projection::fixed())?;
        let of_resources = sums.services.of_resources(&batch);
        for trace in traces {
            let rows = (trace.start - first.start) as usize..(trace.end - first.start) as usize;
            let mut members = Vec::with_capacity(rows.len());
            for row in rows {
                let resource = batch.resource.get(row).copied().unwrap_or_default();
                let service = of_resources.get(resource as usize).copied().unwrap_or_default();
                members.push(Member::new(&batch, row, service, false));
                sums.rates.row(&batch, row, service);
            }
            if sums.add(&members) {
                continue;
            }
            let whole = self.read(trace.clone(), &Projection::all())?;
            let of_resources = sums.services.of_resources(&whole);
            let member = |row: usize| {
                let resource = whole.resource.get(row).copied().unwrap_or_default();
                let service = of_resources.get(resource as usize).copied().unwrap_or_default();
                Member::new(&whole, row, service, true)
            };
            let members: Vec<Member<'_>> = (0..whole.rows()).map(member).collect();
            if !sums.add(&members) {
                return Err(self.damaged("a trace does not tell who called whom"));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Sums {
    services: Services,
    rule: Rule,
    calls: Counts,
    rates: RateCounts,
}

impl Sums {
    /// Adds a trace's calls; false where its rows must be read whole.
    fn add(&mut self, members: &[Member<'_>]) -> bool {
        let Ok(calls) = self.rule.calls(members, &self.services) else { return false };
        for call in calls {
            let minute = minute_of(call.start);
            self.calls.add(Edge { minute, caller: call.caller, called: call.called }, 1);
        }
        true
    }

    fn is_alone(&mut self, rollup: &CallRollup) -> bool {
        let counted = std::mem::take(&mut self.calls).sorted();
        let named = |edge: &Edge, name: &dyn Fn(u32) -> String| {
            (edge.minute, name(edge.caller), name(edge.called))
        };
        let ours = |number: u32| self.services.name(number).to_owned();
        let theirs = |number: u32| {
            rollup.services.get(number as usize).map_or(String::new(), |name| name.to_string())
        };
        let ours: BTreeSet<_> = counted.iter().map(|(e, n)| (named(e, &ours), *n)).collect();
        let theirs: BTreeSet<_> =
            rollup.alone.iter().map(|(e, n)| (named(e, &theirs), *n)).collect();
        ours == theirs && counted.len() == rollup.alone.len()
    }
}

/// Torn traces begin where traces begin, and corrections say something.
fn is_sound(calls: &CallRollup, traces: &[Range<u32>]) -> bool {
    calls.torn.iter().all(|torn| {
        let begins = traces.binary_search_by_key(&torn.first_row, |rows| rows.start).is_ok();
        let says = torn.corrections.iter().all(|(_, count)| *count != 0);
        begins && says && (!torn.bases.is_empty() || torn.corrections.is_empty())
    })
}
