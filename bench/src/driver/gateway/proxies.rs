//! Reverse proxies: none at all, nginx, and those of this rig.

use super::{Running, Target};
use crate::driver::process::Process;
use crate::driver::rig::{self, Mock, Rig};
use crate::work;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

const KEY: usize = 42;

pub(super) fn direct(mock: &Mock) -> Running {
    Running {
        target: Target::Direct,
        address: mock.address,
        pid: mock.process.pid,
        headers: Vec::new(),
        face: None,
        processes: Vec::new(),
    }
}

pub(super) fn hyper(rig: &Rig, mock: &Mock, target: Target, mode: &str) -> anyhow::Result<Running> {
    let address = rig::free_address()?;
    let process = rig
        .beside_gateway(&target.to_string(), &rig.programs().hyper_proxy)
        .args(["--mode", mode, &address.to_string(), &mock.address.to_string()])
        .start()?;
    Ok(with_key(target, address, process))
}

/// One that takes nothing but the two addresses.
pub(super) fn plain(
    rig: &Rig,
    mock: &Mock,
    target: Target,
    program: &Path,
) -> anyhow::Result<Running> {
    let address = rig::free_address()?;
    let process = rig
        .beside_gateway(&target.to_string(), program)
        .args([address.to_string(), mock.address.to_string()])
        .start()?;
    Ok(with_key(target, address, process))
}

fn with_key(target: Target, address: SocketAddr, process: Process) -> Running {
    let headers = vec![format!("Authorization: Bearer {}", work::secret(KEY))];
    let pid = process.pid;
    Running { target, address, pid, headers, face: None, processes: vec![process] }
}

/// One worker, connections to the upstream kept, no buffering (as streams want it), no access log.
pub(super) fn nginx(rig: &Rig, mock: &Mock) -> anyhow::Result<Running> {
    let program = rig::found(&rig.programs().nginx)?;
    let (address, folder) = (rig::free_address()?, rig.on_disk("nginx")?);
    let upstream = mock.address;
    let place = folder.display();
    let text = format!(
        r#"daemon off; user root; worker_processes 1; worker_rlimit_nofile 65536;
pid {place}/pid; error_log {place}/error.log crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 10000000; keepalive_timeout 600s; tcp_nodelay on;
  client_body_buffer_size 256k; client_body_temp_path {place}/b; proxy_temp_path {place}/p;
  fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  upstream mock {{ server {upstream}; keepalive 2000; keepalive_requests 10000000; }}
  server {{ listen {address} backlog=4096; location / {{
    proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Authorization "Bearer sk-upstream"; proxy_buffering off; proxy_read_timeout 300s; }} }}
}}
"#
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let process = rig
        .beside_gateway("nginx", &program)
        .args([Path::new("-p"), &folder, Path::new("-c"), &file])
        .start()?;
    let running = with_key(Target::Nginx, address, process);
    Ok(Running { headers: Vec::new(), ..running })
}
