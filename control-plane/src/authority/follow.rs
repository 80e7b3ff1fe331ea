//! Following what other control planes commit: the head of the configuration is looked at now and again, and at once when
//! somebody says that there is something new; what is newer is read and told to data planes. A change of this one does the
//! same first.

use super::Authority;
use crate::errors::Failure;
use crate::rows;
use crate::state::State;
use domain::id::Revision;
use domain::snapshot::{Change, Tombstone};
use links::coordination::Topic;
use sqlx::AnyConnection;
use std::sync::Arc;

impl Authority {
    /// Follows until the process ends. A database that is this process's alone changes by its own hand only.
    pub(crate) async fn follow(self: Arc<Self>) {
        if !self.db.is_shared() {
            return;
        }
        let mut pokes = self.settings.coordination.pokes(Topic::Config, self.settings.follow_every);
        let mut is_failing = false;
        while self.shutdown.run_until_cancelled(pokes.next()).await.is_some() {
            let looked = self.look_for_others().await;
            match &looked {
                Err(error) if !is_failing => {
                    tracing::warn!(%error, "what other control planes change cannot be read");
                }
                Ok(()) if is_failing => tracing::info!("what others change can be read again"),
                _ => {}
            }
            is_failing = looked.is_err();
        }
    }

    async fn look_for_others(&self) -> Result<(), Failure> {
        let mut read = self.db.read().await?;
        let head = rows::head(&mut read).await?;
        read.finish().await?;
        if head == self.publisher.head() {
            return Ok(());
        }
        let mut state = self.state.lock().await;
        let mut read = self.db.read().await?;
        let head = rows::head(&mut read).await?;
        self.catch_up(&mut state, &mut read, head).await?;
        Ok(read.finish().await?)
    }

    /// Reads again what somebody else committed, or what a commit of unknown outcome did after all.
    pub(super) async fn catch_up(
        &self,
        state: &mut State,
        connection: &mut AnyConnection,
        at: Revision,
    ) -> Result<(), Failure> {
        if state.at == at {
            return Ok(());
        }
        if state.at.generation != at.generation {
            let (known, found) = (state.at.generation, at.generation);
            return Err(Failure::Generation { known, found });
        }
        tracing::debug!(memory = state.at.rev, database = at.rev, "another control plane wrote");
        let missed = rows::logged_after(connection, state.at).await?;
        let next = if missed.iter().all(is_of_a_key) {
            // Keys are not kept here, and reading all the rest for each would cost the catalog.
            State { at, ..state.clone() }
        } else {
            State::load(connection, at).await?
        };
        self.move_to(state, next, missed)
    }
}

const fn is_of_a_key(change: &Change) -> bool {
    matches!(change, Change::Key(_) | Change::Tombstone(Tombstone::Key(_)))
}
