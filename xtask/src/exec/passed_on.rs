//! What kinds of programs read of the environment beside what every child gets: certificates of a company's own authority,
//! proxies that only they know of, and the tokens of the service that they are for. Each list is from the program's own
//! documentation; a secret is only in the list of the program that it is for.

/// Programs that run on Node (Node.js, "Command-line API", environment variables).
pub const OF_NODE: &[&str] = &["NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA", "NODE_USE_ENV_PROXY"];

/// `gh`, also where git runs it as its credential helper (`gh help environment`).
pub const OF_GITHUB: &[&str] = &[
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GH_HOST",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GH_CONFIG_DIR",
];

/// `cargo` (The Cargo Book, "Environment variables", "Configuration"): without tokens, which only a publication needs.
pub const OF_CARGO: &[&str] = &[
    "CARGO_HOME",
    "RUSTUP_HOME",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
    "CARGO_NET_OFFLINE",
    "CARGO_NET_GIT_FETCH_WITH_CLI",
    "SSH_AUTH_SOCK",
];

/// Programs of the team: hooks, commands that follow, adapters, test suites. They may be of any language, and they may call
/// curl or git; tokens come only by the names that pipeline.toml gives.
pub const OF_TEAM: &[&str] = &[
    "NODE_EXTRA_CA_CERTS",
    "NODE_USE_SYSTEM_CA",
    "NODE_USE_ENV_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_program_gets_what_its_documentation_names_and_no_token_of_another_one() {
        let lists = [
            ("node", OF_NODE),
            ("gh", OF_GITHUB),
            ("cargo", OF_CARGO),
            ("team", OF_TEAM),
        ];
        for (variable, of) in [
            ("NODE_EXTRA_CA_CERTS", &["node", "team"][..]),
            ("NODE_USE_ENV_PROXY", &["node", "team"]),
            ("REQUESTS_CA_BUNDLE", &["team"]),
            ("CURL_CA_BUNDLE", &["team"]),
            ("CARGO_HTTP_CAINFO", &["cargo", "team"]),
            ("GH_TOKEN", &["gh"]),
            ("GITHUB_TOKEN", &["gh"]),
            ("GH_ENTERPRISE_TOKEN", &["gh"]),
            ("GITHUB_ENTERPRISE_TOKEN", &["gh"]),
            ("GH_HOST", &["gh"]),
            ("SSH_AUTH_SOCK", &["cargo"]),
            ("NPM_TOKEN", &[]),
            ("CARGO_REGISTRY_TOKEN", &[]),
            ("VERCEL_TOKEN", &[]),
            ("RAILWAY_TOKEN", &[]),
            ("AWS_SECRET_ACCESS_KEY", &[]),
        ] {
            let with = lists.iter().filter(|(_, list)| list.contains(&variable));
            let with: Vec<&str> = with.map(|(name, _)| *name).collect();
            assert_eq!(with, of, "{variable}");
        }
    }
}
