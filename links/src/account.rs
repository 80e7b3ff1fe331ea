//! The account link: what customers ask about their own account, asked by a data plane of the control plane. Each
//! question is one call, and is given up soon: nothing of a request waits for it.

use proto::account::v1 as wire;
use proto::account::v1::account_service_client::AccountServiceClient;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Semaphore;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// Limits of the data plane's end.
#[derive(Clone, Copy, Debug)]
pub struct AccountLinkSettings {
    /// Longest that a question waits for its answer.
    pub patience: Duration,
    /// Questions at once; more are turned away, so that customers who ask cannot keep billing from its work.
    pub at_once: usize,
}

impl Default for AccountLinkSettings {
    fn default() -> Self {
        Self { patience: Duration::from_secs(2), at_once: 32 }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AccountError {
    /// There is nothing of that name in this account.
    #[error("there is no such thing in this account")]
    Unknown,
    /// The control plane cannot be asked now.
    #[error("the control plane cannot be asked at the moment")]
    Away,
}

/// The data plane's end. Clones share its limits.
#[derive(Clone, Debug)]
pub struct AccountLink {
    client: AccountServiceClient<Channel>,
    patience: Duration,
    room: Arc<Semaphore>,
}

impl AccountLink {
    /// Asks over that channel.
    #[must_use]
    pub fn new(channel: Channel, settings: AccountLinkSettings) -> Self {
        Self {
            client: AccountServiceClient::new(channel),
            patience: settings.patience,
            room: Arc::new(Semaphore::new(settings.at_once)),
        }
    }

    /// What a key has spent.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn key(
        &self,
        ask: wire::GetKeyRequest,
    ) -> Result<wire::GetKeyResponse, AccountError> {
        let mut client = self.client.clone();
        self.answer(client.get_key(ask)).await
    }

    /// What the wallet got.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn credits(
        &self,
        ask: wire::GetCreditsRequest,
    ) -> Result<wire::GetCreditsResponse, AccountError> {
        let mut client = self.client.clone();
        self.answer(client.get_credits(ask)).await
    }

    /// One request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn generation(
        &self,
        ask: wire::GetGenerationRequest,
    ) -> Result<wire::GetGenerationResponse, AccountError> {
        let mut client = self.client.clone();
        self.answer(client.get_generation(ask)).await
    }

    async fn answer<A>(
        &self,
        asked: impl Future<Output = Result<Response<A>, Status>>,
    ) -> Result<A, AccountError> {
        let Ok(_place) = self.room.try_acquire() else {
            return Err(AccountError::Away);
        };
        match tokio::time::timeout(self.patience, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if status.code() == Code::NotFound => Err(AccountError::Unknown),
            Ok(Err(status)) => {
                tracing::debug!(code = ?status.code(), "the control plane did not answer");
                Err(AccountError::Away)
            }
            Err(_) => Err(AccountError::Away),
        }
    }
}
