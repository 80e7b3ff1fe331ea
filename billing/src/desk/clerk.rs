//! The clerk: takes what data planes say in batches, and answers every want exactly once.
//!
//! Before anyone is told that money is short while others who are connected hold some, those are asked for what they do
//! not need, and the want waits a moment for it.

use super::DeskSettings;
use super::connection::{Heard, PeerNumber};
use super::grants::{self, Answer, Asked};
use super::learned::{self, Known};
use crate::metric;
use crate::slices::Holder;
use domain::id::Account;
use links::escrow::{Denial, DenialReason, FromDataPlane, Grant, SliceReport, ToDataPlane, Want};
use std::collections::{BTreeSet, HashMap, HashSet};
use storage::{Database, StorageError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

#[derive(Debug)]
pub(super) struct Clerk {
    database: Database,
    settings: DeskSettings,
    inbox: mpsc::Receiver<Heard>,
    peers: HashMap<PeerNumber, Peer>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Peer {
    holder: Holder,
    known: Known,
    answers: mpsc::Sender<ToDataPlane>,
}

/// A want, and until when it waits for recalled money: `None` as long as none was recalled for it.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    peer: PeerNumber,
    want: Want,
    until: Option<Instant>,
}

impl Clerk {
    pub(super) fn new(
        database: Database,
        settings: DeskSettings,
        inbox: mpsc::Receiver<Heard>,
    ) -> Self {
        Self { database, settings, inbox, peers: HashMap::new(), waiting: Vec::new() }
    }

    /// Until nobody can say anything any more.
    pub(super) async fn serve(mut self) {
        let mut heard = Vec::new();
        loop {
            let patience = self.waiting.iter().filter_map(|waiting| waiting.until).min();
            let received = tokio::select! {
                received = self.inbox.recv_many(&mut heard, self.settings.batch.max(1)) => received,
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => 1,
            };
            if received == 0 {
                return;
            }
            let (wants, freed) = self.hear(std::mem::take(&mut heard)).await;
            let due = self.take_due(&freed);
            self.answer(wants.into_iter().chain(due).collect()).await;
        }
    }

    /// Takes in what was said. Returns new wants, and the accounts in which money came free.
    async fn hear(&mut self, heard: Vec<Heard>) -> (Vec<Waiting>, HashSet<Account>) {
        let mut wants = Vec::new();
        let mut freed = HashSet::new();
        for heard in heard {
            match heard {
                Heard::Arrived { peer, holder, slices, answers } => {
                    let newcomer = Peer { holder, known: Known::default(), answers };
                    self.peers.insert(peer, newcomer);
                    freed.extend(self.welcome(peer, &slices).await);
                }
                Heard::Said { peer, message: FromDataPlane::Report(slices) } => {
                    freed.extend(self.learn(peer, &slices).await);
                }
                Heard::Said { peer, message: FromDataPlane::Want(want) } => {
                    wants.push(Waiting { peer, want, until: None });
                }
                Heard::Left { peer } => self.forget(peer),
            }
        }
        (wants, freed)
    }

    /// A peer that cannot be welcomed is sent away; it comes back by itself.
    async fn welcome(&mut self, number: PeerNumber, slices: &[SliceReport]) -> Vec<Account> {
        let Some(peer) = self.peers.get_mut(&number) else { return Vec::new() };
        let chunk = self.settings.report_chunk;
        let outcome = welcome(&self.database, peer, slices, chunk).await;
        match outcome {
            Ok((freed, grants)) => {
                self.tell(number, ToDataPlane::Welcome(grants));
                freed
            }
            Err(error) => {
                let data_plane = peer.holder.data_plane.as_str();
                tracing::warn!(%error, data_plane, "a data plane could not be welcomed");
                self.forget(number);
                Vec::new()
            }
        }
    }

    /// A report that could not be written is repeated by the next one.
    async fn learn(&mut self, number: PeerNumber, slices: &[SliceReport]) -> Vec<Account> {
        let Some(Peer { holder, known, .. }) = self.peers.get_mut(&number) else {
            return Vec::new();
        };
        let chunk = self.settings.report_chunk;
        match learned::learn(&self.database, holder, known, slices, chunk).await {
            Ok(freed) => freed,
            Err(error) => {
                tracing::warn!(%error, data_plane = holder.data_plane, "a report was not written");
                Vec::new()
            }
        }
    }

    fn forget(&mut self, number: PeerNumber) {
        self.peers.remove(&number);
        self.waiting.retain(|waiting| waiting.peer != number);
    }

    /// Takes out the wants that have waited long enough, and those whose account got some money back.
    fn take_due(&mut self, freed: &HashSet<Account>) -> Vec<Waiting> {
        let now = Instant::now();
        let is_due = |waiting: &mut Waiting| {
            waiting.until.is_none_or(|until| until <= now) || freed.contains(&waiting.want.account)
        };
        self.waiting.extract_if(.., is_due).collect()
    }

    async fn answer(&mut self, wants: Vec<Waiting>) {
        let (wants, asked): (Vec<Waiting>, Vec<Asked>) = wants
            .into_iter()
            .filter_map(|waiting| {
                let holder = self.peers.get(&waiting.peer)?.holder.clone();
                Some((waiting, Asked { holder, want: waiting.want }))
            })
            .unzip();
        if asked.is_empty() {
            return;
        }
        let answers = match self.ask(&asked).await {
            Ok(answers) => answers,
            Err(error) => {
                metric::answered("none");
                tracing::error!(%error, wants = asked.len(), "wants could not be served");
                return;
            }
        };
        let mut recalled = BTreeSet::new();
        for (waiting, answer) in wants.into_iter().zip(answers) {
            self.deliver(waiting, answer, &mut recalled);
        }
    }

    async fn ask(&self, asked: &[Asked]) -> Result<Vec<Answer>, StorageError> {
        let holders: HashSet<&Holder> = self.peers.values().map(|peer| &peer.holder).collect();
        let data_planes = u32::try_from(holders.len()).unwrap_or(u32::MAX);
        let mut attempt = 1;
        loop {
            match grants::serve(&self.database, asked, data_planes).await {
                Err(error) if error.is_transient() && attempt < self.settings.attempts => {
                    if matches!(error, StorageError::Conflict(_)) {
                        metric::conflicted();
                    }
                    tracing::warn!(%error, attempt, "wants could not be served; trying again");
                    attempt = attempt.saturating_add(1);
                    sleep(self.settings.retry_after).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn deliver(&mut self, waiting: Waiting, answer: Answer, recalled: &mut BTreeSet<(i64, i64)>) {
        let Want { want_id, account, .. } = waiting.want;
        match answer {
            Answer::Granted { granted_total, free } => {
                metric::answered("granted");
                let grant = Grant { want_id, account, granted_total, free };
                self.tell(waiting.peer, ToDataPlane::Grant(grant));
            }
            Answer::Unknown => {
                metric::answered("frozen");
                let reason = DenialReason::Frozen;
                let denial = Denial { want_id, account, reason, free: domain::money::Nano::ZERO };
                self.tell(waiting.peer, ToDataPlane::Denial(denial));
            }
            Answer::Short { free, holders, is_underway } => {
                if self.waits(waiting, &holders, recalled) {
                    return;
                }
                let held = is_underway || !holders.is_empty();
                let reason = if held { DenialReason::InFlight } else { DenialReason::Insufficient };
                metric::answered(if held { "in_flight" } else { "insufficient" });
                let denial = Denial { want_id, account, reason, free };
                self.tell(waiting.peer, ToDataPlane::Denial(denial));
            }
        }
    }

    /// Whether a want waits for money that others hold: they are asked for it once, and have one moment to answer.
    fn waits(
        &mut self,
        waiting: Waiting,
        holders: &[Holder],
        recalled: &mut BTreeSet<(i64, i64)>,
    ) -> bool {
        let now = Instant::now();
        let until = match waiting.until {
            Some(until) => until,
            None => {
                let connected: Vec<PeerNumber> = self
                    .peers
                    .iter()
                    .filter(|(_, peer)| holders.contains(&peer.holder))
                    .map(|(number, _)| *number)
                    .collect();
                if connected.is_empty() {
                    return false;
                }
                if recalled.insert(waiting.want.account.uids()) {
                    for number in connected {
                        self.tell(number, ToDataPlane::Recall(waiting.want.account));
                    }
                }
                now + self.settings.recall_wait
            }
        };
        if until <= now {
            return false;
        }
        self.waiting.push(Waiting { until: Some(until), ..waiting });
        true
    }

    /// A data plane that takes no answers is cut off: it learns everything from its next Welcome.
    fn tell(&mut self, number: PeerNumber, message: ToDataPlane) {
        let Some(peer) = self.peers.get(&number) else { return };
        if peer.answers.try_send(message).is_err() {
            tracing::warn!(data_plane = peer.holder.data_plane, "a data plane takes no answers");
            self.forget(number);
        }
    }
}

async fn welcome(
    database: &Database,
    peer: &mut Peer,
    slices: &[SliceReport],
    chunk: usize,
) -> Result<(Vec<Account>, Vec<Grant>), StorageError> {
    let Peer { holder, known, .. } = peer;
    // Read first: a Hello repeats everything, and hardly any of it is news.
    learned::welcome(database, holder, known).await?;
    let freed = learned::learn(database, holder, known, slices, chunk).await?;
    Ok((freed, learned::welcome(database, holder, known).await?))
}
