use std::path::{Path, PathBuf};

use crate::config::{Config, UploadFrom};

/// An environment with both platforms, and no part yet.
macro_rules! head {
    () => {
        r#"schema = "pipeline/2"
default_environment = "production"

[environments.production]
tag_prefix = "prod"

[environments.production.railway]
project = "prj"
environment = "env"
token = "RAILWAY_TOKEN"

[environments.production.vercel]
org = "team_x"
token = "VERCEL_TOKEN"

"#
    };
}

/// Three backends and two frontends with one database.
const SET: &str = concat!(
    head!(),
    r#"[[environments.production.backends]]
name = "api"
platform = "railway"
service = "s-api"
folder = "apps/api"
upload = "root"
shares = ["packages/common"]
url = "https://api.example.com"

[[environments.production.backends]]
name = "worker"
platform = "railway"
service = "s-worker"
folder = "apps/worker"
after = ["api"]

[[environments.production.backends]]
name = "mailer"
platform = "railway"
service = "s-mailer"
folder = "apps/mailer"
after = ["worker"]

[[environments.production.frontends]]
name = "web"
platform = "vercel"
project = "prj_web"
folder = "apps/web"
domain = "www.example.com"

[[environments.production.frontends]]
name = "admin"
platform = "vercel"
project = "prj_admin"
folder = "apps/admin"
domain = "admin.example.com"

[environments.production.mongodb]
uri = "MONGODB_URI"
database = "shop"

[[environments.production.variables]]
secret = "JWT_SECRET"
railway = "JWT_SECRET"
parts = ["api", "worker"]
"#
);

fn read(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("pipeline.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn the_lists_of_a_set_are_read_with_what_their_parts_share() {
    let config = read(SET).unwrap();
    let environment = &config.environments["production"];
    let names: Vec<&str> = environment
        .backends
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    assert_eq!(names, ["api", "worker", "mailer"]);
    let [api, worker, _] = &environment.backends[..] else {
        panic!("{names:?}")
    };
    assert_eq!(
        (
            api.railway().unwrap().project.as_str(),
            worker.railway().unwrap().token.as_str()
        ),
        ("prj", "RAILWAY_TOKEN")
    );
    assert_eq!(
        (api.upload, worker.upload),
        (UploadFrom::Root, UploadFrom::Folder)
    );
    assert_eq!((&worker.url, &worker.after), (&None, &vec!["api".to_owned()]));
    assert_eq!(api.shares, [PathBuf::from("packages/common")]);
    assert_eq!(environment.frontends[1].vercel().unwrap().org, "team_x");
    assert_eq!(
        config.secret_names(environment),
        ["RAILWAY_TOKEN", "VERCEL_TOKEN", "MONGODB_URI", "JWT_SECRET"]
    );
}

/// The text without a table: from its header to the next one.
fn without(text: &str, header: &str) -> String {
    let start = text.find(header).unwrap();
    let rest = &text[start + header.len()..];
    let end = rest.find("\n[").map_or(rest.len(), |at| at + 1);
    format!("{}{}", &text[..start], &rest[end..])
}

#[test]
fn each_part_may_be_left_out_and_not_all_of_them() {
    let backends = ["[[environments.production.backends]]"; 3];
    let frontends = ["[[environments.production.frontends]]"; 2];
    let (railway, vercel) = (
        "[environments.production.railway]",
        "[environments.production.vercel]",
    );
    let (mongodb, variables) = (
        "[environments.production.mongodb]",
        "[[environments.production.variables]]",
    );
    let leave_out = |headers: &[&str]| {
        headers
            .iter()
            .fold(SET.to_owned(), |text, header| without(&text, header))
    };
    let no_backend = [&backends[..], &[railway, variables]].concat();
    let no_frontend = [&frontends[..], &[vercel]].concat();
    for left_out in [
        no_backend.clone(),
        no_frontend.clone(),
        vec![mongodb],
        [no_backend.clone(), no_frontend.clone()].concat(),
        [no_backend.clone(), vec![mongodb]].concat(),
    ] {
        read(&leave_out(&left_out)).unwrap_or_else(|error| panic!("{left_out:?}: {error}"));
    }
    let nothing = leave_out(&[no_backend, no_frontend, vec![mongodb]].concat());
    assert!(
        read(&nothing)
            .unwrap_err()
            .contains("has no backend, no frontend and no database")
    );
}

#[test]
fn a_part_that_would_be_taken_for_another_or_never_come_is_refused_with_its_line() {
    for (right, wrong, why) in [
        (
            "name = \"worker\"",
            "name = \"api\"",
            "`name` is that of another part too: api",
        ),
        (
            "name = \"web\"",
            "name = \"api\"",
            "`name` is that of another part too: api",
        ),
        (
            "\"s-worker\"",
            "\"s-api\"",
            "`service` is that of another part too: s-api",
        ),
        (
            "\"prj_admin\"",
            "\"prj_web\"",
            "`project` is that of another part too: prj_web",
        ),
        (
            "admin.example.com",
            "www.example.com",
            "`domain` is that of another part too",
        ),
        (
            "after = [\"api\"]",
            "after = [\"apy\"]",
            "`after` has `apy`, which is no backend",
        ),
        (
            "after = [\"api\"]",
            "after = [\"mailer\"]",
            "`after` leads from `worker` back to it",
        ),
        (
            "after = [\"api\"]",
            "after = [\"worker\"]",
            "`after` leads from `worker` back to it",
        ),
        (
            "name = \"worker\"",
            "name = \"My Worker\"",
            "`name` has lower-case letters",
        ),
        (
            "folder = \"apps/web\"",
            "folder = \"../web\"",
            "`folder` is a path below the root",
        ),
        (
            "[\"packages/common\"]",
            "[\"/packages\"]",
            "`shares` is a path below the root",
        ),
        (
            "parts = [\"api\", \"worker\"]",
            "parts = [\"web\"]",
            "`parts` has `web`",
        ),
        (
            "service = \"s-api\"",
            "servise = \"s-api\"",
            "unknown field `servise`",
        ),
        (
            "platform = \"vercel\"",
            "platform = \"netlify\"",
            "unknown variant, expected one of `railway`, `vercel`, `command`",
        ),
        (
            "upload = \"root\"",
            "upload = \"all\"",
            "unknown variant, expected `folder` or `root`",
        ),
    ] {
        assert!(SET.contains(right), "{right}");
        let text = SET.replacen(right, wrong, 1);
        let error = read(&text).expect_err(wrong);
        assert!(error.contains(why), "{wrong}: {error}");
        let (_, rest) = error.split_once("pipeline.toml:").unwrap();
        let named: usize = rest.split(':').next().unwrap().parse().unwrap();
        let key = wrong.split(" = ").next().unwrap();
        assert!(
            text.lines().nth(named - 1).unwrap().contains(key),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn a_tunnel_to_the_database_is_one_of_the_project_and_anything_else_is_refused_with_its_line() {
    let with = |more: &str| SET.replacen("database = \"shop\"", &format!("database = \"shop\"\n{more}"), 1);
    let tunnelled = read(&with(
        "via = \"railway-tunnel:Mongo DB\"\nvia_token = \"OUR_TOKEN\"",
    ))
    .unwrap();
    let environment = &tunnelled.environments["production"];
    let place = environment.mongodb.as_ref().unwrap().tunnel().unwrap();
    let given = [&place.project, &place.service, &place.token];
    assert_eq!(given, ["prj", "Mongo DB", "RAILWAY_TOKEN"]);
    assert!(environment.tokens().contains(&"OUR_TOKEN"));
    let direct = read(&with("via = \"direct\"")).unwrap();
    let direct = direct.environments["production"].mongodb.clone().unwrap();
    assert!(direct.tunnel().is_none());
    let form = "`via` is \"direct\" or \"railway-tunnel:SERVICE\"";
    for (wrong, why) in [
        ("via = \"railway-tunnel:\"", form),
        ("via = \"railway-tunnel: \"", form),
        ("via = \"railway-tunnel:--port\"", form),
        ("via = \"railway-tunnel:a\\nb\"", form),
        ("via = \"tunnel:mongodb\"", form),
        ("via = \"Direct\"", form),
        ("via = 1", "expected a string"),
        ("via_token = \"OUR_TOKEN\"", "`via_token` opens a tunnel"),
        (
            "via = \"railway-tunnel:m\"\nvia_token = \"our token\"",
            "`via_token` is the name of",
        ),
    ] {
        let error = read(&with(wrong)).expect_err(wrong);
        assert!(error.contains(why), "{wrong}: {error}");
        assert!(error.contains("pipeline.toml:"), "{wrong}: {error}");
    }
    let head = SET.split("[environments").next().unwrap();
    let alone = format!(
        "{head}[environments.production]\ntag_prefix = \"prod\"\n[environments.production.mongodb]\nuri = \"M\"\ndatabase = \"d\"\nvia = \"railway-tunnel:m\"\n"
    );
    let error = read(&alone).unwrap_err();
    assert!(
        error.contains("a tunnel needs the table `[environments.production.railway]`"),
        "{error}"
    );
}

#[test]
fn parts_without_the_table_of_their_platform_are_refused() {
    for (header, table) in [
        (
            "[environments.production.railway]",
            "`[environments.production.railway]`",
        ),
        (
            "[environments.production.vercel]",
            "`[environments.production.vercel]`",
        ),
    ] {
        let error = read(&without(SET, header)).unwrap_err();
        assert!(error.contains(table) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn a_file_of_one_version_is_not_read_as_one_of_the_other() {
    let as_first = SET.replace("pipeline/2", "pipeline/1");
    assert!(read(&as_first).unwrap_err().contains("unknown field `backends`"));
    let first = include_str!("../../../../../infrastructure/pipeline.toml");
    let as_second = first.replace("\"pipeline/1\"", "\"pipeline/2\"");
    assert!(read(&as_second).unwrap_err().contains("unknown field `service`"));
}

/// A backend elsewhere, API routes on Vercel, pages on Railway.
const ELSEWHERE: &str = concat!(
    "\n",
    head!(),
    r#"[[environments.production.backends]]
name = "engine"
platform = "command"
folder = "engine"
url = "https://engine.example.com"
[environments.production.backends.command]
current = ["deploy/engine", "current"]
deploy = ["deploy/engine", "deploy"]
rollback = ["deploy/engine", "rollback"]
wait = ["deploy/engine", "wait"]
env = ["ENGINE_KEY"]

[[environments.production.backends]]
name = "routes"
platform = "vercel"
project = "prj_routes"
folder = "routes"
domain = "api.example.com"

[[environments.production.frontends]]
name = "shop"
platform = "railway"
service = "svc-shop"
folder = "shop"
url = "https://www.example.com"

[[environments.production.frontends]]
name = "help"
platform = "command"
folder = "help"
url = "https://help.example.com"
[environments.production.frontends.command]
current = ["deploy/help", "current"]
stage = ["deploy/help", "stage"]
promote = ["deploy/help", "promote"]
wait = ["deploy/help", "wait"]
env = ["HELP_KEY"]
"#
);

#[test]
fn the_platform_of_a_part_decides_how_it_is_released_and_not_the_list_that_it_stands_in() {
    let config = read(ELSEWHERE).unwrap();
    let environment = &config.environments["production"];
    let uploaded: Vec<&str> = environment
        .backends
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    let staged: Vec<&str> = environment
        .frontends
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    assert_eq!(
        (uploaded, staged),
        (vec!["engine", "shop"], vec!["routes", "help"])
    );
    assert_eq!(
        config.secret_names(environment),
        ["RAILWAY_TOKEN", "VERCEL_TOKEN", "ENGINE_KEY", "HELP_KEY"]
    );
}

#[test]
fn a_key_of_another_platform_is_refused_at_its_place() {
    let cases = [
        (
            "current = [\"deploy/engine\", \"current\"]\n",
            "",
            "22:1",
            "missing field `current`",
        ),
        (
            "[\"deploy/engine\", \"wait\"]",
            "[]",
            "26:8",
            "`wait` is a program and its arguments",
        ),
        (
            "\"ENGINE_KEY\"",
            "\"s3cr3t\"",
            "27:",
            "`env` is the name of an environment variable",
        ),
        (
            "service = \"svc-shop\"\n",
            "",
            "",
            "`service` is an id of the platform",
        ),
        (
            "domain = \"api.example.com\"",
            "domain = \"api.example.com\"\nupload = \"root\"",
            "35:",
            "`upload` is no key of a part with platform = \"vercel\"",
        ),
        (
            "service = \"svc-shop\"",
            "service = \"svc-shop\"\nproject = \"prj_y\"",
            "40:",
            "`project` is no key of a part with platform = \"railway\"",
        ),
        (
            "url = \"https://engine.example.com\"",
            "url = \"https://engine.example.com\"\nservice = \"svc\"",
            "22:",
            "`service` is no key of a part with platform = \"command\"",
        ),
        (
            "url = \"https://help.example.com\"\n",
            "",
            "",
            "`url` is the address that users reach",
        ),
        (
            "url = \"https://help.example.com\"",
            "url = \"https://help.example.com\"\nafter = [\"engine\"]",
            "",
            "`after` is no key of a part that is staged",
        ),
        (
            "stage = [\"deploy/help\", \"stage\"]",
            "deploy = [\"deploy/help\", \"deploy\"]",
            "",
            "`deploy` is for a part that is live when it is uploaded",
        ),
        (
            "promote = [\"deploy/help\", \"promote\"]\n",
            "",
            "",
            "`promote` is a program and its arguments",
        ),
        (
            "deploy = [\"deploy/engine\", \"deploy\"]\n",
            "",
            "",
            "`deploy` is a program and its arguments",
        ),
        (
            "platform = \"command\"",
            "platform = \"fly\"",
            "",
            "unknown variant, expected one of `railway`, `vercel`, `command`",
        ),
    ];
    for (from, to, place, expected) in cases {
        assert!(ELSEWHERE.contains(from), "{from}");
        let error = read(&ELSEWHERE.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(expected) && error.contains(place), "{to}: {error}");
    }
    for (platform, part) in [("railway", "engine"), ("vercel", "help")] {
        let variable = format!(
            "\n[[environments.production.variables]]\nsecret = \"KEY\"\n{platform} = \"KEY\"\nparts = [\"{part}\"]\n"
        );
        let error = read(&format!("{ELSEWHERE}{variable}")).unwrap_err();
        assert!(error.contains(&format!("`parts` has `{part}`")), "{error}");
    }
}

/// A cluster of Atlas, with other lines than these where a key is named.
fn with_atlas(engine: &str, changed: &[(&str, &str)]) -> Result<Config, String> {
    let mut table = vec![
        ("project", "project = \"6a793f6b2c88faeba59bae37\""),
        ("cluster", "cluster = \"Shop-1\""),
        ("public_key", "public_key = \"ATLAS_PUBLIC_KEY\""),
        ("private_key", "private_key = \"ATLAS_PRIVATE_KEY\""),
    ];
    for (key, line) in changed {
        table.retain(|(known, _)| known != key);
        table.push((key, line));
    }
    let lines: Vec<&str> = table.iter().map(|(_, line)| *line).collect();
    let text = format!(
        "{SET}\n[environments.production.atlas]\n{}\n\n[backup]\nengine = \"{engine}\"\n",
        lines.join("\n")
    );
    Config::parse(Path::new("pipeline.toml"), &text).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_cluster_of_atlas_has_one_pair_of_credentials_and_the_engine_is_for_environments_with_one() {
    let config = with_atlas("both", &[]).unwrap();
    let environment = &config.environments["production"];
    assert!(config.engine(environment).has_archive() && config.engine(environment).has_snapshot());
    let names = config.secret_names(environment);
    assert!(names.contains(&"ATLAS_PRIVATE_KEY".to_owned()), "{names:?}");
    let alone = Config::parse(
        Path::new("pipeline.toml"),
        &format!("{SET}\n[backup]\nengine = \"atlas\"\n"),
    );
    assert!(format!("{:#}", alone.unwrap_err()).contains("`engine` needs the table"));
    let account = [
        ("public_key", ""),
        ("private_key", ""),
        ("client_id", "client_id = \"ATLAS_ID\""),
        ("client_secret", "client_secret = \"ATLAS_SECRET\""),
    ];
    with_atlas("atlas", &account).unwrap();
    for (key, line, told) in [
        ("project", "project = \"shop\"", "24 hexadecimal digits"),
        ("cluster", "cluster = \"--help\"", "is the name of a cluster"),
        ("private_key", "", "`public_key` and `private_key`, or"),
        (
            "client_id",
            "client_id = \"ATLAS_ID\"",
            "`public_key` and `private_key`, or",
        ),
        (
            "public_key",
            "public_key = \"abcdefgh\"",
            "name of an environment variable",
        ),
        ("snapshot_s", "snapshot_s = 0", "from 1 to 86400 seconds"),
        ("watch", "watch = true", "unknown field"),
    ] {
        let error = with_atlas("both", &[(key, line)]).unwrap_err();
        assert!(error.contains(told), "{line}: {error}");
    }
    assert!(with_atlas("cloud", &[]).is_err());
}

#[test]
fn a_variable_that_deploy_sets_itself_is_refused() {
    let text = SET.replacen("railway = \"JWT_SECRET\"", "railway = \"RELEASE_COMMIT\"", 1);
    let error = read(&text).unwrap_err();
    assert!(error.contains("has a name that `deploy` sets itself"), "{error}");
}
