//! A network of its own on this machine: a bridge, and hosts on it, each a network namespace whose one link can be cut. What a
//! process that is no more left of its networks, the next one removes. What runs on the hosts is not known here.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the bridge of a network is called, in front of its number.
const BRIDGE: &str = "turnpike";
/// As many as there are subnets in 198.18.0.0/15, which is kept for tests of networks: nobody else is there.
const NUMBERS: u16 = 512;
/// Where iproute2 keeps the names of namespaces.
const NAMESPACES: &str = "/run/netns";

/// A network. Its bridge goes with the last of its hosts.
#[derive(Debug)]
pub struct Network {
    number: u16,
    hosts: AtomicU8,
    /// Held as long as we live: who can lock it, sweeps what is there of this number.
    _lock: File,
}

/// One of its hosts, on which programs can be run. It goes when it is dropped; what runs there has to end before.
#[derive(Debug)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    network: Arc<Network>,
}

impl Network {
    /// Makes one that nobody else uses.
    #[must_use]
    pub fn start() -> Arc<Self> {
        sweep();
        let (number, lock) = (0..NUMBERS)
            .find_map(|number| Some((number, lock(number)?)))
            .expect("no network is free");
        remove(number);
        let network = Self { number, hosts: AtomicU8::new(0), _lock: lock };
        let bridge = bridge(number);
        ip(&["link", "add", "name", &bridge, "type", "bridge"]);
        ip(&["address", "add", &format!("{}/24", network.address()), "dev", &bridge]);
        ip(&["link", "set", "dev", &bridge, "up"]);
        Arc::new(network)
    }

    /// Where its hosts find whoever is on none of them, such as the test itself.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.numbered(1)
    }

    /// All addresses of it.
    #[must_use]
    pub fn subnet(&self) -> String {
        format!("{}/24", self.numbered(0))
    }

    /// A new host.
    #[must_use]
    pub fn host(self: &Arc<Self>) -> Host {
        // The first addresses are the subnet's own and the bridge's.
        let number = self.hosts.fetch_add(1, Ordering::Relaxed).checked_add(2).unwrap();
        let name = format!("{}{number}", hosts_of(self.number));
        let host = Host { name, address: self.numbered(number), network: Arc::clone(self) };
        host.make();
        host
    }

    fn numbered(&self, last: u8) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(198, 18 + high, low, last)
    }
}

impl Host {
    fn make(&self) {
        let name = &*self.name;
        let there = |arguments: &[&str]| ip(&[&["-netns", name], arguments].concat());
        ip(&["netns", "add", name]);
        ip(&["link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", name]);
        ip(&["link", "set", "dev", name, "master", &bridge(self.network.number), "up"]);
        there(&["address", "add", &format!("{}/24", self.address), "dev", "eth0"]);
        there(&["link", "set", "dev", "eth0", "up"]);
        there(&["link", "set", "dev", "lo", "up"]);
    }

    /// Where it is found by all of its network, and by whoever is on no host.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A command that runs a program here, as the very process that is started.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Cuts its link: nothing comes or goes, and nobody is told.
    pub fn cut(&self) {
        ip(&["link", "set", "dev", &self.name, "down"]);
    }

    /// Mends it.
    pub fn mend(&self) {
        ip(&["link", "set", "dev", &self.name, "up"]);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        remove_host(&self.name);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(self.number);
    }
}

fn bridge(number: u16) -> String {
    format!("{BRIDGE}{number}")
}

/// What the names of its hosts and of their links begin with.
fn hosts_of(number: u16) -> String {
    format!("{BRIDGE}{number}h")
}

/// A network's number belongs to whoever holds this lock. `None` if somebody does.
fn lock(number: u16) -> Option<File> {
    let place = env::temp_dir().join(format!("{BRIDGE}-network-{number}"));
    let file = OpenOptions::new().create(true).append(true).open(place).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Removes what processes that are no more have left.
fn sweep() {
    let is_left = |number: &u16| Path::new("/sys/class/net").join(bridge(*number)).exists();
    for number in (0..NUMBERS).filter(is_left) {
        if let Some(_lock) = lock(number) {
            remove(number);
        }
    }
}

/// Removes all that there is of a network, its bridge last: by that others see that there is something.
fn remove(number: u16) {
    let hosts = hosts_of(number);
    for entry in fs::read_dir(NAMESPACES).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with(&hosts)) {
            remove_host(name);
        }
    }
    // What cannot be removed now, the next one removes, or stumbles over.
    drop(try_ip(&["link", "delete", "dev", &bridge(number)]));
}

/// A namespace lives on while something runs in it; its link goes at once.
fn remove_host(name: &str) {
    drop(try_ip(&["link", "delete", "dev", name]));
    drop(try_ip(&["netns", "delete", name]));
}

fn ip(arguments: &[&str]) {
    if let Err(said) = try_ip(arguments) {
        panic!(
            "ip {}: {said}\nNetworks of their own need iproute2 (scripts/setup installs it), root, and a kernel with veth, bridge \
             and network namespaces: run it as root, in a container with --privileged",
            arguments.join(" ")
        );
    }
}

/// What it said if it did not work.
fn try_ip(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    let said = || String::from_utf8_lossy(&ran.stderr).into_owned();
    if ran.status.success() { Ok(()) } else { Err(said()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::process::Child;
    use std::time::Duration;

    /// Long enough for this machine, and short enough to see that nothing comes.
    const SOON: Duration = Duration::from_millis(300);

    /// A host that reaches out to us, and the connection.
    fn speaking(network: &Arc<Network>) -> (Host, Child, TcpStream) {
        let host = network.host();
        let listener = TcpListener::bind((network.address(), 0)).unwrap();
        let ours = listener.local_addr().unwrap();
        let echo = format!("exec 3<>/dev/tcp/{}/{}; cat <&3 >&3", ours.ip(), ours.port());
        let child = host.command(Path::new("bash")).args(["-c", &echo]).spawn().unwrap();
        let (stream, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), host.address());
        stream.set_read_timeout(Some(SOON)).unwrap();
        (host, child, stream)
    }

    #[test]
    fn what_is_said_while_a_host_is_cut_off_arrives_once_it_is_not() {
        let network = Network::start();
        let (host, mut child, mut stream) = speaking(&network);
        let mut said = [0];
        stream.write_all(b"a").unwrap();
        stream.read_exact(&mut said).unwrap();
        host.cut();
        stream.write_all(b"b").unwrap();
        assert!(stream.read_exact(&mut said).is_err(), "it hears us all the same");
        host.mend();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"b");
        drop(stream);
        child.wait().unwrap();
    }

    #[test]
    fn networks_are_apart_and_nothing_stays_of_them() {
        let (one, two) = (Network::start(), Network::start());
        assert_ne!(one.subnet(), two.subnet());
        let (host, number) = (one.host(), one.number);
        let link = Path::new("/sys/class/net").join(&host.name);
        let bridge = Path::new("/sys/class/net").join(bridge(number));
        assert!(link.exists() && bridge.exists());
        drop(one);
        assert!(bridge.exists(), "a host is still on it");
        drop(host);
        assert!(!link.exists() && !bridge.exists());
    }
}
