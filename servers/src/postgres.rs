//! A Postgres server with a data directory of its own. Its collation is a linguistic one on purpose: what has to be
//! ordered by bytes must say so itself.

use crate::Host;
use crate::folder;
use crate::process::{Server, command_as, free_port};
use rustix::process::Signal;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// What its folders are called.
const KIND: &str = "postgres";

/// Who it runs as where we are root: it refuses root. Debian's package makes this user.
const USER: &str = "postgres";

/// What tests wait for. Losing the machine is not among the things that they try, losing a process is.
const SETTINGS: [&str; 4] =
    ["fsync=off", "full_page_writes=off", "max_connections=300", "unix_socket_directories="];

/// A server, and where it is. Dropping it kills it and removes what it kept.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Server>,
    folder: TempDir,
    address: Ipv4Addr,
    port: u16,
    databases: AtomicU64,
    /// Where it runs, if not on the machine itself. After the server, which has to end before it goes.
    host: Option<Host>,
}

impl Postgres {
    /// Makes a data directory and starts a server over it.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(None)
    }

    /// The same, on a host.
    #[must_use]
    pub fn start_on(host: Host) -> Self {
        Self::start_at(Some(host))
    }

    fn start_at(host: Option<Host>) -> Self {
        let folder = folder::of(KIND);
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        give_away(folder.path());
        give_away(&data);
        let initdb = command_as(USER, &program("initdb"), None)
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--username=postgres"])
            .args(["--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8"])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        succeeded("initdb", &initdb);
        if host.is_some() {
            let mut known = OpenOptions::new().append(true).open(data.join("pg_hba.conf")).unwrap();
            known.write_all(b"host all all samenet trust\n").unwrap();
        }
        let mut postgres = Self::over(folder, host);
        postgres.run();
        postgres
    }

    /// A server that follows this one, and may be promoted.
    #[must_use]
    pub fn standby(&self) -> Self {
        let folder = folder::of(KIND);
        give_away(folder.path());
        let copied = command_as(USER, &program("pg_basebackup"), None)
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["--host=127.0.0.1", "--username=postgres", "--port"])
            .arg(self.port.to_string())
            .arg("--pgdata")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        succeeded("pg_basebackup", &copied);
        let mut standby = Self::over(folder, None);
        standby.run();
        standby
    }

    /// One that does not run yet.
    fn over(folder: TempDir, host: Option<Host>) -> Self {
        let address = host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address);
        let (port, databases) = (free_port(), AtomicU64::new(0));
        Self { server: None, folder, address, port, databases, host }
    }

    /// Where it runs. Panics if it is on no host of its own.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        assert_eq!(self.execute("postgres", "SELECT pg_promote()"), "t");
    }

    /// The one that all tests of this process share. It ends with the process, whose successor removes what it kept.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            folder::sweep(KIND);
            Self::start()
        })
    }

    /// Starts it again after `kill` or `stop`.
    pub fn run(&mut self) {
        let mut command = command_as(USER, &program("postgres"), self.host.as_ref());
        command.arg("-D").arg(self.folder.path().join("data"));
        command.args(["-p", &self.port.to_string()]);
        command.args(["-c", &format!("listen_addresses={}", self.address)]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let server = Server::spawn(command, &self.folder.path().join("log"));
        server.wait_until(|| self.is_ready());
        self.server = Some(server);
    }

    /// Kills it, with all that serve connections.
    pub fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// Ends it and closes all connections, but in good order.
    pub fn stop(&mut self) {
        self.server.take().unwrap().end(Signal::INT);
    }

    /// The process that runs.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Makes a database and tells its URL.
    #[must_use]
    pub fn database(&self) -> String {
        self.database_like("template1")
    }

    /// Makes a copy of a database that nobody is connected to, and tells its URL.
    #[must_use]
    pub fn database_like(&self, template: &str) -> String {
        self.url(&self.copy_of(template))
    }

    /// The same, by its name.
    pub(crate) fn copy_of(&self, template: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        name
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let (address, port) = (self.address, self.port);
        format!("postgres://postgres@{address}:{port}/{database}?sslmode=disable")
    }

    /// The URL of a database that is here or there.
    #[must_use]
    pub fn url_with(&self, other: &Self, database: &str) -> String {
        let (here, there) = (self.port, other.port);
        format!("postgres://postgres@127.0.0.1:{here},127.0.0.1:{there}/{database}?sslmode=disable")
    }

    /// Runs statements, each in a transaction of its own, and tells what the last one gave: columns separated by `|`.
    pub fn execute(&self, database: &str, statements: &str) -> String {
        let output = self.psql(database, statements);
        succeeded(statements, &output);
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn is_ready(&self) -> bool {
        self.psql("postgres", "SELECT 1").status.success()
    }

    fn psql(&self, database: &str, statements: &str) -> Output {
        Command::new(program("psql"))
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"])
            .args(["--set=ON_ERROR_STOP=1", "--command", statements])
            .arg(self.url(database))
            .output()
            .unwrap()
    }
}

/// One of its programs: from the directory that `scripts/setup` found, or wherever Debian puts them.
fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(folder_of_programs).join(name)
}

fn folder_of_programs() -> PathBuf {
    if let Some(folder) = env::var_os("TURNPIKE_TEST_POSTGRES") {
        return folder.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").expect("no Postgres: run scripts/setup");
    let newest = versions.map(|entry| entry.unwrap().path()).max();
    newest.expect("no Postgres: run scripts/setup").join("bin")
}

/// Makes a directory its user's own, where that is not us.
fn give_away(folder: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with(&format!("{USER}:")));
    let user: Vec<&str> = user.expect("no user `postgres`: run scripts/setup").split(':').collect();
    chown(folder, Some(user[2].parse().unwrap()), Some(user[3].parse().unwrap())).unwrap();
}

fn succeeded(what: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
}
