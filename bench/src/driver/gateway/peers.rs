//! Gateways of other projects, where they are installed: each in its leanest usual form.

use super::{Running, Target};
use crate::driver::process::Process;
use crate::driver::rig::{self, Mock, Rig};
use crate::driver::scenario;
use crate::http;
use anyhow::{Context, bail};
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

const MASTER_KEY: &str = "sk-bench-4f9a1c7e2b8d6053a1f4c9e7b2d80536";
/// How long one-api may take to know what it was told.
const ONE_API_SYNC: Duration = Duration::from_secs(6);

/// Package 1.15.2 with the hono server that npm installs today answers every stream of OpenAI with 500 (`immutable`
/// headers): this hands it answers whose headers can be changed, for a few microseconds a request.
const PORTKEY_PRELOAD: &str = "data:text/javascript,const f=globalThis.fetch,R=globalThis.Response;\
globalThis.fetch=async(...a)=>{const r=await f(...a);return new R(r.body,{status:r.status,statusText:r.statusText,\
headers:new Headers(r.headers)})}";

fn peer(target: Target, address: SocketAddr, process: Process, headers: Vec<String>) -> Running {
    let pid = process.pid;
    Running { target, address, pid, headers, face: None, processes: vec![process] }
}

/// One worker, a master key, no database.
pub(super) fn litellm(rig: &Rig, mock: &Mock) -> anyhow::Result<Running> {
    let program = rig::found(&rig.programs().litellm).context("set LITELLM_BIN")?;
    let (address, folder) = (rig::free_address()?, rig.on_disk("litellm")?);
    let file = folder.join("config.yaml");
    fs::write(
        &file,
        format!(
            "model_list:\n  - model_name: \"*\"\n    litellm_params: {{ model: \"openai/*\", api_base: \"http://{}/v1\", \
             api_key: \"sk-x\" }}\nlitellm_settings: {{ callbacks: [], num_retries: 0, request_timeout: 60, telemetry: \
             false }}\ngeneral_settings: {{ master_key: {MASTER_KEY}, disable_spend_logs: true }}\n",
            mock.address
        ),
    )?;
    let port = address.port().to_string();
    let process = rig
        .beside_gateway("litellm", &program)
        .args([Path::new("--config"), &file])
        .args(["--host", "127.0.0.1", "--port", &port, "--num_workers", "1"])
        .env("LITELLM_LOG", "ERROR")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("LITELLM_TELEMETRY", "False")
        .start()?;
    let headers = vec![format!("Authorization: Bearer {MASTER_KEY}")];
    Ok(peer(Target::Litellm, address, process, headers))
}

/// That edition has neither keys nor budgets nor logs.
pub(super) fn portkey(rig: &Rig, mock: &Mock) -> anyhow::Result<Running> {
    let script = &rig.programs().portkey;
    if !script.is_file() {
        bail!(
            "{} is not there: set PORTKEY_JS to the package's build/start-server.js",
            script.display()
        );
    }
    let node = rig::found(Path::new("node")).context("Portkey's gateway needs Node")?;
    let address = rig::free_address()?;
    let process = rig
        .beside_gateway("portkey", &node)
        .args(["--import", PORTKEY_PRELOAD])
        .args([script])
        .args(["--headless".to_owned(), format!("--port={}", address.port())])
        .env("NODE_ENV", "production")
        .env("ENVIRONMENT", "production")
        .start()?;
    let headers = vec![
        "Authorization: Bearer sk-x".to_owned(),
        "x-portkey-provider: openai".to_owned(),
        format!("x-portkey-custom-host: http://{}/v1", mock.address),
    ];
    Ok(peer(Target::Portkey, address, process, headers))
}

/// Keys, quotas, its log of what was consumed in `SQLite`, a cache in memory, batched updates. `TIKTOKEN_CACHE_DIR`, if set,
/// is where it finds its tokenizers without a network.
pub(super) async fn one_api(rig: &Rig, mock: &Mock) -> anyhow::Result<Running> {
    let program = rig::found(&rig.programs().one_api).context("set ONE_API_BIN")?;
    let (address, folder) = (rig::free_address()?, rig.on_disk("one-api")?);
    let port = address.port().to_string();
    let mut process = rig
        .beside_gateway("one-api", &program)
        .args(["--port", &port, "--log-dir", "logs"])
        .in_folder(&folder)
        .env("SQL_DSN", "")
        .env("MEMORY_CACHE_ENABLED", "true")
        .env("SYNC_FREQUENCY", "5")
        .env("BATCH_UPDATE_ENABLED", "true")
        .env("BATCH_UPDATE_INTERVAL", "5")
        .env("INITIAL_ROOT_TOKEN", "benchtoken")
        .env("INITIAL_ROOT_ACCESS_TOKEN", "benchroot")
        .env("GLOBAL_API_RATE_LIMIT", "1000000000")
        .env("GIN_MODE", "release")
        .start()?;
    let is_up = async || http::get(address, "/api/status").await.is_ok();
    process.until(Duration::from_secs(30), is_up).await?;
    let models: Vec<String> =
        scenario::SHAPES.iter().map(|shape| Target::OneApi.model(shape)).collect();
    let ratios: serde_json::Map<String, serde_json::Value> =
        models.iter().map(|model| (model.clone(), json!(1))).collect();
    let channel = json!({
        "name": "mock", "type": 1, "key": "sk-x", "base_url": format!("http://{}", mock.address),
        "models": models.join(","), "groups": ["default"], "group": "default", "config": "{}",
    });
    let ratios =
        json!({"key": "ModelRatio", "value": serde_json::Value::Object(ratios).to_string()});
    let root = ["Authorization: benchroot".to_owned()];
    http::send(address, "POST", "/api/channel/", &root, &channel.to_string()).await?;
    http::send(address, "PUT", "/api/option/", &root, &ratios.to_string()).await?;
    sleep(ONE_API_SYNC).await;
    let headers = vec!["Authorization: Bearer sk-benchtoken".to_owned()];
    Ok(peer(Target::OneApi, address, process, headers))
}
