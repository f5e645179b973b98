//! The sealing thread's work, by itself or with other steps while it stands still at a call. Only
//! a fault or an end explains that it fails; a purge that failed may have happened or not.

use spanlake::{Result, Store};

use super::{LetGo, Run, brief};
use crate::sim::disk::Thread;
use crate::sim::steps::{Step, Task};

impl Run<'_> {
    pub(super) fn work(&mut self, task: Task) {
        if task == Task::Purge {
            self.truth.begin_purge();
        }
        let done = work(&self.store(), task);
        self.tell(format_args!("{task:?}: {}", brief(&done)));
        self.worked(task, &done);
    }

    fn worked(&mut self, task: Task, done: &Result<()>) {
        if task == Task::Purge {
            self.truth.end_purge(done.is_ok());
            if done.is_ok() {
                self.walks.iter_mut().for_each(|walk| walk.seen.clear());
            }
        }
        if let Err(error) = done {
            let explained = self.disk.scars().any > 0 || self.disk.is_dead();
            assert!(explained, "{}: {task:?} without a fault: {error:?}", self.label());
        }
    }

    pub(super) fn meanwhile(&mut self, task: Task, call: u32, steps: &[Step]) {
        let (store, disk) = (self.store(), self.disk.clone());
        if task == Task::Purge {
            self.truth.begin_purge();
        }
        disk.hold(Thread::Seal, call);
        let done = std::thread::scope(|scope| {
            let let_go = LetGo(&disk, Thread::Seal);
            let worker = scope.spawn(|| {
                let done = work(&store, task);
                disk.over(Thread::Seal);
                done
            });
            let held = disk.wait_held(Thread::Seal);
            let words = if held { "stands still" } else { "was over" };
            self.tell(format_args!("{task:?}, {words} at its call {call}:"));
            self.within += 1;
            if !held && task == Task::Purge {
                // Over before the steps: they see its end.
                drop(let_go);
                let done = worker.join().expect("a worker");
                self.worked(task, &done);
                self.each(steps);
                self.within -= 1;
                return None;
            }
            self.each(steps);
            self.within -= 1;
            drop(let_go);
            Some(worker.join().expect("a worker"))
        });
        if let Some(done) = done {
            self.tell(format_args!("{task:?}: {}", brief(&done)));
            self.worked(task, &done);
        }
    }

    fn each(&mut self, steps: &[Step]) {
        for step in steps {
            if self.disk.is_dead() {
                break;
            }
            self.step(step);
        }
    }
}

fn work(store: &Store, task: Task) -> Result<()> {
    match task {
        Task::Flush => store.flush(),
        Task::SealDue => store.seal_due(),
        Task::Purge => store.purge(),
    }
}
