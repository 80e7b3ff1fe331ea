//! A data plane's purse with its spool and its link, and the listener that the test serves.

use super::desk::ByHand;
use crate::purse::{HoldOrder, HoldRefused, Purse, PurseHold, PurseSettings};
use domain::id::{Account, KeyUid, OrgUid};
use domain::money::Nano;
use links::escrow::{EscrowLink, EscrowListener, escrow_listener};
use links::pipe::{PipeConnector, pipe};
use links::spool::{Spool, SpoolSettings};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(super) const ORG: OrgUid = OrgUid(7);
pub(super) const KEY: KeyUid = KeyUid(70);
pub(super) const WALLET: Account = Account::Wallet(ORG);
pub(super) const BUDGET: Account = Account::Budget(ORG, KEY);
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn nano(amount: i64) -> Nano {
    Nano::new(amount).unwrap()
}

/// Waits for what must happen.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it must happen soon")
}

/// Waits until a thing that cannot be waited for is true.
pub(super) async fn until(is_true: impl Fn() -> bool) {
    soon(async {
        while !is_true() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Patient, quiet settings: nothing happens by itself.
pub(super) fn quiet() -> PurseSettings {
    PurseSettings {
        wait_max: PATIENCE,
        answer_within: PATIENCE,
        report_every: Duration::from_secs(3600),
        renew_below_percent: 0,
        renew_pause: Duration::from_secs(3600),
        store_holds: 0,
        ..PurseSettings::new("dp-1")
    }
}

pub(super) struct World {
    pub(super) purse: Purse,
    pub(super) spool: Spool,
    pub(super) listener: EscrowListener,
    token: CancellationToken,
    keeper: JoinHandle<()>,
    directory: TempDir,
    connector: PipeConnector,
}

impl World {
    pub(super) fn start(settings: PurseSettings) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    fn start_in(directory: TempDir, settings: PurseSettings) -> Self {
        let spool_settings = SpoolSettings {
            segment_bytes: 64 * 1024,
            capacity_bytes: 4 * 1024 * 1024,
            ..SpoolSettings::new(directory.path())
        };
        let (spool, recovered) = Spool::open(spool_settings, &settings.data_plane).unwrap();
        let purse = Purse::restore(settings, spool.clone(), &recovered.slices);
        let (carrier, connector) = pipe();
        let (service, listener) = escrow_listener();
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(carrier));
        let token = CancellationToken::new();
        let mut world = Self {
            purse,
            spool,
            listener,
            keeper: tokio::spawn(async {}),
            token,
            directory,
            connector,
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        let says_hello = self.purse.clone();
        let (link, messages) =
            EscrowLink::start(self.connector.channel(), move || says_hello.hello());
        let run = self.purse.clone().run(link, messages, self.token.clone());
        self.keeper = tokio::spawn(run);
    }

    /// A purse whose control plane answers by hand, and has welcomed it.
    pub(super) async fn by_hand(settings: PurseSettings) -> (Self, ByHand) {
        let mut world = Self::start(settings);
        let desk = world.accept().await;
        (world, desk)
    }

    /// A purse with so much in the wallet's slice, and nothing more to be had unless the test says so.
    pub(super) async fn warm(settings: PurseSettings, granted: i64) -> (Self, ByHand) {
        let (world, desk) = Self::by_hand(settings).await;
        desk.welcome(&[(WALLET, granted)]).await;
        until(|| world.purse.gauges().parked == nano(granted)).await;
        (world, desk)
    }

    /// The next connection, welcomed.
    pub(super) async fn accept(&mut self) -> ByHand {
        let connection = soon(self.listener.accept()).await.unwrap();
        let desk = ByHand::new(connection);
        desk.welcome(&[]).await;
        until(|| *self.purse.0.was_welcomed.borrow()).await;
        desk
    }

    /// Stops the keeper in good order.
    pub(super) async fn stop(&mut self) {
        self.token.cancel();
        soon(&mut self.keeper).await.unwrap();
    }

    /// The same data plane after a restart over what its spool has.
    pub(super) async fn restarted(mut self, settings: PurseSettings) -> Self {
        self.keeper.abort();
        drop(soon(&mut self.keeper).await);
        self.spool.close().await.unwrap();
        Self::start_in(self.directory, settings)
    }

    pub(super) async fn hold(&self, minimum: i64, wanted: i64) -> Result<PurseHold, HoldRefused> {
        hold(&self.purse, None, minimum, wanted).await
    }

    pub(super) async fn hold_of_key(
        &self,
        minimum: i64,
        wanted: i64,
    ) -> Result<PurseHold, HoldRefused> {
        hold(&self.purse, Some(KEY), minimum, wanted).await
    }

    pub(super) fn hold_soon(
        &self,
        budget: Option<KeyUid>,
        minimum: i64,
        wanted: i64,
    ) -> JoinHandle<Result<PurseHold, HoldRefused>> {
        let purse = self.purse.clone();
        tokio::spawn(async move { hold(&purse, budget, minimum, wanted).await })
    }
}

/// As a pipeline chooses: all that is wanted if it is free, else all that is free, if it is enough.
pub(super) fn hold_of(free: Nano, minimum: Nano, wanted: Nano) -> Option<Nano> {
    (free >= minimum).then(|| free.min(wanted))
}

pub(super) async fn hold(
    purse: &Purse,
    budget: Option<KeyUid>,
    minimum: i64,
    wanted: i64,
) -> Result<PurseHold, HoldRefused> {
    let (minimum, wanted) = (nano(minimum), nano(wanted));
    let choose = move |free: Nano| hold_of(free, minimum, wanted);
    purse.hold(HoldOrder { org: ORG, budget, minimum, wanted, choose: &choose }).await
}
