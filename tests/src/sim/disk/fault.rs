//! What can go wrong with a disk, as values: traps for calls, ends of the machine, lies, and the
//! scars that a life of the store carries away. Nothing here strikes by itself: the
//! [gate](super::gate) and the calls read these.

/// Kinds of calls, as far as faults tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Reading bytes, lengths or names.
    Read,
    /// Writing bytes or setting a length.
    Write,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncNames,
    /// Making, giving or taking names; opening.
    Name,
}

/// A fault that waits for its moment.
#[derive(Debug, Clone)]
pub struct Trap {
    /// Calls of this kind,
    pub call: Call,
    /// on paths that begin so,
    pub room: &'static str,
    /// after letting so many pass,
    pub skip: u32,
    /// fail, so many of them.
    pub times: u32,
}

/// How a machine ends between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Power fails.
    Power,
    /// The process dies, the kernel lives on.
    Kill,
}

/// A disk that breaks its own promises, to prove that the simulation notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// A file's sync does nothing.
    SyncForgets,
    /// A directory's sync does nothing.
    SyncNamesForgets,
    /// One write in eight to the log is acknowledged and not kept.
    WriteForgets,
    /// One write in eight changes one bit.
    WriteFlips,
    /// A file's sync makes all changes durable but the last.
    SyncForgetsLast,
}

/// What faults did to one life of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scars {
    /// Faults of any kind.
    pub any: u64,
    /// Those that no lack of space explains.
    pub hard: u64,
    /// Failures in `wal/` for want of anything but space.
    pub log: bool,
    /// The same in `catalog/`.
    pub catalog: bool,
}
