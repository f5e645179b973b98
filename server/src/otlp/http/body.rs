//! Bodies: received up to a limit and a time, unpacked up to the same limit, so that neither a
//! slow sender nor a bomb of zeros holds more than its share.

use std::io::Read;
use std::time::Duration;

use ::http::{HeaderMap, StatusCode, header};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use tokio_stream::StreamExt as _;

use super::HttpRefusal;
use crate::service::{EXPORT_BYTES_MAX, Share};
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

/// The body as it came; `share` grows with it.
pub(super) async fn receive(
    headers: &HeaderMap,
    body: Body,
    share: &Share,
) -> Result<Bytes, HttpRefusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > EXPORT_BYTES_MAX as u64) {
        return Err(too_large(EXPORT_BYTES_MAX));
    }
    tokio::time::timeout(BODY_TIME, gather(body, share)).await.unwrap_or_else(|_| {
        Err(HttpRefusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {} s", BODY_TIME.as_secs()),
        ))
    })
}

async fn gather(body: Body, share: &Share) -> Result<Bytes, HttpRefusal> {
    let mut chunks = body.into_data_stream();
    let mut gathered = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            let message = format!("the body did not arrive whole: {error}");
            HttpRefusal::new(StatusCode::BAD_REQUEST, message)
        })?;
        let length = gathered.len() + chunk.len();
        if length > EXPORT_BYTES_MAX {
            return Err(too_large(EXPORT_BYTES_MAX));
        }
        share.cover(length).await?;
        gathered.extend_from_slice(&chunk);
    }
    Ok(gathered.freeze())
}

/// Undoes the compression, up to `limit` bytes; `share` grows to hold both forms.
pub(super) fn unpack(
    encoding: Encoding,
    body: Bytes,
    limit: usize,
    share: &Share,
) -> Result<Bytes, HttpRefusal> {
    match encoding {
        Encoding::Plain => Ok(body),
        Encoding::Gzip => read(MultiGzDecoder::new(body.as_ref()), body.len(), limit, share),
        Encoding::Zstd => match zstd::stream::read::Decoder::with_buffer(body.as_ref()) {
            Ok(decoder) => read(decoder, body.len(), limit, share),
            Err(error) => Err(broken(&error)),
        },
    }
}

fn read(
    mut reader: impl Read,
    packed: usize,
    limit: usize,
    share: &Share,
) -> Result<Bytes, HttpRefusal> {
    const STEP: usize = 256 << 10;
    let mut bytes = Vec::new();
    loop {
        share.cover_now(packed + bytes.len() + STEP)?;
        let step = (limit + 1 - bytes.len()).min(STEP) as u64;
        let got = reader.by_ref().take(step).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
        if bytes.len() > limit {
            return Err(too_large(limit));
        }
        if (got as u64) < step {
            return Ok(bytes.into());
        }
    }
}

fn broken(error: &std::io::Error) -> HttpRefusal {
    let message = format!("the body does not decompress: {error}");
    HttpRefusal::new(StatusCode::BAD_REQUEST, message)
}

fn too_large(limit: usize) -> HttpRefusal {
    let message = format!("the body is larger than {limit} bytes: send smaller batches");
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    HttpRefusal { status, refusal: Refusal::invalid(message).reason(TOO_LARGE) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::service::Share;

    fn share() -> Share {
        Share::of_its_own(1 << 30)
    }

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
            assert_eq!(unpack(encoding, packed, 600, &share()).unwrap(), bytes);
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit_and_rubbish_is_a_bad_request() {
        let zeros = vec![0; 1 << 20];
        for (encoding, bomb) in [
            (Encoding::Gzip, gzip(&zeros)),
            (Encoding::Zstd, zstd::encode_all(zeros.as_slice(), 1).unwrap().into()),
        ] {
            assert!(unpack(encoding, bomb.clone(), zeros.len(), &share()).is_ok());
            let refusal = unpack(encoding, bomb.clone(), zeros.len() - 1, &share()).unwrap_err();
            assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
            let small = Share::of_its_own(300 << 10);
            // A share of its own never refuses; beside another it does.
            let _other = small.beside(100 << 10);
            let refusal = unpack(encoding, bomb, zeros.len(), &small).unwrap_err();
            assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
            let rubbish = Bytes::from_static(b"rubbish");
            let refusal = unpack(encoding, rubbish, 100, &share()).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_and_without_its_length() {
        let chunk = Bytes::from(vec![0; 1 << 20]);
        let chunks = std::iter::repeat_n(chunk, 65).map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(tokio_stream::iter(chunks));
        let refusal = receive(&HeaderMap::new(), body, &share()).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);

        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, (65u64 << 20).into());
        let refusal = receive(&headers, Body::empty(), &share()).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
