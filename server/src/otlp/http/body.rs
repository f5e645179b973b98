//! Bodies: received up to a limit and a time, unpacked up to the same limit, so that neither a
//! slow sender nor a bomb of zeros holds more than its share.

use std::io::Read;
use std::time::Duration;

use ::http::{HeaderMap, StatusCode, header};
use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::HttpRefusal;
use crate::service::EXPORT_BYTES_MAX;
use crate::status::{Refusal, TOO_LARGE};

/// Longest time for one body to arrive.
const BODY_TIME: Duration = Duration::from_secs(60);

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, HttpRefusal> {
        let named = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str());
        match named {
            None | Some(Ok("" | "identity")) => Ok(Self::Plain),
            Some(Ok("gzip" | "x-gzip")) => Ok(Self::Gzip),
            Some(Ok("zstd")) => Ok(Self::Zstd),
            other => Err(HttpRefusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "content encoding {:?} is not served: send gzip, zstd or none",
                    other.and_then(Result::ok).unwrap_or("?")
                ),
            )),
        }
    }
}

/// The body as it came.
pub(super) async fn receive(headers: &HeaderMap, body: Body) -> Result<Bytes, HttpRefusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > EXPORT_BYTES_MAX as u64) {
        return Err(too_large(EXPORT_BYTES_MAX));
    }
    let received = axum::body::to_bytes(body, EXPORT_BYTES_MAX);
    match tokio::time::timeout(BODY_TIME, received).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large(EXPORT_BYTES_MAX)),
        Ok(Err(error)) => Err(HttpRefusal::new(
            StatusCode::BAD_REQUEST,
            format!("the body did not arrive whole: {error}"),
        )),
        Err(_) => Err(HttpRefusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {} s", BODY_TIME.as_secs()),
        )),
    }
}

/// Undoes the compression, up to `limit` bytes.
pub(super) fn unpack(encoding: Encoding, body: Bytes, limit: usize) -> Result<Bytes, HttpRefusal> {
    let unpacked = match encoding {
        Encoding::Plain => return Ok(body),
        Encoding::Gzip => read_up_to(MultiGzDecoder::new(body.as_ref()), limit),
        Encoding::Zstd => zstd::stream::read::Decoder::with_buffer(body.as_ref())
            .and_then(|decoder| read_up_to(decoder, limit)),
    };
    match unpacked {
        Ok(bytes) if bytes.len() > limit => Err(too_large(limit)),
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(HttpRefusal::new(
            StatusCode::BAD_REQUEST,
            format!("the body does not decompress: {error}"),
        )),
    }
}

/// Reads to the end, but at most one byte beyond the limit.
fn read_up_to(reader: impl Read, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(limit: usize) -> HttpRefusal {
    let message = format!("the body is larger than {limit} bytes: send smaller batches");
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    HttpRefusal { status, refusal: Refusal::invalid(message).reason(TOO_LARGE) }
}

fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn bodies_come_out_as_they_went_in() {
        let bytes = b"spans ".repeat(100);
        for (encoding, packed) in [
            (Encoding::Plain, Bytes::from(bytes.clone())),
            (Encoding::Gzip, gzip(&bytes)),
            (Encoding::Gzip, [gzip(&bytes[..50]), gzip(&bytes[50..])].concat().into()),
            (Encoding::Zstd, zstd::encode_all(bytes.as_slice(), 1).unwrap().into()),
        ] {
            assert_eq!(unpack(encoding, packed, 600).unwrap(), bytes);
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit_and_rubbish_is_a_bad_request() {
        let zeros = vec![0; 1 << 20];
        for (encoding, bomb) in [
            (Encoding::Gzip, gzip(&zeros)),
            (Encoding::Zstd, zstd::encode_all(zeros.as_slice(), 1).unwrap().into()),
        ] {
            assert!(unpack(encoding, bomb.clone(), zeros.len()).is_ok());
            let refusal = unpack(encoding, bomb, zeros.len() - 1).unwrap_err();
            assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
            let refusal = unpack(encoding, Bytes::from_static(b"rubbish"), 100).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_and_without_its_length() {
        let chunk = Bytes::from(vec![0; 1 << 20]);
        let chunks = std::iter::repeat_n(chunk, 65).map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(tokio_stream::iter(chunks));
        let refusal = receive(&HeaderMap::new(), body).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);

        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, (65u64 << 20).into());
        let refusal = receive(&headers, Body::empty()).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
