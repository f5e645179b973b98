//! The one protocol the engine speaks: the bytes of OTLP traces, because raw OTLP is what its log
//! holds. Bytes flow in through `walk`, which validates a whole request and cuts it into rows;
//! [`value`] and `attributes` read rows for queries; `assemble` puts rows together again as
//! `TracesData`. Nothing here touches a file, a clock or a lock.

pub(crate) mod assemble;
pub(crate) mod attributes;
pub(crate) mod canonical;
pub(crate) mod schema;
mod shred;
pub mod value;
#[expect(dead_code, reason = "the store moves to it with head and segments")]
pub(crate) mod walk;
pub(crate) mod walk0;
pub(crate) mod wire;
