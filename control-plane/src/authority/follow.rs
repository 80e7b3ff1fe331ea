//! Following what other control planes commit: the head of the configuration is looked at now and again, and at once when
//! somebody says that there is something new; what is newer is read and told to data planes. A change of this one does the
//! same first.

use super::{Authority, out_of_step};
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
        if has_lost(head, state.at) {
            read.finish().await?;
            return self.raise_by_own_word(&mut state).await;
        }
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
        if has_lost(at, state.at) {
            // Whoever follows finds the same and begins a new generation.
            self.settings.coordination.poke(Topic::Config);
            return Err(Failure::CommitsLost { known: state.at.rev, found: at.rev });
        }
        if state.at.generation != at.generation {
            return self.begin_anew(state, connection, at).await;
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

    /// Takes over a generation that began, with all that is in it. One that ended before does not come back.
    async fn begin_anew(
        &self,
        state: &mut State,
        connection: &mut AnyConnection,
        at: Revision,
    ) -> Result<(), Failure> {
        let (known, found) = (state.at.generation, at.generation);
        if found < known {
            return Err(Failure::Generation { known, found });
        }
        tracing::warn!(known, found, "a new generation of the configuration began");
        let next = State::load(connection, at).await?;
        let puts = next.puts(connection).await?;
        *state = next;
        self.settings.coordination.tell_head(at);
        self.publisher.replace(at, puts).map_err(|wrong| out_of_step(&wrong))
    }
}

/// Whether the database does not know any more what was committed.
const fn has_lost(database: Revision, memory: Revision) -> bool {
    database.generation == memory.generation && database.rev < memory.rev
}

const fn is_of_a_key(change: &Change) -> bool {
    matches!(change, Change::Key(_) | Change::Tombstone(Tombstone::Key(_)))
}
