//! What all measurements share: programs, directories, the processors, the upstream, the sink for traces.

use super::options::Options;
use super::process::{Process, Spawn};
use crate::http;
use crate::say;
use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;

/// Thousands of connections at once, on both sides of a gateway.
const DESCRIPTORS: u64 = 65_536;

/// Where the programs are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) loadgen: PathBuf,
    pub(super) mock: PathBuf,
    pub(super) parts: PathBuf,
    pub(super) hyper_proxy: PathBuf,
    pub(super) raw_proxy: PathBuf,
    pub(super) axum_naive: PathBuf,
    pub(super) turnpike: PathBuf,
    pub(super) nginx: PathBuf,
    pub(super) litellm: PathBuf,
    pub(super) portkey: PathBuf,
    pub(super) one_api: PathBuf,
}

pub(super) struct Rig {
    pub(super) options: Options,
    programs: Programs,
    on_disk: TempDir,
    in_memory: TempDir,
    /// Takes spans, so that their sending costs what it costs.
    _sink: Process,
    pub(super) traces: SocketAddr,
}

impl Rig {
    pub(super) fn prepare(options: &Options) -> anyhow::Result<Self> {
        for program in ["taskset", "setpriv"] {
            found(Path::new(program)).context("they come with util-linux: run scripts/setup")?;
        }
        let programs = Programs::find(options)?;
        let cpus = std::thread::available_parallelism().map_or(1, Into::into);
        if cpus < 2 || options.gateway_cpu == options.load_cpu {
            bail!("the gateway and what loads it need a processor each; this machine has {cpus}");
        }
        if let Some(folder) = options.results.parent() {
            fs::create_dir_all(folder)?;
        }
        let most = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
        if setrlimit(Resource::Nofile, most).is_err() {
            let maximum = getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
        }
        let folder = |place: &Path| {
            let made = TempDir::with_prefix_in("turnpike-bench-", place);
            made.with_context(|| format!("no directory can be made in {}", place.display()))
        };
        let (on_disk, in_memory) = (folder(&options.disk)?, folder(&options.memory)?);
        let traces = free_address()?;
        let log = on_disk.path().join("traces.log");
        let sink = Spawn::new("parts", &programs.parts, options.load_cpu, &log)
            .args(["sink", &traces.to_string()])
            .start()?;
        Ok(Self { options: options.clone(), programs, on_disk, in_memory, _sink: sink, traces })
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    pub(super) fn is_short(&self) -> bool {
        self.options.short
    }

    /// A new directory on the disk.
    pub(super) fn on_disk(&self, name: &str) -> anyhow::Result<PathBuf> {
        empty(self.on_disk.path().join(name))
    }

    /// A new directory in memory.
    pub(super) fn in_memory(&self, name: &str) -> anyhow::Result<PathBuf> {
        empty(self.in_memory.path().join(name))
    }

    /// Something that runs where the gateway does.
    pub(super) fn beside_gateway(&self, name: &str, program: &Path) -> Spawn {
        Spawn::new(name, program, self.options.gateway_cpu, &self.log(name))
    }

    /// Something that runs where the load comes from.
    pub(super) fn beside_load(&self, name: &str, program: &Path) -> Spawn {
        Spawn::new(name, program, self.options.load_cpu, &self.log(name))
    }

    /// A program that ends by itself, where the load comes from.
    pub(super) fn command(&self, program: &Path) -> Command {
        super::process::pinned(program, &[self.options.load_cpu])
    }

    /// A program that ends by itself and has the machine for itself meanwhile.
    pub(super) fn command_alone(&self, program: &Path) -> Command {
        let options = &self.options;
        super::process::pinned(program, &[options.gateway_cpu, options.load_cpu])
    }

    fn log(&self, name: &str) -> PathBuf {
        self.on_disk.path().join(format!("{name}.log"))
    }

    /// The upstream, listening.
    pub(super) async fn mock(&self) -> anyhow::Result<Mock> {
        let address = free_address()?;
        let process =
            self.beside_load("mock-upstream", &self.programs.mock).args([address.to_string()]);
        let mut process = process.start()?;
        let is_up = async || http::get(address, "/").await.is_ok();
        process.until(Duration::from_secs(10), is_up).await?;
        Ok(Mock { address, process })
    }

    pub(super) fn progress(&self, began: Instant, what: &str) {
        say::note(&format!("bench: {:4} s  {what}", began.elapsed().as_secs()));
    }

    pub(super) fn detail(&self, what: &str) {
        say::note(&format!("bench:         {what}"));
    }
}

/// The upstream that runs.
pub(super) struct Mock {
    pub(super) address: SocketAddr,
    pub(super) process: Process,
}

impl Mock {
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

impl Programs {
    fn find(options: &Options) -> anyhow::Result<Self> {
        let here = std::env::current_exe()?;
        let here = here.parent().context("this program is nowhere")?.to_owned();
        let ours = |name: &str| {
            let path = here.join(name);
            if !path.is_file() {
                bail!("{} is not built: run scripts/bench, which builds it", path.display());
            }
            Ok(path)
        };
        Ok(Self {
            loadgen: ours("loadgen")?,
            mock: ours("mock-upstream")?,
            parts: ours("parts")?,
            hyper_proxy: ours("hyper-proxy")?,
            raw_proxy: ours("raw-proxy")?,
            axum_naive: ours("axum-naive")?,
            turnpike: options.turnpike.clone().map_or_else(|| ours("turnpike"), Ok)?,
            nginx: options.nginx.clone(),
            litellm: options.litellm.clone(),
            portkey: options.portkey.clone(),
            one_api: options.one_api.clone(),
        })
    }
}

/// Where a program is: a path, or a name that PATH leads to.
pub(super) fn found(program: &Path) -> anyhow::Result<PathBuf> {
    if program.components().count() > 1 {
        if program.is_file() {
            return Ok(program.to_owned());
        }
        bail!("{} is not there", program.display());
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&paths).map(|place| place.join(program));
    places
        .find(|place| place.is_file())
        .with_context(|| format!("{} is not installed", program.display()))
}

/// An address of this machine that nobody listens on.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn empty(path: PathBuf) -> anyhow::Result<PathBuf> {
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }
    fs::create_dir_all(&path)?;
    Ok(path)
}
