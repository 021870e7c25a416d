//! What the operator got wrong: one clear error each, and no word of the password.

use mongodb::bson::doc;

use super::data::fill_with_noise;
use rehearsal::test_env::backup::{Mongo, Repo, files_below};

#[test]
fn refusals_say_what_to_do_and_hide_the_password() {
    let mut server = Mongo::start();
    fill_with_noise(&server.database(), 1);
    let admin = server.client().database("admin");
    for (user, role) in [
        ("owner", doc! { "role": "root", "db": "admin" }),
        ("stranger", doc! { "role": "read", "db": "other" }),
        ("reader", doc! { "role": "read", "db": "shop" }),
    ] {
        let create = doc! { "createUser": user, "pwd": "p@ss-w0rd", "roles": [role] };
        admin.run_command(create).run().unwrap();
    }
    server.restart_with(&["--auth"]);
    let port = server.port;
    let uri = |user: &str, password: &str| format!("mongodb://{user}:{password}@127.0.0.1:{port}/");
    let mut repo = Repo::new("");

    repo.xtask(&["backup"])
        .code(2)
        .says("LOCAL_MONGODB_URI is not set or empty");
    repo.set("LOCAL_MONGODB_URI", &uri("owner", "wr0ng-p%40ss"));
    repo.xtask(&["backup"])
        .code(1)
        .says("does not accept the user or the password")
        .says("next: ")
        .never_says("wr0ng");
    repo.set("LOCAL_MONGODB_URI", "mongodb://owner:p%40ss-w0rd@127.0.0.1:1/");
    repo.xtask(&["backup"])
        .code(1)
        .says("cannot be reached")
        .says("next: ")
        .never_says("ss-w0rd");
    repo.set(
        "LOCAL_MONGODB_URI",
        "mongodb://owner:p%40ss-w0rd@no-such-host.invalid/",
    );
    repo.xtask(&["backup"])
        .code(1)
        .says("next: correct the host")
        .never_says("ss-w0rd");
    repo.set("LOCAL_MONGODB_URI", "not a connection string with ss-w0rd");
    repo.xtask(&["backup"]).code(2).never_says("ss-w0rd");
    repo.set("LOCAL_MONGODB_URI", &uri("stranger", "p%40ss-w0rd"));
    repo.xtask(&["backup"])
        .code(1)
        .says("lacks a role")
        .says("next: ")
        .never_says("ss-w0rd");
    repo.assert_nothing_left();
    repo.set("LOCAL_MONGODB_URI", &uri("reader", "p%40ss-w0rd"));
    // It may not read the oplog, which is told. (A mongod refuses it the list of all databases, too.)
    let all = repo.xtask(&["backup", "create", "--all-databases"]);
    if all.code == Some(0) {
        all.says("consistency: per collection (our user cannot read the oplog: Unauthorized)")
    } else {
        all.code(1).says("lacks a role").says("next: ")
    }
    .never_says("ss-w0rd");
    for user in ["owner", "reader"] {
        repo.set("LOCAL_MONGODB_URI", &uri(user, "p%40ss-w0rd"));
        repo.xtask(&["backup", "-v"])
            .ok()
            .says("10 documents")
            .never_says("ss-w0rd");
    }
    // It may not write the mark from which on a restore could know what has changed.
    let created = repo.xtask(&["backup", "--format", "json"]).ok().json();
    assert_eq!(created["metadata"]["no_change_start"], "Unauthorized");
    for path in files_below(repo.root()) {
        let text = std::fs::read(&path).unwrap();
        let found = text.windows(7).any(|window| window == b"ss-w0rd");
        assert!(!found, "the password stands in {}", path.display());
    }
}

#[test]
fn white_space_around_a_connection_string_is_left_out_and_quotes_and_wrong_limits_are_named() {
    let server = Mongo::with_one_document();
    let mut repo = Repo::new("");
    let uri = server.uri();
    // A line break behind an option would be a part of its value.
    let with_option = format!("{uri}?directConnection=true\n");
    for value in [format!("{uri}\n"), format!(" {uri}\r\n"), with_option] {
        repo.set("LOCAL_MONGODB_URI", &value);
        repo.xtask(&["backup"]).ok();
    }
    for value in [format!("\"{uri}\""), format!("'{uri}'\n"), format!("{uri}\"")] {
        repo.set("LOCAL_MONGODB_URI", &value);
        repo.xtask(&["backup"])
            .code(2)
            .says("LOCAL_MONGODB_URI begins or ends with a quote")
            .says("next: ");
    }
    repo.set("LOCAL_MONGODB_URI", &uri);
    for value in ["2m", "0", "-1"] {
        repo.set("XTASK_DATABASE_SILENCE_S", value);
        repo.xtask(&["backup"])
            .code(2)
            .says("XTASK_DATABASE_SILENCE_S is not a number of seconds")
            .says("next: ");
    }
}

#[test]
fn an_empty_database_needs_a_word() {
    let server = Mongo::start();
    server.insert("shopp", "x", doc! {});
    let repo = Repo::new(&server.uri());
    repo.xtask(&["backup"])
        .code(1)
        .says("there are: shopp")
        .says("--allow-empty");
    server
        .database()
        .run_command(doc! { "create": "empty" })
        .run()
        .unwrap();
    repo.xtask(&["backup"])
        .code(1)
        .says("not one document")
        .says("--allow-empty");
    repo.assert_nothing_left();
    repo.xtask(&["backup", "--allow-empty"]).ok();
}

/// A server that refuses whatever is not TLS, as `mongod` does with `tls.mode: requireTLS`; its alert is the answer to a handshake.
fn server_of_tls() -> u16 {
    use std::io::{Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut first = [0; 5];
            if client.read_exact(&mut first).is_ok() && first[0] == 0x16 {
                client.write_all(&[0x15, 3, 3, 0, 2, 2, 40]).ok();
            }
        }
    });
    port
}

#[test]
fn tls_against_a_plain_server_and_the_reverse_and_a_set_without_a_primary_are_named() {
    let server = Mongo::with_one_document();
    let (plain, tls) = (server.port, server_of_tls());
    let mut repo = Repo::new("");
    for (port, options, why, next) in [
        (plain, "tls=true", "answers without TLS", "remove `tls=true`"),
        (tls, "tls=false", "answers with TLS only", "add `tls=true`"),
        // The local server is in no set of this name.
        (
            plain,
            "replicaSet=other",
            "is the primary",
            "correct `replicaSet`",
        ),
    ] {
        let uri = format!("mongodb://u:wr0ng@127.0.0.1:{port}/?serverSelectionTimeoutMS=300&{options}");
        repo.set("LOCAL_MONGODB_URI", &uri);
        repo.xtask(&["backup"])
            .code(1)
            .says(why)
            .says("live: nothing was changed")
            .says("next: ")
            .says(next)
            .never_says("wr0ng");
    }
    repo.assert_nothing_left();
}
