//! Who is notified, and how.

use serde::Deserialize;

/// Who is notified.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Environment variable with the URL of a Slack incoming webhook.
    pub slack: Option<String>,
    pub email: Option<EmailConfig>,
}

/// Mail by SMTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// Host name of the mail server.
    pub server: String,
    pub port: Option<u16>,
    #[serde(default)]
    pub security: MailSecurity,
    pub from: String,
    pub to: Vec<String>,
    /// Environment variables with the name and the password for logging in.
    pub user: Option<String>,
    pub password: Option<String>,
}

/// `notify.email.security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// STARTTLS is required; the connection is refused without it.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
    /// In the clear: only to this machine.
    None,
}

impl NotifyConfig {
    /// Environment variables with its secrets.
    pub fn secret_names(&self) -> Vec<String> {
        let email = self.email.iter();
        let email = email.flat_map(|email| [&email.user, &email.password]);
        let all = std::iter::once(&self.slack).chain(email);
        all.filter_map(Clone::clone).collect()
    }
}
