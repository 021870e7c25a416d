//! A TCP proxy before a MongoDB server: it cuts connections, loses a request or an answer, answers with other bytes, or refuses
//! what one of Atlas's small tiers refuses.
//!
//! It knows so much of the protocol that a fault hits a command of ours, and not the driver's own "are you there?".

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, deserialize_from_slice, doc, serialize_to_vec};

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
/// What Atlas's small tiers refuse: the command, and the bytes in it (a field of BSON) that they refuse it for.
const OF_SMALL_TIERS: [(&str, &[u8]); 6] = [
    ("find", b"\x08noCursorTimeout\0"),
    ("createIndexes", b"\x10v\0"),
    ("createIndexes", b"\x10w\0"),
    ("dbStats", b"\x10dbStats\0"),
    ("aggregate", b"$currentOp\0"),
    ("find", b"find\0\x09\0\0\0oplog.rs\0"),
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
    small_tier: bool,
    /// The collection that is listed as a time-series collection.
    timeseries: Option<String>,
    /// The search indexes by collection, where the server is one of Atlas's; how often each was listed.
    search: Option<BTreeMap<String, Vec<(Document, u32)>>>,
    fault: Option<Fault>,
    /// When a connection that breaks stands again.
    until: Option<Instant>,
    /// Both ends of every connection.
    open: Vec<TcpStream>,
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
        lock(&self.state).small_tier = true;
    }

    /// From here on the server has search indexes: this one of this collection.
    pub fn become_searchable(&self, collection: &str, index: Document) {
        let indexes = BTreeMap::from([(collection.to_owned(), vec![(index, 1)])]);
        lock(&self.state).search = Some(indexes);
    }

    /// The names of the search indexes by collection.
    pub fn searchable(&self) -> BTreeMap<String, Vec<String>> {
        let state = lock(&self.state);
        let named = |(index, _): &(Document, u32)| index.get_str("name").expect("a name").to_owned();
        let search = state.search.iter().flatten();
        search
            .map(|(name, indexes)| (name.clone(), indexes.iter().map(named).collect()))
            .collect()
    }

    /// From here on this collection is listed as a time-series collection, of which a local server has none.
    pub fn becomes_timeseries(&self, collection: &str) {
        lock(&self.state).timeseries = Some(collection.to_owned());
    }

    /// Everything passes again as it is.
    pub fn mend(&self) {
        let mut state = lock(&self.state);
        state.fault = None;
        state.timeseries = None;
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
        for stream in state.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
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
    let shared = Arc::clone(state);
    std::thread::spawn(move || {
        connection.pass_answers(&shared).ok();
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
            if lock(state).fault == Some(Fault::Silent) {
                continue;
            }
            if let Some(answer) = lock(state).small_tier.then(|| refusal(&message)).flatten() {
                (&self.client).write_all(&answer)?;
                continue;
            }
            let answer = lock(state)
                .search
                .as_mut()
                .and_then(|search| search_answer(search, &message));
            if let Some(answer) = answer {
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
            (&self.server).write_all(&message)?;
        }
    }

    fn pass_answers(&self, state: &Mutex<State>) -> io::Result<()> {
        loop {
            let mut message = read_message(&self.server)?;
            if lock(state).fault == Some(Fault::Silent) {
                continue;
            }
            if let Some(collection) = &lock(state).timeseries {
                list_as_timeseries(&mut message, collection);
            }
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

/// The answer of one of Atlas's small tiers to what it refuses.
fn refusal(message: &[u8]) -> Option<Vec<u8>> {
    let name = command(message);
    let refused = |(refused, bytes): &&(&str, &[u8])| {
        refused.as_bytes() == name && message.windows(bytes.len()).any(|part| part == *bytes)
    };
    let (name, _) = OF_SMALL_TIERS.iter().find(refused)?;
    let what = format!("{name}: this is not allowed in this Atlas tier");
    Some(answer_to(
        message,
        &doc! { "ok": 0, "errmsg": what, "code": 8000, "codeName": "AtlasError" },
    ))
}

/// What Atlas answers about search indexes. They belong to the collection: a renaming takes them along, a drop ends them. A new one
/// can be queried from the second time on that it is listed.
fn search_answer(search: &mut BTreeMap<String, Vec<(Document, u32)>>, message: &[u8]) -> Option<Document> {
    let command: Document = deserialize_from_slice(message.get(NAME_AT - 5..)?).ok()?;
    let (name, value) = command.iter().next()?;
    let collection = value.as_str()?.to_owned();
    match name.as_str() {
        "renameCollection" => {
            let without_database = |name: &str| name.split_once('.').map(|(_, name)| name.to_owned());
            let indexes = search.remove(&without_database(&collection)?)?;
            search.insert(without_database(command.get_str("to").ok()?)?, indexes);
            None
        }
        "drop" => search.remove(&collection).and(None),
        "createSearchIndexes" => {
            let indexes = command.get_array("indexes").ok()?.iter();
            let indexes = indexes.filter_map(|index| Some((index.as_document()?.clone(), 0)));
            search.entry(collection).or_default().extend(indexes);
            Some(doc! { "ok": 1, "indexesCreated": [] })
        }
        "aggregate" => {
            let stage = command.get_array("pipeline").ok()?.first()?.as_document()?;
            stage.get_document("$listSearchIndexes").ok()?;
            let listed = search.entry(collection.clone()).or_default().iter_mut();
            let listed: Vec<Document> = listed
                .map(|(index, times)| {
                    *times += 1;
                    doc! {
                        "name": index.get_str("name").expect("a name"), "type": index.get_str("type").expect("a type"),
                        "latestDefinition": index.get_document("definition").expect("a definition"),
                        "queryable": *times > 1, "status": if *times > 1 { "READY" } else { "PENDING" },
                    }
                })
                .collect();
            let of = format!("{}.{collection}", command.get_str("$db").ok()?);
            Some(doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": of, "firstBatch": listed } })
        }
        _ => None,
    }
}

/// Names the type of this collection in the answer to `listCollections`; both words have as many letters.
fn list_as_timeseries(message: &mut [u8], collection: &str) {
    let length = u32::try_from(collection.len() + 1).expect("a short name");
    let mut listed = b"\x02name\0".to_vec();
    listed.extend(length.to_le_bytes());
    listed.extend(collection.as_bytes());
    listed.extend(b"\0\x02type\0\x0b\0\0\0");
    let mut found = message.windows(listed.len() + 10);
    let at = found.position(|part| part.starts_with(&listed) && part.ends_with(b"collection"));
    if let Some(at) = at {
        message[at + listed.len()..][..10].copy_from_slice(b"timeseries");
    }
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
