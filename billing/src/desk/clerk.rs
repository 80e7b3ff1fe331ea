//! The clerk: takes what data planes say in batches, and answers every want exactly once.
//!
//! Before anyone is told that money is short while others who are connected hold some, those are asked for what they do
//! not need, and the want waits a moment for it.

use super::DeskSettings;
use super::connection::{Heard, PeerNumber};
use super::grants::{self, Answer, Asked, Crowd, OtherHolder};
use super::learned::{self, Known};
use super::recalls::{self, Elsewhere};
use crate::slices::Holder;
use crate::{lives, metric};
use domain::escrow::life::LifeState;
use domain::id::Account;
use links::escrow::{Denial, DenialReason, FromDataPlane, Grant, SliceReport, ToDataPlane, Want};
use std::collections::{BTreeSet, HashMap, HashSet};
use storage::{Database, StorageError};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

#[derive(Debug)]
pub(super) struct Clerk {
    database: Database,
    settings: DeskSettings,
    inbox: mpsc::Receiver<Heard>,
    elsewhere: Elsewhere,
    peers: HashMap<PeerNumber, Peer>,
    waiting: Vec<Waiting>,
    /// What other control planes were asked for, and when.
    recalled: HashMap<Account, Instant>,
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
    /// When it is tried before that: money that comes back elsewhere is not heard of here.
    again: Option<Instant>,
}

impl Waiting {
    fn due(&self) -> Option<Instant> {
        self.until.into_iter().chain(self.again).min()
    }
}

impl Clerk {
    pub(super) fn new(
        database: Database,
        settings: DeskSettings,
        inbox: mpsc::Receiver<Heard>,
        elsewhere: Elsewhere,
    ) -> Self {
        let (peers, waiting, recalled) = (HashMap::new(), Vec::new(), HashMap::new());
        Self { database, settings, inbox, elsewhere, peers, waiting, recalled }
    }

    /// Until nobody can say anything any more.
    pub(super) async fn serve(mut self) {
        let mut heard = Vec::new();
        let mut renewal = interval(self.settings.heard_every);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let patience = self.waiting.iter().filter_map(Waiting::due).min();
            let received = tokio::select! {
                received = self.inbox.recv_many(&mut heard, self.settings.batch.max(1)) => received,
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => 1,
                _ = renewal.tick() => {
                    self.renew().await;
                    continue;
                }
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
                    freed.extend(self.learn(peer, &slices).await.unwrap_or_default());
                }
                Heard::Said { peer, message: FromDataPlane::Final(slices) } => {
                    freed.extend(self.finish(peer, &slices).await.unwrap_or_default());
                }
                Heard::Said { peer, message: FromDataPlane::Want(want) } => {
                    wants.push(Waiting { peer, want, until: None, again: None });
                }
                Heard::Left { peer } => self.forget(peer),
                Heard::Recalled { account, holders } => self.recall(account, &holders),
            }
        }
        (wants, freed)
    }

    /// Writes down who is connected.
    async fn renew(&self) {
        let holders: BTreeSet<&Holder> = self.peers.values().map(|peer| &peer.holder).collect();
        let holders: Vec<Holder> = holders.into_iter().cloned().collect();
        if holders.is_empty() {
            return;
        }
        if let Err(error) = self.database.in_time(lives::heard(&self.database, &holders)).await {
            tracing::warn!(%error, "who is connected could not be written down");
        }
    }

    /// A peer that cannot be welcomed is sent away; it comes back by itself.
    async fn welcome(&mut self, number: PeerNumber, slices: &[SliceReport]) -> Vec<Account> {
        let Some(peer) = self.peers.get_mut(&number) else { return Vec::new() };
        let chunk = self.settings.report_chunk;
        let outcome = welcome(&self.database, peer, slices, chunk).await;
        match outcome {
            Ok(Welcomed { freed, grants, is_back }) => {
                // What it does not need ceases to be the company's risk. More than it takes now it gives back by itself, idle.
                let most = if is_back { peer.answers.capacity() / 2 } else { 0 };
                let held: Vec<Account> = grants.iter().map(|it| it.account).take(most).collect();
                self.tell(number, ToDataPlane::Welcome(grants));
                held.into_iter().for_each(|it| self.tell(number, ToDataPlane::Recall(it)));
                freed
            }
            Err(error) => {
                let data_plane = peer.holder.data_plane.as_str();
                tracing::warn!(%error, data_plane, "a data plane could not be welcomed");
                self.forget(number);
                self.doubt();
                Vec::new()
            }
        }
    }

    /// Whatever was known may have been lost with what was not committed: a standby may have taken over.
    fn doubt(&mut self) {
        self.peers.values_mut().for_each(|peer| peer.known = Known::default());
    }

    /// A report that could not be written is repeated by the next one.
    async fn learn(&mut self, number: PeerNumber, slices: &[SliceReport]) -> Option<Vec<Account>> {
        let Peer { holder, known, .. } = self.peers.get_mut(&number)?;
        let chunk = self.settings.report_chunk;
        match learned::learn(&self.database, holder, known, slices, chunk).await {
            Ok(freed) => Some(freed),
            Err(error) => {
                tracing::warn!(%error, data_plane = holder.data_plane, "a report was not written");
                self.doubt();
                None
            }
        }
    }

    /// A data plane goes, and holds nothing any more. That this is written down is told by ending the connection.
    async fn finish(&mut self, number: PeerNumber, slices: &[SliceReport]) -> Option<Vec<Account>> {
        let freed = self.learn(number, slices).await?;
        let holder = &self.peers.get(&number)?.holder;
        match self.database.in_time(lives::finish(&self.database, holder)).await {
            Ok(()) => self.forget(number),
            Err(error) => {
                let data_plane = holder.data_plane.as_str();
                tracing::warn!(%error, data_plane, "a final report was not written");
            }
        }
        Some(freed)
    }

    fn forget(&mut self, number: PeerNumber) {
        self.peers.remove(&number);
        self.waiting.retain(|waiting| waiting.peer != number);
    }

    /// Takes out the wants that have waited long enough, and those whose account got some money back.
    fn take_due(&mut self, freed: &HashSet<Account>) -> Vec<Waiting> {
        let now = Instant::now();
        let is_due = |waiting: &mut Waiting| {
            waiting.due().is_none_or(|due| due <= now) || freed.contains(&waiting.want.account)
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
                self.doubt();
                return;
            }
        };
        let mut recalled = Recalled::default();
        for (waiting, answer) in wants.into_iter().zip(answers) {
            self.deliver(waiting, answer, &mut recalled);
        }
        self.recall_elsewhere(recalled.elsewhere).await;
    }

    /// Asks other control planes for money that their data planes hold, once in the time that a want waits.
    async fn recall_elsewhere(&mut self, accounts: BTreeSet<Account>) {
        let now = Instant::now();
        let recall_wait = self.settings.recall_wait;
        self.recalled.retain(|_, at| now.duration_since(*at) < recall_wait);
        let new: Vec<Account> =
            accounts.into_iter().filter(|account| !self.recalled.contains_key(account)).collect();
        if new.is_empty() {
            return;
        }
        let asking = recalls::write(&self.database, new.iter().copied());
        match self.database.in_time(asking).await {
            Ok(()) => {
                self.recalled.extend(new.into_iter().map(|account| (account, now)));
                self.elsewhere.poke.give();
            }
            Err(error) => tracing::warn!(%error, "money elsewhere could not be asked for"),
        }
    }

    async fn ask(&self, asked: &[Asked]) -> Result<Vec<Answer>, StorageError> {
        let holders: HashSet<&Holder> = self.peers.values().map(|peer| &peer.holder).collect();
        let own = u32::try_from(holders.len()).unwrap_or(u32::MAX);
        let data_planes = own.max(self.elsewhere.live());
        let crowd = Crowd { data_planes, live_within: self.settings.patience().live_within };
        let mut attempt = 1;
        loop {
            match self.database.in_time(grants::serve(&self.database, asked, crowd)).await {
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

    fn deliver(&mut self, waiting: Waiting, answer: Answer, recalled: &mut Recalled) {
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

    /// Whether a want waits for money that others hold: they are asked for it once, and have one moment to answer. Nobody waits
    /// for those that are absent.
    fn waits(
        &mut self,
        waiting: Waiting,
        holders: &[OtherHolder],
        recalled: &mut Recalled,
    ) -> bool {
        let now = Instant::now();
        let account = waiting.want.account;
        let (here, elsewhere): (Vec<&OtherHolder>, Vec<&OtherHolder>) =
            holders.iter().partition(|other| self.is_here(&other.holder));
        let is_elsewhere = self.database.is_shared() && elsewhere.iter().any(|other| other.is_live);
        let until = match waiting.until {
            Some(until) => until,
            None if here.is_empty() && !is_elsewhere => return false,
            None => {
                if recalled.here.insert(account) {
                    let here: Vec<Holder> =
                        here.into_iter().map(|other| other.holder.clone()).collect();
                    self.recall(account, &here);
                }
                if is_elsewhere {
                    recalled.elsewhere.insert(account);
                }
                now + self.settings.recall_wait
            }
        };
        if until <= now {
            return false;
        }
        let again = is_elsewhere.then(|| now + self.settings.try_again_every);
        self.waiting.push(Waiting { until: Some(until), again, ..waiting });
        true
    }

    fn is_here(&self, holder: &Holder) -> bool {
        self.peers.values().any(|peer| peer.holder == *holder)
    }

    /// Asks those that are connected here.
    fn recall(&mut self, account: Account, holders: &[Holder]) {
        let connected = self.peers.iter().filter(|(_, peer)| holders.contains(&peer.holder));
        let connected: Vec<PeerNumber> = connected.map(|(number, _)| *number).collect();
        for number in connected {
            self.tell(number, ToDataPlane::Recall(account));
        }
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

/// What was asked for while a batch of wants was answered.
#[derive(Debug, Default)]
struct Recalled {
    here: BTreeSet<Account>,
    elsewhere: BTreeSet<Account>,
}

struct Welcomed {
    freed: Vec<Account>,
    grants: Vec<Grant>,
    /// It was to be forgotten.
    is_back: bool,
}

async fn welcome(
    database: &Database,
    peer: &mut Peer,
    slices: &[SliceReport],
    chunk: usize,
) -> Result<Welcomed, StorageError> {
    let Peer { holder, known, .. } = peer;
    let before = database.in_time(lives::arrive(database, holder)).await?;
    let is_back = matches!(before, LifeState::Forgetting | LifeState::GivenUp);
    if is_back {
        tracing::error!(
            data_plane = holder.data_plane,
            incarnation = holder.incarnation,
            state = before.name(),
            "a data plane is back that was to be forgotten; what it still spends of that money is the company's loss"
        );
    }
    // Read first: a Hello repeats everything, and hardly any of it is news.
    database.in_time(learned::welcome(database, holder, known)).await?;
    let freed = learned::learn(database, holder, known, slices, chunk).await?;
    let grants = database.in_time(learned::welcome(database, holder, known)).await?;
    Ok(Welcomed { freed, grants, is_back })
}
