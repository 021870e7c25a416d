//! Servers whose certificate is not to be trusted: we could not look, and the words say what is wrong with it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::application::ONE;
use super::server::{Repository, check, json};

/// An authority of our own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A server with a certificate that this authority signed.
    fn serve(&self, params: &CertificateParams) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        serve(certificate.der(), &key)
    }
}

/// A server that speaks TLS with this certificate and answers `{}` to everything.
fn serve(certificate: &CertificateDer<'static>, key: &KeyPair) -> SocketAddr {
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            std::thread::spawn(move || answer(&mut stream));
        }
    });
    address
}

/// A client that does not trust us goes away in the handshake: that is what most tests want.
fn answer(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut step = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut step)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&step[..count]),
        }
    }
    stream.write_all(&json("{}"))?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn for_host(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

#[test]
fn a_certificate_that_no_browser_accepts_is_unhealthy_and_one_that_may_be_good_elsewhere_is_unknown() {
    let authority = Authority::new("ours");
    let mut expired = for_host("localhost");
    expired.not_after = date_time_ymd(2020, 2, 29);
    let mut early = for_host("localhost");
    early.not_before = date_time_ymd(2999, 1, 2);
    early.not_after = date_time_ymd(2999, 12, 31);
    let own_key = KeyPair::generate().unwrap();
    let self_signed = for_host("localhost").self_signed(&own_key).unwrap();
    let table = [
        (authority.serve(&for_host("localhost")), "healthy", "status 200"),
        (
            authority.serve(&expired),
            "unhealthy",
            "no secure connection: the certificate expired on 2020-02-29",
        ),
        (
            authority.serve(&early),
            "unhealthy",
            "the certificate is not valid before 2999-01-02",
        ),
        (
            serve(self_signed.der(), &own_key),
            "unknown",
            "nobody whom we trust issued the certificate: it is self-signed",
        ),
        (
            Authority::new("theirs").serve(&for_host("localhost")),
            "unknown",
            "nobody whom we trust issued the certificate",
        ),
        (
            Authority::new("ours").serve(&for_host("localhost")),
            "unknown",
            "the certificate was not signed by the authority that it names",
        ),
        (
            authority.serve(&for_host("other.example")),
            "unhealthy",
            "the certificate is for another host: ",
        ),
    ];
    for (server, verdict, message) in table {
        let url = format!("https://localhost:{}", server.port());
        let repository = Repository::new(&url, &url, ONE);
        let authorities = repository.path("authorities.pem");
        std::fs::write(&authorities, &authority.pem).unwrap();
        let output = repository
            .health(&["--format", "json"])
            .env("SSL_CERT_FILE", &authorities)
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let it = check(&report, "it");
        assert_eq!(report["verdict"], verdict, "{message}: {it:#}");
        assert_eq!(output.status.code(), Some(i32::from(verdict != "healthy")));
        assert!(it["message"].as_str().unwrap().contains(message), "{it:#}");
    }
}
