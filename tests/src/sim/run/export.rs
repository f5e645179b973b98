//! Exports, alone and in groups of one sync, and what their answers say. What was acknowledged is
//! certain from then on; what was refused must not be there; where no answer is to be trusted the
//! truth is in doubt. An error without a fault that explains it ends the run.

use std::sync::mpsc;

use bytes::Bytes;
use spanlake::world::Clock as _;
use spanlake::{ErrorKind, Ingested, Result};

use super::{LetGo, PATIENCE, Run, brief, tenancy};
use crate::sim::disk::Thread;
use crate::sim::steps::Sent;

const HOUR: u64 = 3600 * 1_000_000_000;

impl Run<'_> {
    pub(super) fn export(&mut self, sent: &Sent) {
        let store = self.store();
        let (open, now) = (store.stats().write_available, self.clock.now());
        let answer = store.ingest(&tenancy(sent.tenancy), Bytes::from(sent.bytes.clone()));
        self.tell(format_args!("Export {sent:?}: {}", brief(&answer)));
        self.truth.next_group();
        self.answered(sent, answer, open, now);
    }

    /// The log's thread stands still at its first call, so that the others gather behind.
    pub(super) fn group(&mut self, all: &[Sent]) {
        let (store, disk) = (self.store(), self.disk.clone());
        let (open, now) = (store.stats().write_available, self.clock.now());
        let (answers, answered) = mpsc::channel();
        let submit = |at: usize, sent: &Sent| {
            let (answers, disk) = (answers.clone(), disk.clone());
            store.submit(&tenancy(sent.tenancy), Bytes::from(sent.bytes.clone()), move |answer| {
                disk.over(Thread::Log);
                drop(answers.send((at, answer)));
            });
        };
        disk.hold(Thread::Log, 0);
        let mut got = Vec::new();
        let next = || answered.recv_timeout(PATIENCE).expect("an answer");
        let mut left = all.iter().enumerate();
        let let_go = LetGo(&disk, Thread::Log);
        if let Some((at, first)) = left.next() {
            submit(at, first);
        }
        if disk.wait_held(Thread::Log) {
            left.for_each(|(at, sent)| submit(at, sent));
            drop(let_go);
            got.extend(all.iter().map(|_| next()));
        } else {
            // Refused before the log: nothing stands still, so one after the other.
            drop(let_go);
            got.push(next());
            for (at, sent) in left {
                submit(at, sent);
                got.push(next());
            }
        }
        self.tell("a group:");
        for (at, answer) in got {
            // The first is alone, then come all others.
            if at <= 1 {
                self.truth.next_group();
            }
            self.tell(format_args!("  Export {:?}: {}", all[at], brief(&answer)));
            self.answered(&all[at], answer, open, now);
        }
    }

    /// Holds the answer to an Export against what may be.
    fn answered(&mut self, sent: &Sent, answer: Result<Ingested>, open: bool, now: u64) {
        let scars = self.disk.scars();
        match answer {
            Ok(got) => {
                let (expected, spans) = self.truth.ack(sent.tenancy, &sent.bytes);
                let rejected: u64 = got.rejected.iter().map(|r| r.count).sum();
                assert_eq!(
                    (got.accepted, rejected),
                    (expected.accepted, expected.rejected),
                    "{}: accepted and rejected (left: engine)",
                    self.label()
                );
                let started = |test: &dyn Fn(u64) -> bool| -> u64 {
                    spans.iter().filter(|(span, _)| test(span.start())).map(|(_, n)| n).sum()
                };
                let late = started(&|start| start < now.saturating_sub(HOUR));
                let future = started(&|start| start > now.saturating_add(HOUR / 6));
                assert_eq!(
                    (got.late, got.future),
                    (late, future),
                    "{}: late, future",
                    self.label()
                );
                self.tally.acked += 1;
            }
            Err(error) if self.disk.is_dead() && error.kind() == ErrorKind::Unavailable => {
                self.doubt(sent);
            }
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                let room = self.disk.is_limited() || self.plan.limits.is_tight();
                let explained = scars.any > 0 || room;
                assert!(explained, "{}: refused without a fault: {error}", self.label());
                self.tally.refused += 1;
            }
            Err(error)
                if error.kind() == ErrorKind::Unavailable && (scars.log || scars.catalog) =>
            {
                match open {
                    true => self.doubt(sent),
                    false => self.tally.refused += 1,
                }
            }
            Err(error) => panic!("{}: Export: {error:?} {scars:?}", self.label()),
        }
    }

    fn doubt(&mut self, sent: &Sent) {
        self.truth.doubt(sent.tenancy, &sent.bytes);
        self.tally.unsure += 1;
    }
}
