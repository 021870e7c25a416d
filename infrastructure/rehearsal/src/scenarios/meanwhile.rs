//! What others do while a release is rolled back, and after it.

use anyhow::Result;
use serde_json::{Value, json};
use xtask::sync::join;
use xtask::wait;

use super::{Case, FIRST, GOOD, MOMENT, say};
use crate::proof::Proof;
use crate::test_env::Served;

/// What users write between the swap and the end of the release that is replaced.
const MEANWHILE: u32 = 10;

impl Case<'_> {
    pub(super) fn writer(&mut self) -> Result<()> {
        let (before, _) = self.good_release()?;
        let (backup, mut proof) = Proof::before(self.env, &Served::both(FIRST))?;
        self.hold()?;
        let (env, arguments) = (self.env, self.rollback_arguments("prices are wrong"));
        say("roll back; the data are restored, and users still write through the release that is replaced");
        let (ended, meanwhile) = std::thread::scope(|scope| {
            let back = scope.spawn(|| env.xtask("rollback", &super::strs(&arguments)));
            let written = self
                .reached()
                .and_then(|()| env.users_write(MEANWHILE, self.seed + 1));
            let released = self.env.let_go();
            let ended = join(back);
            released
                .and(written)
                .and_then(|written| ended.map(|ended| (ended, written)))
        })?;
        let told = ended.stderr_tail.join("\n");
        self.prove(
            ended.code == Some(4) && told.contains(&format!("`properties`: {meanwhile} documents created")),
            &format!("the rollback ends with exit 4 and names the {meanwhile} documents that were written into the restored data"),
        )?;
        self.prove_served(FIRST)?;
        let next = format!("cargo xtask restore {}", backup.id);
        self.prove(
            told.contains(&next),
            "it names the command that puts them aside, now that nobody writes in their form",
        )?;
        say(&next);
        let restore = [
            "restore",
            &backup.id,
            "--reason",
            "written in another form",
            "--yes",
        ];
        env.xtask("restore", &restore)?.checked()?;
        proof.after(env, &backup, before + meanwhile, &[&self.tag])?;
        self.prove_all(&proof);
        let healthy = env.xtask("health", &["health"])?;
        self.prove(healthy.code == Some(0), "the release is healthy")
    }

    pub(super) fn overrun(&mut self) -> Result<()> {
        let (written, _) = self.good_release()?;
        self.roll_back_proved(written, &[])?;
        say("both platforms deploy the head of the branch, which was rolled back");
        self.env.control("/railway/push", &json!({}))?;
        self.env
            .control("/vercel/project", &json!({ "autoAssignCustomDomains": true }))?;
        self.env.control("/vercel/push", &json!({}))?;
        let is_over = || Ok((self.env.served()? == Served::both(GOOD.1)).then_some(()));
        wait::until("the platforms' own deployments", MOMENT, |_| true, is_over)?;
        let listed = self.env.xtask("releases", &["releases"])?;
        self.prove(
            listed.stdout.starts_with("drift: "),
            "`releases` shows first that something else is live than what was recorded",
        )?;
        let refused = self.env.xtask("deploy", &["deploy", "--plan"])?;
        let told = refused.stderr_tail.join("\n");
        self.prove(
            refused.code == Some(3) && told.contains("drift: the backend serves"),
            "a deploy is refused, with what serves",
        )?;
        say("roll back again, over what the platforms did");
        let arguments = self.rollback_arguments("the platform deployed by itself");
        let arguments = [&super::strs(&arguments)[..], &["--allow-drift"]].concat();
        let back = self.env.xtask("rollback-again", &arguments)?.checked()?;
        let back: Value = serde_json::from_str(&back.stdout)?;
        self.prove_served(FIRST)?;
        self.prove(
            back["release"]["health"] == "healthy",
            "code and data of the first release are live again, and healthy",
        )?;
        self.take_timeline(&back)
    }
}
