//! The gateways: what they are called, what is measured on them, and that they answer before anything is.

mod peers;
mod proxies;
mod turnpike;

pub(super) use turnpike::Face;

use super::process::Process;
use super::rig::{Mock, Rig};
use super::scenario::Scenario;
use crate::http;
use clap::ValueEnum;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a gateway may take to get ready. The slowest needs a minute.
const PATIENCE: Duration = Duration::from_secs(120);
const CHAT: &str = "/v1/chat/completions";

/// A gateway, or what stands in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    /// No gateway: what is subtracted
    Direct,
    /// A plain reverse proxy
    Nginx,
    /// The smallest reverse proxy on hyper
    HyperPass,
    /// The same with its upstream in the request's own task and frames joined: ours without all that governs
    HyperRelay,
    /// hyper-pass with a gateway's least work
    HyperGw,
    /// hyper-relay with a gateway's least work
    HyperInline,
    /// The floor: a gateway's least work by hand
    RawGw,
    /// What one writes first
    AxumNaive,
    /// Ours, its spool in memory
    Turnpike,
    /// Ours, its spool on the disk
    TurnpikeDisk,
    /// Our data plane alone; control plane and billing are another process, on the other processor
    TurnpikeAlone,
    /// `LiteLLM`
    Litellm,
    /// Portkey's gateway
    Portkey,
    /// one-api
    OneApi,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&named(*self))
    }
}

/// As it is called on the command line.
pub(super) fn named(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Target {
    /// Those that are measured when none is named.
    pub(super) fn usual(short: bool) -> Vec<Self> {
        let is_usual = |target: &Self| match target {
            Self::Litellm | Self::Portkey | Self::OneApi => false,
            Self::HyperInline | Self::AxumNaive => !short,
            _ => true,
        };
        Self::value_variants().iter().copied().filter(is_usual).collect()
    }

    /// What is measured on it.
    pub(super) fn scenarios(self) -> Vec<Scenario> {
        use Scenario as S;
        let load =
            [S::Closed64, S::Open, S::Big64k, S::SseBurst, S::SsePaced, S::SseTtfb, S::Sse1000];
        match self {
            Self::TurnpikeDisk => {
                vec![S::Closed64, S::Billing, S::Open, S::SseTtfb, S::Steps, S::Office]
            }
            // What one leaves in memory is seen in the next: the tokeniser, which stays, is needed by the last one alone.
            Self::TurnpikeAlone => vec![S::Rest, S::Sse1000, S::Crowd, S::LongStream],
            Self::Direct | Self::Nginx | Self::Turnpike => [load.as_slice(), &[S::Steps]].concat(),
            _ => load.to_vec(),
        }
    }

    /// Code, pools and compilers get warm first, except where it is looked how much memory a fresh process takes.
    pub(super) fn is_loaded_first(self) -> bool {
        self != Self::TurnpikeAlone
    }

    /// Whether it is ours.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Turnpike | Self::TurnpikeDisk | Self::TurnpikeAlone)
    }

    /// The threads whose CPU time a request costs; `None`: all of the process.
    pub(super) fn threads_of_path(self) -> Option<&'static [&'static str]> {
        self.is_ours().then_some(&["core", "spool-sync"])
    }

    /// Requests a second of the open loop: what it carries without queueing.
    pub(super) fn open_rate(self) -> u32 {
        match self {
            Self::Litellm => 20,
            Self::Portkey | Self::OneApi => 200,
            _ => 500,
        }
    }

    /// Streams a second of the open loop.
    pub(super) fn stream_rate(self) -> u32 {
        if self == Self::Litellm { 4 } else { 50 }
    }

    /// Streams at a time, each of them paced.
    pub(super) fn paced_streams(self) -> u32 {
        match self {
            Self::Litellm => 10,
            Self::Portkey | Self::OneApi => 50,
            _ => 100,
        }
    }

    /// How a client names the model whose answers are of that form.
    pub(super) fn model(self, shape: &str) -> String {
        if self.is_ours() { format!("mock/{shape}") } else { format!("mock-{shape}") }
    }
}

/// A gateway that runs.
pub(super) struct Running {
    pub(super) target: Target,
    /// Where clients ask.
    pub(super) address: SocketAddr,
    /// Whose CPU time and memory count.
    pub(super) pid: u32,
    /// What clients send along.
    pub(super) headers: Vec<String>,
    /// Where ours is looked at and configured.
    pub(super) face: Option<Face>,
    /// The last is stopped first.
    processes: Vec<Process>,
}

impl Running {
    pub(super) fn url(&self) -> String {
        format!("http://{}{CHAT}", self.address)
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        for process in self.processes.into_iter().rev() {
            process.stop().await?;
        }
        Ok(())
    }

    /// Whether it answers as it should.
    async fn answers(&self) -> bool {
        let model = self.target.model("s512");
        let body =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
        let answer = http::send(self.address, "POST", CHAT, &self.headers, &body).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

/// Starts a gateway in front of the upstream, and waits until it answers.
pub(super) async fn start(rig: &Rig, target: Target, mock: &Mock) -> anyhow::Result<Running> {
    let mut running = match target {
        Target::Direct => proxies::direct(mock),
        Target::Nginx => proxies::nginx(rig, mock)?,
        Target::HyperPass => proxies::hyper(rig, mock, target, "pass")?,
        Target::HyperRelay => proxies::hyper(rig, mock, target, "relay")?,
        Target::HyperGw => proxies::hyper(rig, mock, target, "gw")?,
        Target::HyperInline => proxies::hyper(rig, mock, target, "inline")?,
        Target::RawGw => proxies::plain(rig, mock, target, &rig.programs().raw_proxy)?,
        Target::AxumNaive => proxies::plain(rig, mock, target, &rig.programs().axum_naive)?,
        Target::Turnpike => turnpike::whole(rig, mock, target, rig.in_memory("spool")?).await?,
        Target::TurnpikeDisk => turnpike::whole(rig, mock, target, rig.on_disk("spool")?).await?,
        Target::TurnpikeAlone => turnpike::alone(rig, mock).await?,
        Target::Litellm => peers::litellm(rig, mock)?,
        Target::Portkey => peers::portkey(rig, mock)?,
        Target::OneApi => peers::one_api(rig, mock).await?,
    };
    let Some(mut first) = running.processes.pop() else { return Ok(running) };
    let ready = first.until(PATIENCE, async || running.answers().await).await;
    running.processes.push(first);
    ready.map(|()| running)
}
