//! The ways from the data plane of this process to roles in other processes: bare within this machine, and by TLS anywhere.

use super::certificates;
use crate::config::Config;
use anyhow::{Context, bail};
use links::Ways;
use links::tcp;
use links::tls::{self, Material, Served};
use std::net::IpAddr;
use std::slice;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};

/// The calling end.
pub(in crate::up) struct Calls<'a> {
    config: &'a Config,
    material: Option<Material>,
}

/// Where something is, and which setting says so.
struct Place<'a> {
    setting: &'static str,
    addresses: &'a [String],
    served: Served,
}

impl<'a> Calls<'a> {
    /// With the certificate, if one is set.
    pub(in crate::up) fn new(config: &'a Config, stop: &CancellationToken) -> anyhow::Result<Self> {
        Ok(Self { config, material: certificates::calling(config, stop)? })
    }

    /// The ways to a control plane.
    pub(in crate::up) fn to_control_plane(&self) -> anyhow::Result<Ways> {
        self.to_whoever_is_at_the_control_planes(Served::ByControlPlane)
    }

    /// The ways to billing: where the control plane is, unless it has an address of its own.
    pub(in crate::up) fn to_billing(&self) -> anyhow::Result<Ways> {
        let served = Served::ByBilling;
        match &self.config.data_plane.billing_addr {
            Some(address) => {
                let addresses = slice::from_ref(address);
                self.to(&Place { setting: "data_plane.billing_addr", addresses, served })
            }
            None => self.to_whoever_is_at_the_control_planes(served),
        }
    }

    fn to_whoever_is_at_the_control_planes(&self, served: Served) -> anyhow::Result<Ways> {
        let addresses = &self.config.data_plane.control_planes();
        self.to(&Place { setting: "data_plane.control_plane_addrs", addresses, served })
    }

    fn to(&self, place: &Place<'_>) -> anyhow::Result<Ways> {
        let channel = |address: &String| Ok((address.clone(), self.channel(place, address)?));
        let channels: anyhow::Result<Vec<_>> = place.addresses.iter().map(channel).collect();
        Ways::to(&self.config.data_plane.name, channels?)
            .with_context(|| format!("{} names no address", place.setting))
    }

    fn channel(&self, place: &Place<'_>, address: &str) -> anyhow::Result<Channel> {
        let (setting, settings) = (place.setting, self.config.links.tcp());
        if let Some(material) = &self.material {
            return tls::channel(address, settings, material, place.served).with_context(|| {
                format!(
                    "{setting} holds {address}: with data_plane.fleet_tls, write it as https://host:7071"
                )
            });
        }
        let wrong = || format!("{setting} holds {address}: write it as http://127.0.0.1:7071");
        let uri: Uri = address.parse().with_context(wrong)?;
        if uri.scheme_str() == Some("https") || !is_here(&uri) {
            bail!(
                "{setting} holds {address}: what is on another machine is only spoken to by TLS, for which data_plane.fleet_tls \
                 must be set; on this machine write http://127.0.0.1 and a port"
            );
        }
        tcp::channel(address, settings).with_context(wrong)
    }
}

fn is_here(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
