//! `upgrade`: what a team copied and edited of an earlier version gets today's form, and no edit is lost.

use rehearsal::test_env::git::write_files;

use crate::installed::xtask;

const DEPLOY: &str = ".github/workflows/production-deploy.yml";
const ROLLBACK: &str = ".github/workflows/production-rollback.yml";
const DRILL: &str = ".github/workflows/restore-drill.yml";
const SWEEPER: &str = ".github/workflows/approval-sweeper.yml";
const PIPELINE: &str = "infrastructure/pipeline.toml";
const HEALTH: &str = "infrastructure/health.toml";
const ACTION: &str = "x/y/setup-action@0000000000000000000000000000000000000000";

/// A repository with the files of the first version as they were copied.
struct Copied(tempfile::TempDir);

impl Copied {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            (
                DEPLOY,
                include_str!("upgrade/first/.github/workflows/production-deploy.yml"),
            ),
            (
                ROLLBACK,
                include_str!("upgrade/first/.github/workflows/production-rollback.yml"),
            ),
            (
                DRILL,
                include_str!("upgrade/first/.github/workflows/restore-drill.yml"),
            ),
            (
                SWEEPER,
                include_str!("upgrade/first/.github/workflows/approval-sweeper.yml"),
            ),
            (
                PIPELINE,
                include_str!("upgrade/first/infrastructure/pipeline.toml"),
            ),
            (HEALTH, include_str!("upgrade/first/infrastructure/health.toml")),
        ];
        write_files(folder.path(), files);
        Self(folder)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.path().join(path)).unwrap()
    }

    /// Each pair is what stands there and what the team wrote in its place.
    fn edit(&self, path: &str, edits: &[(&str, &str)]) {
        let mut text = self.read(path);
        for (from, to) in edits {
            assert!(text.contains(from), "{path} has no {from}");
            text = text.replace(from, to);
        }
        std::fs::write(self.0.path().join(path), text).unwrap();
    }

    fn xtask(&self, args: &[&str]) -> (i32, String, String) {
        xtask(self.0.path(), args)
    }
}

/// Variables of the team in the place of those that the first version came with, in its workflows and its pipeline.toml.
const OWN_VARIABLES: &[(&str, &str)] = &[(
    "          PROD_GOOGLE_CLIENT_ID: ${{ secrets.PROD_GOOGLE_CLIENT_ID }}\n          PROD_GOOGLE_CLIENT_SECRET: ${{ secrets.PROD_GOOGLE_CLIENT_SECRET }}\n",
    "          PROD_STRIPE_KEY: ${{ secrets.PROD_STRIPE_KEY }}\n",
)];

fn own_variables(copied: &Copied) {
    let text = copied.read(PIPELINE);
    let (before, _) = text
        .split_once("[[environments.production.variables]]\nsecret = \"PROD_GOOGLE_CLIENT_ID\"")
        .unwrap();
    let more = "[[environments.production.variables]]\nsecret = \"PROD_STRIPE_KEY\"  # live, not test\nrailway = \"STRIPE_KEY\"\n";
    std::fs::write(copied.0.path().join(PIPELINE), format!("{before}{more}")).unwrap();
    copied.edit(DEPLOY, OWN_VARIABLES);
    copied.edit(ROLLBACK, OWN_VARIABLES);
}

#[test]
fn files_that_nobody_edited_become_those_that_generate_writes() {
    let copied = Copied::new();
    own_variables(&copied);
    let before = copied.read(PIPELINE);
    let (code, stdout, stderr) = copied.xtask(&["upgrade", "--plan"]);
    assert!(
        code == 0 && stdout.contains("to be changed: .github/workflows/production-deploy.yml"),
        "{stdout}{stderr}"
    );
    assert_eq!(copied.read(PIPELINE), before, "--plan writes nothing");

    let (code, stdout, stderr) = copied.xtask(&["upgrade", "--setup", ACTION]);
    assert!(
        code == 0 && stdout.contains("from 0.0 to 0.2"),
        "{stdout}{stderr}"
    );
    assert_eq!(stdout.matches("written: ").count(), 5, "{stdout}");
    let pipeline = copied.read(PIPELINE);
    for kept in [
        "# live, not test",
        "# release tags and the ledger are pushed here",
        "# [notify.email]",
        "retention_days = 90",
    ] {
        assert!(pipeline.contains(kept), "{kept}: {pipeline}");
    }
    for new in [
        "version = \"0.2\"",
        "identity = \"BACKUP_AGE_IDENTITY\"",
        "schema = \"pipeline/2\"",
        "[[environments.production.backends]]\nname = \"backend\"\nplatform = \"railway\"\nservice",
        "[[environments.production.frontends]]",
        ACTION,
        "empty: the public side of `identity`",
    ] {
        assert!(pipeline.contains(new), "{new}: {pipeline}");
    }
    let (before, _) = pipeline.split_once("[environments.production]").unwrap();
    assert!(before.contains("\n[workflows]\nsetup = "), "{pipeline}");
    assert!(copied.0.path().join(".xtask/.gitignore").is_file());
    let (code, stdout, stderr) = copied.xtask(&["generate", "--check"]);
    assert!(
        code == 0 && stdout.matches("up to date").count() == 4,
        "{stdout}{stderr}"
    );
    // A second time there is nothing to do.
    let (code, stdout, stderr) = copied.xtask(&["upgrade"]);
    assert!(
        code == 0 && stdout.matches("up to date: ").count() == 5,
        "{stdout}{stderr}"
    );
}

#[test]
fn edits_of_a_team_survive_with_their_comments_and_pins() {
    let copied = Copied::new();
    own_variables(&copied);
    copied.edit(
        DEPLOY,
        &[
            ("    name: Deploy\n    needs: approval-2\n    runs-on: ubuntu-latest\n    timeout-minutes: 60\n", "    name: Deploy\n    needs: approval-2\n    runs-on: [self-hosted, release] # has the VPN\n    timeout-minutes: 60\n"),
            ("actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0", "actions/upload-artifact@v8"),
            ("  workflow_dispatch:\n", "  workflow_dispatch:\n  # Releases on Monday mornings.\n  schedule:\n    - cron: \"0 6 * * 1\"\n"),
            ("      - name: Tell how it ended\n", "      - name: Empty the cache of the content network\n        run: ./scripts/purge.sh\n        env:\n          CDN_TOKEN: ${{ secrets.CDN_TOKEN }}\n      - name: Tell how it ended\n"),
        ],
    );
    copied.edit(DRILL, &[("\"42 3 * * 1\"", "\"42 3 * * 6\"")]);
    std::fs::remove_file(copied.0.path().join(SWEEPER)).unwrap();
    let (code, stdout, stderr) = copied.xtask(&["upgrade", "--setup", ACTION]);
    assert!(code == 0, "{stdout}{stderr}");
    let deploy = copied.read(DEPLOY);
    for kept in [
        "runs-on: [self-hosted, release] # has the VPN",
        "actions/upload-artifact@v8\n",
        "  # Releases on Monday mornings.\n  schedule:\n",
        "CDN_TOKEN: ${{ secrets.CDN_TOKEN }}",
        "PROD_STRIPE_KEY",
    ] {
        assert!(deploy.contains(kept), "{kept}: {deploy}");
    }
    for new in ["deploy --prepare --yes", "statuses: read", ACTION] {
        assert!(deploy.contains(new), "{new}: {deploy}");
    }
    assert!(
        !deploy.contains("upload-artifact@bbb") && !deploy.contains("SMTP_USER"),
        "{deploy}"
    );
    assert!(
        copied.read(DRILL).contains("42 3 * * 6") && copied.read(DRILL).contains("exec xtask backup drill")
    );
    assert!(
        stdout.contains("removed by you, left away: .github/workflows/approval-sweeper.yml"),
        "{stdout}"
    );
    assert!(!copied.0.path().join(SWEEPER).exists());
    assert!(stdout.contains("kept: on.schedule is too much"), "{stdout}");
}

#[test]
fn where_both_changed_the_same_lines_nothing_is_written_but_a_proposal_and_the_edited_proposal_is_taken() {
    let copied = Copied::new();
    copied.edit(
        DEPLOY,
        &[("run: xtask deploy --yes", "run: xtask deploy --yes --verbose")],
    );
    let (deploy, pipeline) = (copied.read(DEPLOY), copied.read(PIPELINE));
    let (code, stdout, stderr) = copied.xtask(&["upgrade"]);
    let proposal = ".xtask/upgrade/production-deploy.yml";
    assert!(
        code == 3 && stderr.contains("error[upgrade-conflicts]") && stderr.contains(proposal),
        "{stdout}{stderr}"
    );
    assert!(
        stdout.contains("| <<<<<<< your file") && stdout.contains("--verbose"),
        "{stdout}"
    );
    assert_eq!((copied.read(DEPLOY), copied.read(PIPELINE)), (deploy, pipeline));

    // What somebody has begun is not written over, and is not taken before it is whole.
    let text = copied.read(proposal);
    let (before, rest) = text.split_once("<<<<<<< your file\n").unwrap();
    let (_, rest) = rest.split_once("=======\n").unwrap();
    let (theirs, after) = rest.split_once(">>>>>>> version 0.2\n").unwrap();
    let begun = format!("{before}<<<<<<< your file\n# mine\n{theirs}{after}");
    std::fs::write(copied.0.path().join(proposal), &begun).unwrap();
    let (code, ..) = copied.xtask(&["upgrade"]);
    assert!(code == 3 && copied.read(proposal) == begun);
    let whole = format!("{before}{theirs}{after}").replace(
        "--resume \"$OPERATION\" --yes\n",
        "--resume \"$OPERATION\" --yes --verbose\n",
    );
    std::fs::write(copied.0.path().join(proposal), whole).unwrap();
    let (code, stdout, stderr) = copied.xtask(&["upgrade"]);
    assert!(
        code == 0 && stdout.contains("written: .github/workflows/production-deploy.yml"),
        "{stdout}{stderr}"
    );
    let text = copied.read(DEPLOY);
    assert!(
        text.contains("--yes --verbose\n")
            && text.starts_with("# Generated by")
            && !text.contains("Proposal"),
        "{text}"
    );
}

#[test]
fn another_version_than_this_one_is_refused() {
    let copied = Copied::new();
    let (code, _, stderr) = copied.xtask(&["upgrade", "--to", "7.2"]);
    assert!(
        code == 2 && stderr.contains("error[upgrade-to-other]"),
        "{stderr}"
    );
    copied.edit(
        PIPELINE,
        &[(
            "schema = \"pipeline/1\"\n",
            "schema = \"pipeline/1\"\nversion = \"7.2\"\n",
        )],
    );
    let (code, _, stderr) = copied.xtask(&["upgrade", "--to", "0.2"]);
    assert!(code == 3 && stderr.contains("error[version-other]"), "{stderr}");
}
