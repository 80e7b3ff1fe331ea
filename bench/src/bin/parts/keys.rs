//! The key table through the data plane's public API: filled by a feed as in real life, then begun anew from its disk.
//!
//! Two processes, so that what is read is not mixed with what it took to write it.

use crate::Figures;
use anyhow::ensure;
use bench::procfs;
use data_plane::configuration::{Configuration, ConfigurationSettings, DiskSettings};
use domain::config::{Entity, Plan};
use domain::id::{KeyUid, OrgUid, Revision};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::key::KeyDigest;
use domain::money::Currency;
use domain::snapshot::{Change, Key, Org};
use hdrhistogram::Histogram;
use links::feed::{FeedHello, FeedPublisher, FeedSubscriber};
use links::pipe::pipe;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

const CELL: &str = "local";
const SEAL_KEY: [u8; 32] = [7; 32];
const REVISION: Revision = Revision { generation: 1, rev: 1 };
const ORGS: u32 = 1000;
const LOOKUPS: u32 = 1_000_000;
/// How long the allocator gets to give back what starting took.
const CALM: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(900);

fn settings(directory: PathBuf) -> ConfigurationSettings {
    let disk = DiskSettings { directory, journal_bytes: 4 << 20 };
    ConfigurationSettings { disk: Some(disk), ..ConfigurationSettings::new(CELL, SEAL_KEY) }
}

pub(crate) async fn write(directory: PathBuf, keys: u32) -> anyhow::Result<Figures> {
    let publisher = FeedPublisher::new(REVISION, state(keys)?);
    let (carrier, connector) = pipe();
    let server = Server::builder().add_service(publisher.service());
    tokio::spawn(server.serve_with_incoming(carrier));
    let (configuration, keeper) = Configuration::open(settings(directory))?;
    let hello = FeedHello { data_plane: "bench".to_owned(), cell: CELL.to_owned(), applied: None };
    let subscriber = FeedSubscriber::start(connector.channel(), hello);
    let began = Instant::now();
    let stop = CancellationToken::new();
    let following = tokio::spawn(keeper.follow(subscriber, stop.clone()));
    // What is acknowledged is on the disk.
    while publisher.data_planes().iter().all(|plane| plane.applied != REVISION) {
        ensure!(began.elapsed() < PATIENCE, "the keys are not applied after {PATIENCE:?}");
        sleep(LOOK).await;
    }
    ensure!(configuration.key_count() == usize::try_from(keys)?, "some keys are not applied");
    stop.cancel();
    following.await?;
    Ok(Figures::from([("applied_s", began.elapsed().as_secs_f64())]))
}

pub(crate) async fn read(directory: PathBuf) -> anyhow::Result<Figures> {
    let me = std::process::id();
    let before = procfs::memory(me);
    let began = Instant::now();
    let (configuration, keeper) = Configuration::open(settings(directory))?;
    let boot_s = began.elapsed().as_secs_f64();
    sleep(CALM).await;
    let after = procfs::memory(me);
    let count = configuration.key_count();
    ensure!(count > 0, "there are no keys on the disk");
    let grown = after.rss_kib.saturating_sub(before.rss_kib) as f64 * 1024.0;
    let keys = u32::try_from(count)?;
    let times = look_up(&configuration, keys)?;
    drop(keeper);
    Ok(Figures::from([
        ("boot_s", boot_s),
        ("bytes_each", grown / count as f64),
        ("lookup_p50_ns", times.value_at_quantile(0.5) as f64),
        ("lookup_p99_ns", times.value_at_quantile(0.99) as f64),
    ]))
}

/// In no order, so that what the processor's caches hold is of little help.
fn look_up(configuration: &Configuration, keys: u32) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new_with_bounds(1, 1_000_000_000, 3)?;
    let mut number = 0_u32;
    for _ in 0..LOOKUPS {
        // A prime step visits keys far apart.
        number = number.wrapping_add(2_654_435_761) % keys;
        let digest = digest(number);
        let began = Instant::now();
        let found = black_box(configuration.key(&digest));
        let took = began.elapsed();
        ensure!(found.is_some(), "key {number} is not there");
        times.saturating_record(u64::try_from(took.as_nanos())?.max(1));
    }
    Ok(times)
}

fn digest(number: u32) -> KeyDigest {
    let hash = blake3::hash(&number.to_le_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(hash.as_bytes().split_at(16).0);
    KeyDigest(short)
}

fn state(keys: u32) -> anyhow::Result<Vec<Change>> {
    let entity = Entity {
        name: "bench".to_owned(),
        display_name: "Bench".to_owned(),
        jurisdiction: Jurisdiction::parse("SG")?,
        currency: Currency::parse("USD")?,
        key_prefix: "sk-".to_owned(),
        allowed: Allowed::Any,
        charge_empty_answers: false,
        charge_cut_answers: false,
    };
    let plan = Plan { name: "bench".to_owned(), ..Plan::default() };
    let mut state = vec![Change::Entity(entity), Change::Plan(plan)];
    state.extend((0..ORGS).map(org));
    state.extend((0..keys).map(key));
    Ok(state)
}

fn org(number: u32) -> Change {
    Change::Org(Org {
        uid: OrgUid(i64::from(number) + 1),
        name: format!("org-{number:04}"),
        entity: "bench".to_owned(),
        plan: "bench".to_owned(),
        audience: "standard".to_owned(),
        allowed: Allowed::Any,
        disabled: false,
        store_content: false,
    })
}

fn key(number: u32) -> Change {
    let org = number % ORGS;
    Change::Key(Key {
        uid: KeyUid(i64::from(number) + 1),
        digest: digest(number),
        previous: None,
        org: OrgUid(i64::from(org) + 1),
        name: format!("org-{org:04}/key-{number:08}"),
        models: Vec::new(),
        budgeted: false,
        expires: None,
        disabled: false,
        allowed: Allowed::Any,
    })
}
