//! `turnpike up`, and each role as a process of its own: which configuration, which roles. Running them is `crate::up`'s
//! business.

use crate::config::Config;
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike up --demo
  turnpike up --config turnpike.yaml --data-dir /var/lib/turnpike
  turnpike up --config turnpike.yaml --roles control-plane,billing";

pub(super) const CONTROL_PLANE_EXAMPLES: &str = "\
Examples:
  turnpike control-plane --config turnpike.yaml --data-dir /var/lib/turnpike";

pub(super) const DATA_PLANE_EXAMPLES: &str = "\
Examples:
  turnpike data-plane --config turnpike.yaml --data-dir /var/lib/turnpike";

pub(super) const BILLING_EXAMPLES: &str = "\
Examples:
  turnpike billing --config turnpike.yaml --data-dir /var/lib/turnpike";

/// What a process can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Role {
    /// Admin API, configuration, escrow.
    ControlPlane,
    /// Client traffic.
    DataPlane,
    /// Ledger.
    Billing,
}

/// How to run, beside what is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpOptions {
    /// With the simulator, and with objects to play with on the first start.
    pub(crate) demo: bool,
    /// Which roles, each once; never empty.
    pub(crate) roles: Vec<Role>,
}

/// What a process goes by.
#[derive(Args)]
pub(super) struct ConfigArgs {
    /// YAML file; config.example.yaml shows every key. TURNPIKE__SECTION__KEY variables override it
    #[arg(long, value_name = "FILE", env = "TURNPIKE_CONFIG")]
    config: Option<PathBuf>,
    /// Where everything that must survive is kept [default: `data_dir` of the configuration]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Start the simulator too, and on the first start seed an org with money, a key and models
    #[arg(long)]
    demo: bool,
    /// Roles to run
    #[arg(long, value_name = "ROLE,…", value_enum, value_delimiter = ',')]
    #[arg(default_values_t = Role::value_variants().to_vec())]
    roles: Vec<Role>,
}

pub(super) fn run(args: UpArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    let named = |role: &Role| args.roles.contains(role);
    let roles = Role::value_variants().iter().copied().filter(named).collect();
    let options = UpOptions { demo: args.demo, roles };
    crate::up::run(config, options).map_err(|error| Failure::failed(format!("{error:#}")))
}

/// Runs one role alone.
pub(super) fn run_role(role: Role, args: ConfigArgs) -> Result<(), Failure> {
    let options = UpOptions { demo: false, roles: vec![role] };
    crate::up::run(args.load()?, options).map_err(|error| Failure::failed(format!("{error:#}")))
}

impl ConfigArgs {
    /// Reads it, with the variables of the environment on top.
    pub(super) fn load(self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref(), variables())?;
        if let Some(data_dir) = self.data_dir {
            config.data_dir = data_dir;
        }
        Ok(config)
    }
}

/// Variables whose names or values are no text cannot be ours.
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
