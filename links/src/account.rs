//! The account link: what customers ask about their own account, asked by a data plane of the control plane. Each
//! question is one call, and is given up soon: nothing of a request waits for it.

use crate::ways::Ways;
use parking_lot::Mutex;
use proto::account::v1 as wire;
use proto::account::v1::account_service_client::AccountServiceClient;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// Limits of the data plane's end.
#[derive(Clone, Copy, Debug)]
pub struct AccountLinkSettings {
    /// Longest that a question waits for its answer; each replica of the control plane gets an equal part of it.
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
    ways: Arc<Mutex<Ways>>,
    patience: Duration,
    room: Arc<Semaphore>,
}

impl AccountLink {
    /// Asks by these ways.
    #[must_use]
    pub fn new(ways: impl Into<Ways>, settings: AccountLinkSettings) -> Self {
        Self {
            ways: Arc::new(Mutex::new(ways.into())),
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
        self.answer(|mut client| async move { client.get_key(ask).await }).await
    }

    /// What the wallet got.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn credits(
        &self,
        ask: wire::GetCreditsRequest,
    ) -> Result<wire::GetCreditsResponse, AccountError> {
        self.answer(|mut client| async move { client.get_credits(ask).await }).await
    }

    /// One request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn generation(
        &self,
        ask: wire::GetGenerationRequest,
    ) -> Result<wire::GetGenerationResponse, AccountError> {
        self.answer(|mut client| {
            let ask = ask.clone();
            async move { client.get_generation(ask).await }
        })
        .await
    }

    /// Asks one replica after the other, beginning with the one that answered last.
    async fn answer<A, Asked>(
        &self,
        ask: impl Fn(AccountServiceClient<Channel>) -> Asked,
    ) -> Result<A, AccountError>
    where
        Asked: Future<Output = Result<Response<A>, Status>>,
    {
        let Ok(_place) = self.room.try_acquire() else {
            return Err(AccountError::Away);
        };
        let count = self.ways.lock().count();
        let patience = u32::try_from(count).ok().and_then(|count| self.patience.checked_div(count));
        for _ in 0..count {
            let ways = self.ways.lock().clone();
            let asked = ask(AccountServiceClient::new(ways.channel()));
            match timeout(patience.unwrap_or_default(), asked).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if status.code() == Code::NotFound => {
                    return Err(AccountError::Unknown);
                }
                Ok(Err(status)) => {
                    tracing::debug!(code = ?status.code(), "the control plane did not answer");
                }
                Err(_) => tracing::debug!("the control plane did not answer in time"),
            }
            self.turn_from(ways.at());
        }
        Err(AccountError::Away)
    }

    /// Unless another question has turned already.
    fn turn_from(&self, at: usize) {
        let mut ways = self.ways.lock();
        if ways.at() == at {
            ways.turn(false);
        }
    }
}
