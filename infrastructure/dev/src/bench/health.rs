//! `bench health`: checks of health beside a loop of curl over the same addresses.
//!
//! The server is a thread of this program that answers after a fixed time, as one far away would, and counts what it is asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::contest::{Run, Side};
use super::ground::{Ground, Repository};
use super::measure;
use super::report::Row;
use xtask::exec::Exec;

/// How far away the server seems: another continent.
const ANSWER_AFTER: Duration = Duration::from_millis(50);
/// Checks that wait for each other, as login and what needs it do.
const CHAIN: u32 = 3;
/// Checks of the smallest run: one chain, and as many that wait for nobody.
const SMALLEST_CHECKS: u32 = 2 * CHAIN;
/// Parts of a request's head that are read.
const HEAD_LINES: usize = 100;

pub(super) fn run(ground: &Ground) -> Result<Vec<Row>> {
    let server = Server::start()?;
    let repository = ground.repository(&server.address)?;
    ground.at_each_scale(|scale| at(ground, &server, &repository, scale))
}

fn at(ground: &Ground, server: &Server, repository: &Repository, scale: u32) -> Result<Vec<Row>> {
    let checks = SMALLEST_CHECKS * scale;
    std::fs::write(
        repository.root.join("infrastructure/health.toml"),
        configuration(checks),
    )
    .context("cannot write the checks")?;
    let addresses: String = (0..checks)
        .map(|number| format!("{}{}\n", server.address, path(number)))
        .collect();
    let script = "set -e; while read -r url; do curl --fail --silent --show-error --max-time 10 --output /dev/null \"$url\"; done";
    let chain_s = ANSWER_AFTER.as_secs_f64() * f64::from(CHAIN);
    let sh = repository.shell()?;
    let sides = [
        Side::new("loop of curl", || {
            server.forget();
            let exec = Exec::new(cmd!(sh, "bash -c {script}")).stdin(addresses.clone());
            let (_, cost) = measure::run(exec)?;
            Ok(Run::new(cost, server.asked()))
        }),
        Side::new("ours", || {
            server.forget();
            let (_, cost) = measure::run(repository.xtask(&["health"])?)?;
            Ok(Run::new(cost, server.asked()).with("slowest_chain_s", chain_s))
        }),
    ];
    let data = format!("{checks} checks of a server {} ms away", ANSWER_AFTER.as_millis());
    ground.grown("health", data, scale).run(&sides)
}

fn path(check: u32) -> String {
    format!("/check/{check}")
}

/// Every other check waits for nobody; the others wait in chains.
fn configuration(checks: u32) -> String {
    let mut text = String::from("schema = \"health/1\"\n");
    for number in 0..checks {
        let place = number / 2 % CHAIN;
        let waits = number % 2 == 1 && place > 0;
        let before = if waits {
            format!("\"c{}\"", number - 2)
        } else {
            String::new()
        };
        write!(
            text,
            "[check.c{number}]\ngroup = \"api\"\ndepends_on = [{before}]\n[check.c{number}.http]\nurl = \"${{backend}}{}\"\n",
            path(number)
        )
        .expect("writing to a string");
    }
    text
}

type Asked = Arc<Mutex<BTreeMap<String, u32>>>;

/// Answers everything with 200; ends with the program.
struct Server {
    address: String,
    asked: Asked,
}

impl Server {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        let address = format!("http://{}", listener.local_addr()?);
        let asked = Asked::default();
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = Arc::clone(&counted);
                std::thread::spawn(move || answer(&stream, &asked));
            }
        });
        Ok(Self { address, asked })
    }

    fn forget(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How often each address was asked for, in words.
    fn asked(&self) -> String {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times: Vec<String> = asked
            .iter()
            .map(|(path, times)| format!("{path} {times}×"))
            .collect();
        times.join(", ")
    }
}

/// Reads one request after the other; a client that goes away ends it.
fn answer(mut stream: &TcpStream, asked: &Asked) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let first = lines.next()?.ok()?;
        let path = first.split_whitespace().nth(1)?.to_owned();
        lines
            .by_ref()
            .take(HEAD_LINES)
            .map_while(Result::ok)
            .find(String::is_empty)?;
        *asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(path)
            .or_default() += 1;
        // The time that the answer would be under way.
        std::thread::sleep(ANSWER_AFTER);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .ok()?;
    }
}
