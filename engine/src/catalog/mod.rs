//! The catalog: the transactional list of segments and everything derived. State is a value,
//! changed only by committing an [`edit::Edit`] against the version it was made from; a segment
//! is visible by the catalog alone. The catalog knows names and facts of segments and never opens
//! one.

pub(crate) mod edit;
mod epoch;
pub(crate) mod listing;
pub(crate) mod partition;
pub(crate) mod registry;
pub(crate) mod state;
pub(crate) mod store;

#[cfg(test)]
mod tests;
