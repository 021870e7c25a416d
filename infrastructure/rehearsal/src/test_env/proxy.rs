//! A TCP proxy before a MongoDB server: it cuts connections, loses a request or an answer, answers with other bytes, or is
//! another server than the local one ([`guise`]).
//!
//! It knows so much of the protocol that a fault hits a command of ours, and not the driver's own "are you there?".

pub mod before;
mod clustered;
mod guise;

pub use guise::kept_buckets;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, serialize_to_vec};

use clustered::ClusteredExpiry;
use guise::Guise;

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
/// How long a connection that breaks stays broken.
pub const BROKEN: Duration = Duration::from_secs(5);
/// A longer message is none.
const LIMIT_BYTES: usize = 64 << 20;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes any more.
    Cut,
    /// The same for some seconds: then everything passes again.
    Breaks,
    /// Connections stand and are taken, and nothing passes.
    Silent,
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
            Self::Breaks => "breaks",
            Self::Silent => "silent",
            Self::NotSent => "not-sent",
            Self::AnswerLost => "answer-lost",
            Self::Garbage => "garbage",
        }
    }

    /// Whether it happens to one command, and not to all from then on.
    const fn is_once(self) -> bool {
        matches!(self, Self::NotSent | Self::AnswerLost | Self::Garbage)
    }
}

#[derive(Debug, Default)]
struct State {
    guise: Guise,
    fault: Option<Fault>,
    /// When a connection that breaks stands again.
    until: Option<Instant>,
    /// The connections that stand, and some that have ended.
    open: Vec<Weak<Connection>>,
}

impl State {
    /// Whether there is no connection now.
    fn is_cut(&self) -> bool {
        match self.fault {
            Some(Fault::Cut) => true,
            Some(Fault::Breaks) => self.until.is_some_and(|until| Instant::now() < until),
            _ => false,
        }
    }
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

    /// From here on the server is one of Atlas's small tiers.
    pub fn become_small_tier(&self) {
        lock(&self.state).guise.small_tier = true;
    }

    /// From here on the server has search indexes: this one of this collection.
    pub fn become_searchable(&self, collection: &str, index: Document) {
        let indexes = BTreeMap::from([(collection.to_owned(), vec![(index, 1)])]);
        lock(&self.state).guise.search = Some(indexes);
    }

    /// From here on nobody may list search indexes: `Unauthorized`, or as a small tier answers.
    pub fn hide_search(&self, by_small_tier: bool) {
        lock(&self.state).guise.hidden_search = Some(by_small_tier);
    }

    /// From here on the server is a router, and this collection is on several shards.
    pub fn become_router_of(&self, collection: &str) {
        lock(&self.state).guise.sharded = Some(collection.to_owned());
    }

    /// From here on the user has the role `read`, and no other.
    pub fn become_reader(&self) {
        lock(&self.state).guise.reader = true;
    }

    /// From here on the disk of the server is full.
    pub fn fill_disk(&self) {
        lock(&self.state).guise.full = true;
    }

    /// From here on the server has what drivers and servers of before stored: see [`before`].
    pub fn become_old(&self) {
        lock(&self.state).guise.old = true;
    }

    /// From here on the expiry of a clustered collection can be set. Whoever changes it, or its name, does so through here.
    pub fn become_clustering(&self) {
        lock(&self.state).guise.clustered = Some(ClusteredExpiry::default());
    }

    /// From here on the server has this version.
    pub fn become_version(&self, version: &str) {
        lock(&self.state).guise.version = Some(version.to_owned());
    }

    /// The names of the search indexes by collection.
    pub fn searchable(&self) -> BTreeMap<String, Vec<String>> {
        let state = lock(&self.state);
        let named = |(index, _): &(Document, u32)| index.get_str("name").expect("a name").to_owned();
        let search = state.guise.search.iter().flatten();
        search
            .map(|(name, indexes)| (name.clone(), indexes.iter().map(named).collect()))
            .collect()
    }

    /// From here on this collection is listed as a time-series collection, of which a local server has none.
    pub fn becomes_timeseries(&self, collection: &str) {
        lock(&self.state).guise.timeseries = Some(collection.to_owned());
    }

    /// From here on buckets of time-series collections can be inserted, as on servers before 8.3; they are in
    /// [`kept_buckets`].
    pub fn take_buckets(&self) {
        lock(&self.state).guise.takes_buckets = true;
    }

    /// Everything passes again as it is.
    pub fn mend(&self) {
        let mut state = lock(&self.state);
        state.fault = None;
        state.guise = Guise::default();
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
    let faults = [
        Fault::Cut,
        Fault::Breaks,
        Fault::Silent,
        Fault::NotSent,
        Fault::AnswerLost,
        Fault::Garbage,
    ];
    let fault = faults.into_iter().find(|fault| fault.name() == name);
    let mut state = lock(state);
    state.fault = Some(fault.unwrap_or_else(|| panic!("no fault is called {name:?}")));
    state.until = Some(Instant::now() + BROKEN);
    if state.is_cut() {
        for connection in state.open.drain(..).filter_map(|open| open.upgrade()) {
            connection.end();
        }
    }
    Ok(())
}

fn serve(client: TcpStream, server: u16, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let mut held = lock(state);
    if held.is_cut() {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    let connection = Arc::new(Connection {
        client,
        server,
        answer: Mutex::new(None),
    });
    held.open.retain(|open| open.strong_count() > 0);
    held.open.push(Arc::downgrade(&connection));
    drop(held);
    let (requests, shared) = (Arc::clone(&connection), Arc::clone(state));
    std::thread::spawn(move || {
        requests.pass_requests(&shared).ok();
        requests.end();
    });
    let shared = Arc::clone(state);
    std::thread::spawn(move || {
        connection.pass_answers(&shared).ok();
        connection.end();
    });
    Ok(())
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// What happens to the next answer.
    answer: Mutex<Option<Fault>>,
}

impl Connection {
    fn pass_requests(&self, state: &Mutex<State>) -> io::Result<()> {
        loop {
            let mut message = read_message(&self.client)?;
            if lock(state).fault == Some(Fault::Silent) {
                continue;
            }
            if let Some(answer) = lock(state).guise.answer(&message) {
                (&self.client).write_all(&answer_to(&message, &answer))?;
                continue;
            }
            if is_ours(&message) {
                let mut state = lock(state);
                let once = state.fault.take_if(|fault| fault.is_once());
                drop(state);
                if once == Some(Fault::NotSent) {
                    return Ok(());
                }
                *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = once;
            }
            lock(state).guise.change_request(&mut message);
            (&self.server).write_all(&message)?;
        }
    }

    fn pass_answers(&self, state: &Mutex<State>) -> io::Result<()> {
        loop {
            let mut message = read_message(&self.server)?;
            if lock(state).fault == Some(Fault::Silent) {
                continue;
            }
            lock(state).guise.change(&mut message);
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

/// A message with this document, as the answer to another message.
fn answer_to(message: &[u8], answer: &Document) -> Vec<u8> {
    let document = serialize_to_vec(answer).expect("a document");
    let length = HEADER_BYTES + 4 + 1 + document.len();
    let mut bytes = i32::try_from(length)
        .expect("a short answer")
        .to_le_bytes()
        .to_vec();
    bytes.extend([0; 4]);
    bytes.extend(&message[4..8]);
    bytes.extend(COMMAND.to_le_bytes());
    // No flags, and one section, which is a document.
    bytes.extend([0; 5]);
    bytes.extend(document);
    bytes
}

/// The name of a command.
fn command(message: &[u8]) -> &[u8] {
    let name = message.get(NAME_AT..).unwrap_or_default();
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Whether it is a command that somebody asked the driver for.
fn is_ours(message: &[u8]) -> bool {
    let name = command(message);
    let own = OF_THE_DRIVER.iter().any(|own| own.as_bytes() == name);
    number(message, HEADER_BYTES - 4) == Some(COMMAND) && !own
}
