use super::*;
use crate::health::CheckGroup;

fn error_of(text: &str) -> String {
    let error = parse(Path::new("health.toml"), text).unwrap_err();
    crate::error::render(&error)
}

/// A file whose line 4 is the check's table, so that the lines of cases start at 5.
fn check(lines: &str) -> String {
    format!(
        "schema = \"health/1\"\n[check.other.http]\nurl = \"${{backend}}/o\"\n[check.one]\n{lines}\n[check.other]\ngroup = \"api\"\n"
    )
}

#[test]
fn the_default_file_and_the_rehearsals_have_no_mistake() {
    let default = include_str!("../../../../infrastructure/health.toml");
    let plan = parse(Path::new("health.toml"), default).unwrap();
    let groups: BTreeSet<CheckGroup> = plan.checks.iter().map(|check| check.group).collect();
    assert_eq!(groups.len(), 6, "every group has a check by default: {groups:?}");
    let template = include_str!("../../../../infrastructure/rehearsal/health.toml");
    let filled = template.replace("{{services}}", "http://127.0.0.1:9");
    let rehearsal = parse(Path::new("health.toml"), &filled).unwrap();
    assert_eq!(plan.checks.len(), rehearsal.checks.len());
}

/// A file, the place of its mistake, a piece of the message.
type Mistake = (String, &'static str, &'static str);

#[rustfmt::skip]
fn mistakes_of_files() -> Vec<Mistake> {
    let http = "group = \"api\"\n[check.one.http]\nurl = \"${backend}/x\"\n";
    vec![
        ("schema = \"health/2\"\n".into(), "health.toml:1:10:", "health/1"),
        ("schema = \"health/1\"\n".into(), "health.toml:1:1:", "there is no check"),
        ("schema = \"health/1\"\n[run]\nparalel = 4\n".into(), "health.toml:3:1:", "did you mean `parallel`?"),
        ("schema = \"health/1\"\n[run]\nparallel = 0\n".into(), "health.toml:3:12:", "`parallel` is from 1 to 64"),
        ("schema = \"health/1\"\n[run]\ndeadline_s = \"9\"\n".into(), "health.toml:3:14:", "invalid type"),
        (check("group = \"apis\""), "health.toml:5:9:", "did you mean `api`?"),
        (check("severity = \"critical\""), "health.toml:4:1:", "missing field `group`"),
        (check("group = \"api\""), "health.toml:4:8:", "needs exactly one of"),
        (check(&format!("depends_on = [\"othr\"]\n{http}")), "health.toml:5:15:", "did you mean `other`?"),
        (check(&format!("depends_on = [\"one\"]\n{http}")), "health.toml:4:8:", "in a circle: one"),
        (check(&format!("consecutive = 0\n{http}")), "health.toml:5:15:", "`consecutive` is from 1 to 100"),
        (check(&format!("retry = {{ factor = 0 }}\n{http}")), "health.toml:4:8:", "`retry` needs"),
        (check("group = \"api\"\n[check.one.http]\nurl = \"/x\""), "health.toml:7:7:", "an address starts with"),
        (check("group = \"api\"\n[check.one.http]\nurl = \"${backend}/${secret:KEY}\""), "health.toml:7:19:", "must not be part of an address"),
        (check("group = \"api\"\n[check.one.database]\ncollection = \"c\"\nsamples = 0"), "health.toml:7:14:", "`samples` is from"),
        (check("group = \"api\"\n[check.one.release]\nbackend = \"${backend}/\"\ncommit = \"$.c\"\nfrontend = \"${frontend}/\"\nmarker = \"m\"\nmarker_is = \"version\""), "health.toml:7:11:", "needs `version`"),
        (check("group = \"api\"\n[check.one.http]\nurl = "), "health.toml:7:", ""),
    ]
}

#[rustfmt::skip]
fn mistakes_of_requests() -> Vec<Mistake> {
    let http = "group = \"api\"\n[check.one.http]\nurl = \"${backend}/x\"\n";
    vec![
        (check(&format!("{http}[check.one.frontend]\nurl = \"${{frontend}}/\"")), "health.toml:4:8:", "exactly one of"),
        (check(&format!("{http}metod = \"GET\"")), "health.toml:8:1:", "did you mean `method`?"),
        (check(&format!("{http}method = \"POTS\"")), "health.toml:8:10:", "did you mean `POST`?"),
        (check(&format!("{http}samples = 0")), "health.toml:8:11:", "`samples` is from 1 to 1000"),
        (check(&format!("{http}timeout_ms = 0")), "health.toml:8:14:", "`timeout_ms` is from"),
        (check(&format!("{http}headers = {{ \"a b\" = \"c\" }}")), "health.toml:8:13:", "not the name of a header"),
        (check(&format!("{http}headers = {{ a = \"x ${{tken}}\" }}")), "health.toml:8:20:", "unknown variable `tken` in `${…}`"),
        (check(&format!("{http}headers = {{ a = \"${{frontent}}\" }}")), "health.toml:8:18:", "did you mean `frontend`?"),
        (check(&format!("{http}json = {{ a = [\"${{b\"] }}")), "health.toml:8:16:", "without `}`"),
        (check(&format!("{http}json = {{ a = 1 }}\nbody = \"x\"")), "health.toml:9:8:", "exclude each other"),
        (check(&format!("{http}capture = {{ t = \"token\" }}")), "health.toml:8:17:", "not a JSONPath"),
        (check(&format!("{http}expect = {{ status = [99] }}")), "health.toml:8:21:", "from 100 to 599"),
        (check(&format!("{http}expect = {{ status = 200 }}")), "health.toml:8:21:", "invalid type"),
        (check(&format!("{http}expect = {{ body = \"a(\" }}")), "health.toml:8:19:", "not a regular expression"),
        (check(&format!("{http}expect = {{ json = [{{ path = \"$[\" }}] }}")), "health.toml:8:29:", "not a JSONPath"),
        (check(&format!("{http}expect = {{ json = [{{ path = \"$\", typ = \"null\" }}] }}" )), "health.toml:8:34:", "did you mean `type`?"),
        (check(&format!("{http}expect = {{ json = [{{ path = \"$\", min = 2, max = 1 }}] }}" )), "health.toml:8:20:", "`min` is larger"),
        (check(&format!("{http}expect = {{ json = [{{ path = \"$\", max_count = 1, min_count = 2 }}] }}" )), "health.toml:8:20:", "`min_count` is larger"),
    ]
}

#[test]
fn every_kind_of_mistake_is_found_at_its_place() {
    let missed: Vec<String> = mistakes_of_files()
        .into_iter()
        .chain(mistakes_of_requests())
        .filter_map(|(text, place, hint)| {
            let error = error_of(&text);
            let is_found = error.contains(place) && error.contains(hint);
            (!is_found).then(|| format!("{text}\nwanted {place} {hint}\n{error}\n"))
        })
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_capture_is_only_for_checks_that_depend_on_it() {
    let file = |depends_on: &str| {
        format!(
            "schema = \"health/1\"\n[check.a]\ngroup = \"api\"\n[check.a.http]\nurl = \"${{backend}}/\"\n\
             capture = {{ t = \"$.t\" }}\n[check.b]\ngroup = \"api\"\ndepends_on = [\"a\"]\n[check.b.http]\n\
             url = \"${{backend}}/\"\n[check.c]\ngroup = \"api\"\n{depends_on}\n[check.c.http]\nurl = \"${{backend}}/${{t}}\"\n"
        )
    };
    assert!(parse(Path::new("health.toml"), &file("depends_on = [\"b\"]")).is_ok());
    let error = error_of(&file(""));
    assert!(
        error.contains("health.toml:16:19: `${t}` is captured by `a`"),
        "{error}"
    );
}

#[test]
fn all_mistakes_are_shown_at_once_in_the_order_of_the_file() {
    let error = error_of(&check(
        "group = \"api\"\nconsecutive = 0\n[check.one.http]\nurl = \"x\"\nsamples = 0",
    ));
    let lines: Vec<&str> = error
        .lines()
        .filter(|line| line.contains("health.toml:"))
        .collect();
    assert!(lines.len() >= 3, "{error}");
    assert!(
        lines[0].contains(":6:") && lines[1].contains(":8:") && lines[2].contains(":9:"),
        "{error}"
    );
}

#[test]
fn one_group_brings_what_it_depends_on() {
    let text = include_str!("../../../../infrastructure/health.toml");
    let mut plan = parse(Path::new("health.toml"), text).unwrap();
    plan.only(|check| check.group == CheckGroup::Features);
    let names: Vec<&str> = plan.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "api-health",
            "feature-flags",
            "wrong-password",
            "profile-needs-login",
            "listing"
        ]
    );
    assert!(plan.checks[1..].iter().all(|check| check.depends_on == [0]));
}

#[test]
fn a_release_that_no_application_reports_is_proved_by_the_platforms_alone() {
    let serving = "schema = \"health/1\"\n[check.serving]\ngroup = \"release\"\n[check.serving.serving]\n";
    let release = "[check.release]\ngroup = \"release\"\n[check.release.release]\nbackend = \"${backend}/\"\ncommit = \"$.commit\"\n\
                   frontend = \"${frontend}/\"\nmarker = \"release\"\nmarker_is = \"commit\"\n";
    for (text, expected) in [(serving.to_owned(), true), (format!("{serving}{release}"), false)] {
        let plan = parse(Path::new("health.toml"), &text).unwrap();
        let is_alone = plan.checks.iter().find_map(|check| match &check.probe {
            Probe::Serving(serving) => Some(serving.is_alone),
            _ => None,
        });
        assert_eq!(is_alone, Some(expected), "{text}");
    }
}
