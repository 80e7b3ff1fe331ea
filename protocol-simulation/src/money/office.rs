//! A replica of the control plane: turns what data planes say into transactions, and tells what came of them, after the
//! commit. It knows nothing that the database does not, but who is connected and who waits.

use super::common::Common;
use super::database::Holder;
use super::message::{Alarm, Job, Message, Reply, Want};
use crate::mutant::Mutant;
use crate::network::Node;
use crate::schedule::{MILLISECOND, SECOND, Time};
use domain::id::Account;
use std::collections::BTreeMap;

/// How long a want waits for money that others are asked for.
const RECALL_WAIT: Time = 200 * MILLISECOND;
const ROUND: Time = 150 * MILLISECOND;
/// Of silence, after which only a mutant does anything.
const SILENCE: u64 = 2 * SECOND;

pub(super) struct Office {
    node: Node,
    peers: BTreeMap<usize, Peer>,
    waiting: Vec<Waiting>,
    rounds: u64,
}

struct Peer {
    holder: Holder,
    /// By the replica's own clock.
    heard: i64,
}

struct Waiting {
    want: Want,
    until: Time,
}

impl Office {
    pub(super) const fn new(number: usize) -> Self {
        let node = Node::Office(number);
        Self { node, peers: BTreeMap::new(), waiting: Vec::new(), rounds: 0 }
    }

    pub(super) fn boot(&mut self, common: &mut Common) {
        self.peers.clear();
        self.waiting.clear();
        common.alarm(self.node, ROUND, Alarm::Round);
    }

    pub(super) fn take(&mut self, message: Message, common: &mut Common) {
        match message {
            Message::Hello(holder, told) => {
                self.hear(holder, common);
                common.transact(self.node, Job::Welcome { holder, told });
            }
            Message::Report(holder, told) => {
                self.hear(holder, common);
                common.transact(self.node, Job::Learn { holder, told });
            }
            Message::Want(want) => {
                self.hear(want.holder, common);
                self.answer(want, None, common);
            }
            _ => {}
        }
    }

    fn hear(&mut self, holder: Holder, common: &mut Common) {
        let now = common.now();
        let heard = common.network.clock(self.node, now);
        let peer = self.peers.entry(holder.data_plane).or_insert(Peer { holder, heard });
        // A message of an earlier life may come late.
        if peer.holder.incarnation <= holder.incarnation {
            *peer = Peer { holder, heard };
        }
    }

    fn answer(&self, want: Want, until: Option<Time>, common: &mut Common) {
        let data_planes = u32::try_from(self.peers.len()).unwrap_or(1);
        common.transact(self.node, Job::Answer { want, data_planes, until });
    }

    /// What came of a transaction. What failed is not answered: whoever said it says it again.
    pub(super) fn done(&mut self, job: Job, reply: Reply, common: &mut Common) {
        match (job, reply) {
            (Job::Answer { want, .. }, Reply::Granted(total)) => {
                let to = Node::DataPlane(want.holder.data_plane);
                common.send(self.node, to, Message::Grant(want.holder, want.account, total));
            }
            (Job::Answer { want, until, .. }, Reply::Short { holders }) => {
                self.fall_short(want, until, &holders, common);
            }
            (Job::Learn { .. }, Reply::Freed(accounts)) => {
                self.try_again(|waiting| accounts.contains(&waiting.want.account), common);
            }
            (Job::Welcome { holder, .. }, Reply::Totals(totals)) => {
                let to = Node::DataPlane(holder.data_plane);
                common.send(self.node, to, Message::Welcome(holder, totals));
            }
            (Job::Marks { holder }, Reply::Marks(marks)) => {
                let to = Node::DataPlane(holder.data_plane);
                common.send(self.node, to, Message::Billed(holder, marks));
            }
            _ => {}
        }
    }

    /// Before anyone is told that money is short, those who are connected and hold some are asked for it, once.
    fn fall_short(
        &mut self,
        want: Want,
        until: Option<Time>,
        holders: &[Holder],
        common: &mut Common,
    ) {
        let now = common.now();
        let has_asked = until.is_none() && self.recall(want.account, holders, common);
        let until = until.or(has_asked.then_some(now + RECALL_WAIT));
        match until.filter(|until| *until > now) {
            Some(until) => self.waiting.push(Waiting { want, until }),
            None => {
                let to = Node::DataPlane(want.holder.data_plane);
                common.send(self.node, to, Message::Denial(want.holder, want.account));
            }
        }
    }

    /// Returns whether there was anyone to ask.
    fn recall(&self, account: Account, holders: &[Holder], common: &mut Common) -> bool {
        let holds = |peer: &&Peer| holders.contains(&peer.holder);
        let connected: Vec<Holder> =
            self.peers.values().filter(holds).map(|peer| peer.holder).collect();
        if common.is(Mutant::NoRecall) {
            return false;
        }
        for holder in &connected {
            let to = Node::DataPlane(holder.data_plane);
            common.send(self.node, to, Message::Recall(*holder, account));
        }
        !connected.is_empty()
    }

    fn try_again(&mut self, is_due: impl Fn(&Waiting) -> bool, common: &mut Common) {
        let due: Vec<Waiting> = self.waiting.extract_if(.., |waiting| is_due(waiting)).collect();
        for Waiting { want, until } in due {
            self.answer(want, Some(until), common);
        }
    }

    pub(super) fn round(&mut self, common: &mut Common) {
        common.alarm(self.node, ROUND, Alarm::Round);
        let now = common.now();
        self.try_again(|waiting| waiting.until <= now, common);
        self.rounds += 1;
        if !self.rounds.is_multiple_of(3) {
            return;
        }
        let clock = common.network.clock(self.node, now);
        for Peer { holder, heard } in self.peers.values() {
            common.transact(self.node, Job::Marks { holder: *holder });
            let is_silent = clock.abs_diff(*heard) > SILENCE;
            if is_silent && common.is(Mutant::FreeOnTime) {
                common.transact(self.node, Job::FreeSilent { holder: *holder });
            }
        }
    }
}
