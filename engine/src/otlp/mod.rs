//! The one protocol the engine speaks: the bytes of OTLP traces, because raw OTLP is what its log
//! holds. Bytes flow in through `walk`, which validates a whole request and puts it into the
//! columns of a batch (`shred`, one span); [`value`] and `attributes` read values and contexts
//! for queries. Nothing here touches a file, a clock or a lock.

pub(crate) mod attributes;
pub(crate) mod canonical;
pub(crate) mod schema;
mod shred;
pub mod value;
pub(crate) mod walk;
pub(crate) mod wire;
