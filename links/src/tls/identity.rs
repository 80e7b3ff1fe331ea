//! Who a certificate speaks for: its one URI, `spiffe://<zone>/cell/<cell>/data-plane/<name>`, or
//! `spiffe://<zone>/control-plane/<name>`, or `spiffe://<zone>/billing/<name>`.

use rustls::pki_types::CertificateDer;
use std::fmt;
use thiserror::Error;
use webpki::EndEntityCert;

/// Longest part of a URI: that of a DNS label.
const PART_BYTES_MAX: usize = 63;

/// A member of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The zone it belongs to.
    pub zone: String,
    /// What it is there.
    pub role: Role,
}

/// What a member of a fleet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A replica of the control plane.
    ControlPlane {
        /// What it is called.
        name: String,
    },
    /// A replica of billing.
    Billing {
        /// What it is called.
        name: String,
    },
    /// A data plane.
    DataPlane {
        /// The cell it belongs to.
        cell: String,
        /// What it is called there.
        name: String,
    },
}

/// A certificate that speaks for no member of a fleet.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoIdentity {
    /// It is not one, or of a kind that is not understood.
    #[error("it is no certificate that can be read")]
    Unreadable,
    /// Nobody, or several.
    #[error("it has {0} URIs, and must have one")]
    NotOne(usize),
    /// Somebody of another system.
    #[error(
        "its URI is {0:?}: write it as spiffe://<zone>/cell/<cell>/data-plane/<name>, spiffe://<zone>/control-plane/<name> or \
         spiffe://<zone>/billing/<name>"
    )]
    Foreign(String),
}

impl Identity {
    /// Reads it out of a certificate, whoever has signed that.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, NoIdentity> {
        let read = EndEntityCert::try_from(certificate).map_err(|_| NoIdentity::Unreadable)?;
        let uris: Vec<&str> = read.valid_uri_names().collect();
        match uris[..] {
            [uri] => Self::parse(uri).ok_or_else(|| NoIdentity::Foreign(uri.to_owned())),
            _ => Err(NoIdentity::NotOne(uris.len())),
        }
    }

    fn parse(uri: &str) -> Option<Self> {
        let parts: Vec<&str> = uri.strip_prefix("spiffe://")?.split('/').collect();
        if !parts.iter().copied().all(is_part) {
            return None;
        }
        let (zone, role) = match parts[..] {
            [zone, "control-plane", name] => (zone, Role::ControlPlane { name: name.to_owned() }),
            [zone, "billing", name] => (zone, Role::Billing { name: name.to_owned() }),
            [zone, "cell", cell, "data-plane", name] => {
                (zone, Role::DataPlane { cell: cell.to_owned(), name: name.to_owned() })
            }
            _ => return None,
        };
        Some(Self { zone: zone.to_owned(), role })
    }
}

/// The URI.
impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = &self.zone;
        match &self.role {
            Role::ControlPlane { name } => {
                write!(formatter, "spiffe://{zone}/control-plane/{name}")
            }
            Role::Billing { name } => write!(formatter, "spiffe://{zone}/billing/{name}"),
            Role::DataPlane { cell, name } => {
                write!(formatter, "spiffe://{zone}/cell/{cell}/data-plane/{name}")
            }
        }
    }
}

fn is_part(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=PART_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        for uri in [
            "spiffe://sg/cell/sg-1/data-plane/dp-0",
            "spiffe://sg/control-plane/cp-0",
            "spiffe://zone.example/billing/b_0",
        ] {
            assert_eq!(Identity::parse(uri).unwrap().to_string(), uri);
        }
    }

    #[test]
    fn nobody_else_has_an_identity() {
        let long = format!("spiffe://sg/billing/{}", "b".repeat(PART_BYTES_MAX + 1));
        for uri in [
            "",
            "spiffe://",
            "https://sg/control-plane/cp-0",
            "SPIFFE://sg/control-plane/cp-0",
            "spiffe://sg/control-plane",
            "spiffe://sg/control-plane/",
            "spiffe:///control-plane/cp-0",
            "spiffe://sg/control-plane/cp-0/",
            "spiffe://sg/control-plane/cp-0?x=1",
            "spiffe://sg/control-plane/cp%2d0",
            "spiffe://user@sg/control-plane/cp-0",
            "spiffe://sg/data-plane/dp-0",
            "spiffe://sg/cell/sg-1/control-plane/cp-0",
            "spiffe://sg/cell//data-plane/dp-0",
            "spiffe://sg/cell/sg-1/data-plane/dp-0\n",
            "spiffe://sg/operator/anna",
            &long,
        ] {
            assert_eq!(Identity::parse(uri), None, "{uri:?}");
        }
    }
}
