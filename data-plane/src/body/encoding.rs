//! Compressed bodies, unpacked within limits. What a body may weigh is counted after unpacking, and one that grows out of
//! all proportion is given up long before that.

use crate::error::{ApiError, ErrorType};
use crate::settings::Limits;
use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::io::Read;

/// What is accepted, as a refusal tells it.
const ACCEPTED: &str = "gzip, deflate, br";
/// Bytes unpacked at a time.
const PIECE_BYTES: usize = 64 << 10;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
}

impl Encoding {
    /// What the head says. Packed twice is refused, as is what we cannot unpack.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        let named = value.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        match (named.as_str(), values.next()) {
            ("identity", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("deflate", None) => Ok(Self::Deflate),
            ("br", None) => Ok(Self::Brotli),
            _ => Err(unsupported()),
        }
    }
}

fn unsupported() -> ApiError {
    let message = format!(
        "this content-encoding is not supported: send one of {ACCEPTED}, once, or the JSON as it is"
    );
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorType::InvalidRequest, message)
        .with_headers(headers)
}

/// Unpacks a body beside the core, which has streams to relay meanwhile.
pub(crate) async fn unpack(
    encoding: Encoding,
    packed: Bytes,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    if encoding == Encoding::Identity {
        return Ok(packed);
    }
    let limits = limits.clone();
    let task = tokio::task::spawn_blocking(move || match encoding {
        Encoding::Identity => Ok(packed),
        Encoding::Gzip => read(MultiGzDecoder::new(&*packed), packed.len(), &limits),
        Encoding::Deflate => read(ZlibDecoder::new(&*packed), packed.len(), &limits),
        Encoding::Brotli => read(Decompressor::new(&*packed, PIECE_BYTES), packed.len(), &limits),
    });
    task.await.unwrap_or_else(|_| Err(ApiError::ours()))
}

fn read(mut reader: impl Read, packed: usize, limits: &Limits) -> Result<Bytes, ApiError> {
    // What fits in one piece is never out of proportion.
    let proportionate = packed.saturating_mul(limits.unpacked_ratio).max(PIECE_BYTES);
    let mut unpacked = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = reader.read(&mut piece).map_err(|_| damaged())?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else {
            return Ok(unpacked.into());
        };
        let total = unpacked.len().saturating_add(length);
        if total > limits.body_bytes {
            return Err(super::too_large(limits));
        }
        if total > proportionate {
            return Err(out_of_proportion(limits));
        }
        unpacked.extend_from_slice(read);
    }
}

fn damaged() -> ApiError {
    ApiError::invalid("body", "the body is not what its content-encoding says: pack it again")
}

fn out_of_proportion(limits: &Limits) -> ApiError {
    let message = format!(
        "the body unpacks to more than {} times its size: send it as it is",
        limits.unpacked_ratio
    );
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorType::PayloadTooLarge, message)
}

#[cfg(test)]
mod tests;
