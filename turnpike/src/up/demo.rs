//! `up --demo`: the simulator, and on the first start something to play with: entities, plans, models, an org with money
//! and a key. Later starts keep whatever has become of it.

use super::Addresses;
use crate::config::{Config, Secrets};
use crate::objects::{self, Source};
use crate::output;
use anyhow::{Context, anyhow};
use control_plane::{AdminError, ControlPlane, Refusal};
use proto::admin::v1::object::Object as Kind;
use proto::admin::v1::{CreditOrgRequest, KeySpec, Object};
use serde::{Deserialize, Serialize};
use simulator::{Simulator, SimulatorConfig};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const ORG: &str = "demo";
const KEY: &str = "first";
const MONEY: &str = "10.00 USD";
/// Stands in the seed files where the simulator's address belongs.
const PLACEHOLDER: &str = "${SIMULATOR}";

const FILES: [(&str, &str); 6] = [
    ("entities.yaml", include_str!("../../demo/entities.yaml")),
    ("models.yaml", include_str!("../../demo/models.yaml")),
    ("orgs.yaml", include_str!("../../demo/orgs.yaml")),
    ("plans.yaml", include_str!("../../demo/plans.yaml")),
    ("prices.yaml", include_str!("../../demo/prices.yaml")),
    ("upstreams.yaml", include_str!("../../demo/upstreams.yaml")),
];

/// What is remembered of the seed: the one secret that nobody could show again, and where the simulator was.
#[derive(Serialize, Deserialize)]
pub(super) struct Seeded {
    pub(super) secret: String,
    simulator: SocketAddr,
}

pub(super) async fn start_simulator(config: &Config) -> anyhow::Result<Simulator> {
    let listen = config.simulator.listen;
    let settings = SimulatorConfig { listen, log: config.simulator.log.clone() };
    Simulator::start(settings).await.with_context(|| {
        format!("the simulator cannot listen on {listen}: choose another simulator.listen")
    })
}

/// Seeds on the first start. Each step can be repeated, so that a start that was cut short is finished by the next.
pub(super) async fn seed(
    config: &Config,
    control: &ControlPlane,
    simulator: SocketAddr,
) -> anyhow::Result<Seeded> {
    let file = config.data_dir.join("demo.json");
    if let Ok(text) = fs::read_to_string(&file) {
        let seeded: Seeded = serde_json::from_str(&text).with_context(|| {
            format!("{} cannot be read: remove the data directory to begin anew", file.display())
        })?;
        return follow_simulator(&file, control, seeded, simulator).await;
    }
    control.apply(objects_for(simulator)?).await.map_err(refused)?;
    let credit = CreditOrgRequest {
        org: ORG.to_owned(),
        amount: MONEY.to_owned(),
        idempotency_key: "demo-seed".to_owned(),
        ..CreditOrgRequest::default()
    };
    control.credit(credit).await.map_err(refused)?;
    let secret = create_key(control).await?;
    let seeded = Seeded { secret, simulator };
    write_private(&file, &serde_json::to_string(&seeded)?)?;
    Ok(seeded)
}

/// The simulator may be on another port than last time; its upstreams follow it.
async fn follow_simulator(
    file: &Path,
    control: &ControlPlane,
    seeded: Seeded,
    simulator: SocketAddr,
) -> anyhow::Result<Seeded> {
    if seeded.simulator == simulator {
        return Ok(seeded);
    }
    let is_upstream = |object: &Object| matches!(object.object, Some(Kind::Upstream(_)));
    let upstreams = objects_for(simulator)?.into_iter().filter(is_upstream).collect();
    control.apply(upstreams).await.map_err(refused)?;
    let moved = Seeded { simulator, ..seeded };
    write_private(file, &serde_json::to_string(&moved)?)?;
    Ok(moved)
}

fn objects_for(simulator: SocketAddr) -> anyhow::Result<Vec<Object>> {
    let address = format!("http://{simulator}");
    let sources: Vec<Source> = FILES
        .iter()
        .map(|(name, text)| Source {
            name: (*name).to_owned(),
            text: text.replace(PLACEHOLDER, &address),
        })
        .collect();
    objects::read(&sources).map_err(|wrong| {
        anyhow!(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}

/// A start that was cut short may have made the key and lost its secret; then another one is made.
async fn create_key(control: &ControlPlane) -> anyhow::Result<String> {
    for attempt in 1_u32.. {
        let name = if attempt == 1 { KEY.to_owned() } else { format!("{KEY}-{attempt}") };
        match control.create_key(ORG, &name, KeySpec::default()).await {
            Err(AdminError::Refused(Refusal::AlreadyExists { .. })) => {}
            other => return Ok(other.map_err(refused)?.secret),
        }
    }
    Err(anyhow!("the demo has too many keys"))
}

fn refused(error: AdminError) -> anyhow::Error {
    anyhow::Error::new(error).context("the demo could not be seeded")
}

/// Prints what to do next, and writes `demo.env` before the process calls itself ready.
pub(super) fn announce(
    config: &Config,
    addresses: &Addresses,
    seeded: &Seeded,
    secrets: &Secrets,
) -> anyhow::Result<()> {
    let simulator =
        addresses.simulator.map(|address| format!("http://{address}")).unwrap_or_default();
    // A data plane of another process is where the same configuration says.
    let clients = addresses.clients.unwrap_or(config.data_plane.listen);
    let base_url = format!("http://{clients}/v1");
    let url = |address: Option<SocketAddr>| address.map(|it| format!("http://{it}"));
    let lines = [
        ("OPENAI_BASE_URL", base_url.clone()),
        ("OPENAI_API_KEY", seeded.secret.clone()),
        ("TURNPIKE_ADMIN_ADDR", url(addresses.admin).unwrap_or_default()),
        ("TURNPIKE_ADMIN_TOKEN", secrets.operator_token.clone()),
        ("TURNPIKE_OPS_ADDR", format!("http://{}", addresses.ops)),
        ("TURNPIKE_SIMULATOR_ADDR", simulator),
    ];
    let fleet = url(addresses.fleet).map(|address| ("TURNPIKE_FLEET_ADDR", address));
    let text: String = lines
        .iter()
        .chain(&fleet)
        .map(|(name, value)| format!("export {name}='{value}'\n"))
        .collect();
    let file = config.data_dir.join("demo.env");
    write_private(&file, &text)?;
    output::note(&format!(
        "\nTurnpike is ready. In another terminal:\n\n  \
         curl -N {base_url}/chat/completions \\\n    \
         -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\":\"demo/chat\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\n  \
         . {}      # OPENAI_* for any OpenAI SDK, TURNPIKE_* for the command line\n  \
         turnpike balance demo\n\nCtrl-C stops it.",
        seeded.secret,
        file.display()
    ));
    Ok(())
}

/// Whole or not at all, and for the owner's eyes alone.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.with_context(|| format!("cannot write {}", path.display()))
}
