//! A mail server: takes every message and keeps it. One port begins in the clear and offers STARTTLS, one is TLS from
//! the first byte, and one knows no TLS at all.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use xtask::sync::lock;

use super::tls::Tls;

/// Certificate of the authority of this server.
pub(super) const CA_FILE: &str = "mail-ca.pem";
const HOST: &str = "localhost";
/// A client that says nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(20);
const LIMIT_BYTES: u64 = 1 << 20;

/// How a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Starttls,
    Tls,
    Clear,
}

/// The server and what it was given.
pub(super) struct Mail {
    tls: Tls,
    messages: Mutex<Vec<Value>>,
    /// Answers to the next senders in place of a good one.
    refusals: Mutex<VecDeque<String>>,
}

/// What one client has said so far.
#[derive(Default)]
struct Session {
    encrypted: bool,
    /// As the client sent it: base64 of user and password.
    login: Option<String>,
    from: String,
    to: Vec<String>,
}

/// Where a conversation goes on.
enum Next {
    Ended,
    Upgrade,
}

impl Mail {
    pub(super) fn new(state: &Path) -> Result<Self> {
        Ok(Self {
            tls: Tls::new(&[HOST], &state.join(CA_FILE))?,
            messages: Mutex::default(),
            refusals: Mutex::default(),
        })
    }

    pub(super) fn messages(&self) -> Vec<Value> {
        lock(&self.messages).clone()
    }

    /// The next sender is answered with this line.
    pub(super) fn refuse(&self, line: &str) {
        lock(&self.refusals).push_back(line.to_owned());
    }

    /// Listens on a free port of this machine.
    pub(super) fn serve(self: &Arc<Self>, port: Port) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        let address = listener.local_addr()?;
        let server = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(IDLE));
                    // A client may leave at any time.
                    let _ = server.talk(stream, port);
                });
            }
        });
        Ok(address)
    }

    fn talk(&self, stream: TcpStream, port: Port) -> Result<()> {
        let mut session = Session {
            encrypted: port == Port::Tls,
            ..Session::default()
        };
        if port == Port::Tls {
            self.converse(self.tls.accept(stream)?, &mut session, false, true)?;
            return Ok(());
        }
        let plain = stream.try_clone()?;
        if let Next::Upgrade = self.converse(plain, &mut session, port == Port::Starttls, true)? {
            session = Session {
                encrypted: true,
                ..Session::default()
            };
            self.converse(self.tls.accept(stream)?, &mut session, false, false)?;
        }
        Ok(())
    }

    fn converse(
        &self,
        stream: impl Read + Write,
        session: &mut Session,
        offers_tls: bool,
        greets: bool,
    ) -> Result<Next> {
        let mut wire = BufReader::new(stream);
        if greets {
            say(&mut wire, "220 localhost ESMTP rehearsal")?;
        }
        loop {
            let mut line = String::new();
            if wire.by_ref().take(4_096).read_line(&mut line)? == 0 {
                return Ok(Next::Ended);
            }
            let line = line.trim_end();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => {
                    let upgrade = if offers_tls { "250-STARTTLS\r\n" } else { "" };
                    say(
                        &mut wire,
                        &format!("250-localhost\r\n{upgrade}250-8BITMIME\r\n250 AUTH PLAIN LOGIN"),
                    )?;
                }
                "STARTTLS" if offers_tls => {
                    say(&mut wire, "220 go on")?;
                    return Ok(Next::Upgrade);
                }
                "AUTH" => {
                    session.login = rest.strip_prefix("PLAIN ").map(str::to_owned);
                    say(&mut wire, "235 welcome")?;
                }
                "MAIL" => {
                    let refusal = lock(&self.refusals).pop_front();
                    rest.clone_into(&mut session.from);
                    say(&mut wire, refusal.as_deref().unwrap_or("250 ok"))?;
                }
                "RCPT" => {
                    session.to.push(rest.to_owned());
                    say(&mut wire, "250 ok")?;
                }
                "DATA" => {
                    say(&mut wire, "354 go on")?;
                    let data = data(&mut wire)?;
                    lock(&self.messages).push(json!({"encrypted": session.encrypted, "login": session.login,
                        "from": session.from, "to": session.to, "data": data}));
                    say(&mut wire, "250 taken")?;
                }
                "NOOP" | "RSET" => say(&mut wire, "250 ok")?,
                "QUIT" => {
                    say(&mut wire, "221 bye")?;
                    return Ok(Next::Ended);
                }
                _ => say(&mut wire, "502 not known")?,
            }
        }
    }
}

fn say<S: Read + Write>(wire: &mut BufReader<S>, text: &str) -> Result<()> {
    let out = wire.get_mut();
    out.write_all(format!("{text}\r\n").as_bytes())?;
    Ok(out.flush()?)
}

/// The lines up to a single dot.
fn data(wire: &mut impl BufRead) -> Result<String> {
    let mut text = String::new();
    let mut limited = wire.take(LIMIT_BYTES);
    loop {
        let mut line = String::new();
        if limited.read_line(&mut line)? == 0 || line.trim_end() == "." {
            return Ok(text);
        }
        text.push_str(&line);
    }
}
