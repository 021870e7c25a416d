//! Why a server cannot be used although its port answers: it has TLS and the connection string has not, or the reverse; it does
//! not take the address of this machine; or no member of its replica set is the primary. The driver waits, and then describes what it tried.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use mongodb::bson::{doc, serialize_to_vec};
use mongodb::options::ServerAddress;

use crate::error::CliError;
use crate::error::catalogue::database as errors;

/// For one connection, and for one answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many members are asked: one that answers is enough.
const MEMBERS: usize = 3;
/// What the driver calls a replica set of which no member is the primary, and one of which it has reached no member: it has
/// read the set's name in the connection string, or in the DNS.
const NO_PRIMARY: &str = "ReplicaSetNoPrimary";
/// What it writes for a member that has answered, whatever it is, and for one that has not. Members of another set it leaves out.
const MEMBER: &str = "Type: RS";
const UNKNOWN: &str = "Type: Unknown";
/// Alert 80 of TLS: how Atlas ends the handshake with an address that is not on the project's list (`mongodb-js/vscode` 600).
const ALERT: &str = "received fatal alert: InternalError";
/// The domain of every cluster of Atlas.
const ATLAS: &str = ".mongodb.net";
/// `OP_MSG`.
const COMMAND: i32 = 2013;
const HEADER_BYTES: usize = 16;
/// The number of our request, which an answer refers to.
const REQUEST: i32 = 7;
/// The types of TLS records that a server may begin with: an alert, or its part of the handshake.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];
/// The beginning of a TLS handshake (RFC 5246, section 7.4.1.2): record, version 1.2, and what follows the 32 random bytes: no
/// session, eight ciphers, no compression; the extensions for curves, points and signatures.
const HELLO_BEFORE: [u8; 11] = [0x16, 3, 1, 0, 0x5f, 1, 0, 0, 0x5b, 3, 3];
const HELLO_AFTER: [u8; 57] = [
    0, 0, 16, 0xc0, 0x2f, 0xc0, 0x30, 0xc0, 0x2b, 0xc0, 0x2c, 0, 0x9c, 0, 0x9d, 0, 0x2f, 0, 0x35, 1, 0, 0,
    34, 0, 10, 0, 8, 0, 6, 0, 0x1d, 0, 0x17, 0, 0x18, 0, 11, 0, 2, 1, 0, 0, 13, 0, 12, 0, 10, 4, 3, 8, 4, 4,
    1, 5, 1, 6, 1,
];

/// Why no answer came, where it can be found out; else what the driver has of it.
pub(super) fn why(host: &str, members: &[ServerAddress], with_tls: bool, error: &anyhow::Error) -> CliError {
    let cause = format!("{error:#}");
    let asked = members
        .iter()
        .take(MEMBERS)
        .map(|member| protection(member, with_tls));
    match asked.flatten().next() {
        Some(Protection::None) if with_tls => return errors::server_without_tls(host),
        Some(Protection::Tls) if !with_tls => return errors::server_with_tls(host),
        _ => {}
    }
    if cause.contains(ALERT) {
        return errors::address_refused(host);
    }
    if cause.contains(NO_PRIMARY) && (cause.contains(MEMBER) || !cause.contains(UNKNOWN)) {
        return errors::no_primary(host, cause);
    }
    if host.contains(ATLAS) {
        return errors::no_atlas_server(host, cause);
    }
    errors::no_server(host, cause)
}

/// What a server that answers speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Tls,
    None,
}

/// Asks in the language that the connection string does not have; `None` where the server does not answer in it.
fn protection(member: &ServerAddress, with_tls: bool) -> Option<Protection> {
    let ServerAddress::Tcp { host, port } = member else {
        return None;
    };
    let address = (host.as_str(), port.unwrap_or(27_017))
        .to_socket_addrs()
        .ok()?
        .next()?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    if with_tls {
        stream.write_all(&plain_hello()?).ok()?;
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).ok()?;
        let number = |at: usize| Some(i32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        (number(8)? == REQUEST && number(12)? == COMMAND).then_some(Protection::None)
    } else {
        let hello = [&HELLO_BEFORE[..], &[7; 32], &HELLO_AFTER].concat();
        stream.write_all(&hello).ok()?;
        let mut first = [0];
        stream.read_exact(&mut first).ok()?;
        TLS_RECORDS.contains(&first[0]).then_some(Protection::Tls)
    }
}

/// The question that drivers begin with.
fn plain_hello() -> Option<Vec<u8>> {
    let document = serialize_to_vec(&doc! { "hello": 1, "$db": "admin" }).ok()?;
    let length = i32::try_from(HEADER_BYTES + 5 + document.len()).ok()?;
    let mut message: Vec<u8> = [length, REQUEST, 0, COMMAND]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    // No flags, and one section, which is a document.
    message.extend([0; 5]);
    message.extend(document);
    Some(message)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use anyhow::anyhow;

    use super::*;
    use crate::database::Live;
    use crate::secret::Secret;

    /// A server that answers whatever comes with these bytes.
    fn server(answer: &'static [u8]) -> ServerAddress {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut asked = [0; 5];
                client.read_exact(&mut asked).ok();
                client.write_all(answer).ok();
            }
        });
        ServerAddress::Tcp {
            host: "127.0.0.1".into(),
            port: Some(port),
        }
    }

    fn server_that_is_gone() -> ServerAddress {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        ServerAddress::Tcp {
            host: "127.0.0.1".into(),
            port: Some(listener.local_addr().unwrap().port()),
        }
    }

    fn code(members: &[ServerAddress], with_tls: bool, error: &str) -> &'static str {
        why("h", members, with_tls, &anyhow!("{error}")).code.unwrap()
    }

    #[test]
    fn a_server_with_or_without_tls_is_named_where_the_connection_string_has_the_other() {
        let plain = server(&[37, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0xdd, 7, 0, 0]);
        let tls = server(&[0x15, 3, 3, 0, 2, 2, 40]);
        let other = server(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let timeout = "Server selection timeout: No available servers.";
        for (member, with_tls, expected) in [
            (&plain, true, "server_without_tls"),
            (&plain, false, "no_server"),
            (&tls, false, "server_with_tls"),
            (&tls, true, "no_server"),
            (&other, true, "no_server"),
            (&other, false, "no_server"),
        ] {
            assert_eq!(code(std::slice::from_ref(member), with_tls, timeout), expected);
        }
        let gone = server_that_is_gone();
        assert_eq!(code(&[gone.clone(), tls], false, timeout), "server_with_tls");
        let topology = "No available servers. Topology: { Type: ReplicaSetNoPrimary, Servers: [ { Type: RSSecondary } ] }";
        assert_eq!(code(&[gone], false, topology), "no_primary");
        let of_another_set = "No available servers. Topology: { Type: ReplicaSetNoPrimary, Set Name: other }";
        assert_eq!(code(&[], false, of_another_set), "no_primary");
        let atlas = why("a-00.x.mongodb.net:27017", &[], true, &anyhow!("{timeout}"));
        assert_eq!(atlas.code, Some("no_atlas_server"));
    }

    /// The driver itself, against a member that nobody could reach or that ends each handshake: what Atlas does where the
    /// address is not on the project's list. It takes every member of the set for unknown then.
    #[test]
    fn a_member_that_nobody_reaches_is_not_called_a_set_without_a_primary() {
        let refused = server(&[0x15, 3, 3, 0, 2, 2, 80]);
        let gone = server_that_is_gone();
        for (member, tls, expected) in [
            (&refused, true, "address_refused"),
            (&gone, true, "no_server"),
            (&gone, false, "no_server"),
        ] {
            let uri = format!(
                "mongodb://{member}/?replicaSet=atlas-1&tls={tls}&serverSelectionTimeoutMS=1500&connectTimeoutMS=1000"
            );
            let error = Live::connect(&Secret::new(&uri), "shop").unwrap_err();
            let found = error.downcast_ref::<CliError>().and_then(|error| error.code);
            assert_eq!(found, Some(expected), "{error:#}");
        }
    }

    #[test]
    fn the_lengths_in_the_beginning_of_a_handshake_are_right() {
        let hello = HELLO_BEFORE.len() + 32 + HELLO_AFTER.len();
        assert_eq!((hello - 5, hello - 9), (0x5f, 0x5b));
    }
}
