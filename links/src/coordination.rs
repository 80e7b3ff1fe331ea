//! What control planes tell each other so that nobody waits for the next look at the rows: that there is something new,
//! who is there, and whose turn a chore is.
//!
//! All of it is a hint. Every fact is a row; a hint only makes somebody look at the row sooner, and with none at all
//! everything goes on at the pace of polling. What must be single is guarded by rows (decision 24).

mod board;
mod local;
mod etcd;

pub use board::{DutyWatch, Pokes, Woken};
pub use etcd::{
    Broken as EtcdBroken, EtcdCoordination, EtcdError, EtcdSettings, EtcdTls, Lists, Seen,
    Standing, look,
};
pub use local::LocalCoordination;

use domain::id::Revision;
use std::time::Duration;
use tokio::sync::watch;

/// What there may be news of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The configuration: somebody committed a revision.
    Config,
    /// Money that lies idle is asked back.
    Recall,
    /// Money was given back.
    Freed,
}

/// A chore that one of all should do now and again. Two that believe to have it do no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Sweeping out what nobody needs any more.
    Sweep,
}

/// A control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// This life of it.
    pub id: String,
    /// Where data planes reach it; empty where it has none.
    pub address: String,
    /// Where its rows may lie.
    pub zone: String,
    /// Of the program.
    pub version: String,
}

/// The way on which it is told. Clones are the same one.
#[derive(Clone, Debug)]
pub enum Coordination {
    /// Nobody else is there, or they find out by themselves.
    Local(LocalCoordination),
    /// By keys in etcd.
    Etcd(EtcdCoordination),
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Config, Self::Recall, Self::Freed];

    /// In keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Recall => "recall",
            Self::Freed => "freed",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Sweep];

    /// In keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
        }
    }
}

impl Member {
    /// One that has just begun to live.
    #[must_use]
    pub fn new(address: &str, zone: &str, version: &str) -> Self {
        Self {
            id: format!("{:032x}", rand::random::<u128>()),
            address: address.to_owned(),
            zone: zone.to_owned(),
            version: version.to_owned(),
        }
    }
}

impl Coordination {
    /// News of a topic, to be waited for; without any, whoever waits looks every so often all the same.
    #[must_use]
    pub fn pokes(&self, topic: Topic, every: Duration) -> Pokes {
        self.board().pokes(topic, every)
    }

    /// Tells everybody that there is news, this process included. Never waits and never fails; several at once are one.
    pub fn poke(&self, topic: Topic) {
        match self {
            Self::Local(local) => local.board().wake(topic),
            Self::Etcd(etcd) => etcd.poke(topic),
        }
    }

    /// Tells everybody, as news of the configuration, that this revision is committed.
    pub fn tell_head(&self, head: Revision) {
        match self {
            Self::Local(local) => {
                local.board().show_head(Some(head));
                local.board().wake(Topic::Config);
            }
            Self::Etcd(etcd) => etcd.tell_head(head),
        }
    }

    /// The newest revision that anybody told of, as far as is known here.
    #[must_use]
    pub fn head(&self) -> Option<Revision> {
        self.board().head()
    }

    /// Whether a chore is this process's.
    #[must_use]
    pub fn duty(&self, duty: Duty) -> DutyWatch {
        self.board().duty(duty)
    }

    /// The control planes that are there, this one included, by their ids; the last that were known while etcd is away.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Vec<Member>> {
        self.board().members()
    }

    /// How it stands with etcd, where that is the way.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        match self {
            Self::Local(_) => None,
            Self::Etcd(etcd) => Some(etcd.standing()),
        }
    }

    fn board(&self) -> &board::Board {
        match self {
            Self::Local(local) => local.board(),
            Self::Etcd(etcd) => etcd.board(),
        }
    }
}
