//! An etcd server with a data directory of its own, alone or as a member of a cluster.

use crate::Host;
use crate::process::{Server, command, free_port};
use rustix::process::Signal;
use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to answer one question.
const ANSWER: Duration = Duration::from_secs(10);

/// One server, and where it is. Dropping it kills it and removes what it kept.
#[derive(Debug)]
pub struct Etcd {
    server: Option<Server>,
    folder: TempDir,
    seat: Seat,
    /// As all members of its cluster are told.
    cluster: String,
    certificates: Option<EtcdCertificates>,
    /// Where it runs, if not on the machine itself. After the server, which has to end before it goes.
    host: Option<Host>,
}

/// Who it is among its cluster, and its ports.
#[derive(Debug)]
struct Seat {
    name: String,
    address: Ipv4Addr,
    client: u16,
    peer: u16,
    health: u16,
}

/// What it shows to clients, and by what it knows them: files with PEM.
#[derive(Clone, Debug)]
pub struct EtcdCertificates {
    /// Who has signed for all.
    pub ca: PathBuf,
    /// Its own certificate.
    pub cert: PathBuf,
    /// The key of that.
    pub key: PathBuf,
}

/// What a server kept at some moment.
#[derive(Debug)]
pub struct EtcdBackup(TempDir);

impl Etcd {
    /// Starts one that is alone.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same, on a host.
    #[must_use]
    pub fn start_on(host: Host) -> Self {
        let [mut alone] = Self::members(None);
        alone.seat.address = host.address();
        alone.host = Some(host);
        alone.run();
        alone
    }

    /// One that is alone, which lets only those in who have a certificate.
    #[must_use]
    pub fn start_with_tls(certificates: EtcdCertificates) -> Self {
        Self::start_with(Some(certificates))
    }

    fn start_with(certificates: Option<EtcdCertificates>) -> Self {
        let [mut alone] = Self::members(certificates);
        alone.run();
        alone
    }

    /// Starts two that know each other: neither can do anything without the other.
    #[must_use]
    pub fn start_pair() -> [Self; 2] {
        let mut members = Self::members(None);
        for member in &mut members {
            member.spawn();
        }
        for member in &members {
            member.wait_until_ready();
        }
        members
    }

    fn members<const COUNT: usize>(certificates: Option<EtcdCertificates>) -> [Self; COUNT] {
        let seats: [Seat; COUNT] = std::array::from_fn(Seat::new);
        let cluster: Vec<String> =
            seats.iter().map(|seat| format!("{}={}", seat.name, seat.peer_url())).collect();
        let cluster = cluster.join(",");
        seats.map(|seat| Self {
            server: None,
            folder: TempDir::with_prefix("turnpike-etcd-").unwrap(),
            seat,
            cluster: cluster.clone(),
            certificates: certificates.clone(),
            host: None,
        })
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The same, without the scheme.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.seat.address, self.seat.client)
    }

    /// Starts it again after `kill` or `stop`, over what it kept.
    pub fn run(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.server.take().unwrap().end(Signal::TERM);
    }

    /// The process that runs.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Where it runs. Panics if it is on no host of its own.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    /// Its newest revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.told("revision")
    }

    /// What it is called by its cluster.
    fn number(&self) -> u64 {
        self.told("member_id")
    }

    /// A number that it tells of itself.
    fn told(&self, field: &str) -> u64 {
        let status = self.ask("maintenance/status", "{}");
        let (_, rest) = status.split_once(&format!("\"{field}\":\"")).expect(&status);
        rest.split('"').next().unwrap().parse().unwrap()
    }

    /// Forgets what was before its newest revision.
    pub fn compact(&self) {
        let asked = format!("{{\"revision\":\"{}\",\"physical\":true}}", self.revision());
        self.ask("kv/compaction", &asked);
    }

    /// Deletes every key.
    pub fn delete_everything(&self) {
        // From the smallest key on, without an end: both are one zero byte.
        self.ask("kv/deleterange", "{\"key\":\"AA==\",\"range_end\":\"AA==\"}");
    }

    /// Takes no more puts, as if its room were used up, or takes them again.
    pub fn set_out_of_room(&self, is_out: bool) {
        let action = if is_out { "ACTIVATE" } else { "DEACTIVATE" };
        let member = self.number();
        let asked =
            format!("{{\"action\":\"{action}\",\"memberID\":\"{member}\",\"alarm\":\"NOSPACE\"}}");
        self.ask("maintenance/alarm", &asked);
    }

    /// A copy of what it keeps. It must not run.
    #[must_use]
    pub fn back_up(&self) -> EtcdBackup {
        let backup = TempDir::with_prefix("turnpike-etcd-").unwrap();
        copy(&self.data(), &backup.path().join("data"));
        EtcdBackup(backup)
    }

    /// Puts what it kept then in the place of what it keeps. It must not run.
    pub fn restore(&mut self, backup: &EtcdBackup) {
        self.lose_everything();
        copy(&backup.0.path().join("data"), &self.data());
    }

    /// Removes what it keeps. It must not run.
    pub fn lose_everything(&mut self) {
        assert!(self.server.is_none(), "it runs");
        std::fs::remove_dir_all(self.data()).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn spawn(&mut self) {
        let seat = &self.seat;
        let mut command = command(&program(), self.host.as_ref());
        command.arg(format!("--data-dir={}", self.data().display()));
        command.arg(format!("--name={}", seat.name));
        command.arg(format!("--listen-client-urls={}", self.url()));
        command.arg(format!("--advertise-client-urls={}", self.url()));
        command.arg(format!("--listen-peer-urls={}", seat.peer_url()));
        command.arg(format!("--initial-advertise-peer-urls={}", seat.peer_url()));
        command.arg(format!("--initial-cluster={}", self.cluster));
        let (address, health) = (seat.address, seat.health);
        command.arg(format!("--listen-metrics-urls=http://{address}:{health}"));
        // What tests lose is processes, not the machine.
        command.args(["--unsafe-no-fsync", "--log-level=warn"]);
        if let Some(EtcdCertificates { ca, cert, key }) = &self.certificates {
            command.arg("--client-cert-auth");
            command.arg(format!("--trusted-ca-file={}", ca.display()));
            command.arg(format!("--cert-file={}", cert.display()));
            command.arg(format!("--key-file={}", key.display()));
        }
        self.server = Some(Server::spawn(command, &self.folder.path().join("log")));
    }

    fn wait_until_ready(&self) {
        let is_ready = || {
            let health = http((self.seat.address, self.seat.health), "GET", "/health", "");
            health.is_ok_and(|answer| answer.contains("\"health\":\"true\""))
        };
        self.server().wait_until(is_ready);
    }

    /// Asks the gateway of its API for clients without gRPC.
    fn ask(&self, method: &str, asked: &str) -> String {
        let place = (self.seat.address, self.seat.client);
        let answer = http(place, "POST", &format!("/v3/{method}"), asked).unwrap();
        assert!(answer.contains(" 200 OK\r\n"), "{method}: {answer}");
        answer
    }
}

impl Seat {
    fn new(number: usize) -> Self {
        let [client, peer, health] = [(); 3].map(|()| free_port());
        let address = Ipv4Addr::LOCALHOST;
        Self { name: format!("member-{number}"), address, client, peer, health }
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }
}

/// One request, and all of its answer.
fn http(place: (Ipv4Addr, u16), method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(place)?;
    connection.set_read_timeout(Some(ANSWER))?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
    connection.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "{} could not be copied", from.display());
}

/// Where `scripts/setup` has built it.
fn program() -> PathBuf {
    if let Some(built) = env::var_os("TURNPIKE_TEST_ETCD") {
        return built.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".tools/bin/etcd");
    assert!(here.exists(), "no etcd: run scripts/setup");
    here
}
