//! What one process knows of the others, and who of it waits for news. Where it comes from is the carrier's business.

use super::{Duty, Member, Topic};
use domain::id::Revision;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Everything that is known. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Board {
    /// How often there was news, in the order of `Topic::ALL`.
    news: [watch::Sender<u64>; Topic::ALL.len()],
    head: watch::Sender<Option<Revision>>,
    members: watch::Sender<Vec<Member>>,
    /// In the order of `Duty::ALL`.
    duties: [watch::Sender<Tenure>; Duty::ALL.len()],
}

/// Until when, and from when on, a chore is this process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    /// There is nobody else.
    Always,
    /// It was won, or not; and if nothing is heard until then, anybody's turn is as good as another's.
    Shared {
        /// When what was won ends.
        won_until: Option<Instant>,
        /// From when on nobody can tell whose it is.
        open_from: Instant,
    },
}

impl Board {
    pub(super) fn new(me: &Member, tenure: Tenure) -> Self {
        Self {
            news: Topic::ALL.map(|_| watch::Sender::new(0)),
            head: watch::Sender::new(None),
            members: watch::Sender::new(vec![me.clone()]),
            duties: Duty::ALL.map(|_| watch::Sender::new(tenure)),
        }
    }

    pub(super) fn wake(&self, topic: Topic) {
        let [config, recall, freed] = &self.news;
        let news = match topic {
            Topic::Config => config,
            Topic::Recall => recall,
            Topic::Freed => freed,
        };
        news.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn pokes(&self, topic: Topic, every: Duration) -> Pokes {
        let [config, recall, freed] = &self.news;
        let news = match topic {
            Topic::Config => config,
            Topic::Recall => recall,
            Topic::Freed => freed,
        };
        Pokes { news: news.subscribe(), every }
    }

    pub(super) fn show_head(&self, head: Option<Revision>) {
        self.head.send_replace(head);
    }

    pub(super) fn head(&self) -> Option<Revision> {
        *self.head.borrow()
    }

    pub(super) fn show_members(&self, members: Vec<Member>) {
        self.members.send_if_modified(|shown| {
            let is_new = *shown != members;
            *shown = members;
            is_new
        });
    }

    pub(super) fn members(&self) -> watch::Receiver<Vec<Member>> {
        self.members.subscribe()
    }

    pub(super) fn hold(&self, duty: Duty, tenure: Tenure) {
        let [sweep] = &self.duties;
        match duty {
            Duty::Sweep => sweep.send_replace(tenure),
        };
    }

    pub(super) fn duty(&self, duty: Duty) -> DutyWatch {
        let [sweep] = &self.duties;
        match duty {
            Duty::Sweep => DutyWatch { tenure: sweep.subscribe() },
        }
    }
}

/// News of a topic.
#[derive(Debug)]
pub struct Pokes {
    news: watch::Receiver<u64>,
    every: Duration,
}

/// Why somebody who waited should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There is news.
    Poked,
    /// It is time to look all the same.
    Due,
}

impl Pokes {
    /// Waits for news, at most until it is time to look all the same. News that came since the last time counts. Safe to cancel.
    pub async fn next(&mut self) -> Woken {
        let poked = async {
            if self.news.changed().await.is_err() {
                // Nobody is left who could tell.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = poked => Woken::Poked,
            () = sleep(self.every) => Woken::Due,
        }
    }
}

/// Whether a chore is this process's.
#[derive(Clone, Debug)]
pub struct DutyWatch {
    tenure: watch::Receiver<Tenure>,
}

impl DutyWatch {
    /// Whether it is, as far as is known: somebody else may believe the same. True as well once nobody has been able to tell for
    /// a long time, since a chore must be done by somebody.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        match *self.tenure.borrow() {
            Tenure::Always => true,
            Tenure::Shared { won_until, open_from } => {
                let now = Instant::now();
                won_until.is_some_and(|until| now < until) || now >= open_from
            }
        }
    }
}
