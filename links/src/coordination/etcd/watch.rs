//! Hearing what others put: a watch that goes on where it ended, a listing where it cannot, and another one now and again,
//! because a watch may lose what it should have said.

use super::client::{Client, Said, Watch};
use super::diff::{Known, News};
use super::keys::{self, Key, Keys, Origin};
use super::{Broken, EtcdSettings, Shared};
use crate::coordination::{Member, Topic};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

/// What was heard so far; outlives connections.
#[derive(Debug)]
pub(super) struct Hearing {
    keys: Keys,
    known: Known,
    /// Who is there, and when that was heard last.
    heard: BTreeMap<String, (Member, Instant)>,
}

/// Why all keys are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Nothing is known, or time went back there.
    Begin,
    Compacted,
    /// To find what the watch has lost.
    Audit,
}

impl Hearing {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, known: Known::default(), heard: BTreeMap::new() }
    }

    /// Hears until the connection breaks.
    pub(super) async fn hear(&mut self, client: &Client, shared: &Shared) -> Broken {
        match self.hear_on(client, shared).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn hear_on(
        &mut self,
        client: &Client,
        shared: &Shared,
    ) -> Result<std::convert::Infallible, Broken> {
        let now = client.moment(&self.keys).await?;
        let mut from = match self.known.next(now.cluster, now.revision) {
            Some(from) => from,
            None => self.list(client, shared, Reason::Begin).await?,
        };
        loop {
            let watch = client.watch(&self.keys, from).await?;
            shared.note_connection();
            self.follow(watch, client, shared).await?;
            from = self.list(client, shared, Reason::Compacted).await?;
        }
    }

    /// Returns once the watch cannot go on where it is.
    async fn follow(
        &mut self,
        mut watch: Watch,
        client: &Client,
        shared: &Shared,
    ) -> Result<(), Broken> {
        let EtcdSettings { audit_every, beat, .. } = shared.settings;
        let mut audits = interval_at(Instant::now() + audit_every, audit_every);
        audits.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence = shared.settings.silence();
        let mut heard_until = Instant::now() + silence;
        let mut beats = interval_at(Instant::now() + beat, beat);
        loop {
            tokio::select! {
                said = watch.next() => match said? {
                    Said::Events(upto, events) => {
                        let news: Vec<News> =
                            events.into_iter().filter_map(|event| self.known.take(event)).collect();
                        self.known.seen(upto);
                        self.tell(news, shared);
                        heard_until = Instant::now() + silence;
                    }
                    Said::Nothing => {}
                    Said::Compacted => return Ok(()),
                },
                // Our own beat comes back, if nothing else does.
                () = sleep_until(heard_until) => return Err(Broken::Silent),
                _ = audits.tick() => { self.list(client, shared, Reason::Audit).await?; }
                _ = beats.tick() => self.show_members(shared),
            }
        }
    }

    /// Compares all that is there with what is known. From where a watch must begin then.
    async fn list(
        &mut self,
        client: &Client,
        shared: &Shared,
        reason: Reason,
    ) -> Result<i64, Broken> {
        let listing = client.list(&self.keys).await?;
        let found = self.known.list(listing);
        let counts = &shared.counts;
        match reason {
            _ if found.is_rewound => {
                tracing::warn!("etcd went back in time, or is another one: all is looked at anew");
                counts.rewound.fetch_add(1, Ordering::Relaxed);
                // What was put and lost may have been news of anything.
                Topic::ALL.into_iter().for_each(|topic| shared.board.wake(topic));
            }
            Reason::Begin => drop(counts.begun.fetch_add(1, Ordering::Relaxed)),
            Reason::Compacted => drop(counts.compacted.fetch_add(1, Ordering::Relaxed)),
            Reason::Audit => drop(counts.audits.fetch_add(1, Ordering::Relaxed)),
        }
        self.tell(found.news, shared);
        Ok(self.known.after())
    }

    fn tell(&mut self, news: Vec<News>, shared: &Shared) {
        for news in news {
            match news {
                News::Value { key, value } => {
                    let means = self.keys.read(&key);
                    let told = means.zip(String::from_utf8(value).ok());
                    if told.is_none_or(|(key, text)| self.tell_value(key, &text, shared).is_none())
                    {
                        tracing::debug!(key = %String::from_utf8_lossy(&key), "a value of nobody");
                    }
                }
                // Nothing that matters: a member is missed by its silence as well, and a head is put again.
                News::Gone { key } => match self.keys.read(&key) {
                    Some(Key::Member(id)) => drop(self.heard.remove(&id)),
                    Some(Key::Head) => shared.board.show_head(None),
                    Some(Key::Poke(_)) | None => {}
                },
            }
        }
        self.show_members(shared);
    }

    /// None: it is nothing that we could have written.
    fn tell_value(&mut self, key: Key, text: &str, shared: &Shared) -> Option<()> {
        match key {
            Key::Head => {
                let (head, origin) = keys::read_head(text)?;
                shared.board.show_head(Some(head));
                wake(Topic::Config, &origin, shared);
            }
            Key::Poke(topic) => wake(topic, &keys::read_origin(text)?, shared),
            Key::Member(id) => {
                let member = keys::read_member(&id, text)?;
                self.heard.insert(id, (member, Instant::now()));
            }
        }
        Some(())
    }

    /// Shows those that were heard of lately. One whose key stays behind is not there for that.
    fn show_members(&mut self, shared: &Shared) {
        let silence = shared.settings.silence();
        self.heard.retain(|_, (_, at)| at.elapsed() <= silence);
        let mut members: BTreeMap<&str, &Member> =
            self.heard.iter().map(|(id, (member, _))| (id.as_str(), member)).collect();
        members.insert(&shared.me.id, &shared.me);
        shared.board.show_members(members.into_values().cloned().collect());
    }
}

/// Who put it himself knows already.
fn wake(topic: Topic, origin: &Origin, shared: &Shared) {
    if origin.member != shared.me.id {
        shared.counts.pokes_heard.fetch_add(1, Ordering::Relaxed);
        shared.board.wake(topic);
    }
}
