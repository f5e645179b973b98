//! The one table of refusals: what an engine error or a protocol's own check becomes as a gRPC
//! status and as an HTTP status. In flow [`spanlake::Error`]s and checks of the doors, out flow
//! [`Refusal`]s that know their codes, their `google.rpc` details and when to come back. Nothing
//! here decides whether something is refused.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use prost::Message;
use spanlake::ErrorKind;
use tonic::{Code, Status};

/// The domain of `google.rpc.ErrorInfo`: Jaeger restores its own errors from reason and domain
/// (jaeger-contract §1.5).
const DOMAIN: &str = "jaeger.storage.v2";

/// Reason: the request names a tenant or namespace.
pub const TENANCY_UNSUPPORTED: &str = "TENANCY_UNSUPPORTED";

/// Reason: the message or body is larger than the limit.
pub const TOO_LARGE: &str = "TOO_LARGE";

/// When to come back where the engine names no time. OTLP senders retry RESOURCE_EXHAUSTED only
/// if it carries a time.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// Jaeger's word for it (`google.rpc.ErrorInfo.reason`).
    pub reason: Option<&'static str>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal of `code` without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reason: None, retry_after: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// A transient fault; try again later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message).retry(RETRY_DEFAULT)
    }

    /// A limit is reached; try again later.
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, message).retry(RETRY_DEFAULT)
    }

    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// The same refusal with Jaeger's word for it.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The same refusal with a time to come back.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The stable word of metrics.
    pub fn word(&self) -> &'static str {
        match self.code {
            _ if self.reason == Some(TENANCY_UNSUPPORTED) => "tenancy",
            _ if self.reason == Some(TOO_LARGE) => "too_large",
            Code::InvalidArgument => "invalid",
            Code::ResourceExhausted => "exhausted",
            Code::Unavailable => "unavailable",
            Code::Cancelled => "cancelled",
            _ => "internal",
        }
    }

    /// As an HTTP status: the mapping of OTLP/HTTP, which the collector uses too.
    pub fn http(&self) -> StatusCode {
        match self.code {
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// `Retry-After` in whole seconds, at least one.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| after.as_millis().div_ceil(1000).max(1) as u64)
    }

    /// As an encoded `google.rpc.Status`.
    pub fn encode(&self) -> Bytes {
        let mut details = Vec::new();
        if let Some(reason) = self.reason {
            let info = ErrorInfo { reason: reason.into(), domain: DOMAIN.into() };
            details.push(any("google.rpc.ErrorInfo", &info));
        }
        if let Some(after) = self.retry_after {
            let delay = prost_types::Duration {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(after.subsec_nanos()).unwrap_or(0),
            };
            details.push(any("google.rpc.RetryInfo", &RetryInfo { retry_delay: Some(delay) }));
        }
        let status = RpcStatus { code: self.code as i32, message: self.message.clone(), details };
        status.encode_to_vec().into()
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        // A bare status stays bare: without details clients read the code alone.
        if refusal.reason.is_none() && refusal.retry_after.is_none() {
            return Status::new(refusal.code, refusal.message);
        }
        let details = refusal.encode();
        Status::with_details(refusal.code, refusal.message, details)
    }
}

impl From<spanlake::Error> for Refusal {
    fn from(error: spanlake::Error) -> Self {
        let code = code(error.kind());
        let mut refusal = Refusal::new(code, error.message());
        if matches!(code, Code::ResourceExhausted | Code::Unavailable) {
            refusal.retry_after =
                Some(error.retry_after_millis().map_or(RETRY_DEFAULT, Duration::from_millis));
        }
        refusal
    }
}

/// The table.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        // A directory that cannot be read or written now may be mended; senders keep their spans.
        ErrorKind::Unavailable | ErrorKind::Locked | ErrorKind::Io => Code::Unavailable,
        ErrorKind::Corrupted => Code::DataLoss,
        ErrorKind::Format => Code::FailedPrecondition,
        ErrorKind::Cancelled => Code::Cancelled,
        _ => Code::Internal,
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo` without its map.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    #[prost(string, tag = "2")]
    pub(crate) domain: String,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<prost_types::Duration>,
}

fn any(name: &str, message: &impl Message) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_codes() {
        for (kind, code, http) in [
            (ErrorKind::Invalid, Code::InvalidArgument, 400),
            (ErrorKind::Unimplemented, Code::Unimplemented, 501),
            (ErrorKind::Exhausted, Code::ResourceExhausted, 429),
            (ErrorKind::Unavailable, Code::Unavailable, 503),
            (ErrorKind::Corrupted, Code::DataLoss, 500),
            (ErrorKind::Format, Code::FailedPrecondition, 500),
            (ErrorKind::Locked, Code::Unavailable, 503),
            (ErrorKind::Cancelled, Code::Cancelled, 503),
            (ErrorKind::Io, Code::Unavailable, 503),
            (ErrorKind::Internal, Code::Internal, 500),
        ] {
            let refusal = Refusal::from(spanlake::Error::new(kind, "the cause"));
            assert_eq!((refusal.code, refusal.http().as_u16()), (code, http), "{kind:?}");
            let status = Status::from(refusal);
            assert_eq!((status.code(), status.message()), (code, "the cause"));
        }
    }

    #[test]
    fn pressure_carries_the_time_to_come_back() {
        let error = spanlake::Error::new(ErrorKind::Exhausted, "memory is full").retry_after(1500);
        let refusal = Refusal::from(error);
        assert_eq!(refusal.retry_after_seconds(), Some(2));
        let status = Status::from(refusal);
        let rpc = RpcStatus::decode(status.details()).unwrap();
        assert_eq!((rpc.code, rpc.message.as_str()), (8, "memory is full"));
        assert_eq!(rpc.details.len(), 1);
        assert_eq!(rpc.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        let info = RetryInfo::decode(rpc.details[0].value.as_slice()).unwrap();
        let delay = info.retry_delay.unwrap();
        assert_eq!((delay.seconds, delay.nanos), (1, 500_000_000));

        let silent = Refusal::from(spanlake::Error::new(ErrorKind::Exhausted, "memory is full"));
        assert_eq!(silent.retry_after_seconds(), Some(1), "OTLP retries only with a time");
    }

    #[test]
    fn a_reason_travels_with_its_domain_and_a_bare_status_stays_bare() {
        let status = Status::from(Refusal::invalid("no").reason("FILTER_INVALID"));
        let rpc = RpcStatus::decode(status.details()).unwrap();
        let info = ErrorInfo::decode(rpc.details[0].value.as_slice()).unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("FILTER_INVALID", "jaeger.storage.v2")
        );
        assert!(Status::from(Refusal::new(Code::Unimplemented, "no")).details().is_empty());
    }
}
