//! A client that sends any bytes, to see what a service does with garbage.

use bytes::{Buf, BufMut, Bytes};
use futures::Stream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

/// Sends messages and reads until the service ends the stream; returns how it ended.
pub(crate) async fn ends_with(
    channel: Channel,
    path: &'static str,
    messages: impl Stream<Item = Bytes> + Send + 'static,
) -> Code {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let request = Request::new(messages);
    let started = client.streaming(request, PathAndQuery::from_static(path), Raw).await;
    let mut responses = match started {
        Ok(response) => response.into_inner(),
        Err(status) => return status.code(),
    };
    loop {
        match responses.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
    }
}
