//! The scenarios: what load each one is, and what is read off.

mod ours;

pub(super) use ours::alone;

use super::gateway::{Running, Target, named};
use super::records::Figures;
use super::rig::{Mock, Rig};
use crate::http;
use crate::load::LoadResult;
use crate::mock::{AT_REST, AWAKE};
use anyhow::{Context, bail};
use clap::ValueEnum;
use std::fmt;

/// Forms of answers; each is a model.
pub(super) const SHAPES: [&str; 9] =
    ["s512", "l500-s512", "c100", "c100-d20", "c20-d5", "c20-d500", "c10-d100", LONG, LONG_SHORT];
/// A stream of 650 000 tokens.
const LONG: &str = "c650000";
const LONG_SHORT: &str = "c60000";
const LONG_TOKENS: &str = "1000000";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// 64 connections that ask again at once: CPU time of a request
    Closed64,
    /// Usage events that have gathered are billed: CPU time of an event
    Billing,
    /// Requests at a steady rate: latency
    Open,
    /// Prompts of 64 KiB
    Big64k,
    /// Streams whose events come as fast as they are taken: CPU time of an event
    SseBurst,
    /// Streams whose events come 20 ms apart
    SsePaced,
    /// Streams at a steady rate: time to the first event
    SseTtfb,
    /// 1 000 streams at once: memory of each
    #[value(name = "sse-1000")]
    Sse1000,
    /// 10 000 streams, one after another: events that are late by 5 ms
    Steps,
    /// Changes, cold orgs and grants, through the admin API and as a client
    Office,
    /// Memory at rest
    Rest,
    /// 1 500 requests of 150 KB at once: memory, and whether it comes back
    Crowd,
    /// A stream of 650 000 tokens to a slow reader: memory stays flat
    LongStream,
    /// The key table at 1 and 10 million keys
    Keys,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&named(*self))
    }
}

impl Scenario {
    /// Whether other rounds tell more than the first.
    pub(super) fn repeats(self) -> bool {
        !matches!(self, Self::Steps | Self::Office | Self::Keys)
    }

    /// Whether it asks for more as soon as it has been answered, so that how long it rests depends on the gateway.
    fn is_closed(self) -> bool {
        matches!(self, Self::Closed64 | Self::Big64k | Self::SseBurst)
    }

    /// The load, as arguments of `loadgen`; `None`: it is not of that kind.
    fn load(self, running: &Running, short: bool) -> Option<Load> {
        let target = running.target;
        let pick = |full: &'static str, brief: &'static str| if short { brief } else { full };
        let model = |shape| target.model(shape);
        let load = match self {
            Self::Closed64 | Self::Billing => {
                Load::new(model("s512"), pick("2", "0.3"), pick("6", "0.8"))
                    .with("connections", "64")
            }
            Self::Open => Load::new(model("s512"), pick("2", "0.3"), pick("8", "1"))
                .open(&target.open_rate().to_string()),
            Self::Big64k => Load::new(model("s512"), pick("1", "0.3"), pick("5", "0.7"))
                .with("connections", "16")
                .with("prompt-bytes", "65536"),
            Self::SseBurst => Load::new(model("c100"), pick("1", "0.3"), pick("5", "0.7"))
                .streams()
                .with("connections", "16"),
            Self::SsePaced => Load::new(model("c100-d20"), pick("3", "0.5"), pick("8", "1"))
                .streams()
                .with("connections", &target.paced_streams().to_string())
                .with("ramp", pick("2", "0.3")),
            Self::SseTtfb => Load::new(model("c20-d5"), pick("2", "0.3"), pick("8", "1"))
                .streams()
                .open(&target.stream_rate().to_string()),
            Self::Sse1000 => Load::new(model(pick("c20-d500", "c10-d100")), "0", pick("12", "2"))
                .streams()
                .once("1000")
                .with("ramp", pick("3", "0.5")),
            Self::Steps => Load::new(model("c20-d5"), "0", pick("50", "2"))
                .streams()
                .open("200")
                .with("every", "5")
                .with("late", "5"),
            Self::Crowd => Load::new(model("l500-s512"), "0", pick("5", "2.5"))
                .once("1500")
                .with("prompt-bytes", "150000"),
            Self::LongStream => Load::new(model(pick(LONG, LONG_SHORT)), "0", pick("18", "1.5"))
                .streams()
                .once("1")
                .with("max-tokens", LONG_TOKENS)
                .with("read-rate", "8000000")
                // By then the tokeniser's vocabulary is loaded, and what loading took is given back.
                .with("memory-after", pick("6", "0.5"))
                .with("timeout", "300"),
            Self::Rest | Self::Office | Self::Keys => return None,
        };
        Some(load)
    }
}

/// Arguments of `loadgen`.
struct Load(Vec<String>);

impl Load {
    fn new(model: String, warmup: &str, duration: &str) -> Self {
        let empty = Self(vec!["--model".to_owned(), model]);
        empty.with("warmup", warmup).with("duration", duration)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    fn streams(mut self) -> Self {
        self.0.push("--stream".to_owned());
        self
    }

    fn awake(mut self) -> Self {
        self.0.push("--awake".to_owned());
        self
    }

    fn open(self, rate: &str) -> Self {
        self.with("mode", "open").with("rate", rate).with("connections", "2000")
    }

    fn once(mut self, connections: &str) -> Self {
        self.0.push("--once".to_owned());
        self.with("connections", connections)
    }
}

/// Runs a scenario on a gateway.
pub(super) async fn measure(
    rig: &Rig,
    running: &Running,
    mock: &Mock,
    scenario: Scenario,
) -> anyhow::Result<(Option<LoadResult>, Figures)> {
    let load = match scenario.load(running, rig.is_short()) {
        // Direct, the upstream is itself what is measured.
        Some(load) if scenario.is_closed() && running.target != Target::Direct => {
            http::get(mock.address, AWAKE).await?;
            let found = run(rig, running, &load.awake()).await;
            http::get(mock.address, AT_REST).await?;
            Some(found?)
        }
        Some(load) => Some(run(rig, running, &load).await?),
        None => None,
    };
    let figures = match (scenario, &running.face) {
        (Scenario::Billing, Some(face)) => ours::billing(running, face).await?,
        (Scenario::Office, Some(face)) => ours::office(rig, running, face).await?,
        (Scenario::Rest, _) => ours::rest(rig, running).await,
        (Scenario::Crowd, _) => ours::after_crowd(rig, running).await,
        _ => Figures::new(),
    };
    // What billing has not done yet would run beside the next scenario.
    if let Some(face) = &running.face {
        ours::billed(face).await?;
    }
    Ok((load, figures))
}

/// So that code, pools and compilers are warm.
pub(super) async fn warm_up(rig: &Rig, running: &Running) -> anyhow::Result<()> {
    let duration = if rig.is_short() { "0.5" } else { "3" };
    let load = Load::new(running.target.model("s512"), "0", duration).with("connections", "32");
    run(rig, running, &load).await?;
    if let Some(face) = &running.face {
        ours::billed(face).await?;
    }
    Ok(())
}

async fn run(rig: &Rig, running: &Running, load: &Load) -> anyhow::Result<LoadResult> {
    let mut command = rig.command(&rig.programs().loadgen);
    command.args(["--url", &running.url(), "--pid", &running.pid.to_string()]);
    for header in &running.headers {
        command.args(["--header", header]);
    }
    let output = command.args(&load.0).output().await.context("loadgen does not start")?;
    if !output.status.success() {
        bail!("loadgen: {}", String::from_utf8_lossy(&output.stderr));
    }
    let found: LoadResult = serde_json::from_slice(&output.stdout)?;
    if found.failures() > 0 {
        rig.detail(&format!("    {} errors: {:?}", found.failures(), found.errors));
    }
    Ok(found)
}
