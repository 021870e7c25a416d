//! HTTP digest authentication (RFC 7616) with MD5 and `qop="auth"`.

use md5::{Digest as _, Md5};

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
}

/// What the server wants an answer to.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    pub realm: &'a str,
    pub nonce: &'a str,
}

/// The answer to a challenge, for a method and target, and the client's own numbers.
pub fn answer(
    login: &Login<'_>,
    challenge: &Challenge<'_>,
    (method, target): (&str, &str),
    (count, client_nonce): (&str, &str),
) -> String {
    let secret = md5(&format!("{}:{}:{}", login.user, challenge.realm, login.password));
    let asked = md5(&format!("{method}:{target}"));
    md5(&format!(
        "{secret}:{}:{count}:{client_nonce}:auth:{asked}",
        challenge.nonce
    ))
}

fn md5(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

/// The value of a field, in quotes or not.
pub fn field(fields: &str, name: &str) -> Option<String> {
    let mut rest = fields;
    while let Some((found, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if found.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next.trim_start_matches([',', ' ']);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617, section 3.5.
    #[test]
    fn the_answer_is_that_of_the_standard() {
        let login = Login {
            user: "Mufasa",
            password: "Circle Of Life",
        };
        let challenge = Challenge {
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        };
        let given = answer(
            &login,
            &challenge,
            ("GET", "/dir/index.html"),
            ("00000001", "0a4f113b"),
        );
        assert_eq!(given, "6629fae49393a05397450978507c4ef1");
        let fields = "realm=\"a, b\", nc=00000001, qop=auth, response=\"x\"";
        assert_eq!(field(fields, "realm").as_deref(), Some("a, b"));
        assert_eq!(field(fields, "nc").as_deref(), Some("00000001"));
        assert_eq!(field(fields, "response").as_deref(), Some("x"));
        assert_eq!(field(fields, "opaque"), None);
    }
}
