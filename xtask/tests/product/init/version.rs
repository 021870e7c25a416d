//! Files that are meant for another version of the program.

use rehearsal::test_env::layouts::{ACTION, filled};

use super::made;
use crate::installed::xtask;

#[test]
fn a_file_of_another_version_deploys_nothing_and_is_enough_for_a_rollback() {
    let folder = made("pnpm-folders");
    xtask(folder.path(), &["init", "--offline", "--setup", ACTION]);
    let file = folder.path().join("infrastructure/pipeline.toml");
    let text = filled(&std::fs::read_to_string(&file).unwrap());
    let later = text.replace("version = \"0.2\"", "version = \"7.2\"");
    let later = later.replace(
        "[environments.production.railway]",
        "[environments.production.railway]\nregion = \"x\"",
    );
    std::fs::write(&file, format!("{later}\n[canary]\npercent = 5\n")).unwrap();
    let refused = "is meant for version 7.2 of this program, and this is";
    for args in [&["deploy", "--plan"][..], &["generate"]] {
        let (code, _, stderr) = xtask(folder.path(), args);
        assert!(
            code == 3 && stderr.contains("error[version-other]") && stderr.contains(refused),
            "{stderr}"
        );
    }
    for args in [
        &["rollback", "prod-20260102-030405", "--plan"][..],
        &["restore", "--list"],
        &["doctor", "--config-only"],
    ] {
        let (_, _, stderr) = xtask(folder.path(), args);
        assert!(
            stderr.contains("warning: ")
                && stderr.contains(refused)
                && !stderr.contains("error[version-other]"),
            "{stderr}"
        );
        assert!(
            stderr.contains("unknown keys of infrastructure/pipeline.toml: ") && stderr.contains("canary"),
            "{stderr}"
        );
        assert!(
            stderr.contains("environments.production.railway.region"),
            "{stderr}"
        );
        assert!(!stderr.contains("error[file-invalid]"), "{stderr}");
    }
    // The same keys in a file of this version are mistakes.
    std::fs::write(&file, format!("{text}\n[canary]\npercent = 5\n")).unwrap();
    let (code, _, stderr) = xtask(folder.path(), &["rollback", "prod-20260102-030405", "--plan"]);
    assert!(code == 2 && stderr.contains("unknown field `canary`"), "{stderr}");
}
