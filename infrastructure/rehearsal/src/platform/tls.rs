//! Certificates of an authority of our own: for what the real `railway` expects after `CONNECT`, and for mail.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::server::{Handler, serve_stream};

/// Terminates TLS for some hosts, with a certificate of an authority of our own.
pub(super) struct Tls {
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Makes both keys anew and writes the authority's certificate to `ca_file`.
    pub(super) fn new(hosts: &[&str], ca_file: &Path) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "rehearsal");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        std::fs::write(ca_file, authority_certificate.pem())
            .with_context(|| format!("cannot write {}", ca_file.display()))?;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority, authority_key);
        let certificate =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?
                .signed_by(&key, &issuer)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The server's side of a connection.
    pub(super) fn accept(&self, stream: TcpStream) -> Result<StreamOwned<ServerConnection, TcpStream>> {
        let connection = ServerConnection::new(Arc::clone(&self.config))?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// Answers the requests inside a tunnel.
    pub(super) fn serve(&self, stream: TcpStream, inside: &dyn Handler) -> Result<()> {
        serve_stream(self.accept(stream)?, inside)?;
        Ok(())
    }
}
