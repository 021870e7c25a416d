//! The surroundings' say in how the network is reached: proxies and certificate authorities.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use ureq::tls::{PemItem, RootCerts};
use ureq::{Proxy, ProxyProtocol};
use url::{Host, Url};

use crate::context::env_nonempty;
use crate::error::catalogue::health as errors;

/// The largest file of certificates that is read.
const CERTIFICATES_LIMIT_BYTES: usize = 16 << 20;

/// The proxy for addresses of one scheme. `ureq` would take `HTTPS_PROXY` for plain addresses as well, so the
/// variables are read here as curl reads them.
pub(super) fn proxy(scheme: &str) -> Result<Option<Proxy>> {
    let upper = format!("{}_PROXY", scheme.to_uppercase());
    let lower = format!("{scheme}_proxy");
    // A CGI program gets the request's `Proxy:` header as HTTP_PROXY: curl ignores it for that reason, and so do we.
    let names = if scheme == "http" {
        vec![lower, "ALL_PROXY".into(), "all_proxy".into()]
    } else {
        vec![upper, lower, "ALL_PROXY".into(), "all_proxy".into()]
    };
    let Some((name, value)) = names.iter().find_map(|name| Some((name, env_nonempty(name)?))) else {
        return Ok(None);
    };
    let wrong = || errors::proxy_invalid(name);
    let given = Proxy::new(&value).map_err(|_| wrong())?;
    if !matches!(given.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Err(wrong().into());
    }
    let mut builder = Proxy::builder(given.protocol())
        .host(given.host())
        .port(given.port());
    if let Some(user) = given.username() {
        builder = builder.username(user);
    }
    if let Some(password) = given.password() {
        builder = builder.password(password);
    }
    let direct = ["NO_PROXY", "no_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_default();
    for host in direct.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().map(Some).map_err(|_| wrong().into())
}

/// A proxy elsewhere could not reach what listens on our own machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Certificate authorities: those of `SSL_CERT_FILE` where it is set, as OpenSSL's programs do it.
pub(super) fn roots() -> Result<RootCerts> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let file = std::fs::File::open(&path).context("cannot open the file that SSL_CERT_FILE names")?;
    let bytes = crate::exec::read_bounded(file, CERTIFICATES_LIMIT_BYTES)
        .context("cannot read the file that SSL_CERT_FILE names")?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
