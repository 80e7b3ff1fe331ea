//! What a cluster is made of: its processes, by their role and number, and how many there are.

/// What a process of the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Operators' side.
    ControlPlane,
    /// The ledger.
    Billing,
    /// Clients' side.
    DataPlane,
}

/// A process of the cluster: the so-manieth of its role, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member(pub Role, pub usize);

/// How many there are of each role.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSize {
    /// Operators' side.
    pub control_planes: usize,
    /// The ledger.
    pub billing: usize,
    /// Clients' side.
    pub data_planes: usize,
}

impl Role {
    /// The command that runs it.
    pub(crate) const fn command(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Billing => "billing",
            Self::DataPlane => "data-plane",
        }
    }
}

impl Member {
    /// The first control plane.
    pub const CONTROL_PLANE: Self = Self(Role::ControlPlane, 0);
    /// The first billing.
    pub const BILLING: Self = Self(Role::Billing, 0);
    /// The first data plane.
    pub const DATA_PLANE: Self = Self(Role::DataPlane, 0);

    pub(crate) fn name(self) -> String {
        format!("{}-{}", self.0.command(), self.1)
    }
}

impl ClusterSize {
    /// One of each.
    pub const SMALLEST: Self = Self { control_planes: 1, billing: 1, data_planes: 1 };

    /// All processes, in the order in which they are started.
    pub(crate) fn members(self) -> Vec<Member> {
        let several = |role, count| (0..count).map(move |number| Member(role, number));
        several(Role::ControlPlane, self.control_planes)
            .chain(several(Role::Billing, self.billing))
            .chain(several(Role::DataPlane, self.data_planes))
            .collect()
    }
}
