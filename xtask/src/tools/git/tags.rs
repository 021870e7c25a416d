//! Release tags: annotated, and read from the remote, whatever tags the clone has.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use chrono::{DateTime, Utc};

use super::Git;
use super::objects::{MessageText, Reference};
use crate::domain::commit::CommitId;
use crate::exec::Finished;

/// Where the remote's tags are kept here: the user's own tags stay as they are.
pub(super) const KEPT: &str = "refs/xtask/tags";

/// A tag of the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    /// The commit it marks; `None` where it marks something else.
    pub commit: Option<CommitId>,
    /// Its message; `None` for a tag without one (lightweight), and for one whose message cannot be read.
    pub message: Option<String>,
    /// Why the message cannot be read.
    pub unreadable: Option<String>,
    pub tagged_at: Option<DateTime<Utc>>,
}

/// What a tag's signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// Signed, unchanged, by this person.
    Of(String),
    /// Signed and unchanged, by nobody who is known.
    UnknownKey,
    /// Signed and unchanged, with a key whose time is over or has not begun.
    OutOfTime,
    /// Changed after it was signed, or its key was revoked.
    Forged,
    Absent,
}

impl Git {
    /// One tag of the remote; `None` where the remote has none of this name.
    pub fn tag(&self, name: &str) -> Result<Option<Tag>> {
        let kept = format!("{KEPT}/{name}");
        if self.remote_tag(name)?.is_none() {
            return Ok(None);
        }
        self.fetch_specs(&[&format!("+refs/tags/{name}:{kept}")])
            .with_context(|| format!("cannot fetch the tag {name} of {}", self.remote))?;
        Ok(self.kept_tags(&kept)?.pop())
    }

    /// Makes a tag signed with the user's own key (ssh or gpg, as his git is set up).
    pub fn create_signed_tag(&self, name: &str, message: &str, commit: &CommitId) -> Result<()> {
        let args = [
            "tag",
            "--sign",
            "--cleanup=verbatim",
            "--file=-",
            "--",
            name,
            commit.as_str(),
        ];
        self.remote_capable(&args)?
            .inherit(&["GNUPGHOME", "GPG_TTY"])
            .stdin(message)
            .run()
            .context("cannot sign: set gpg.format and user.signingKey in your git configuration")
    }

    /// Whose ssh key signed a tag of the remote that was listed before.
    pub fn signer(&self, name: &str, allowed_signers: &Path) -> Result<Signature> {
        self.signature(&format!("{KEPT}/{name}"), allowed_signers)
    }

    /// Whose ssh key signed a tag of this clone.
    pub fn own_signer(&self, name: &str, allowed_signers: &Path) -> Result<Signature> {
        self.signature(&format!("refs/tags/{name}"), allowed_signers)
    }

    /// Takes back a tag that was never pushed.
    pub fn delete_own_tag(&self, name: &str) -> Result<()> {
        self.local(&["tag", "--delete", "--", name])?.run()
    }

    fn signature(&self, reference: &str, allowed_signers: &Path) -> Result<Signature> {
        let signers = allowed_signers
            .to_str()
            .context("the path of the approvers is not UTF-8")?;
        let allowed = format!("gpg.ssh.allowedSignersFile={signers}");
        let said = self.local(&["-c", &allowed, "verify-tag", reference])?.output()?;
        // The principal is the file's own text; the exit code covers revoked and expired keys.
        let principal = said.stderr_tail.iter().find_map(|line| {
            let rest = line.strip_prefix("Good \"git\" signature for ")?;
            rest.split_once(" with ").map(|(who, _)| who.to_owned())
        });
        let says = |what: &str| said.stderr_tail.iter().any(|line| line.contains(what));
        Ok(match principal.filter(|_| said.code == Some(0)) {
            Some(who) => Signature::Of(who),
            None if says("no signature found") => Signature::Absent,
            None if says("key has expired") || says("key is not yet valid") => Signature::OutOfTime,
            // Good in itself, but of nobody in the file.
            None if says("Good \"git\" signature with") => Signature::UnknownKey,
            None => Signature::Forged,
        })
    }

    /// Pushes a tag of this clone, and proves that the remote has it. One that differs there is an error.
    pub fn push_tag(&self, name: &str) -> Result<()> {
        let ours = self
            .local(&[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &format!("refs/tags/{name}"),
            ])?
            .read()
            .with_context(|| format!("this clone has no tag {name}"))?;
        let pushed = self.push_object(&ours, name)?;
        // The remote has the last word: a push that failed may have arrived, by this attempt or an earlier one.
        match self.remote_tag(name)? {
            Some(theirs) if theirs == ours => Ok(()),
            there => Err(self.not_pushed(name, there.is_some(), pushed)),
        }
    }

    /// Pushes an annotated tag that this clone does not have: one that stayed here after a push that failed would be published
    /// by the next `git push --tags`. The remote's own tag with the same message and commit is as good.
    pub fn push_annotated_tag(&self, name: &str, message: &str, commit: &CommitId) -> Result<()> {
        let object = self.tag_object(name, message, commit)?;
        let pushed = self.push_object(&object, name)?;
        match self.tag(name)? {
            Some(theirs) if theirs.is(message, commit) => Ok(()),
            there => Err(self.not_pushed(name, there.is_some(), pushed)),
        }
    }

    /// Writes the object of a tag, without a reference to it.
    fn tag_object(&self, name: &str, message: &str, commit: &CommitId) -> Result<String> {
        let seconds = Utc::now().timestamp();
        let object = format!(
            "object {commit}\ntype commit\ntag {name}\ntagger cargo xtask <xtask@invalid> {seconds} +0000\n\n{message}"
        );
        self.local(&["mktag"])?
            .stdin(object)
            .read()
            .with_context(|| format!("cannot make the tag {name}"))
    }

    fn push_object(&self, object: &str, name: &str) -> Result<Finished> {
        let spec = format!("{object}:refs/tags/{name}");
        self.remote_capable(&[
            "push",
            "--quiet",
            "--no-verify",
            "--no-follow-tags",
            &self.remote,
            &spec,
        ])?
        .output()
    }

    fn not_pushed(&self, name: &str, another_is_there: bool, pushed: Finished) -> anyhow::Error {
        if another_is_there {
            return anyhow!("the remote {} has another tag {name}", self.remote);
        }
        pushed.checked().err().unwrap_or_else(|| {
            anyhow!(
                "the push of {name} succeeded, yet {} does not have it",
                self.remote
            )
        })
    }

    fn remote_tag(&self, name: &str) -> Result<Option<String>> {
        let full = format!("refs/tags/{name}");
        let text = self
            .remote_capable(&["ls-remote", "--refs", &self.remote, &full])?
            .read()?;
        Ok(text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(_, found)| *found == full)
            .map(|(object, _)| object.to_owned()))
    }

    pub(super) fn kept_tags(&self, pattern: &str) -> Result<Vec<Tag>> {
        let references = self.references(pattern)?;
        let mut texts = self.texts(&references)?;
        let tag = |reference: Reference| Tag::of(&reference, texts.remove(&reference.object));
        Ok(references.into_iter().map(tag).collect())
    }
}

impl Tag {
    fn is(&self, message: &str, commit: &CommitId) -> bool {
        let same_message = |text: &String| text.trim_end() == message.trim_end();
        self.commit.as_ref() == Some(commit) && self.message.as_ref().is_some_and(same_message)
    }

    fn of(reference: &Reference, text: Option<MessageText>) -> Self {
        let annotated = reference.kind == "tag";
        let (kind, object) = if annotated {
            (&reference.marked_kind, &reference.marked)
        } else {
            (&reference.kind, &reference.object)
        };
        let (message, unreadable) = match text.filter(|_| annotated) {
            Some(Ok(message)) => (Some(message), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        Self {
            name: reference.name.clone(),
            commit: (kind == "commit").then(|| object.parse().ok()).flatten(),
            message,
            unreadable,
            tagged_at: DateTime::parse_from_rfc3339(&reference.tagged_at)
                .ok()
                .map(|time| time.with_timezone(&Utc)),
        }
    }
}
