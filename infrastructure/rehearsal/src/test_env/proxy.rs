//! A TCP proxy before a MongoDB server: it cuts connections, loses a request or an answer, or answers with other bytes.
//!
//! It knows so much of the protocol that a fault hits a command of ours, and not the driver's own "are you there?".

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Header of every message: its length, two numbers, and its kind.
const HEADER_BYTES: usize = 16;
/// `OP_MSG`, as all commands are sent once the connection stands.
const COMMAND: i32 = 2013;
/// Flags, the kind of the first section, the length of its document, the type of its first field: then its name.
const NAME_AT: usize = HEADER_BYTES + 4 + 1 + 4 + 1;
/// What drivers say of their own accord.
const OF_THE_DRIVER: [&str; 6] = [
    "hello",
    "isMaster",
    "ismaster",
    "ping",
    "endSessions",
    "killCursors",
];
/// A longer message is none.
const LIMIT_BYTES: usize = 64 << 20;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes any more.
    Cut,
    /// The next command does not arrive, and its connection ends.
    NotSent,
    /// The next command is done, and its connection ends instead of an answer.
    AnswerLost,
    /// The answer to the next command is other bytes.
    Garbage,
}

impl Fault {
    /// As the preloaded library calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::NotSent => "not-sent",
            Self::AnswerLost => "answer-lost",
            Self::Garbage => "garbage",
        }
    }
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// Both ends of every connection.
    open: Vec<TcpStream>,
}

/// Ends with its process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    control: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Before the server on this port.
    pub fn start(server: u16) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (listener, port) = listener();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                serve(client, server, &shared).ok();
            }
        });
        let (listener, control) = self::listener();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for asker in listener.incoming().flatten() {
                obey(asker, &shared).ok();
            }
        });
        Self { port, control, state }
    }

    /// The same connection string, through here.
    pub fn through(&self, uri: &str) -> String {
        let (before, rest) = uri.split_once("127.0.0.1:").expect("a local server");
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        format!("{before}127.0.0.1:{}{}", self.port, &rest[end..])
    }

    /// Whoever connects there, and names a fault, causes it; it is there when that connection ends.
    pub const fn control_port(&self) -> u16 {
        self.control
    }

    /// Everything passes again.
    pub fn mend(&self) {
        lock(&self.state).fault = None;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

fn obey(mut asker: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut name = String::new();
    asker.read_to_string(&mut name)?;
    let faults = [Fault::Cut, Fault::NotSent, Fault::AnswerLost, Fault::Garbage];
    let fault = faults.into_iter().find(|fault| fault.name() == name);
    let mut state = lock(state);
    state.fault = Some(fault.unwrap_or_else(|| panic!("no fault is called {name:?}")));
    if fault == Some(Fault::Cut) {
        for stream in state.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
    Ok(())
}

fn serve(client: TcpStream, server: u16, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let mut held = lock(state);
    if held.fault == Some(Fault::Cut) {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    held.open.extend([client.try_clone()?, server.try_clone()?]);
    drop(held);
    let connection = Arc::new(Connection {
        client,
        server,
        answer: Mutex::new(None),
    });
    let (requests, shared) = (Arc::clone(&connection), Arc::clone(state));
    std::thread::spawn(move || {
        requests.pass_requests(&shared).ok();
        requests.end();
    });
    std::thread::spawn(move || {
        connection.pass_answers().ok();
        connection.end();
    });
    Ok(())
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// What happens to the next answer.
    answer: Mutex<Option<Fault>>,
}

impl Connection {
    fn pass_requests(&self, state: &Mutex<State>) -> io::Result<()> {
        loop {
            let message = read_message(&self.client)?;
            if is_ours(&message) {
                let mut state = lock(state);
                let once = state.fault.take_if(|fault| *fault != Fault::Cut);
                drop(state);
                if once == Some(Fault::NotSent) {
                    return Ok(());
                }
                *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = once;
            }
            (&self.server).write_all(&message)?;
        }
    }

    fn pass_answers(&self) -> io::Result<()> {
        loop {
            let mut message = read_message(&self.server)?;
            let fault = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            match fault {
                Some(Fault::AnswerLost) => return Ok(()),
                Some(Fault::Garbage) => message[HEADER_BYTES..].fill(b'<'),
                _ => {}
            }
            (&self.client).write_all(&message)?;
        }
    }

    fn end(&self) {
        self.client.shutdown(Shutdown::Both).ok();
        self.server.shutdown(Shutdown::Both).ok();
    }
}

fn read_message(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER_BYTES];
    from.read_exact(&mut message)?;
    let length = number(&message, 0).and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| (HEADER_BYTES..LIMIT_BYTES).contains(length));
    message.resize(length.ok_or(io::ErrorKind::InvalidData)?, 0);
    from.read_exact(&mut message[HEADER_BYTES..])?;
    Ok(message)
}

fn number(message: &[u8], at: usize) -> Option<i32> {
    let bytes = message.get(at..at + 4)?;
    Some(i32::from_le_bytes(bytes.try_into().ok()?))
}

/// Whether it is a command that somebody asked the driver for.
fn is_ours(message: &[u8]) -> bool {
    let name = message.get(NAME_AT..).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let own = OF_THE_DRIVER.iter().any(|own| own.as_bytes() == name);
    number(message, HEADER_BYTES - 4) == Some(COMMAND) && !own
}
