//! The desk where data planes get money: one clerk serves them all (DESIGN 6).
//!
//! Every total only grows and is merged by maximum, and a grant is told only after its commit, so whatever is lost between
//! the desk and a data plane does no harm. Nothing here frees money by time.

mod connection;
mod clerk;
mod grants;
mod learned;
mod marks;
mod poke;
mod recalls;
mod sweep;

use clerk::Clerk;
use domain::escrow::life::Patience;
use futures::future::OptionFuture;
use links::escrow::EscrowListener;
use marks::Listeners;
use recalls::Elsewhere;
use std::time::Duration;
use storage::Database;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Limits of the desk.
#[derive(Clone, Copy, Debug)]
pub struct DeskSettings {
    /// How long a want may wait for idle money that was recalled from other data planes.
    pub recall_wait: Duration,
    /// Messages that are served together, in one transaction.
    pub batch: usize,
    /// Messages that may wait to be served; beyond them, data planes wait to send.
    pub waiting_messages: usize,
    /// Answers that may wait for one data plane; one that takes none is cut off.
    pub waiting_answers: usize,
    /// Slices of one report that are written in one transaction.
    pub report_chunk: usize,
    /// Tries at a transaction while the database is away. A want that cannot be served stays unanswered, which its data
    /// plane takes for a control plane that is away.
    pub attempts: u32,
    /// Between two tries.
    pub retry_after: Duration,
    /// How often data planes are told how far they are billed, where usage comes by a way that does not tell them.
    pub marks_every: Option<Duration>,
    /// How often it is looked for what other control planes recall, where there may be others.
    pub look_every: Duration,
    /// How often a want is tried again while others may give back to another control plane.
    pub try_again_every: Duration,
    /// How often it is written down who is connected. Whoever is not for three times as long is not live.
    pub heard_every: Duration,
    /// A data plane that is silent for so long is suspect.
    pub suspect_after: Duration,
    /// What it holds is given up then, at the company's cost.
    pub give_up_after: Duration,
    /// How often silent ones are looked after.
    pub sweep_every: Duration,
    /// Who took in what a data plane ships, and was not heard of for so long, is gone.
    pub gone_after: Duration,
}

impl DeskSettings {
    /// What silence means.
    #[must_use]
    pub const fn patience(&self) -> Patience {
        Patience {
            live_within: self.heard_every.saturating_mul(3),
            suspect_after: self.suspect_after,
            give_up_after: self.give_up_after,
        }
    }
}

impl Default for DeskSettings {
    fn default() -> Self {
        Self {
            recall_wait: Duration::from_millis(200),
            batch: 256,
            waiting_messages: 4096,
            waiting_answers: 1024,
            report_chunk: 256,
            attempts: 3,
            retry_after: Duration::from_millis(30),
            marks_every: None,
            look_every: Duration::from_millis(100),
            try_again_every: Duration::from_millis(50),
            heard_every: Duration::from_secs(5),
            suspect_after: Duration::from_secs(5 * 60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
            sweep_every: Duration::from_secs(2),
            gone_after: Duration::from_secs(15),
        }
    }
}

/// Serves the escrow link.
#[derive(Clone, Copy, Debug)]
pub struct Desk;

impl Desk {
    /// Serves everyone who connects, until the token is cancelled.
    #[must_use]
    pub fn start(
        database: Database,
        listener: EscrowListener,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        Self::start_with(DeskSettings::default(), database, listener, token)
    }

    /// The same with other settings.
    #[must_use]
    pub fn start_with(
        settings: DeskSettings,
        database: Database,
        listener: EscrowListener,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        let (messages, inbox) = mpsc::channel(settings.waiting_messages.max(1));
        let elsewhere = Elsewhere::default();
        let clerk = Clerk::new(database.clone(), settings, inbox, elsewhere.clone());
        let sweep = sweep::run(database.clone(), settings);
        let recalls = database
            .is_shared()
            .then(|| recalls::follow(database.clone(), settings, elsewhere, messages.clone()));
        let recalls = OptionFuture::from(recalls);
        let listeners = Listeners::default();
        let marks =
            settings.marks_every.map(|every| marks::tell(database, listeners.clone(), every));
        let marks = OptionFuture::from(marks);
        let connections =
            connection::accept(listener, messages, settings.waiting_answers, listeners);
        tokio::spawn(async move {
            // Dropping the clerk in the middle of a transaction undoes it, or leaves a grant that a Welcome will tell.
            tokio::select! {
                () = clerk.serve() => {}
                () = connections => {}
                () = sweep => {}
                Some(()) = recalls => {}
                Some(()) = marks => {}
                () = token.cancelled() => {}
            }
        })
    }
}
