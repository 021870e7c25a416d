use super::*;
use workflows::{EARLIER, TEMPLATES, WorkflowState, compare, generate, generate_from, versions_between};

const ROLLBACK: &str = ".github/workflows/production-rollback.yml";
/// What the version before had in its rollback, and what this one has there.
const PLANNED: (&str, &str) = (
    "PLANNED: ${{ needs.validate.outputs.plan }}",
    "PLANNED: ${{ inputs.urgency != 'critical' && '.xtask/planned.json' || '' }}",
);

/// A repository as the version before this one left it.
struct Before {
    folder: tempfile::TempDir,
    version: &'static str,
}

impl Before {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (version, templates) = *EARLIER.last().unwrap();
        let pipeline = include_str!("../../../infrastructure/pipeline.toml");
        let of_now = format!("version = \"{}\"", version::wanted());
        let pipeline = pipeline.replace(&of_now, &format!("version = \"{version}\""));
        let health = include_str!("../../../infrastructure/health.toml").to_owned();
        let config = Config::draft(&pipeline).unwrap();
        let before = Self { folder, version };
        before.write(PIPELINE_FILE, &pipeline);
        before.write(crate::health::HEALTH_FILE, &health);
        let secrets: Vec<String> = crate::health::secret_names(before.root())
            .unwrap()
            .into_iter()
            .collect();
        for workflow in generate_from(templates, &config, &secrets).unwrap() {
            before.write(&workflow.path, &workflow.text);
        }
        before
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, path: &str) -> String {
        read(&self.root().join(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.root().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, &text.replacen(from, to, 1));
    }

    /// The plan, written; and the paths that were.
    fn upgrade(&self) -> (Upgrade, Vec<String>) {
        let upgrade = plan(self.root(), None).unwrap();
        let written = write(self.root(), &upgrade).unwrap();
        (upgrade, written)
    }
}

fn rollback(upgrade: &Upgrade) -> &UpgradedFile {
    upgrade.files.iter().find(|file| file.path == ROLLBACK).unwrap()
}

#[test]
fn what_the_version_before_generated_becomes_what_this_one_generates() {
    let before = Before::new();
    assert!(before.read(ROLLBACK).contains(PLANNED.0));
    let (upgrade, _) = before.upgrade();
    assert_eq!(
        (upgrade.from.as_str(), upgrade.to.as_str()),
        (before.version, version::wanted())
    );
    let file = rollback(&upgrade);
    assert!(
        file.state == UpgradeState::Changed && file.from == before.version && file.edits.is_empty(),
        "{file:?}"
    );
    assert!(before.read(ROLLBACK).contains(PLANNED.1));
    let config = Config::read(&before.root().join(PIPELINE_FILE)).unwrap();
    let secrets: Vec<String> = crate::health::secret_names(before.root())
        .unwrap()
        .into_iter()
        .collect();
    for workflow in compare(before.root(), &config, &secrets).unwrap() {
        assert_eq!(workflow.state, WorkflowState::Same, "{workflow:?}");
    }
    let (again, written) = before.upgrade();
    assert!(again.steps.is_empty() && written.is_empty(), "{written:?}");
}

#[test]
fn edits_of_a_team_survive_from_the_version_before_to_this_one() {
    let before = Before::new();
    before.edit(
        ROLLBACK,
        "  workflow_dispatch:",
        "  # Ours: see the runbook.\n  workflow_dispatch:",
    );
    before.edit(
        ROLLBACK,
        "    runs-on: ubuntu-latest\n",
        "    runs-on: [self-hosted, office]\n",
    );
    before.edit(
        ROLLBACK,
        "          TAG: ${{ inputs.tag }}\n",
        "          TAG: ${{ inputs.tag }}\n          OURS: here\n",
    );
    before.edit(
        PIPELINE_FILE,
        "retention_days = 90",
        "retention_days = 400 # since May",
    );
    let (upgrade, _) = before.upgrade();
    let file = rollback(&upgrade);
    assert!(
        file.state == UpgradeState::Changed && !file.edits.is_empty(),
        "{file:?}"
    );
    let text = before.read(ROLLBACK);
    for part in [
        "# Ours: see the runbook.",
        "[self-hosted, office]",
        "          OURS: here\n",
        PLANNED.1,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        before
            .read(PIPELINE_FILE)
            .contains("retention_days = 400 # since May")
    );
}

#[test]
fn a_line_that_the_team_and_this_version_changed_is_a_proposal_and_nothing_else_is_written() {
    let before = Before::new();
    before.edit(ROLLBACK, PLANNED.0, "PLANNED: ${{ needs.ours.outputs.plan }}");
    let (pipeline, found) = (before.read(PIPELINE_FILE), before.read(ROLLBACK));
    let (upgrade, written) = before.upgrade();
    assert_eq!(rollback(&upgrade).state, UpgradeState::Conflict);
    assert_eq!(written, [proposal_path(ROLLBACK)]);
    assert_eq!(
        (before.read(PIPELINE_FILE), before.read(ROLLBACK)),
        (pipeline, found)
    );
    let proposal = before.read(&proposal_path(ROLLBACK));
    assert!(
        proposal.contains("needs.ours.outputs.plan") && proposal.contains(PLANNED.1),
        "{proposal}"
    );
    // A person leaves one side.
    let mut is_left_out = false;
    let chosen: String = proposal
        .lines()
        .filter(|line| {
            let is_marker = MARKERS.iter().any(|marker| line.starts_with(marker));
            if is_marker {
                is_left_out = line.starts_with(MARKERS[1]) || line.starts_with(MARKERS[2]);
            }
            !is_marker && !is_left_out
        })
        .map(|line| format!("{line}\n"))
        .collect();
    before.write(&proposal_path(ROLLBACK), &chosen);
    let (_, written) = before.upgrade();
    assert!(written.contains(&ROLLBACK.to_owned()), "{written:?}");
    assert!(before.read(ROLLBACK).contains("needs.ours.outputs.plan"));
}

#[test]
fn edits_of_a_team_survive_whatever_the_next_template_changes() {
    let text = include_str!("../../../infrastructure/pipeline.toml");
    let config = Config::parse(Path::new("pipeline.toml"), text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let deploy = generate(&config, &[]).unwrap().remove(0);
    let file = folder.path().join(&deploy.path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // The next version pins another checkout, gives a job more time, and has a step more.
    let (name, template) = TEMPLATES[0];
    let checkout = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0";
    let next = template
        .replace(
            checkout,
            "actions/checkout@1111111111111111111111111111111111111111 # v9",
        )
        .replacen("timeout-minutes: 60", "timeout-minutes: 61", 1)
        .replacen(
            "jobs:\n",
            "jobs:\n  new-in-the-next:\n    runs-on: ubuntu-latest\n    steps:\n      - run: \"true\"\n\n",
            1,
        );
    let next: &'static str = next.leak();
    let upgraded = |ours: &str| {
        std::fs::write(&file, ours).unwrap();
        let earlier = [("0.1", TEMPLATES)];
        let now = [(name, next)];
        let versions =
            versions_between(&earlier, ("0.2", &now), folder.path(), (&config, &config), &[]).unwrap();
        merged(folder.path(), &versions[0]).unwrap()
    };
    let untouched = upgraded(&deploy.text);
    assert!(
        untouched.state == UpgradeState::Changed && untouched.edits.is_empty(),
        "{untouched:?}"
    );
    assert!(
        !untouched.text.contains("08c6903cd8c0"),
        "a pin that came with the template is renewed"
    );

    let ours = deploy
        .text
        .replacen(
            "  workflow_dispatch:",
            "  # Ours: from the office only.\n  workflow_dispatch:",
            1,
        )
        .replacen(
            "    runs-on: ubuntu-latest\n",
            "    runs-on: [self-hosted, office]\n",
            1,
        )
        .replace(checkout, "actions/checkout@v6");
    let kept = upgraded(&ours);
    assert_eq!((kept.state, kept.from.as_str()), (UpgradeState::Changed, "0.1"));
    for part in [
        "# Ours: from the office only.",
        "[self-hosted, office]",
        "actions/checkout@v6",
        "new-in-the-next",
        "timeout-minutes: 61",
    ] {
        assert!(kept.text.contains(part), "{part}: {}", kept.text);
    }
    assert!(
        kept.edits.iter().any(|edit| edit.contains("runs-on")),
        "{:?}",
        kept.edits
    );

    let of_windows = upgraded(&ours.replace('\n', "\r\n"));
    assert_eq!(of_windows.state, UpgradeState::Changed);
    assert!(of_windows.text == kept.text.replace('\n', "\r\n"));

    let both = upgraded(&ours.replacen("timeout-minutes: 60", "timeout-minutes: 90", 1));
    assert_eq!(both.state, UpgradeState::Conflict);
    assert!(
        both.text.contains("timeout-minutes: 90") && both.text.contains("timeout-minutes: 61"),
        "{}",
        both.text
    );
}
