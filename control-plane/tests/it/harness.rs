//! A control plane on a loopback socket over a database of its own, and clients that carry the operator token.

use control_plane::{AdminLimits, ControlPlane, ControlPlaneSettings, Secret};
use domain::key::Pepper;
use domain::network::Networks;
use links::coordination::{Coordination, LocalCoordination, Member};
use links::feed::PublisherSettings;
use proto::admin::v1::apply_service_client::ApplyServiceClient;
use proto::admin::v1::entity_service_client::EntityServiceClient;
use proto::admin::v1::fx_rate_service_client::FxRateServiceClient;
use proto::admin::v1::key_service_client::KeyServiceClient;
use proto::admin::v1::markup_rule_service_client::MarkupRuleServiceClient;
use proto::admin::v1::model_service_client::ModelServiceClient;
use proto::admin::v1::money_service_client::MoneyServiceClient;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::org_service_client::OrgServiceClient;
use proto::admin::v1::plan_service_client::PlanServiceClient;
use proto::admin::v1::price_book_service_client::PriceBookServiceClient;
use proto::admin::v1::upstream_service_client::UpstreamServiceClient;
use proto::admin::v1::{ApplyRequest, ApplyResponse, Object};
use servers::Place;
use sqlx::{AssertSqlSafe, Row as _};
use std::net::SocketAddr;
use std::time::Duration;
use storage::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};
use tonic_types::StatusExt;

pub(crate) const TOKEN: &str = "operator-token-of-the-tests";
pub(crate) const SEAL_KEY: [u8; 32] = [3; 32];
pub(crate) const PEPPER: Pepper = Pepper([5; 32]);

fn connect(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// A control plane, and the place of its database.
pub(crate) struct Rig {
    pub(crate) control_plane: ControlPlane,
    pub(crate) database: Database,
    pub(crate) channel: Channel,
    pub(crate) place: Place,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(AdminLimits::default()).await
    }

    pub(crate) async fn start_with(limits: AdminLimits) -> Self {
        Self::start_in(super::kind().place().await, limits).await
    }

    async fn start_in(place: Place, limits: AdminLimits) -> Self {
        let database = Database::open(&place.url()).await.unwrap();
        // On a server it is a copy of one that has the schema.
        if !database.is_shared() {
            database.migrate().await.unwrap();
        }
        let stop = CancellationToken::new();
        let settings = settings(limits);
        let control_plane =
            ControlPlane::start(settings, database.clone(), stop.clone()).await.unwrap();
        let (address, server) = serve(control_plane.admin_router(), stop.clone()).await;
        let channel = connect(address);
        Self { control_plane, database, channel, place, address, stop, server }
    }

    /// The process ends, another one opens the same database.
    pub(crate) async fn restart(self) -> Self {
        self.stop.cancel();
        drop(self.channel);
        self.server.await.unwrap();
        self.database.close().await;
        Self::start_in(self.place, AdminLimits::default()).await
    }

    /// Another process on the same database.
    pub(crate) async fn neighbour(&self) -> ControlPlane {
        let database = Database::open(&self.place.url()).await.unwrap();
        let settings = settings(AdminLimits::default());
        ControlPlane::start(settings, database, self.stop.clone()).await.unwrap()
    }

    /// A connection of its own.
    pub(crate) fn another_channel(&self) -> Channel {
        connect(self.address)
    }

    /// Applies objects in the order given.
    pub(crate) async fn apply(
        &self,
        objects: impl IntoIterator<Item = Any>,
    ) -> Result<ApplyResponse, Status> {
        let request = ApplyRequest {
            objects: objects_of(objects),
            validate_only: false,
            ..Default::default()
        };
        self.applies().apply(request).await.map(tonic::Response::into_inner)
    }

    /// What every table of the configuration holds, for comparing before with after.
    pub(crate) async fn rows(&self) -> Rows {
        Rows {
            head: self.table("SELECT CAST(rev AS TEXT) AS line FROM config_head").await,
            objects: self
                .table(
                    "SELECT kind || ' ' || name || ' ' || uid || ' ' || rev || ' ' || spec || ' ' || secret AS line
                     FROM config_object ORDER BY kind, name",
                )
                .await,
            log: self
                .table(
                    "SELECT generation || '/' || rev || '/' || ord || ' ' || body AS line FROM config_log
                     ORDER BY generation, rev, ord",
                )
                .await,
            prices: self
                .table(
                    "SELECT revision || ' ' || model || ' ' || upstream || ' ' || entity || ' ' || audience || ' ' || org
                         || ' ' || body AS line
                     FROM price ORDER BY revision, model, upstream, entity, audience, org",
                )
                .await,
            accounts: self
                .table(
                    "SELECT org_uid || ' ' || key_uid || ' ' || currency || ' ' || posted || ' ' || held || ' '
                         || credit_limit AS line
                     FROM account ORDER BY org_uid, key_uid",
                )
                .await,
        }
    }

    /// The text column `line` of a query.
    pub(crate) async fn table(&self, query: &'static str) -> Vec<String> {
        let mut read = self.database.read().await.unwrap();
        let rows = sqlx::query(query).fetch_all(&mut *read).await.unwrap();
        read.finish().await.unwrap();
        rows.iter().map(|row| row.get("line")).collect()
    }

    /// Runs a statement that no API offers.
    pub(crate) async fn sql(&self, statement: &str) {
        let mut write = self.database.write().await.unwrap();
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
    }
}

/// All that a change of the configuration may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) head: Vec<String>,
    pub(crate) objects: Vec<String>,
    pub(crate) log: Vec<String>,
    pub(crate) prices: Vec<String>,
    pub(crate) accounts: Vec<String>,
}

pub(crate) fn settings(limits: AdminLimits) -> ControlPlaneSettings {
    let me = Member::new("", "local", "tested");
    ControlPlaneSettings {
        operator_token: Secret::new(TOKEN),
        pepper: PEPPER,
        seal_key: SEAL_KEY,
        follow_every: Duration::from_millis(20),
        coordination: Coordination::Local(LocalCoordination::new(&me)),
        networks: Networks::default(),
        limits,
        feed: PublisherSettings::default(),
        patience: billing::desk::DeskSettings::default().patience(),
    }
}

pub(crate) fn objects_of(objects: impl IntoIterator<Item = Any>) -> Vec<Object> {
    objects.into_iter().map(|object| Object { object: Some(object) }).collect()
}

/// What a refusal is, where, and why: one of each as AIP-193 asks.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: tonic::Code,
    pub(crate) reason: String,
    pub(crate) fields: Vec<String>,
    pub(crate) text: String,
}

pub(crate) fn told<T>(answer: Result<T, Status>) -> Told {
    let status = answer.err().expect("this should have been refused");
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.domain, "turnpike");
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let preconditions = details.precondition_failure().map(|failed| &failed.violations);
    let mut text = status.message().to_owned();
    for violation in violations.into_iter().flatten() {
        text = format!("{text}\n{}: {}", violation.field, violation.description);
    }
    for violation in preconditions.into_iter().flatten() {
        text = format!("{text}\n{}", violation.description);
    }
    Told {
        code: status.code(),
        reason: info.reason.clone(),
        fields: violations.into_iter().flatten().map(|v| v.field.clone()).collect(),
        text,
    }
}

async fn serve(routes: Routes, stop: CancellationToken) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned());
    (address, tokio::spawn(async move { server.await.unwrap() }))
}

/// Sends the operator token along.
#[derive(Clone)]
pub(crate) struct Operator;

impl Interceptor for Operator {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let bearer = format!("Bearer {TOKEN}");
        request
            .metadata_mut()
            .insert("authorization", MetadataValue::try_from(bearer.as_str()).unwrap());
        Ok(request)
    }
}

type Carrier = InterceptedService<Channel, Operator>;

macro_rules! clients {
    ($($name:ident: $client:ident;)*) => {
        impl Rig {
            $(
                pub(crate) fn $name(&self) -> $client<Carrier> {
                    $client::with_interceptor(self.channel.clone(), Operator)
                }
            )*
        }
    };
}

clients! {
    entities: EntityServiceClient;
    plans: PlanServiceClient;
    upstreams: UpstreamServiceClient;
    models: ModelServiceClient;
    price_books: PriceBookServiceClient;
    markup_rules: MarkupRuleServiceClient;
    fx_rates: FxRateServiceClient;
    orgs: OrgServiceClient;
    keys: KeyServiceClient;
    applies: ApplyServiceClient;
    money: MoneyServiceClient;
}
