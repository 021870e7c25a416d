use std::path::Path;

use super::super::Config;

const TEMPLATE: &str = include_str!("../../../../infrastructure/pipeline.toml");

/// A second environment, with another prefix.
const STAGING: &str = r#"
[environments.staging]
tag_prefix = "staging"
railway = { project = "p", environment = "e", service = "s", token = "T", source = "backend", url = "https://a.example" }
vercel = { org = "o", project = "p", token = "T", source = "frontend", domain = "b.example" }
mongodb = { uri = "U", database = "shop" }
"#;

const SUITE: &str = "[tests.frontend]";

/// What stands in the file, and what is refused in its place.
const CASES: &[(&str, &str)] = &[
    (
        "default_environment = \"production\"",
        "default_environment = \"live\"",
    ),
    (
        "default_environment = \"production\"",
        "default_environment = \"production\"\nstate_dir = \"a $(b)\"",
    ),
    ("version = \"0.2\"", "version = \"0.2-next\""),
    ("[migrations]", "[mask]\n\"users\" = \"null\"\n[migrations]"),
    ("[migrations]", "[mask]\n\"users.email\" = \"hash\"\n[migrations]"),
    ("[migrations]", "[mask]\n\"users.email\" = \"hsah\"\n[migrations]"),
    ("[migrations]", "[mask]\n\"users.email\" = 5\n[migrations]"),
    (
        "[migrations]",
        "[mask]\n\"users.email\" = { fixed = [1] }\n[migrations]",
    ),
    ("[migrations]", "[mask]\n\"users._id\" = \"null\"\n[migrations]"),
    (
        "[migrations]",
        "[mask]\n\"users._id.part\" = \"null\"\n[migrations]",
    ),
    (
        "[migrations]",
        "[mask]\n\"users.tags.0\" = \"null\"\n[migrations]",
    ),
    ("[migrations]", "[mask]\n\"users.$x\" = \"null\"\n[migrations]"),
    ("[migrations]", "[mask]\n\"users..x\" = \"null\"\n[migrations]"),
    (
        "[migrations]",
        "[mask]\n\"users.a\" = \"null\"\n\"users.a.b\" = \"null\"\n[migrations]",
    ),
    ("keep_old_hours = 72", "mask_key = \"a secret\""),
    (
        "setup = \"./.github/actions/xtask\"",
        "setup = \"./../elsewhere\"",
    ),
    (
        "setup = \"./.github/actions/xtask\"",
        "setup = \"owner/tool/setup-action\"",
    ),
    (
        "setup = \"./.github/actions/xtask\"",
        "setup = \"owner/tool@v1\\n      - run: id\"",
    ),
    ("setup = \"./.github/actions/xtask\"", "runs_on = []"),
    (
        "setup = \"./.github/actions/xtask\"",
        "runs_on = [\"${{ inputs.x }}\"]",
    ),
    (
        "environments = [\"production-approval-1\"",
        "environments = [\"${{ github.actor }}\"",
    ),
    ("remote = \"origin\"", "remote = \"--upload-pack=x\""),
    ("branch = \"main\"", "branch = \"ma*n\""),
    (
        "repository = \"example/shop\"",
        "repository = \"https://github.com/example/shop\"",
    ),
    ("retention_days = 90", "retention_days = 0"),
    (
        "identity = \"BACKUP_AGE_IDENTITY\"",
        "identity = \"AGE-SECRET-KEY-1QQ\"",
    ),
    ("path = \"backups\"", "path = \"\""),
    (
        "paths = [\"backend/migrations\"]",
        "paths = [\"../other/migrations\"]",
    ),
    ("paths = [\"backend/migrations\"]", "paths = [\"\"]"),
    ("required = 2 ", "required = 99 "),
    ("max_age_hours = 24", "max_age_hours = 0"),
    ("\"production-approval-2\"]", "\"production-approval-1\"]"),
    (
        "# production-approval-1 = [\"ann\", \"bob\"]",
        "production-aproval-1 = [\"ann\"]",
    ),
    (
        "# rollback = \"production-rollback\"",
        "rollback = \"production\"",
    ),
    ("dir = \"backend\"", "dir = \"/srv\""),
    ("command = [\"npm\", \"test\"]", "command = []"),
    (
        "slack = \"SLACK_WEBHOOK_URL\"",
        "slack = \"https://hooks.example/T0/B0\"",
    ),
    (
        SUITE,
        "[tests.backend.services.mongodb]\nimage = \"mongo\"\nports = [27017]\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.mongodb]\nimage = \"mongo:latest\"\nports = [27017]\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.mongodb]\nimage = \"${{ x }}:8\"\nports = [27017]\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.Mongo]\nimage = \"mongo:8.0\"\nports = [27017]\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.mongodb]\nimage = \"mongo:8.0\"\nports = []\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.mongodb]\nimage = \"mongo:8.0\"\nports = [1]\nready = \"$(x)\"\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.mongodb]\nimage = \"mongo:8.0\"\nports = [1]\nenv = { A = \"${{ secrets.X }}\" }\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.a]\nimage = \"mongo:8.0\"\nports = [1]\n[tests.backend.services.b]\nimage = \"mongo:7.0\"\nports = [1]\n[tests.frontend]",
    ),
    (
        SUITE,
        "[tests.backend.services.a]\nimage = \"mongo:8.0\"\nports = [1]\n[tests.frontend.services.a]\nimage = \"mongo:7.0\"\nports = [1]\n[tests.frontend]",
    ),
    ("tag_prefix = \"prod\"", "tag_prefix = \"\""),
    ("tag_prefix = \"prod\"", "tag_prefix = \"prod*\""),
    ("tag_prefix = \"prod\"", "tag_prefix = \"a..b\""),
    ("tag_prefix = \"staging\"", "tag_prefix = \"prod\""),
    (
        "service = \"00000000-0000-0000-0000-000000000000\"",
        "service = \"\"",
    ),
    (
        "token = \"PROD_RAILWAY_TOKEN\"",
        "token = \"5f1c0a3e-1111-2222-3333-444455556666\"",
    ),
    ("token = \"PROD_VERCEL_TOKEN\"", "token = \"vqX1sDk2mZ\""),
    ("source = \"backend\"\nurl", "source = \"../backend\"\nurl"),
    ("source = \"frontend\"\ndomain", "source = \"/frontend\"\ndomain"),
    ("url = \"https://api.example.com\"", "url = \"api.example.com\""),
    (
        "url = \"https://api.example.com\"",
        "url = \"https://user:pass@api.example.com\"",
    ),
    (
        "url = \"https://api.example.com\"",
        "url = \"ftp://api.example.com\"",
    ),
    (
        "domain = \"www.example.com\"",
        "domain = \"https://www.example.com/\"",
    ),
    (
        "# protection_bypass = \"PROD_VERCEL_BYPASS\" ",
        "staged_url = \"https://preview.example\" ",
    ),
    (
        "uri = \"PROD_MONGODB_URI\"",
        "uri = \"mongodb://user:pass@db.example\"",
    ),
    (
        "database = \"shop\"\n\n",
        "database = \"mongodb://user:pass@db.example\"\n\n",
    ),
    (
        "secret = \"PROD_JWT_SECRET\" # here\nrailway = \"JWT_SECRET\"",
        "secret = \"PROD_JWT_SECRET\"",
    ),
    ("railway = \"SESSION_SECRET\"", "railway = \"JWT_SECRET\""),
];

fn read(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("pipeline.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_value_that_would_fail_later_is_refused_with_its_line() {
    let whole = format!("{TEMPLATE}{STAGING}");
    read(&whole).unwrap();
    let mut accepted = Vec::new();
    for &(right, wrong) in CASES {
        let (before, _) = whole.split_once(right).expect(right);
        let text = whole.replacen(right, wrong, 1);
        let Err(error) = read(&text) else {
            accepted.push(wrong);
            continue;
        };
        // The line that was changed, or where an entry of a list begins.
        let line_at = |at: usize| 1 + whole[..at].matches('\n').count();
        let first = line_at(before.len());
        let changed = first..first + wrong.lines().count();
        let entry = before.rfind("\n[[").map(|at| line_at(at + 1));
        let is_there = |mistake: &str| {
            let line = mistake.split(':').nth(1).and_then(|line| line.parse().ok());
            line.is_some_and(|line: usize| changed.contains(&line) || Some(line) == entry)
        };
        assert!(error.lines().any(is_there), "{wrong}: {changed:?}: {error}");
        for secret in [
            "pass@",
            "AGE-SECRET",
            "5f1c0a3e",
            "vqX1sDk2mZ",
            "hooks.example/T0",
        ] {
            assert!(!error.contains(secret), "{wrong}: {error}");
        }
    }
    let (count, all) = (accepted.len(), CASES.len());
    assert_eq!(accepted, [""; 0], "{count} of {all} are accepted");
}

#[test]
fn a_mail_server_needs_a_host_receivers_and_both_halves_of_its_login() {
    let email = |more: &str| {
        format!(
            "{TEMPLATE}\n[notify.email]\nserver = \"smtp.example.com\"\nfrom = \"a@example.com\"\n{more}\n"
        )
    };
    assert!(read(&email("to = [\"b@example.com\"]")).is_ok());
    for wrong in [
        "to = []",
        "to = [\"b\"]",
        "to = [\"b@example.com\"]\nuser = \"SMTP_USER\"",
    ] {
        let error = read(&email(wrong)).expect_err(wrong);
        assert!(error.starts_with("pipeline.toml:"), "{error}");
    }
}
