//! Issues: what people still have to do.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::GitHub;

/// An open issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIssue {
    pub title: String,
    pub html_url: String,
}

impl GitHub {
    /// The open issues with a label; none where the token may not see them.
    pub fn open_issues(&self, label: &str) -> Result<Vec<OpenIssue>> {
        let path = format!("issues?state=open&per_page=100&labels={label}");
        Ok(self.get(&path)?.unwrap_or_default())
    }

    /// Opens an issue.
    pub fn open_issue(&self, title: &str, body: &str, label: &str) -> Result<OpenIssue> {
        let issue = json!({"title": title, "body": body, "labels": [label]});
        let answer = self.answer_to("POST", "issues", &issue)?;
        serde_json::from_str(&answer).context("cannot parse what GitHub returned for the new issue")
    }
}
