//! The account link: what is not there is told from what cannot be asked, and nobody waits long for either.

use futures::future::pending;
use links::Ways;
use links::account::{AccountError, AccountLink, AccountLinkSettings};
use links::pipe::{PipeListener, pipe};
use proto::account::v1::account_service_server::{AccountService, AccountServiceServer};
use proto::account::v1::{
    GetCreditsRequest, GetCreditsResponse, GetGenerationRequest, GetGenerationResponse,
    GetKeyRequest, GetKeyResponse,
};
use std::time::Duration;
use tonic::transport::{Channel, Server};
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

fn served() -> Channel {
    let (listener, connector) = pipe();
    let server = Server::builder().add_service(AccountServiceServer::new(Scripted));
    tokio::spawn(server.serve_with_incoming(listener));
    connector.channel()
}

fn link(settings: AccountLinkSettings) -> AccountLink {
    AccountLink::new(served(), settings)
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

/// A control plane that is connected to and says nothing, or none at all; and one that answers.
fn one_of_two(data_plane: &str, is_silent: bool) -> (Ways, Option<PipeListener>) {
    let (listener, connector) = pipe();
    let replicas = [("cp-0", connector.channel()), ("cp-1", served())];
    let named = replicas.map(|(address, channel)| (address.to_owned(), channel));
    (Ways::to(data_plane, named.into()).unwrap(), is_silent.then_some(listener))
}

#[tokio::test]
async fn a_question_that_one_does_not_answer_is_put_to_the_other() {
    let patience = Duration::from_secs(2);
    // Some begin with the one that answers, some with the other one.
    for number in 0..8 {
        let is_silent = number % 2 == 0;
        let (ways, _kept) = one_of_two(&format!("dp-{number}"), is_silent);
        let settings = AccountLinkSettings { patience, ..AccountLinkSettings::default() };
        let link = AccountLink::new(ways, settings);
        let first = link.credits(GetCreditsRequest { org_uid: 7 }).await;
        assert_eq!(first.map(|it| it.credited_nano), Ok(7), "{number}");
        let began = tokio::time::Instant::now();
        let second = link.clone().credits(GetCreditsRequest { org_uid: 8 }).await;
        assert_eq!(second.map(|it| it.credited_nano), Ok(8), "{number}");
        assert!(began.elapsed() < patience / 2, "it is known by now who answers");
    }
}
