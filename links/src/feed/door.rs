//! The feed as a gRPC service.
//!
//! Written by hand where the generated server would do, because that one can only send messages it encodes itself; this
//! one sends frames that hold what is encoded already.

use super::frames::Frame;
use super::publisher::FeedPublisher;
use super::subscription;
use crate::tls::Peer;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use proto::feed::v1::SyncRequest;
use proto::feed::v1::feed_service_server::SERVICE_NAME;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The one method.
pub(super) const SYNC: &str = "/turnpike.feed.v1.FeedService/Sync";

/// The gRPC service `turnpike.feed.v1.FeedService` of one publisher.
#[derive(Clone, Debug)]
pub struct FeedDoor {
    publisher: FeedPublisher,
}

impl FeedDoor {
    pub(super) const fn new(publisher: FeedPublisher) -> Self {
        Self { publisher }
    }
}

impl NamedService for FeedDoor {
    const NAME: &'static str = SERVICE_NAME;
}

impl<B> Service<http::Request<B>> for FeedDoor
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != SYNC {
            let unknown = Status::unimplemented("the feed has one method: Sync").into_http();
            return std::future::ready(Ok(unknown)).boxed();
        }
        let sync = Sync(self.publisher.clone());
        async move {
            let limit = sync.0.shared().settings.request_bytes;
            let codec = ProstCodec::<Frame, SyncRequest>::new();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(limit);
            Ok(grpc.streaming(sync, request).await)
        }
        .boxed()
    }
}

struct Sync(FeedPublisher);

impl StreamingService<SyncRequest> for Sync {
    type Response = Frame;
    type ResponseStream = BoxStream<'static, Result<Frame, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<SyncRequest>>) -> Self::Future {
        let shared = Arc::clone(self.0.shared());
        let peer = Peer::of(request.extensions());
        async move {
            let frames = subscription::subscribe(shared, &peer, request.into_inner()).await?;
            Ok(Response::new(frames.boxed()))
        }
        .boxed()
    }
}
