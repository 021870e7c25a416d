//! The way of the real `railway`: `CONNECT`, then TLS with the simulator's certificate.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use crate::env::SimulatorEnv;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

fn tunnel(env: &SimulatorEnv, host: &'static str) -> StreamOwned<ClientConnection, TcpStream> {
    let proxy = env
        .platform
        .addresses
        .railway_proxy
        .strip_prefix("http://")
        .unwrap();
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(crate::env::TIMEOUT)).unwrap();
    write!(stream, "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").unwrap();
    let mut answer = [0_u8; 39];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 Connection established\r\n\r\n");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&env.platform.addresses.railway_ca).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

#[test]
fn requests_come_through_the_tunnel() {
    let env = SimulatorEnv::start();
    let mut stream = tunnel(&env, "backboard.railway.com");
    let body = json!({"query": "query ProjectToken { projectToken { project { id } } }"}).to_string();
    write!(
        stream,
        "POST /graphql/v2 HTTP/1.1\r\nHost: backboard.railway.com\r\nproject-access-token: {}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        crate::env::TOKEN,
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    // The server closes without a TLS goodbye, which the reader reports after all bytes came.
    let _ = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["data"]["projectToken"]["project"]["id"], "prj");
    assert_eq!(env.report()["requests"][0]["operation"], "projectToken");
}

#[test]
fn other_hosts_find_nobody() {
    let env = SimulatorEnv::start();
    let mut stream = tunnel(&env, "telemetry.example");
    assert!(
        write!(stream, "GET / HTTP/1.1\r\n\r\n")
            .and_then(|()| stream.read(&mut [0; 1]).map(drop))
            .is_err()
    );
}
