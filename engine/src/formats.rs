//! Versions of what lies on disk (docs/format.md). Each is the one written and the newest read.

/// The data directory's layout, in its `FORMAT` file.
pub const DIRECTORY: u32 = 1;
/// Records of the catalog.
pub const CATALOG: u32 = 1;
/// Log files and their frames.
pub const LOG: u32 = 1;
/// Segments. Format 0 was a plain first one, announced as passing; it is refused.
pub const SEGMENT: u32 = 1;
