//! Which roles this process runs, and whether they may be without the others.

use crate::cli::{Role, UpOptions};
use crate::config::Config;
use anyhow::bail;

/// The roles of this process; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) control: bool,
    pub(super) billing: bool,
    pub(super) planes: bool,
}

impl Parts {
    pub(super) fn of(options: &UpOptions, config: &Config) -> anyhow::Result<Self> {
        let runs = |role: Role| options.roles.contains(&role);
        let parts = Self {
            control: runs(Role::ControlPlane),
            billing: runs(Role::Billing),
            planes: runs(Role::DataPlane),
        };
        if parts.control != parts.billing && !config.is_on_postgres() {
            bail!(
                "control plane and billing share the database, and only Postgres can be shared by processes: set \
                 database.url to postgres://…, or run both in one process (--roles control-plane,billing)"
            );
        }
        if options.demo && !parts.control {
            bail!("--demo seeds a control plane, which is in another process: give it there");
        }
        Ok(parts)
    }

    /// What no other process may be on the same data directory.
    pub(super) fn locks(self) -> Vec<&'static str> {
        let parts = [
            (self.control, "control-plane"),
            (self.billing && !self.control, "billing"),
            (self.planes, "data-plane"),
        ];
        parts.into_iter().filter(|(runs, _)| *runs).map(|(_, part)| part).collect()
    }

    /// Whether it needs the database.
    pub(super) const fn keeps_rows(self) -> bool {
        self.control || self.billing
    }
}
