//! Bodies as clients pack them, and as somebody packs them who means no good.

use super::*;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write;

/// `{"model":"a"}` as the `brotli` command packs it.
const BROTLI: &[u8] = b"\x0b\x06\x80{\"model\":\"a\"}\x03";
const JSON: &[u8] = br#"{"model":"a"}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

async fn status(encoding: Encoding, packed: Vec<u8>, limits: &Limits) -> u16 {
    match unpack(encoding, packed.into(), limits).await {
        Ok(_) => 200,
        Err(error) => error.status().as_u16(),
    }
}

#[tokio::test]
async fn what_clients_pack_comes_out_as_it_was() {
    let limits = Limits::default();
    let twice = [gzip(b"{\"model\":"), gzip(b"\"a\"}")].concat();
    for (encoding, packed) in [
        (Encoding::Identity, JSON.to_vec()),
        (Encoding::Gzip, gzip(JSON)),
        (Encoding::Gzip, twice),
        (Encoding::Deflate, deflate(JSON)),
        (Encoding::Brotli, BROTLI.to_vec()),
    ] {
        let unpacked = unpack(encoding, packed.into(), &limits).await.unwrap();
        assert_eq!(&*unpacked, JSON, "{encoding:?}");
    }
}

#[tokio::test]
async fn a_body_that_unpacks_beyond_the_limit_or_out_of_proportion_is_413() {
    let limits = Limits { body_bytes: 1 << 20, unpacked_ratio: 100, ..Limits::default() };
    let noise: Vec<u8> =
        (0..(1_u32 << 20)).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(status(Encoding::Gzip, gzip(&noise), &limits).await, 200);
    let above = [noise.as_slice(), b"x"].concat();
    assert_eq!(status(Encoding::Gzip, gzip(&above), &limits).await, 413);
    assert_eq!(status(Encoding::Gzip, gzip(&vec![b' '; 1 << 20]), &limits).await, 413);
    assert_eq!(status(Encoding::Deflate, deflate(&vec![b' '; 1 << 20]), &limits).await, 413);
    assert_eq!(status(Encoding::Gzip, gzip(&vec![b' '; 60_000]), &limits).await, 200);
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_400() {
    let limits = Limits::default();
    let mut cut = gzip(JSON);
    cut.truncate(cut.len() - 4);
    for (encoding, packed) in [
        (Encoding::Gzip, JSON.to_vec()),
        (Encoding::Gzip, cut),
        (Encoding::Deflate, gzip(JSON)),
        (Encoding::Brotli, b"\xff\xff\xff".to_vec()),
    ] {
        assert_eq!(status(encoding, packed, &limits).await, 400, "{encoding:?}");
    }
}

#[test]
fn packed_twice_or_by_something_unknown_is_415() {
    for values in [&["zstd"] as &[&str], &["gzip, gzip"], &["gzip", "gzip"], &["compress"], &[""]] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(Encoding::of(&headers).unwrap_err().status().as_u16(), 415, "{values:?}");
    }
}
