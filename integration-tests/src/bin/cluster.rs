//! `scripts/cluster`: a whole cluster on this machine, with real servers, a customer and its key, until Ctrl-C. What it says is for
//! people; what it starts is the harness's, and gone when it ends.

use integration_tests::{Cluster, ClusterSize, Footing, workspace};
use servers::{Etcd, Postgres};
use std::fs;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

const SIZE: ClusterSize = ClusterSize { control_planes: 2, billing: 2, data_planes: 3 };
const CREDIT: &str = "10.00 USD";

#[tokio::main]
#[expect(clippy::print_stderr, reason = "it is a command")]
async fn main() -> io::Result<()> {
    eprintln!("starting Postgres and etcd …");
    let (postgres, etcd) = (Postgres::start(), Etcd::start());
    let ClusterSize { control_planes, billing, data_planes } = SIZE;
    eprintln!(
        "starting {control_planes} control planes, {billing} billings, {data_planes} data planes …"
    );
    let endpoints = ("COORDINATION__ETCD__ENDPOINTS", &*format!("[{}]", etcd.url()));
    let database = postgres.database();
    let mut cluster = Cluster::start_on(Footing::Together, SIZE, &database, &[endpoints]).await;
    eprintln!("seeding the demo …");
    let org = cluster.new_org("demo", CREDIT).await;
    // From here on it ends in good order.
    let mut interrupt = signal(SignalKind::interrupt())?;
    tell(&cluster, &org.key)?;
    interrupt.recv().await;
    eprintln!("stopping …");
    cluster.stop_all().await;
    Ok(())
}

/// Where everything is, on stdout; and in a file that shells can read.
#[expect(clippy::print_stdout, reason = "it is a command")]
fn tell(cluster: &Cluster, key: &str) -> io::Result<()> {
    let file = workspace().join("target/cluster.env");
    fs::create_dir_all(workspace().join("target"))?;
    let first = cluster.client().address().to_owned();
    let mut variables =
        format!("export OPENAI_BASE_URL=http://{first}/v1\nexport OPENAI_API_KEY={key}\n");
    for (name, value) in cluster.admin().variables() {
        variables.push_str(&format!("export {name}='{value}'\n"));
    }
    fs::write(&file, variables)?;
    for address in cluster.data_planes() {
        println!("data plane     http://{address}/v1");
    }
    println!("control plane  {}\nkey            {key}\n", cluster.admin().address());
    println!("curl -sN http://{first}/v1/chat/completions -H 'Authorization: Bearer {key}' \\");
    println!(
        "  -d '{{\"model\":\"demo/chat\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n"
    );
    println!(
        ". target/cluster.env; target/debug/turnpike usage    # Ctrl-C here stops the cluster"
    );
    Ok(())
}
