//! Being there: a lease that is kept, our own key with each beat, chores that nobody else has, and the news that we tell.

use super::client::{Client, Put};
use super::keys::{self, Origin};
use super::outbox::Mail;
use super::{Broken, Shared};
use crate::coordination::board::Tenure;
use crate::coordination::{Duty, Topic};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// What we hold there; outlives connections.
#[derive(Debug, Default)]
pub(super) struct Presence {
    lease: Option<i64>,
    /// How often we put anything.
    count: u64,
}

impl Presence {
    /// Is there, and tells, until the connection breaks.
    pub(super) async fn keep(&mut self, client: &Client, shared: &Shared) -> Broken {
        let mut beats = interval(shared.settings.beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = beats.tick() => self.beat(client, shared).await,
                mail = shared.outbox.collect() => self.send(client, shared, mail).await,
            };
            if let Err(broken) = done {
                return broken;
            }
        }
    }

    /// Gives up all that we hold, so that somebody else need not wait for it to run out.
    pub(super) async fn resign(&mut self, client: &Client) -> Result<(), Broken> {
        match self.lease.take() {
            Some(lease) => client.revoke(lease).await,
            None => Ok(()),
        }
    }

    async fn beat(&mut self, client: &Client, shared: &Shared) -> Result<(), Broken> {
        let began = Instant::now();
        let lease = self.lease(client, shared).await?;
        let me = Put {
            key: shared.keys.member(&shared.me.id),
            value: keys::write_member(&shared.me, self.next()),
            lease,
        };
        client.put(vec![me]).await?;
        for duty in Duty::ALL {
            self.campaign(client, shared, duty, (lease, began)).await?;
        }
        self.mend_head(client, shared).await
    }

    /// A lease that has begun to run anew. What went with one that ran out is gone.
    async fn lease(&mut self, client: &Client, shared: &Shared) -> Result<i64, Broken> {
        if let Some(lease) = self.lease
            && client.keep_alive(lease).await?
        {
            return Ok(lease);
        }
        let lease = client.grant(shared.settings.lease_seconds()).await?;
        self.lease = Some(lease);
        Ok(lease)
    }

    /// Takes a chore that nobody has. It is ours no longer than the lease that was prolonged after `began`.
    async fn campaign(
        &self,
        client: &Client,
        shared: &Shared,
        duty: Duty,
        (lease, began): (i64, Instant),
    ) -> Result<(), Broken> {
        let value = shared.me.id.clone();
        let holder =
            client.put_if_absent(Put { key: shared.keys.duty(duty), value, lease }).await?;
        let is_won = holder == shared.me.id.as_bytes();
        let tenure = Tenure::Shared {
            won_until: is_won.then(|| began + shared.settings.lease),
            open_from: began + shared.settings.open_after,
        };
        shared.board.hold(duty, tenure);
        Ok(())
    }

    async fn send(
        &mut self,
        client: &Client,
        shared: &Shared,
        mail: Mail<'_>,
    ) -> Result<(), Broken> {
        let mut puts = Vec::new();
        for topic in Topic::ALL.into_iter().filter(|topic| mail.topics.has(*topic)) {
            let value = keys::write_origin(&self.origin(shared));
            puts.push(Put { key: shared.keys.poke(topic), value, lease: 0 });
        }
        if let Some(head) = mail.head {
            let value = keys::write_head(head, &self.origin(shared));
            puts.push(Put { key: shared.keys.head(), value, lease: 0 });
        }
        client.put(puts).await?;
        mail.sent();
        Ok(())
    }

    /// Two that put their heads at once may leave the older one, and a restored etcd has an old one.
    async fn mend_head(&mut self, client: &Client, shared: &Shared) -> Result<(), Broken> {
        let Some(told) = shared.outbox.told() else { return Ok(()) };
        if shared.board.head().is_some_and(|shown| shown >= told) {
            return Ok(());
        }
        let value = keys::write_head(told, &self.origin(shared));
        client.put(vec![Put { key: shared.keys.head(), value, lease: 0 }]).await
    }

    fn origin(&mut self, shared: &Shared) -> Origin {
        Origin { member: shared.me.id.clone(), count: self.next() }
    }

    const fn next(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        self.count
    }
}
