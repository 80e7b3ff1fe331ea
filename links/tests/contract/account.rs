//! The account link: what is not there is told from what cannot be asked, and nobody waits long for either.

use futures::future::pending;
use links::account::{AccountError, AccountLink, AccountLinkSettings};
use links::pipe::pipe;
use proto::account::v1::account_service_server::{AccountService, AccountServiceServer};
use proto::account::v1::{
    GetCreditsRequest, GetCreditsResponse, GetGenerationRequest, GetGenerationResponse,
    GetKeyRequest, GetKeyResponse,
};
use std::time::Duration;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Knows credits, knows no generation, and never says anything of a key.
struct Scripted;

#[tonic::async_trait]
impl AccountService for Scripted {
    async fn get_key(&self, _: Request<GetKeyRequest>) -> Result<Response<GetKeyResponse>, Status> {
        pending().await
    }

    async fn get_credits(
        &self,
        request: Request<GetCreditsRequest>,
    ) -> Result<Response<GetCreditsResponse>, Status> {
        let credited_nano = request.into_inner().org_uid;
        Ok(Response::new(GetCreditsResponse { credited_nano, ..GetCreditsResponse::default() }))
    }

    async fn get_generation(
        &self,
        _: Request<GetGenerationRequest>,
    ) -> Result<Response<GetGenerationResponse>, Status> {
        Err(Status::not_found("no"))
    }
}

fn link(settings: AccountLinkSettings) -> AccountLink {
    let (listener, connector) = pipe();
    let server = Server::builder().add_service(AccountServiceServer::new(Scripted));
    tokio::spawn(server.serve_with_incoming(listener));
    AccountLink::new(connector.channel(), settings)
}

#[tokio::test]
async fn answers_come_back_and_what_is_not_there_is_unknown() {
    let link = link(AccountLinkSettings::default());
    let credits = link.credits(GetCreditsRequest { org_uid: 7 }).await.unwrap();
    assert_eq!(credits.credited_nano, 7);
    let generation = link.generation(GetGenerationRequest::default()).await;
    assert_eq!(generation, Err(AccountError::Unknown));
}

#[tokio::test]
async fn a_control_plane_that_is_away_or_says_nothing_is_told_as_away() {
    let (listener, connector) = pipe();
    drop(listener);
    let nobody = AccountLink::new(connector.channel(), AccountLinkSettings::default());
    assert_eq!(nobody.credits(GetCreditsRequest::default()).await, Err(AccountError::Away));
    let patience = Duration::from_millis(50);
    let silent = link(AccountLinkSettings { patience, ..AccountLinkSettings::default() });
    assert_eq!(silent.key(GetKeyRequest::default()).await, Err(AccountError::Away));
}

#[tokio::test]
async fn questions_beyond_the_count_are_turned_away_at_once() {
    let patience = Duration::from_secs(60);
    let link = link(AccountLinkSettings { patience, at_once: 1 });
    let waiting = link.key(GetKeyRequest::default());
    let mut waiting = std::pin::pin!(waiting);
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let refused = link.clone().credits(GetCreditsRequest::default()).await;
    assert_eq!(refused, Err(AccountError::Away), "clones share the count");
}
