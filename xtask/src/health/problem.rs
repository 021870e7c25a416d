//! Why a request brought no answer, and whether that is the other side's fault or only means that we could not look.

use std::io;
use std::time::Duration;

use crate::domain::verdict::CheckResult;

/// How an attempt went wrong.
#[derive(Debug, Clone)]
pub(super) enum Problem {
    Failed(String),
    /// We could not look.
    Unknown(String),
    NotAsked(String),
}

impl Problem {
    pub(super) fn outcome(&self) -> CheckResult {
        match self {
            Self::Failed(_) => CheckResult::Failed,
            Self::Unknown(_) => CheckResult::Unknown,
            Self::NotAsked(_) => CheckResult::NotAsked,
        }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::Failed(message) | Self::Unknown(message) | Self::NotAsked(message) => message,
        }
    }
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Resolving,
    Connecting,
    /// In the TLS handshake.
    Securing,
    Exchanging,
}

/// Says what happened. No name, no route and no TLS leave it open whether the system works; a refused or broken
/// connection, a late or a malformed answer, and a certificate that nobody accepts are seen faults.
pub(super) fn explain(
    error: &ureq::Error,
    stage: Stage,
    body_limit_bytes: u64,
    timeout: Duration,
) -> Problem {
    use Problem::{Failed, Unknown};
    let limit_s = timeout.as_secs_f64();
    match (error, stage) {
        (ureq::Error::HostNotFound, _) => Unknown("the host's name cannot be resolved".into()),
        (ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl, _) => {
            Unknown(format!("the proxy does not connect: {error}"))
        }
        (ureq::Error::Timeout(_), Stage::Resolving) => {
            Unknown(format!("the host's name was not resolved within {limit_s:.1} s"))
        }
        (ureq::Error::Timeout(_), Stage::Connecting) => {
            Unknown(format!("no connection within {limit_s:.1} s"))
        }
        (_, Stage::Securing) => {
            let message = format!("no secure connection: {}", explain_tls(error));
            if is_refused_by_everybody(error) {
                Failed(message)
            } else {
                Unknown(message)
            }
        }
        (ureq::Error::Timeout(_), Stage::Exchanging) => {
            Failed(format!("no whole answer within {limit_s:.1} s"))
        }
        (ureq::Error::BodyExceedsLimit(_), _) => {
            Failed(format!("the body is larger than {body_limit_bytes} bytes"))
        }
        (ureq::Error::LargeResponseHeader(_, limit), _) => {
            Failed(format!("the answer's head is larger than {limit} bytes"))
        }
        (ureq::Error::Io(source), _) => explain_io(source),
        (ureq::Error::Decompress(_, source), _) => Failed(format!("the body cannot be unpacked: {source}")),
        (ureq::Error::Protocol(source), _) => Failed(format!("the answer is not proper HTTP: {source}")),
        (other, _) => Failed(format!("the request failed: {other}")),
    }
}

/// What is wrong with the certificate, where that is what is wrong.
fn certificate_fault(error: &ureq::Error) -> Option<&rustls::CertificateError> {
    let inner = match error {
        ureq::Error::Rustls(inner) => Some(inner),
        ureq::Error::Io(source) => source.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    match inner {
        Some(rustls::Error::InvalidCertificate(fault)) => Some(fault),
        _ => None,
    }
}

/// Whether every user's browser refuses the certificate too: it is out of date, for another host, or revoked. Of an issuer
/// whom we do not trust we cannot know that: the authority may be missing here only.
fn is_refused_by_everybody(error: &ureq::Error) -> bool {
    use rustls::CertificateError as Fault;
    matches!(
        certificate_fault(error),
        Some(
            Fault::Expired
                | Fault::ExpiredContext { .. }
                | Fault::NotValidYet
                | Fault::NotValidYetContext { .. }
                | Fault::NotValidForName
                | Fault::NotValidForNameContext { .. }
                | Fault::Revoked
        )
    )
}

/// What is wrong with the certificate, in words that tell whose task it is; any other fault as the library says it.
fn explain_tls(error: &ureq::Error) -> String {
    use rustls::CertificateError as Fault;
    let Some(fault) = certificate_fault(error) else {
        return error.to_string();
    };
    let date = |time: &rustls::pki_types::UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        chrono::DateTime::from_timestamp(seconds, 0).map_or_else(
            || "an unknown date".to_owned(),
            |time| time.format("%F").to_string(),
        )
    };
    match fault {
        Fault::Expired => "the certificate has expired".to_owned(),
        Fault::ExpiredContext { not_after, .. } => format!("the certificate expired on {}", date(not_after)),
        Fault::NotValidYet => "the certificate is not valid yet".to_owned(),
        Fault::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid before {}", date(not_before))
        }
        Fault::NotValidForName => "the certificate is for another host".to_owned(),
        Fault::NotValidForNameContext { expected, presented } => format!(
            "the certificate is for another host: {}, not {}",
            presented.join(", "),
            expected.to_str()
        ),
        Fault::UnknownIssuer => {
            "nobody whom we trust issued the certificate: it is self-signed, its chain is not \
                                 sent whole, or its authority is missing in SSL_CERT_FILE"
                .to_owned()
        }
        Fault::BadSignature => "the certificate was not signed by the authority that it names".to_owned(),
        Fault::Revoked => "the certificate was revoked".to_owned(),
        other => format!("the certificate is not accepted: {other}"),
    }
}

fn explain_io(error: &io::Error) -> Problem {
    use Problem::{Failed, Unknown};
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failed("the connection was refused".into()),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Failed("the connection was broken".into())
        }
        io::ErrorKind::UnexpectedEof => {
            Failed("the connection was closed before the answer was whole".into())
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
            Unknown("there is no route to the host".into())
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable => {
            Unknown(format!("the network cannot be used: {error}"))
        }
        _ => Failed(format!("the connection failed: {error}")),
    }
}
