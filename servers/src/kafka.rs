//! A Kafka broker with a data directory of its own: its own controller, too, so that one process is a whole cluster.

use crate::folder;
use crate::process::{Server, command, free_port};
use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What its folders are called.
const KIND: &str = "kafka";

/// Any number will do; a broker wants 16 bytes of base64.
const CLUSTER: &str = "dHVybnBpa2UtdGVzdHMtMQ";

/// A small heap that is soon there. The few threads that it has are enough for tests, and two processors.
const JVM: [&str; 5] = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Djava.awt.headless=true",
];

/// One copy of everything; topics are made by whoever needs them. A session that ends soon lets a broker that was killed
/// come back soon.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.index.size.max.bytes=65536
num.network.threads=1
num.io.threads=2
background.threads=1
log.cleaner.enable=false
";

/// A broker, and where it is. Dropping it kills it and removes what it kept.
#[derive(Debug)]
pub struct Kafka {
    server: Option<Server>,
    folder: TempDir,
    port: u16,
}

impl Kafka {
    /// Makes a data directory and starts a broker over it.
    #[must_use]
    pub fn start() -> Self {
        folder::sweep(KIND);
        let folder = folder::of(KIND);
        let (port, controller) = (free_port(), free_port());
        let data = folder.path().join("data");
        let settings = format!(
            "{SETTINGS}log.dirs={}
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
",
            data.display()
        );
        fs::write(settings_of(&folder), settings).unwrap();
        let formatted = java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id", CLUSTER, "--config"])
            .arg(settings_of(&folder))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&formatted.stderr);
        assert!(formatted.status.success(), "format: {}\n{said}", formatted.status);
        let mut kafka = Self { server: None, folder, port };
        kafka.run();
        kafka
    }

    /// The one that all tests of this process share. It ends with the process, whose successor removes what it kept.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts it again after `kill`, over what it kept.
    pub fn run(&mut self) {
        let mut command = java("kafka.Kafka");
        command.arg(settings_of(&self.folder));
        let server = Server::spawn(command, &self.folder.path().join("log"));
        server.wait_until(|| TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        self.server = Some(server);
    }

    /// Kills it where it stands.
    pub fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// The process that runs.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// As clients are told.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn settings_of(folder: &TempDir) -> PathBuf {
    folder.path().join("server.properties")
}

/// One of its programs, out of the archives that `scripts/setup` put there.
fn java(class: &str) -> Command {
    let archives = env::var_os("TURNPIKE_TEST_KAFKA").expect("no Kafka: run scripts/setup");
    let mut command = command(Path::new("java"), None);
    command.args(JVM).arg("-cp").arg(Path::new(&archives).join("*")).arg(class);
    command
}
