//! Errors of the connection to MongoDB.

use super::catalogue;

catalogue! {
    "Database", "The database was not changed.";

    /// No server answers.
    no_server(host, cause) Failed
        "no MongoDB server answers at {host}: {cause}",
        live "nothing was changed",
        next "check the connection string's host, user and network access, and run the command again";

    /// A cluster of Atlas was not reached: it is paused, or drops what comes from an address that is not on its list.
    no_atlas_server(host, cause) Failed
        "no MongoDB server answers at {host}: {cause}",
        live "nothing was changed",
        next "check in Atlas that the cluster is not paused and that Network Access lists the address of this machine, and run the command again";

    /// The server ends the TLS handshake, as Atlas does with an address that is not on its list.
    address_refused(host) Failed
        "the MongoDB server at {host} ends the TLS handshake: Atlas does so where the address of this machine is not on the project's access list",
        live "nothing was changed",
        next "add the address under Network Access in Atlas, and run the command again (a machine of GitHub has another one each time: docs/SETUP.md)";

    /// The variable with the limit for a silent server holds something else.
    silence_invalid(variable) Usage
        "{variable} is not a number of seconds greater than 0",
        live "nothing was changed",
        next "correct {variable}, or leave it out for the usual limits, and run the command again";

    /// The connection string has TLS, and the server answers without.
    server_without_tls(host) Failed
        "the MongoDB server at {host} answers without TLS, and the connection string asks for it",
        live "nothing was changed",
        next "remove `tls=true` (or `ssl=true`) from the connection string if the network is trusted, or give the server a certificate, and run the command again";

    /// The server has TLS, and the connection string has not.
    server_with_tls(host) Failed
        "the MongoDB server at {host} answers with TLS only, and the connection string does not ask for it",
        live "nothing was changed",
        next "add `tls=true` to the connection string (and `tlsCAFile=FILE` for a certificate of your own authority), and run the command again";

    /// No member of the replica set that this machine reaches is the primary.
    no_primary(host, cause) Failed
        "no member of the replica set at {host} that this machine reaches is the primary: {cause}",
        live "nothing was changed",
        next "check `rs.status()` on a member: wait for an election, correct `replicaSet` in the connection string, or make the members' names of the configuration known here; then run the command again";

    /// The server was reached and does not answer.
    database_silent(host, seconds) Failed
        "the MongoDB server at {host} took the connection and did not answer within {seconds} s",
        next "check the server and the proxies and firewalls before it, and run the command again";

    /// The tunnel to the server does not open.
    tunnel_not_open(service, cause) Failed
        "the tunnel to the database, `railway connect {service} --tunnel-only`, did not open: {cause}",
        next "check the name of the service, and that the ssh key of this machine is registered with the token's account (`railway ssh keys`), and run the command again";

    /// The connection string cannot be read.
    connection_string_unusable(cause) Usage
        "the MongoDB connection string is not usable: {cause}",
        live "nothing was changed",
        next "correct the secret that `[environments.*.mongodb] uri` names";
}
