//! Several processes that tell each other, whatever the way.

use links::ReconnectSettings;
use links::coordination::{
    Coordination, EtcdCoordination, EtcdSettings, LocalCoordination, Member, Pokes, Topic, Woken,
};
use servers::Etcd;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// Where they meet.
pub(crate) struct Site {
    etcd: Option<Etcd>,
    processes: Vec<Process>,
}

/// One of them, as far as it coordinates. It ends, without a word, with its test.
pub(crate) struct Process {
    pub(crate) coordination: Coordination,
    pub(crate) me: Member,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Site {
    /// Where there is but one.
    pub(crate) fn local() -> Self {
        let me = Member::new("", "local", "1");
        let coordination = Coordination::Local(LocalCoordination::new(&me));
        let process = Process { coordination, me, stop: CancellationToken::new(), task: None };
        Self { etcd: None, processes: vec![process] }
    }

    /// Three, over an etcd of their own.
    pub(crate) fn etcd() -> Self {
        let etcd = Etcd::start();
        let processes = (0..3).map(|_| Process::start(calm(&etcd.url()))).collect();
        Self { etcd: Some(etcd), processes }
    }

    pub(crate) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// One that tells, and one that hears: another one, if there are several.
    pub(crate) fn ends(&self) -> (&Coordination, &Coordination) {
        let (first, last) = (self.processes.first().unwrap(), self.processes.last().unwrap());
        (&first.coordination, &last.coordination)
    }

    /// Waits until all are in touch.
    pub(crate) async fn ready(&self) {
        if self.etcd.is_some() {
            for process in &self.processes {
                process.connected().await;
            }
        }
    }
}

impl Process {
    pub(crate) fn start(settings: EtcdSettings) -> Self {
        let me = Member::new("http://127.0.0.1:7071", "local", "1");
        let stop = CancellationToken::new();
        let (coordination, task) =
            EtcdCoordination::start(settings, me.clone(), stop.clone()).unwrap();
        Self { coordination, me, stop, task: Some(task) }
    }

    pub(crate) async fn connected(&self) {
        eventually("it is connected", || self.is_connected()).await;
    }

    pub(crate) async fn cut_off(&self) {
        eventually("it knows that it is cut off", || !self.is_connected()).await;
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.coordination.standing().unwrap().is_connected
    }

    /// Waits until those, and nobody else, are there.
    pub(crate) async fn sees(&self, others: &[&Self]) {
        let mut expected: Vec<&str> = others.iter().map(|it| it.me.id.as_str()).collect();
        expected.sort_unstable();
        let members = self.coordination.members();
        eventually(&format!("it sees {expected:?}"), || {
            members.borrow().iter().map(|it| it.id.as_str()).eq(expected.iter().copied())
        })
        .await;
    }

    /// Ends it in good order.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Impatient ones, so that what takes its time in production does not take the test's.
pub(crate) fn settings(endpoint: &str) -> EtcdSettings {
    EtcdSettings {
        endpoints: vec![endpoint.to_owned()],
        beat: Duration::from_millis(500),
        lease: Duration::from_secs(3),
        call_timeout: Duration::from_secs(1),
        ping_interval: Duration::from_millis(500),
        ping_timeout: Duration::from_millis(500),
        audit_every: PATIENCE * 10,
        open_after: PATIENCE * 10,
        reconnect: ReconnectSettings {
            first_wait: Duration::from_millis(20),
            longest_wait: Duration::from_millis(200),
            ..ReconnectSettings::default()
        },
        ..EtcdSettings::default()
    }
}

/// Such as nothing breaks that is only slow: what is told is told once.
pub(crate) fn calm(endpoint: &str) -> EtcdSettings {
    EtcdSettings {
        beat: EtcdSettings::default().beat,
        lease: EtcdSettings::default().lease,
        call_timeout: PATIENCE,
        ping_timeout: PATIENCE,
        ..settings(endpoint)
    }
}

/// News that is waited for as long as it takes.
pub(crate) fn patient(coordination: &Coordination, topic: Topic) -> Pokes {
    coordination.pokes(topic, PATIENCE * 10)
}

/// News that is not waited for.
pub(crate) fn hasty(coordination: &Coordination, topic: Topic) -> Pokes {
    coordination.pokes(topic, Duration::ZERO)
}

/// Waits for news.
pub(crate) async fn poked(pokes: &mut Pokes) {
    let woken = timeout(PATIENCE, pokes.next()).await;
    assert_eq!(woken.expect("nobody was poked"), Woken::Poked);
}

/// Looks until it is so, and fails when it never is.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(LOOK).await;
    }
}
