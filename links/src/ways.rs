//! The ways to the control plane's replicas, in the order in which one data plane tries them.
//!
//! Each data plane has an order of its own, made by rendezvous hashing of its name and the addresses: a fleet spreads over the
//! replicas, and a replica that goes away moves only those that were on it.

use std::cmp::Reverse;
use std::sync::Arc;
use tonic::transport::Channel;

/// The ways, best first, and the one that is taken now. Clones go on by themselves.
#[derive(Clone, Debug)]
pub struct Ways {
    best: Channel,
    others: Arc<[Channel]>,
    /// 0 is the best one.
    at: usize,
    leads_out: bool,
}

impl Ways {
    /// Ways of that data plane to these addresses. `None` if there is no address.
    #[must_use]
    pub fn to(data_plane: &str, replicas: Vec<(String, Channel)>) -> Option<Self> {
        let mut channels = ranked(data_plane, replicas).into_iter();
        let best = channels.next()?;
        Some(Self { best, others: channels.collect(), at: 0, leads_out: true })
    }

    /// Whether they lead to other processes.
    #[must_use]
    pub const fn leads_out(&self) -> bool {
        self.leads_out
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.others.len().saturating_add(1)
    }

    /// Whether there is another one to turn to.
    pub(crate) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Which one is taken now.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The one that is taken now.
    pub(crate) fn channel(&self) -> Channel {
        let other = self.at.checked_sub(1).and_then(|index| self.others.get(index));
        other.unwrap_or(&self.best).clone()
    }

    /// Takes another one after the connection on this one ended, or did not come about. After a good one it is the best, which
    /// may be back by now: so a fleet spreads again once all replicas were restarted.
    pub(crate) fn turn(&mut self, was_good: bool) {
        let next = self.at.saturating_add(1) % self.count();
        self.at = if was_good && self.at > 0 { 0 } else { next };
    }
}

/// The only way there is, to the control plane of this process.
impl From<Channel> for Ways {
    fn from(only: Channel) -> Self {
        Self { best: only, others: Arc::default(), at: 0, leads_out: false }
    }
}

/// What lies behind the addresses, best first.
fn ranked<T>(data_plane: &str, mut replicas: Vec<(String, T)>) -> Vec<T> {
    replicas.sort_by_cached_key(|(address, _)| Reverse(weight(data_plane, address)));
    replicas.into_iter().map(|(_, behind)| behind).collect()
}

fn weight(data_plane: &str, address: &str) -> [u8; 32] {
    let name_bytes = u64::try_from(data_plane.len()).unwrap_or(u64::MAX);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&name_bytes.to_le_bytes()).update(data_plane.as_bytes());
    *hasher.update(address.as_bytes()).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const REPLICAS: [&str; 3] = ["http://cp-0:7071", "http://cp-1:7071", "http://cp-2:7071"];

    fn order(data_plane: &str, replicas: &[&str]) -> Vec<String> {
        let named = replicas.iter().map(|address| ((*address).to_owned(), (*address).to_owned()));
        ranked(data_plane, named.collect())
    }

    #[test]
    fn a_fleet_spreads_evenly_and_each_finds_its_own_again() {
        let mut firsts: HashMap<String, usize> = HashMap::new();
        for number in 0..3_000 {
            let name = format!("dp-{number}");
            let own = order(&name, &REPLICAS);
            let [a, b, c] = REPLICAS;
            assert_eq!(own, order(&name, &[c, a, b]), "whatever order they are written in");
            *firsts.entry(own[0].clone()).or_default() += 1;
        }
        assert!(firsts.values().all(|count| (900..=1_100).contains(count)), "{firsts:?}");
    }

    #[test]
    fn a_replica_that_goes_away_moves_only_those_that_were_on_it() {
        let [gone, stays, stays_too] = REPLICAS;
        let mut seconds: HashMap<String, usize> = HashMap::new();
        for number in 0..1_000 {
            let name = format!("dp-{number}");
            let (before, after) = (order(&name, &REPLICAS), order(&name, &[stays, stays_too]));
            if before[0] == gone {
                *seconds.entry(after[0].clone()).or_default() += 1;
            } else {
                assert_eq!(before[0], after[0], "{name} moved for nothing");
            }
        }
        assert!(seconds.values().all(|count| *count > 100), "they spread, too: {seconds:?}");
    }

    #[test]
    fn a_name_and_an_address_do_not_run_into_each_other() {
        assert_ne!(weight("dp", "1http://cp"), weight("dp1", "http://cp"));
    }

    fn ways(count: usize) -> Ways {
        let channel = || tonic::transport::Endpoint::from_static("http://[::1]:1").connect_lazy();
        let replicas = (0..count).map(|number| (number.to_string(), channel())).collect();
        Ways::to("dp", replicas).unwrap()
    }

    #[tokio::test]
    async fn a_failure_leads_on_and_the_end_of_a_good_connection_back_to_the_best() {
        let mut ways = ways(3);
        let rows = [
            (false, 1),
            (false, 2),
            (false, 0),
            (true, 1),
            (true, 0),
            (false, 1),
            (false, 2),
            (true, 0),
        ];
        for (was_good, then) in rows {
            ways.turn(was_good);
            assert_eq!(ways.at(), then);
        }
    }

    #[tokio::test]
    async fn one_way_is_always_the_same() {
        let mut ways = ways(1);
        for was_good in [false, true] {
            ways.turn(was_good);
            assert_eq!(ways.at(), 0);
        }
        assert!(!ways.has_others());
        assert!(Ways::to("dp", Vec::new()).is_none());
    }
}
