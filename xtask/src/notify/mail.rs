//! Mail by SMTP.

use anyhow::{Context as _, Result, ensure};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};
use std::fmt::Write as _;

use super::{DEADLINE, Notification, SendError, secret, with_retries};
use crate::config::{EmailConfig, MailSecurity};
use crate::context::Context;
use crate::secret::scrub;

/// Names of this machine: nobody can listen on the way there.
const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];
const SUBJECT_LIMIT_CHARS: usize = 150;
const BODY_LIMIT_CHARS: usize = 20_000;

pub(super) fn send(ctx: &Context, place: &EmailConfig, notice: &Notification) -> Result<()> {
    let transport = transport(ctx, place)?;
    let message = message(place, notice)?;
    with_retries(|| match transport.send(&message) {
        Ok(_) => Ok(()),
        Err(error) => {
            let problem = scrub(&format!("the mail server {}: {}", place.server, chain(&error)));
            // What timed out may have been taken: nobody is told twice.
            let for_good = error.is_permanent() || error.is_tls() || error.is_timeout() || error.is_client();
            Err(if for_good {
                SendError::for_good(problem)
            } else {
                SendError::for_now(problem)
            })
        }
    })
}

/// An error with its causes: of itself it says little more than "connection error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            write!(text, ": {said}").expect("writing to a string");
        }
        cause = error.source();
    }
    text
}

fn transport(ctx: &Context, place: &EmailConfig) -> Result<SmtpTransport> {
    let (tls, usual_port) = match place.security {
        MailSecurity::Starttls => (Tls::Required(parameters(place)?), 587),
        MailSecurity::Tls => (Tls::Wrapper(parameters(place)?), 465),
        MailSecurity::None => {
            ensure!(
                LOCAL.contains(&place.server.as_str()),
                "security = \"none\" sends password and message in the clear: it is only for a mail server on this machine"
            );
            (Tls::None, 25)
        }
    };
    let mut builder = SmtpTransport::builder_dangerous(&place.server)
        .port(place.port.unwrap_or(usual_port))
        .tls(tls)
        .timeout(Some(DEADLINE));
    if let (Some(user), Some(password)) = (&place.user, &place.password) {
        let (user, password) = (secret(ctx, user)?, secret(ctx, password)?);
        builder = builder.credentials(Credentials::new(
            user.expose().to_owned(),
            password.expose().to_owned(),
        ));
    }
    Ok(builder.build())
}

/// The authorities that everybody trusts, and those of `SSL_CERT_FILE`: a company's own mail server has a company's own.
fn parameters(place: &EmailConfig) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(place.server.clone());
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        let shown = std::path::Path::new(&file).display().to_string();
        let pem = std::fs::read(&file).with_context(|| format!("cannot read {shown}"))?;
        let authority =
            Certificate::from_pem(&pem).with_context(|| format!("{shown} holds no certificate"))?;
        builder = builder.add_root_certificate(authority);
    }
    builder.build().context("cannot set TLS up")
}

fn message(place: &EmailConfig, notice: &Notification) -> Result<Message> {
    let mailbox = |address: &str| -> Result<Mailbox> {
        address
            .parse()
            .with_context(|| format!("`{address}` is not a valid e-mail address"))
    };
    let one_line: String = scrub(&notice.title)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let subject: String = one_line.chars().take(SUBJECT_LIMIT_CHARS).collect();
    let mut builder = Message::builder().from(mailbox(&place.from)?).subject(subject);
    for address in &place.to {
        builder = builder.to(mailbox(address)?);
    }
    builder
        .header(ContentType::TEXT_PLAIN)
        .body(body(notice))
        .context("the message cannot be written as mail")
}

fn body(notice: &Notification) -> String {
    let mut text = format!("{}\n\n", notice.title);
    for (name, value) in notice.facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(text, "{name}: {value}").expect("writing to a string");
    }
    for line in notice.next.iter().map(|next| format!("next: {next}")) {
        writeln!(text, "\n{line}").expect("writing to a string");
    }
    if let Some(link) = &notice.link {
        writeln!(text, "\n{link}").expect("writing to a string");
    }
    scrub(&text).chars().take(BODY_LIMIT_CHARS).collect()
}
