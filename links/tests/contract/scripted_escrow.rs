//! The data plane's end of the escrow link against a control plane that does what a real one never should.

use crate::carrier::{Carrier, Site, impatient};
use crate::over_every_carrier;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use links::escrow::{EscrowLink, EscrowLinkSettings, Hello, ToDataPlane};
use proto::escrow::v1::escrow_service_server::{EscrowService, EscrowServiceServer};
use proto::escrow::v1::{self, SyncRequest, SyncResponse, sync_response};
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

over_every_carrier! {
    what_cannot_be_read_closes_the_connection_and_the_next_one_goes_on,
}

/// Sends one bad message per connection until there is none left, then welcomes.
struct Script {
    bad: Vec<SyncResponse>,
    connections: AtomicUsize,
}

#[tonic::async_trait]
impl EscrowService for Script {
    type SyncStream = BoxStream<'static, Result<SyncResponse, Status>>;

    async fn sync(
        &self,
        _: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let welcome = response(Some(sync_response::Message::Welcome(v1::Welcome::default())));
        let message = self.bad.get(connection).cloned().unwrap_or(welcome);
        Ok(Response::new(stream::iter([Ok(message)]).chain(stream::pending()).boxed()))
    }
}

fn response(message: Option<sync_response::Message>) -> SyncResponse {
    SyncResponse { message }
}

async fn what_cannot_be_read_closes_the_connection_and_the_next_one_goes_on(carrier: Carrier) {
    let bad = vec![
        response(None),
        response(Some(sync_response::Message::Grant(v1::Grant::default()))),
        response(Some(sync_response::Message::Denial(v1::Denial {
            account: Some(v1::Account { org_uid: 1, key_uid: 0 }),
            ..v1::Denial::default()
        }))),
    ];
    let count = bad.len();
    let mut site = Site::new(carrier).await;
    let script = Script { bad, connections: AtomicUsize::new(0) };
    let _running = site.serve(Routes::new(EscrowServiceServer::new(script))).await;
    let hello = || Hello { data_plane: "dp".into(), incarnation: 1, slices: Vec::new() };
    let settings = EscrowLinkSettings { reconnect: impatient(), ..EscrowLinkSettings::default() };
    let (link, mut messages) = EscrowLink::start_with(site.channel(), hello, settings);
    for _ in 0..count {
        assert_eq!(messages.recv().await, Some(ToDataPlane::Disconnected));
    }
    assert_eq!(messages.recv().await, Some(ToDataPlane::Welcome(Vec::new())));
    assert!(link.is_connected());
}
