//! mongodump or the server fails, at several points: no backup, and nothing left of one.

use super::data::fill_with_noise;
use rehearsal::test_env::backup::{Mongo, Repo};

#[test]
fn a_dump_that_broke_off_is_no_backup() {
    let server = Mongo::start();
    fill_with_noise(&server.database(), 6);
    let mut repo = Repo::new(&server.uri());
    // (what mongodump does, what is said)
    let cases = [
        ("not there", "exit 127", "exit code 127"),
        ("killed at the start", "kill -9 $$", "ended with a signal"),
        (
            "killed midway",
            "\"$REAL\" \"$@\" | head -c 2000000; kill -9 $$",
            "ended with a signal",
        ),
        (
            "killed after its last byte",
            "\"$REAL\" \"$@\"; kill -9 $$",
            "ended with a signal",
        ),
        (
            // What SIGTERM or a dead cursor makes of it: a whole archive of a part.
            "failed after a whole archive",
            "\"$REAL\" \"$@\"; exit 1",
            "exit code 1",
        ),
        (
            "cut, and yet exit 0",
            "\"$REAL\" \"$@\" | head -c 2000000; exit 0",
            "the archive",
        ),
        (
            "silent about a collection",
            "\"$REAL\" \"$@\" 2>/dev/null",
            "did not report that it finished `shop.noise`",
        ),
        (
            "of another opinion",
            "\"$REAL\" \"$@\" 2> >(sed 's/(60 documents)/(61 documents)/' >&2)",
            "61 documents of `shop.noise`, but 60 arrived",
        ),
        (
            "without a collection",
            "\"$REAL\" \"$@\" --excludeCollection noise",
            "`shop.noise` was on the server before and after",
        ),
    ];
    for (what, script, said) in cases {
        repo.wrap("mongodump", script);
        println!("mongodump {what}");
        repo.xtask(&["backup"])
            .code(1)
            .says(said)
            .says("no backup was made")
            .says("next: ");
        repo.assert_nothing_left();
    }
}

/// A server that is killed by what surrounds mongodump. It looks for the server for half a minute, which nobody can
/// shorten: hence one test for each point.
fn server_dies(script: &str) {
    let server = Mongo::start();
    fill_with_noise(&server.database(), 20);
    let mut repo = Repo::new(&server.uri());
    repo.wrap("mongodump", &script.replace("SERVER", &server.pid().to_string()));
    repo.xtask(&["backup"])
        .code(1)
        .says("no backup was made")
        .says("next: ");
    repo.assert_nothing_left();
}

#[test]
fn a_server_that_dies_with_the_first_bytes_is_an_error() {
    server_dies("\"$REAL\" \"$@\" | { head -c 100; kill -9 SERVER; cat; }");
}

#[test]
fn a_server_that_dies_midway_is_an_error() {
    server_dies("\"$REAL\" \"$@\" | { head -c 1000000; kill -9 SERVER; cat; }");
}

#[test]
fn a_server_that_dies_after_the_dump_is_an_error() {
    server_dies("\"$REAL\" \"$@\"; code=$?; kill -9 SERVER; exit $code");
}
