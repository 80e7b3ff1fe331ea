//! Ours, as operators run it: a configuration file, objects through `apply`, a key, a wallet. All that governs is on.

use super::{Running, Target};
use crate::driver::process::Process;
use crate::driver::rig::{self, Mock, Rig};
use crate::driver::scenario;
use crate::http;
use anyhow::{Context, bail};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const ORG: &str = "bench";
const MONEY: &str = "1000000000.00 USD";

/// Where ours is looked at and configured.
pub(in crate::driver) struct Face {
    pub(in crate::driver) admin: SocketAddr,
    pub(in crate::driver) ops: SocketAddr,
    pub(in crate::driver) token: PathBuf,
}

/// Where one process listens and keeps what it keeps.
struct Place<'a> {
    rig: &'a Rig,
    data: PathBuf,
    spool: PathBuf,
    clients: SocketAddr,
    admin: SocketAddr,
    fleet: SocketAddr,
    ops: SocketAddr,
}

impl<'a> Place<'a> {
    fn new(rig: &'a Rig, spool: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            rig,
            data: rig.on_disk("data")?,
            spool,
            clients: rig::free_address()?,
            admin: rig::free_address()?,
            fleet: rig::free_address()?,
            ops: rig::free_address()?,
        })
    }

    fn face(&self) -> Face {
        Face { admin: self.admin, ops: self.ops, token: self.data.join("operator.token") }
    }

    /// What differs from the defaults: addresses, one core, the spool's place, spans for the sink.
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let (clients, admin, fleet) = (self.clients, self.admin, self.fleet);
        let (ops, traces) = (self.ops, self.rig.traces);
        let spool = self.spool.display();
        let text = format!(
            "log: {{filter: warn}}\n\
             egress: {{allowed_networks: [127.0.0.0/8]}}\n\
             data_plane:\n  listen: {clients}\n  cores: 1\n  control_plane_addr: http://{fleet}\n  \
             spool: {{dir: {spool}}}\n  drain: {{grace: 0 s, limit: 8 s}}\n\
             control_plane: {{admin_listen: {admin}, fleet_listen: {fleet}, console_listen: 127.0.0.1:0}}\n\
             ops: {{listen: {ops}}}\n\
             traces: {{endpoint: http://{traces}, sample_ratio: 0.01}}\n"
        );
        Ok(fs::write(file, text)?)
    }

    /// `turnpike up`, on the gateway's processor or on the other one.
    async fn up(&self, name: &str, roles: &str, on_gateway_cpu: bool) -> anyhow::Result<Process> {
        let file = self.data.with_file_name(format!("{name}.yaml"));
        self.write(&file)?;
        let program = &self.rig.programs().turnpike;
        let spawn = if on_gateway_cpu {
            self.rig.beside_gateway(name, program)
        } else {
            self.rig.beside_load(name, program)
        };
        let arguments = ["up", "--roles", roles, "--config"].map(Path::new);
        let mut process = spawn
            .args(arguments.iter().chain(&[file.as_path(), Path::new("--data-dir"), &self.data]))
            .start()?;
        let is_ready =
            async || http::get(self.ops, "/readyz").await.is_ok_and(|answer| answer.status == 200);
        process.until(PATIENCE, is_ready).await?;
        Ok(process)
    }
}

/// All roles in one process.
pub(super) async fn whole(
    rig: &Rig,
    mock: &Mock,
    target: Target,
    spool: PathBuf,
) -> anyhow::Result<Running> {
    let place = Place::new(rig, spool)?;
    let process = place.up(&target.to_string(), "control-plane,data-plane,billing", true).await?;
    let key = configure(rig, &place.face(), mock).await?;
    Ok(running(target, &place, place.face(), &key, vec![process]))
}

/// The data plane alone on the gateway's processor.
pub(super) async fn alone(rig: &Rig, mock: &Mock) -> anyhow::Result<Running> {
    let office = Place::new(rig, rig.in_memory("spool")?)?;
    let control = office.up("turnpike-office", "control-plane,billing", false).await?;
    let spool = office.spool.clone();
    let planes = Place { ops: rig::free_address()?, data: office.data.clone(), spool, ..office };
    let process = planes.up("turnpike-alone", "data-plane", true).await?;
    let face = Face { ops: planes.ops, ..planes.face() };
    let key = configure(rig, &face, mock).await?;
    let mut running = running(Target::TurnpikeAlone, &planes, face, &key, vec![control]);
    running.pid = process.pid;
    running.processes.push(process);
    Ok(running)
}

fn running(
    target: Target,
    place: &Place<'_>,
    face: Face,
    key: &str,
    processes: Vec<Process>,
) -> Running {
    Running {
        target,
        address: place.clients,
        pid: processes.first().map_or(0, |process| process.pid),
        headers: vec![format!("Authorization: Bearer {key}")],
        face: Some(face),
        processes,
    }
}

/// Objects, a wallet, a key: what an operator does. Returns the key's secret.
async fn configure(rig: &Rig, face: &Face, mock: &Mock) -> anyhow::Result<String> {
    let file = face.token.with_file_name("objects.yaml");
    fs::write(&file, objects(mock))?;
    let file = file.display().to_string();
    cli(rig, face, &["apply", "-f", &file, "--wait"]).await?;
    cli(rig, face, &["org", "credit", ORG, MONEY]).await?;
    let secret = cli(rig, face, &["key", "create", "--org", ORG, "--name", "load"]).await?;
    Ok(secret.trim().to_owned())
}

async fn cli(rig: &Rig, face: &Face, arguments: &[&str]) -> anyhow::Result<String> {
    let program = &rig.programs().turnpike;
    let mut command = rig.command(program);
    command.args(arguments).env("TURNPIKE_ADMIN_ADDR", format!("http://{}", face.admin));
    command.env("TURNPIKE_ADMIN_TOKEN_FILE", &face.token);
    let output = command.output().await.context("turnpike does not start")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("turnpike {}: {said}", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Limits that nobody reaches are looked at all the same; every class of tokens has a price.
fn objects(mock: &Mock) -> String {
    let mut text = format!(
        "kind: Entity\nname: bench\nspec: {{display_name: Bench, jurisdiction: SG, currency: USD, key_prefix: sk-tp-}}\n\
         ---\nkind: Plan\nname: bench\nspec: {{requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, concurrency: 1000000}}\n\
         ---\nkind: Upstream\nname: mock\nspec: {{vendor: mock, dialect: openai, base_url: \"http://{}/v1\", credential: sk-upstream, \
         jurisdiction: SG, stops_on_abort: true}}\n\
         ---\nkind: Org\nname: {ORG}\nspec: {{entity: bench, plan: bench, audience: standard}}\n\
         ---\nkind: MarkupRule\nname: base\nspec: {{percent: \"20\"}}\n\
         ---\nkind: PriceBook\nname: bench\nspec:\n  currency: USD\n  upstreams: [mock]\n  entries:\n    - model: mock/*\n      \
         prices: {{input: \"0.50\", cache_read: \"0.05\", cache_write_5m: \"0.625\", cache_write_1h: \"1.00\", image_in: \"0.50\", \
         audio_in: \"2.00\", output: \"1.50\", reasoning: \"1.50\", audio_out: \"8.00\", image_out: \"30.00\", request: \"0\", \
         web_search: \"10000.00\"}}\n",
        mock.address
    );
    for shape in scenario::SHAPES {
        text.push_str(&format!(
            "---\nkind: Model\nname: mock/{shape}\nspec:\n  context_length: 4000000\n  max_output_tokens: 2000000\n  \
             input_modalities: [text]\n  routes:\n    - {{upstream: mock, model: mock-{shape}, priority: 1}}\n"
        ));
    }
    text
}
