//! Where the processes of a cluster are, from one life to the next, and how they find each other: on this machine, or each on a host
//! of its own, where they speak TLS. What they do is not its business.

use crate::certificates::FleetCertificates;
use crate::cluster::{Member, Role};
use servers::{Host, Network, free_port};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;

/// Where a cluster is.
#[derive(Clone, Copy, Debug)]
pub enum Footing<'a> {
    /// On this machine; data planes are dealt out to the control planes and know one each.
    Dealt,
    /// On this machine; each data plane knows all control planes.
    Together,
    /// The same, but each process is on a host of its own.
    Apart(&'a Arc<Network>),
}

/// Where its processes are.
pub(super) struct Places {
    addresses: BTreeMap<Member, Addresses>,
    are_dealt: bool,
    apart: Option<Apart>,
    /// Where the simulator is.
    simulator: Ipv4Addr,
    upstreams: String,
}

/// Where a process listens.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// For clients, or operators.
    pub(super) people: String,
    /// For data planes.
    fleet: String,
    pub(super) ops: String,
}

/// Hosts, and by what their processes know each other.
struct Apart {
    hosts: BTreeMap<Member, Host>,
    certificates: FleetCertificates,
}

impl Places {
    pub(super) fn new(footing: Footing<'_>, members: &[Member]) -> Self {
        let are_dealt = matches!(footing, Footing::Dealt);
        let Footing::Apart(network) = footing else {
            let simulator = Ipv4Addr::LOCALHOST;
            let (addresses, upstreams) = (here(members), "127.0.0.0/8".to_owned());
            return Self { addresses, are_dealt, apart: None, simulator, upstreams };
        };
        let hosts: BTreeMap<_, _> =
            members.iter().map(|member| (*member, network.host())).collect();
        let addresses = hosts.iter().map(|(member, host)| (*member, there(host))).collect();
        let certificates = FleetCertificates::new();
        for member in members {
            certificates.renew(&member.name(), &uri(*member));
        }
        let (simulator, upstreams) = (network.address(), network.subnet());
        Self {
            addresses,
            are_dealt,
            apart: Some(Apart { hosts, certificates }),
            simulator,
            upstreams,
        }
    }

    pub(super) fn of(&self, member: Member) -> &Addresses {
        &self.addresses[&member]
    }

    /// The host of a process, if it has one.
    pub(super) fn host(&self, member: Member) -> Option<&Host> {
        self.apart.as_ref().map(|apart| &apart.hosts[&member])
    }

    /// The numbers of those of a role.
    pub(super) fn count(&self, role: Role) -> Range<usize> {
        0..self.addresses.keys().filter(|member| member.0 == role).count()
    }

    /// Where the simulator has to be.
    pub(super) const fn simulator(&self) -> Ipv4Addr {
        self.simulator
    }

    /// The network that data planes may find it in.
    pub(super) fn upstreams(&self) -> &str {
        &self.upstreams
    }

    /// Where a process listens, where others do, and what it shows them.
    pub(super) fn variables_of(&self, member: Member) -> Vec<(String, String)> {
        let own = &self.addresses[&member];
        let mut named = vec![("OPS__LISTEN", own.ops.clone())];
        let section = match member.0 {
            Role::ControlPlane => {
                named.push(("CONTROL_PLANE__ADMIN_LISTEN", own.people.clone()));
                named.push(("CONTROL_PLANE__FLEET_LISTEN", own.fleet.clone()));
                "CONTROL_PLANE"
            }
            Role::Billing => {
                named.push(("BILLING__FLEET_LISTEN", own.fleet.clone()));
                "BILLING"
            }
            Role::DataPlane => {
                named.extend(self.ways_of(member));
                "DATA_PLANE"
            }
        };
        let named = named.into_iter().map(|(name, value)| (format!("TURNPIKE__{name}"), value));
        let shown = self.apart.iter();
        let shown = shown.flat_map(|apart| apart.certificates.settings(section, &member.name()));
        named.chain(shown).collect()
    }

    fn ways_of(&self, member: Member) -> Vec<(&'static str, String)> {
        let control_planes: Vec<String> = if self.are_dealt {
            vec![self.fleet_of(Role::ControlPlane, member.1)]
        } else {
            let all = self.count(Role::ControlPlane);
            all.map(|number| self.fleet_of(Role::ControlPlane, number)).collect()
        };
        vec![
            ("DATA_PLANE__DRAIN__GRACE", "0 s".to_owned()),
            ("DATA_PLANE__NAME", member.name()),
            ("DATA_PLANE__LISTEN", self.addresses[&member].people.clone()),
            ("DATA_PLANE__CONTROL_PLANE_ADDRS", format!("{control_planes:?}")),
            ("DATA_PLANE__BILLING_ADDR", self.fleet_of(Role::Billing, member.1)),
        ]
    }

    /// Data planes are dealt out to those that they talk to.
    fn fleet_of(&self, role: Role, number: usize) -> String {
        let scheme = if self.apart.is_some() { "https" } else { "http" };
        let number = number % self.count(role).len();
        format!("{scheme}://{}", self.addresses[&Member(role, number)].fleet)
    }
}

/// Ports that no connection takes before they are listened on.
fn here(members: &[Member]) -> BTreeMap<Member, Addresses> {
    let addresses = |member: &Member| {
        let [people, fleet, ops] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        (*member, Addresses { people, fleet, ops })
    };
    members.iter().map(addresses).collect()
}

/// On a host of one's own all ports are free.
fn there(host: &Host) -> Addresses {
    let [people, fleet, ops] = [8080, 7071, 9090].map(|port| format!("{}:{port}", host.address()));
    Addresses { people, fleet, ops }
}

/// Who a process is to the others.
fn uri(member: Member) -> String {
    let name = member.name();
    match member.0 {
        Role::ControlPlane => format!("spiffe://it/control-plane/{name}"),
        Role::Billing => format!("spiffe://it/billing/{name}"),
        Role::DataPlane => format!("spiffe://it/cell/local/data-plane/{name}"),
    }
}
