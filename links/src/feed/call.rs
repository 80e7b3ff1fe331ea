//! The feed as a gRPC call. Written by hand where the generated client would do, because that one takes messages apart into
//! objects at once; this one hands out frames, whose parts are still the bytes that came.

use super::door::SYNC;
use super::frames::Frame;
use futures::Stream;
use proto::feed::v1::SyncRequest;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Begins a subscription.
pub(super) async fn sync(
    channel: Channel,
    message_bytes: usize,
    requests: impl Stream<Item = SyncRequest> + Send + 'static,
) -> Result<Response<Streaming<Frame>>, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(message_bytes);
    let not_ready = |error: tonic::transport::Error| {
        Status::unavailable(format!("the way is not open: {error}"))
    };
    client.ready().await.map_err(not_ready)?;
    let codec = ProstCodec::<SyncRequest, Frame>::new();
    client.streaming(Request::new(requests), PathAndQuery::from_static(SYNC), codec).await
}
