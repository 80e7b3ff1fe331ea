//! A client that sends any bytes and a feed that answers with any, to see what the other end does with garbage.

use bytes::{Buf, BufMut, Bytes};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

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

/// The first messages of a call that goes on.
pub(crate) async fn first_messages(
    channel: Channel,
    path: &'static str,
    sent: Vec<Bytes>,
    is_last: impl Fn(&Bytes) -> bool,
) -> Vec<Bytes> {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let request = Request::new(stream::iter(sent).chain(stream::pending()));
    let started = client.streaming(request, PathAndQuery::from_static(path), Raw).await;
    let mut responses = started.unwrap().into_inner();
    let mut messages = Vec::new();
    loop {
        let message = responses.message().await.unwrap().unwrap();
        let is_enough = is_last(&message);
        messages.push(message);
        if is_enough {
            return messages;
        }
    }
}

/// A feed that answers each call with any bytes, and ends it.
#[derive(Clone)]
pub(crate) struct RawFeed<F>(pub(crate) F);

impl<F> NamedService for RawFeed<F> {
    const NAME: &'static str = "turnpike.feed.v1.FeedService";
}

impl<B, F> Service<http::Request<B>> for RawFeed<F>
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
    F: Fn() -> Vec<Bytes> + Clone + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let answer = Answer((self.0)());
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).streaming(answer, request).await) })
    }
}

struct Answer(Vec<Bytes>);

impl StreamingService<Bytes> for Answer {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _: Request<Streaming<Bytes>>) -> Self::Future {
        let messages = std::mem::take(&mut self.0);
        let messages = stream::iter(messages.into_iter().map(Ok)).boxed();
        Box::pin(async move { Ok(Response::new(messages)) })
    }
}
