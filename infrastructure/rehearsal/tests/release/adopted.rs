//! From a team's repository to a rehearsed deploy and rollback: `init`, then a rehearsal, and no file edited by hand.

use std::process::Command;

use rehearsal::scenarios::{Setting, adopted};
use rehearsal::test_env::TestEnv;
use rehearsal::test_env::adopted::Adopted;
use rehearsal::test_env::git::{commit_first, git, write_files};
use rehearsal::test_env::layouts::{self, filled};
use rehearsal::test_env::programs::{PRODUCT, built, repository};
use rehearsal::test_env::sample::sampled;

/// A repository with backend, frontend and tests, as teams have it.
const FILES: &[(&str, &str)] = &[
    (
        "backend/package.json",
        r#"{"name":"api","scripts":{"start":"node server.js","test":"node --test"},"engines":{"node":">=20"}}"#,
    ),
    (
        "backend/server.js",
        r"const http = require('node:http');
const uri = process.env.MONGODB_URI;
if (!uri || !process.env.JWT_SECRET) { console.error('variables are missing'); process.exit(1); }
http.createServer((request, response) => {
  const known = request.url === '/healthz';
  response.writeHead(known ? 200 : 404, {'content-type': 'application/json'});
  response.end(JSON.stringify(known ? {status: 'ok'} : {error: 'not found'}));
}).listen(process.env.PORT, () => console.log('ready'));
// app.get('/healthz') would be Express.
",
    ),
    (
        "backend/.env.example",
        "PORT=3000\nMONGODB_URI=mongodb+srv://user:password@cluster.example.mongodb.net/orchard\nJWT_SECRET=\n",
    ),
    (
        "backend/railway.json",
        r#"{"deploy":{"healthcheckPath":"/healthz"}}"#,
    ),
    ("backend/migrations/20260101-names.js", "module.exports = {};\n"),
    (
        "frontend/package.json",
        r#"{"name":"web","scripts":{"dev":"vite"}}"#,
    ),
    (
        "frontend/index.html",
        "<!doctype html><html lang=\"en\"><head><title>Orchard</title></head><body>Hello</body></html>\n",
    ),
    ("frontend/vercel.json", "{}\n"),
    (".gitignore", "node_modules\n.env\n"),
];

#[test]
fn a_repository_is_adopted_and_rehearsed_by_two_commands_with_no_file_edited_by_hand() {
    let team = tempfile::tempdir().unwrap();
    write_files(team.path(), FILES.iter().copied());
    commit_first(team.path(), "trunk");
    git(
        team.path(),
        &["remote", "add", "origin", "git@github.com:orchard/shop.git"],
    );

    let init = Command::new(built(PRODUCT))
        .args(["init", "--offline"])
        .current_dir(team.path())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&init.stdout).into_owned();
    assert!(
        init.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&init.stderr)
    );

    let team = Adopted::read(team.path()).unwrap();
    assert_eq!(
        team.replaced(),
        Vec::<String>::new(),
        "node starts the backend, and the page is served as it is"
    );
    assert_eq!(
        (team.database(), team.branch()),
        ("orchard".to_owned(), "trunk".to_owned())
    );
    let text = rehearsed(team, 500, "adopted");
    assert!(
        text.contains("25 later documents are kept")
            && text.contains("1 backends and 1 frontends serve the first release")
            && !text.contains("not your own"),
        "{text}"
    );
}

/// Layouts for which `init` proposes lists of parts, with how many backends and frontends they have.
const LISTS: &[(&str, usize, usize)] = &[
    ("workspaces-of-services", 2, 2),
    ("next-alone", 0, 1),
    ("two-frontends", 1, 2),
    ("fastify-nuxt-worker", 2, 1),
];

#[test]
fn proposed_lists_are_valid_once_their_marks_are_filled_in_and_can_be_rehearsed() {
    for (layout, backends, frontends) in sampled(LISTS.iter().copied(), LISTS.len(), 0) {
        let team = tempfile::tempdir().unwrap();
        layouts::named(layout).clone_into(team.path());
        let product = |arguments: &[&str]| {
            let mut command = Command::new(built(PRODUCT));
            let output = command.args(arguments).current_dir(team.path()).output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(output.status.success(), "{layout}: {text}");
        };
        product(&["init", "--offline", "--accept", "automatic-deploys"]);
        for name in ["pipeline.toml", "health.toml"] {
            let file = team.path().join("infrastructure").join(name);
            let text = std::fs::read_to_string(&file).unwrap();
            let is_list = name == "health.toml" || text.contains("schema = \"pipeline/2\"");
            assert!(is_list, "{layout}: {text}");
            std::fs::write(&file, filled(&text)).unwrap();
        }
        product(&["doctor", "--config-only"]);
        product(&["generate"]);
        let text = rehearsed(Adopted::read(team.path()).unwrap(), 200, layout);
        let served = format!("{backends} backends and {frontends} frontends serve the first release");
        assert!(
            text.contains(&served) && text.contains("25 later documents are kept"),
            "{layout}: {text}"
        );
    }
}

/// Plays the rehearsal of a team's repository, and gives its report.
pub fn rehearsed(team: Adopted, documents: u32, name: &str) -> String {
    let folder = tempfile::Builder::new()
        .prefix("xtask-adopted-")
        .tempdir()
        .unwrap();
    let env = TestEnv::start_adopted(repository(), folder.path(), team).unwrap();
    let setting = Setting {
        documents: Some(documents),
        seed: 1,
        platform_s: 0,
    };
    match adopted::play(setting, &env) {
        Ok(rehearsed) => rehearsed.text(),
        Err(error) => panic!("{name}: {error:#}, see {}", folder.keep().display()),
    }
}
