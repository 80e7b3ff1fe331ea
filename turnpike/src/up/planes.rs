//! The data plane of this process: its spool, money, configuration and listener, joined to a control plane by gRPC.

use super::drain::Task;
use super::ops::Ops;
use crate::allocator;
use crate::config::{CellSecrets, Config, LoggedRequests};
use data_plane::configuration::{
    Configuration, ConfigurationSettings, DiskSettings, GuardSettings,
};
use data_plane::purse::{Purse, PurseSettings};
use data_plane::{
    AccessLog, ContentSink, DataPlane, DataPlaneParts, DataPlaneSettings, Limits, Listener,
};
use data_plane::{Pace, TraceSettings, recovery};
use domain::key::Pepper;
use domain::network::Networks;
use domain::time::Timestamp;
use futures::future::join_all;
use links::Ways;
use links::account::{AccountLink, AccountLinkSettings};
use links::content::{ContentKey, ContentLink, ContentLinkSettings};
use links::escrow::EscrowLink;
use links::feed::{FeedHello, FeedSubscriber, SnapshotKey, SubscriberSettings};
use links::spool::{Recovered, Spool, SpoolSettings};
use links::usage::ship_usage;
use links::usage::topic::{ShipmentStatus, TopicSettings, TopicShipper};
use proto::usage::v1::SliceMark;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// How often the number of running requests is looked at while their end is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A running data plane.
pub(super) struct Planes {
    pub(super) address: SocketAddr,
    pub(super) configuration: Configuration,
    pub(super) spool: Spool,
    pub(super) plane: DataPlane,
    pub(super) purse: Purse,
    /// Keeps the money.
    keeper: Option<Task>,
    /// What else speaks with others: a control plane, billing, or a topic.
    links: Vec<Task>,
}

impl Planes {
    /// Opens the spool, ends what it finds open, and serves.
    pub(super) fn start(
        config: &Config,
        networks: Networks,
        secrets: &CellSecrets,
        ways: Ways,
        topic: Option<TopicSettings>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let name = &config.data_plane.name;
        let settings = settings(config, networks, config.trusted_proxies()?);
        let listener = Listener::bind(&settings)?;
        let address = listener.address();
        let (spool, mut recovered) = Spool::open(spool_settings(config), name)?;
        let used_keys = std::mem::take(&mut recovered.used_keys);
        let slices = close_open(recovered);
        let purse = Purse::restore(purse_settings(config), spool.clone(), &slices);
        let (shipping, shipment) =
            topic.map(|topic| ship_into(topic, &spool, &purse, stop)).unzip();
        let hello = {
            let purse = purse.clone();
            move || purse.hello()
        };
        let content = content_sink(config, secrets, ways.clone());
        let (link, messages) =
            EscrowLink::start_with(ways.clone(), hello, config.links.escrow_link());
        let keeper = Task::start("money", stop, |stop| purse.clone().run(link, messages, stop));
        let (configuration, following) =
            Configuration::open(configuration_settings(config, secrets))?;
        let hello = FeedHello {
            data_plane: name.clone(),
            cell: config.data_plane.cell.clone(),
            applied: following.applied(),
        };
        let account = AccountLink::new(ways.clone(), account_settings(config));
        let feed_settings = subscriber_settings(config, secrets, &ways);
        let subscriber = FeedSubscriber::start_with(ways, hello, feed_settings);
        let feed = Task::start("feed", stop, |stop| following.follow(subscriber, stop));
        let links = shipping.into_iter().chain([feed]).collect();
        let plane = DataPlane::new(DataPlaneParts {
            settings,
            configuration: configuration.clone(),
            purse: purse.clone(),
            spool: spool.clone(),
            shipment: shipment.flatten(),
            content,
            account,
            pepper: Pepper(secrets.pepper),
            seal_key: secrets.seal_key,
            give_back: allocator::give_back,
        });
        plane.remember(used_keys);
        listener.serve(&plane)?;
        let keeper = Some(keeper);
        Ok(Self { address, configuration, spool, plane, purse, keeper, links })
    }

    /// Sends what it writes down to billing in another process.
    pub(super) fn ship_usage(&mut self, config: &Config, ways: Ways, stop: &CancellationToken) {
        let (name, spool) = (config.data_plane.name.clone(), self.spool.clone());
        let settings = config.links.shipper();
        let shipper = Task::start("shipped usage", stop, |stop| {
            ship_usage(ways, name, spool, settings, stop)
        });
        self.links.push(shipper);
    }

    /// What operators are shown of it.
    pub(super) fn show(&self, ops: &Ops) {
        let plane = self.plane.clone();
        ops.observe(move || plane.observe());
        self.show_age(ops);
        let spool = self.spool.clone();
        ops.heed(move || {
            let status = spool.status();
            let full = "the spool is full: usage must be billed, or data_plane.spool.capacity_bytes be larger";
            let failing = "the spool cannot be synced: mend its disk";
            let wrong = [(status.is_full, full), (status.is_failing, failing)];
            wrong.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, why)| why.to_owned())
        });
    }

    /// Complains while the configuration is too old to be served.
    fn show_age(&self, ops: &Ops) {
        let configuration = self.configuration.clone();
        ops.heed(move || {
            let is_old = configuration.is_loaded() && !configuration.is_current();
            is_old.then(|| {
                format!(
                    "the control plane has not confirmed the configuration for more than {:?}: it is not served",
                    configuration.age_max()
                )
            })
        });
    }

    /// Returns when no request runs.
    pub(super) async fn idle(&self) {
        while self.spool.status().open_requests > 0 {
            sleep(LOOK).await;
        }
    }

    /// Gives back what no request holds, and says the last word about money.
    pub(super) async fn settle_money(&mut self, latest: Instant) {
        if let Some(keeper) = self.keeper.take() {
            keeper.end(latest).await;
        }
    }

    /// Has all that is written down on the disk.
    pub(super) async fn flush(&self, latest: Instant) {
        match timeout_at(latest, self.spool.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the spool could not be synced"),
            Err(_) => tracing::warn!("the spool was not synced in time"),
        }
    }

    /// Returns when nothing is listened for and all is said on every connection.
    pub(super) async fn closed(&self, latest: Instant) {
        if timeout_at(latest, self.plane.closed()).await.is_err() {
            tracing::warn!("some clients did not take all of their answers in time");
        }
    }

    /// Has nothing more to say to a control plane.
    pub(super) async fn unlink(&mut self, latest: Instant) {
        join_all(self.links.drain(..).map(|link| link.end(latest))).await;
    }

    /// Lets another process have the spool.
    pub(super) async fn unlock(self, latest: Instant) {
        match timeout_at(latest, self.spool.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the spool did not close well"),
            Err(_) => tracing::warn!("the spool did not close in time"),
        }
    }
}

/// Takes usage to a topic; what billing misses there is asked for by what the purse hears.
fn ship_into(
    topic: TopicSettings,
    spool: &Spool,
    purse: &Purse,
    stop: &CancellationToken,
) -> (Task, Option<Receiver<ShipmentStatus>>) {
    let mut status = None;
    let task = Task::start("usage topic", stop, |stop| {
        let shipper = TopicShipper::start(spool.clone(), topic, stop);
        purse.resend_by(shipper.resend());
        status = Some(shipper.status());
        shipper.ended()
    });
    (task, status)
}

/// Ends what an earlier process left open, and returns what each slice has spent by then.
fn close_open(recovered: Recovered) -> Vec<SliceMark> {
    for damage in &recovered.damaged {
        tracing::error!(?damage, "a file of the spool is damaged; what it held after that is lost");
    }
    let mut slices = recovered.slices;
    let closed = recovery::close_interrupted(recovered.open, &mut slices, now());
    if closed > 0 {
        tracing::warn!(closed, "requests of an earlier process were ended as interrupted");
    }
    slices
}

fn content_sink(config: &Config, secrets: &CellSecrets, ways: Ways) -> ContentSink {
    let from = &config.data_plane.content;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let settings = ContentLinkSettings {
        waiting_bytes: size(from.waiting_bytes),
        reconnect: config.links.reconnect(),
        ..ContentLinkSettings::default()
    };
    let link = ContentLink::start(ways, ContentKey::derive(&secrets.seal_key), settings);
    ContentSink { link, bytes_max: size(from.bytes) }
}

fn settings(config: &Config, networks: Networks, trusted_proxies: Networks) -> DataPlaneSettings {
    let from = &config.data_plane;
    let cores = from.cores.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    DataPlaneSettings {
        listen: from.listen,
        trusted_proxies,
        cores,
        output_window_tokens: from.money.output_window_tokens.get(),
        access_log: access_log(config),
        traces: traces(config),
        limits: limits(config),
        pace: pace(config),
        networks,
        cors_origins: from.cors_origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
    }
}

fn access_log(config: &Config) -> AccessLog {
    match config.log.access {
        LoggedRequests::Off => AccessLog::Off,
        LoggedRequests::Sampled => AccessLog::Sampled(config.log.access_ratio),
        LoggedRequests::On => AccessLog::On,
    }
}

fn traces(config: &Config) -> Option<TraceSettings> {
    let from = &config.traces;
    from.endpoint.as_ref().map(|_| TraceSettings {
        sample_ratio: from.sample_ratio,
        trusts_callers: from.trust_callers,
        send_to: from.send_to_upstreams.clone(),
    })
}

fn configuration_settings(config: &Config, secrets: &CellSecrets) -> ConfigurationSettings {
    let from = &config.data_plane.configuration;
    ConfigurationSettings {
        disk: Some(DiskSettings {
            directory: config.configuration_dir(),
            journal_bytes: from.journal_bytes,
        }),
        age_max: from.max_config_age,
        guard: GuardSettings {
            deleted_percent: from.deleted_percent,
            deleted_min: from.deleted_min,
            held_back_for: from.held_back_for,
        },
        mend_again_after: from.mend_again_after,
        ..ConfigurationSettings::new(config.data_plane.cell.clone(), secrets.seal_key)
    }
}

fn subscriber_settings(config: &Config, secrets: &CellSecrets, ways: &Ways) -> SubscriberSettings {
    let from = &config.data_plane.configuration;
    let snapshot_key = SnapshotKey::derive(&secrets.seal_key);
    SubscriberSettings {
        snapshot_bytes: usize::try_from(from.snapshot_bytes).unwrap_or(usize::MAX),
        snapshot_objects: from.snapshot_objects.get(),
        message_bytes: usize::try_from(config.links.message_bytes).unwrap_or(usize::MAX),
        reconnect: config.links.reconnect(),
        wire: ways.leads_out().then(|| config.links.wire(snapshot_key)),
        ..SubscriberSettings::default()
    }
}

fn account_settings(config: &Config) -> AccountLinkSettings {
    let from = &config.data_plane.limits;
    AccountLinkSettings { patience: from.account_timeout, at_once: from.account_questions.get() }
}

fn limits(config: &Config) -> Limits {
    let from = &config.data_plane.limits;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        body_bytes: size(from.body_bytes),
        head_bytes: size(from.head_bytes),
        json_depth: from.json_depth.get(),
        answer_head_bytes: size(from.answer_head_bytes),
        answer_bytes: size(from.answer_bytes),
        event_bytes: size(from.event_bytes),
        choices: from.choices.get(),
        web_searches: from.web_searches,
        counted_bytes: from.counted_bytes,
        attempts: from.attempts.get(),
        models: from.models.get(),
        session_id_bytes: size(from.session_id_bytes),
        app_bytes: size(from.app_bytes),
        connections: from.connections.get(),
        unpacked_ratio: from.unpacked_ratio.get(),
        id_bytes: size(from.id_bytes),
        idempotency_keys: from.idempotency_keys.get(),
        idempotency_key_bytes: size(from.idempotency_key_bytes),
    }
}

fn pace(config: &Config) -> Pace {
    let from = &config.data_plane.limits;
    Pace {
        head: from.head_timeout,
        body: from.body_timeout,
        body_whole: from.body_whole_timeout,
        write: from.write_timeout,
        idempotency_window: from.idempotency_window,
        connect: from.connect_timeout,
        upstream_idle: from.upstream_idle_timeout,
        first_token: from.first_token_timeout,
        between_tokens: from.between_tokens_timeout,
        stream: from.stream_timeout,
        answer: from.answer_timeout,
        keep_alive: from.stream_headers_wait,
        cooldown: from.cooldown,
        cooldown_max: from.cooldown_max,
        speed_age_max: from.speed_age_max,
    }
}

fn purse_settings(config: &Config) -> PurseSettings {
    let from = &config.data_plane.money;
    PurseSettings {
        wait_max: from.wait_max,
        report_every: from.report_every,
        idle_release_after: from.idle_release_after,
        ..PurseSettings::new(config.data_plane.name.clone())
    }
}

fn spool_settings(config: &Config) -> SpoolSettings {
    let from = &config.data_plane.spool;
    SpoolSettings {
        segment_bytes: from.segment_bytes,
        capacity_bytes: from.capacity_bytes,
        sync_interval: from.sync_interval,
        high_water_percent: from.high_water_percent,
        ..SpoolSettings::new(config.spool_dir())
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
