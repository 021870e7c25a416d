//! Settings of git that people and workflows bring by the environment.

use crate::operation::case::Case;

#[test]
fn configuration_by_the_environment_reaches_every_call() {
    let case = Case::new();
    let origin = case.env.folder.join("origin.git");
    let rewritten = format!("url.{}.insteadOf", origin.display());
    // Without the third pair the remote is unknown; with a part of them git ends with "missing config key".
    std::fs::write(
        case.env.clone_dir().join(".git/config"),
        "[core]\n\trepositoryformatversion = 0\n[remote \"origin\"]\n\turl = company:shop\n\tmirror = true\n",
    )
    .unwrap();
    let settings = [
        ("GIT_CONFIG_COUNT", "3"),
        ("GIT_CONFIG_KEY_0", "color.ui"),
        ("GIT_CONFIG_VALUE_0", "always"),
        ("GIT_CONFIG_KEY_1", "core.hooksPath"),
        ("GIT_CONFIG_VALUE_1", "/nowhere"),
        ("GIT_CONFIG_KEY_2", rewritten.as_str()),
        ("GIT_CONFIG_VALUE_2", "company:shop"),
        (
            "GIT_CONFIG_PARAMETERS",
            "'log.showSignature=true' 'core.quotePath=true'",
        ),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    let deployed = case.run(&["deploy"], &settings);
    assert_eq!(deployed.code, Some(0), "{}", deployed.error());
}
