//! What the simulator found, each as the shortest story that shows it, at every call to the disk
//! where its fault can strike.

use spanlake_tests::sim::disk::{Call, Death, Trap};
use spanlake_tests::sim::run::{Manner, play};
use spanlake_tests::sim::steps::{End, Limits, Plan, Sent, Step, Task};

const FLUSH: Step = Step::Do(Task::Flush);

fn power_cut() -> Step {
    Step::Reopen(End::Sudden(Death::Power), Vec::new(), None)
}

/// Plays a story for each number, with a few seeds each: what a cut keeps is chance.
fn at_each_call(
    calls: u64,
    limits: Limits,
    tell: impl Fn(u64, &mut dyn FnMut() -> Sent) -> Vec<Step>,
) {
    for call in 0..calls {
        for seed in 0..4 {
            let plan = Plan::told(seed, limits, |export| tell(call, export));
            if let Err(failure) = play(&plan, Manner { journal: true, ..Manner::default() }) {
                panic!("call {call}, {failure}");
            }
        }
    }
}

/// A directory or log that a process made and did not live to sync looks to the next one like any
/// other; what rests on it went with it at a power cut.
#[test]
fn names_made_just_before_a_kill_are_durable_before_anything_rests_on_them() {
    at_each_call(30, Limits::default(), |call, export| {
        vec![
            Step::EndAfter(Death::Kill, call),
            Step::Export(export()),
            FLUSH,
            Step::Export(export()),
            FLUSH,
            Step::Export(export()),
            power_cut(),
        ]
    });
}

/// What recovery read from the kernel's memory and nobody had synced was shown, and gone after a
/// power cut.
#[test]
fn what_recovery_shows_is_durable() {
    at_each_call(6, Limits::default(), |call, export| {
        vec![
            Step::Export(export()),
            Step::EndAfter(Death::Kill, call),
            Step::Group((0..4).map(|_| export()).collect()),
            power_cut(),
        ]
    });
}

/// After a failed sync the kernel shows what the disk never got and takes it for clean: a start
/// must write it again.
#[test]
fn what_a_failed_sync_left_in_the_kernel_is_written_again() {
    // Several times each: what is lost and what the kernel still shows is chance.
    at_each_call(40, Limits::default(), |call, export| {
        let trap = Trap { call: Call::Sync, room: "wal", skip: call as u32 % 5, times: 1 };
        let kill = Step::Reopen(End::Sudden(Death::Kill), Vec::new(), None);
        let exports: Vec<Step> = (0..3).map(|_| Step::Export(export())).collect();
        [vec![Step::Trap(trap)], exports, vec![kill, power_cut()]].concat()
    });
}

/// An edit of the catalog that was written and not synced when the process died was trusted: the
/// log was overwritten on its word, and a power cut took both.
#[test]
fn an_edit_that_a_start_trusts_is_durable() {
    at_each_call(30, Limits { log_file_bytes: 4_097, ..Limits::default() }, |call, export| {
        let kill = Step::EndAfter(Death::Kill, call);
        let mut steps = vec![Step::Export(export()), FLUSH, Step::Export(export()), kill, FLUSH];
        steps.extend((0..6).map(|_| Step::Export(export())));
        steps.push(power_cut());
        steps
    });
}

/// The move to a new file of the catalog fails at any of its calls: the edit before it stands,
/// later ones are not written where no start reads them, and no span is there twice.
#[test]
fn a_failed_checkpoint_harms_no_edit() {
    for kind in [Call::Read, Call::Write, Call::Sync, Call::SyncNames, Call::Name] {
        for room in ["catalog", "tmp"] {
            at_each_call(
                6,
                Limits { catalog_edit_bytes: 1, ..Limits::default() },
                |call, export| {
                    let trap = Trap { call: kind, room, skip: call as u32, times: 1 };
                    vec![
                        Step::Export(export()),
                        FLUSH,
                        Step::Export(export()),
                        Step::Trap(trap),
                        FLUSH,
                        Step::Export(export()),
                        FLUSH,
                        Step::Export(export()),
                        FLUSH,
                        power_cut(),
                    ]
                },
            );
        }
    }
}

/// A commit of the catalog that found the disk full was the last one until a restart.
#[test]
fn a_full_disk_ends_no_sealing() {
    at_each_call(60, Limits::default(), |call, export| {
        vec![
            Step::Export(export()),
            FLUSH,
            Step::Export(export()),
            Step::Full(call * 150),
            FLUSH,
            Step::Export(export()),
            FLUSH,
            // From here on everything must work.
            Step::Heal,
            power_cut(),
        ]
    });
}

/// A bad place anywhere in a directory whose log has been overwritten since: nothing is lost that
/// is not named.
#[test]
fn a_bad_place_in_a_settled_directory_is_named() {
    at_each_call(40, Limits { log_file_bytes: 4_097, ..Limits::default() }, |call, export| {
        let mut steps = Vec::new();
        for _ in 0..3 {
            steps.extend([Step::Export(export()), FLUSH]);
        }
        steps.push(Step::Export(export()));
        steps.extend((0..15).map(|n| Step::SpoilCopy(call * 1000 + n)));
        steps
    });
}
