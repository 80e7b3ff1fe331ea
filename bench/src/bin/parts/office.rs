//! The office as it is felt: how long a change takes to be applied, how long an org waits for its first money, how many such
//! orgs a second get some.

use crate::Figures;
use anyhow::{Context, ensure};
use bench::http;
use clap::Args;
use hdrhistogram::Histogram;
use proto::admin::v1::apply_service_client::ApplyServiceClient;
use proto::admin::v1::key_service_client::KeyServiceClient;
use proto::admin::v1::money_service_client::MoneyServiceClient;
use proto::admin::v1::object::Object as Kind;
use proto::admin::v1::{
    ApplyRequest, CreditOrgRequest, ImportKeysRequest, Key, KeyImport, KeySpec,
    ListDataPlanesRequest, Object, Org, OrgSpec, Plan, PlanSpec,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

const CHAT: &str = "/v1/chat/completions";
const BODY: &str =
    r#"{"model":"mock/s512","max_tokens":256,"messages":[{"role":"user","content":"hi"}]}"#;
const MONEY: &str = "10.00 USD";
const KEYS_AT_ONCE: usize = 500;
/// Cold orgs that come at the same time.
const AT_ONCE: usize = 64;

#[derive(Args)]
pub(crate) struct Options {
    /// The admin API, as a URL
    #[arg(long)]
    admin: String,
    /// A file with the operator's token
    #[arg(long)]
    token_file: PathBuf,
    /// The client API
    #[arg(long)]
    client: SocketAddr,
    /// Changes that are made, one after another
    #[arg(long)]
    changes: u32,
    /// Cold orgs, one after another
    #[arg(long)]
    orgs: usize,
    /// Cold orgs that come many at once
    #[arg(long)]
    crowd: usize,
}

pub(crate) async fn measure(options: Options) -> anyhow::Result<Figures> {
    let office = Office::open(&options).await?;
    let mut figures = Figures::new();
    let changes = office.changes(options.changes).await?;
    figures.insert("change_p50_ms", quantile(&changes, 0.5));
    figures.insert("change_p99_ms", quantile(&changes, 0.99));
    let secrets = office.orgs(options.orgs + options.crowd).await?;
    let (one_by_one, crowd) = secrets.split_at(options.orgs.min(secrets.len()));
    let waits = cold(options.client, one_by_one).await?;
    figures.insert("cold_p50_ms", quantile(&waits, 0.5));
    figures.insert("cold_p99_ms", quantile(&waits, 0.99));
    let (served, took) = at_once(options.client, crowd).await;
    figures.insert("grants_per_s", served as f64 / took.as_secs_f64());
    figures.insert("crowd_refused", (crowd.len() - served) as f64);
    Ok(figures)
}

fn microseconds() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000, 3)?)
}

fn quantile(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1000.0
}

/// An operator.
struct Office {
    channel: Channel,
    bearer: MetadataValue<Ascii>,
}

impl Office {
    async fn open(options: &Options) -> anyhow::Result<Self> {
        let token = std::fs::read_to_string(&options.token_file)?;
        let channel = Channel::from_shared(options.admin.clone())?.connect().await?;
        let bearer = format!("Bearer {}", token.trim()).parse()?;
        Ok(Self { channel, bearer })
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }

    /// A change, from the moment it is asked for until the data plane says that it has it.
    async fn changes(&self, count: u32) -> anyhow::Result<Histogram<u64>> {
        let mut times = microseconds()?;
        for number in 1..=count {
            let spec =
                PlanSpec { requests_per_minute: Some(u64::from(number)), ..PlanSpec::default() };
            let plan = Plan { name: "changing".to_owned(), spec: Some(spec), ..Plan::default() };
            let began = Instant::now();
            let revision = self.apply(vec![Kind::Plan(plan)]).await?;
            self.applied(revision).await?;
            times.saturating_record(u64::try_from(began.elapsed().as_micros())?);
        }
        Ok(times)
    }

    async fn apply(&self, objects: Vec<Kind>) -> anyhow::Result<u64> {
        let objects = objects.into_iter().map(|kind| Object { object: Some(kind) }).collect();
        let request = self.ask(ApplyRequest { objects, ..ApplyRequest::default() });
        let applied = ApplyServiceClient::new(self.channel.clone()).apply(request).await?;
        Ok(applied.into_inner().revision)
    }

    async fn applied(&self, revision: u64) -> anyhow::Result<()> {
        let mut client = ApplyServiceClient::new(self.channel.clone());
        loop {
            let request = self.ask(ListDataPlanesRequest::default());
            let planes = client.list_data_planes(request).await?.into_inner().data_planes;
            ensure!(!planes.is_empty(), "no data plane is connected");
            if planes.iter().all(|plane| plane.applied >= revision) {
                return Ok(());
            }
        }
    }

    /// Orgs with money and a key each, known to the data plane. Returns the secrets.
    async fn orgs(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let name = |number: usize| format!("cold-{number}");
        let org = |number| {
            let spec = OrgSpec {
                entity: "bench".to_owned(),
                plan: "bench".to_owned(),
                audience: "standard".to_owned(),
                ..OrgSpec::default()
            };
            Kind::Org(Org { name: name(number), spec: Some(spec), ..Org::default() })
        };
        self.apply((0..count).map(org).collect()).await?;
        let mut money = MoneyServiceClient::new(self.channel.clone());
        for number in 0..count {
            let credit = CreditOrgRequest {
                org: name(number),
                amount: MONEY.to_owned(),
                idempotency_key: format!("bench-{number}"),
                ..CreditOrgRequest::default()
            };
            money.credit_org(self.ask(credit)).await?;
        }
        let secret = |number: usize| format!("sk-bench-cold-{number:020}");
        let key = |number| {
            let spec = KeySpec { org: name(number), ..KeySpec::default() };
            let name = format!("{}/only", name(number));
            KeyImport {
                key: Some(Key { name, spec: Some(spec), ..Key::default() }),
                secret: secret(number),
                ..KeyImport::default()
            }
        };
        let keys: Vec<KeyImport> = (0..count).map(key).collect();
        let mut client = KeyServiceClient::new(self.channel.clone());
        let mut revision = 0;
        for batch in keys.chunks(KEYS_AT_ONCE) {
            let request =
                ImportKeysRequest { keys: batch.to_vec(), ..ImportKeysRequest::default() };
            revision = client.import_keys(self.ask(request)).await?.into_inner().revision;
        }
        self.applied(revision).await?;
        Ok((0..count).map(secret).collect())
    }
}

async fn chat(client: SocketAddr, secret: &str) -> anyhow::Result<u16> {
    let headers = [format!("Authorization: Bearer {secret}")];
    Ok(http::send(client, "POST", CHAT, &headers, BODY).await?.status)
}

/// How much longer an org's first request takes than its second.
async fn cold(client: SocketAddr, secrets: &[String]) -> anyhow::Result<Histogram<u64>> {
    let mut waits = microseconds()?;
    for secret in secrets {
        let mut took = [Duration::ZERO; 2];
        for took in &mut took {
            let began = Instant::now();
            let status = chat(client, secret).await?;
            ensure!(status == 200, "a cold org's request is answered {status}");
            *took = began.elapsed();
        }
        let [first, second] = took;
        waits.saturating_record(u64::try_from(first.saturating_sub(second).as_micros())?.max(1));
    }
    Ok(waits)
}

/// First requests of many orgs; how many were served, and how long all took.
async fn at_once(client: SocketAddr, secrets: &[String]) -> (usize, Duration) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut requests = JoinSet::new();
    let began = Instant::now();
    for secret in secrets {
        let (room, secret) = (room.clone(), secret.clone());
        requests.spawn(async move {
            let _place = room.acquire().await.context("closed")?;
            chat(client, &secret).await
        });
    }
    let answers = requests.join_all().await;
    let served = answers.iter().filter(|answer| matches!(answer, Ok(200))).count();
    (served, began.elapsed())
}
