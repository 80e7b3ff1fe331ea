//! The calling end: a channel that dials, shows its certificate, and looks whether it found whom it wants.

use super::identity::{Identity, NoIdentity, Role};
use super::material::{Material, Pieces};
use super::server::chain;
use crate::tcp::{self, TcpSettings};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Uri};

/// The port of an address that names none.
const PORT: u16 = 443;

/// Whom a channel leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// A control plane.
    ByControlPlane,
    /// Billing, which may share its address with a control plane.
    ByBilling,
}

/// Why an address leads nowhere.
#[derive(Debug, Error)]
pub enum BadAddress {
    /// It cannot be used by the transport.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    /// It is written wrongly.
    #[error("it is not written as https://host:port")]
    Malformed,
}

/// A channel to `https://host:port` that connects when it is first used, and again after each break, each time with the
/// certificate of then. Must be called inside a tokio runtime.
///
/// # Errors
/// When the address is not such a URL.
pub fn channel(
    address: &str,
    settings: TcpSettings,
    material: &Material,
    served: Served,
) -> Result<Channel, BadAddress> {
    let origin: Uri = address.parse().map_err(|_| BadAddress::Malformed)?;
    let host = origin.host().filter(|_| origin.scheme_str() == Some("https"));
    let host = host.ok_or(BadAddress::Malformed)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| BadAddress::Malformed)?;
    let place = (host, origin.port_u16().unwrap_or(PORT));
    let dialer = Arc::new(Dialer { place, name, settings, material: material.clone(), served });
    let connect = tower::service_fn(move |_: Uri| {
        let dialer = dialer.clone();
        async move { dialer.dial().await.map(TokioIo::new) }
    });
    // Of its own, the transport would want to do the TLS of an https address.
    let plain = format!("http://{}", origin.authority().ok_or(BadAddress::Malformed)?);
    let endpoint = tcp::endpoint(&plain, settings)?.origin(origin);
    Ok(endpoint.connect_with_connector_lazy(connect))
}

struct Dialer {
    place: (String, u16),
    name: ServerName<'static>,
    settings: TcpSettings,
    material: Material,
    served: Served,
}

/// Why there is no connection.
#[derive(Debug, Error)]
enum NotDialed {
    #[error(transparent)]
    Transport(#[from] io::Error),
    #[error("who is there has no good certificate: {0}")]
    NoIdentity(#[from] NoIdentity),
    #[error("there is {0}, which is not who is wanted there")]
    SomebodyElse(String),
}

impl Dialer {
    async fn dial(&self) -> Result<TlsStream<TcpStream>, NotDialed> {
        let socket = self.in_time(TcpStream::connect(self.place.clone())).await?;
        socket.set_nodelay(true)?;
        let connector = TlsConnector::from(self.material.current().client.clone());
        let secured = self.in_time(connector.connect(self.name.clone(), socket)).await;
        let stream = secured.map_err(NotDialed::from).and_then(|stream| {
            self.look_at(&stream)?;
            Ok(stream)
        });
        if let Err(error) = &stream {
            let (host, port) = &self.place;
            tracing::warn!(host, port, %error, "no connection by TLS");
        }
        stream
    }

    async fn in_time<T>(&self, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let done = timeout(self.settings.connect_timeout, future).await;
        done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The authorities sign for data planes, too: one of those must not be taken for a control plane.
    fn look_at(&self, stream: &TlsStream<TcpStream>) -> Result<(), NotDialed> {
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let found = shown.ok_or(NoIdentity::Unreadable).and_then(Identity::of)?;
        let is_wanted = match (&found.role, self.served) {
            (Role::ControlPlane { .. }, _) | (Role::Billing { .. }, Served::ByBilling) => true,
            (Role::Billing { .. }, Served::ByControlPlane) | (Role::DataPlane { .. }, _) => false,
        };
        if is_wanted && found.zone == self.material.identity().zone {
            return Ok(());
        }
        Err(NotDialed::SomebodyElse(found.to_string()))
    }
}

pub(super) fn config(pieces: &Pieces) -> Result<Arc<ClientConfig>, rustls::Error> {
    let verifier =
        Fleet { authorities: pieces.authorities.clone(), provider: pieces.provider.clone() };
    let mut config = ClientConfig::builder_with_provider(pieces.provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from((*pieces.own).clone())));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Whether a client with the same authorities would trust this one.
pub(super) fn would_take(pieces: &Pieces) -> Result<(), rustls::Error> {
    let (first, between) = chain(&pieces.own)?;
    signed_by(&pieces.authorities, &pieces.provider, first, between, UnixTime::now())
}

fn signed_by(
    authorities: &RootCertStore,
    provider: &CryptoProvider,
    certificate: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, authorities, between, now, algorithms)
}

/// Trusts whom the authorities sign for, whatever the address: who that is says the URI, which is looked at afterwards.
#[derive(Debug)]
struct Fleet {
    authorities: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Fleet {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        signed_by(&self.authorities, &self.provider, certificate, between, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
