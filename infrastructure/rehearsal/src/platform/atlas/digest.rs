//! The key of a request: the first question has no answer to the challenge, and is refused with one.

use super::{config, error};
use crate::http::digest::{Challenge, Login, answer, field};
use crate::http::{Request, Response};

const REALM: &str = "MMS Public API";
const NONCE: &str = "c2ltdWxhdGVkIG5vbmNl";

/// # Errors
/// The answer to a question without the right key.
pub(super) fn require(config: &config::Atlas, request: &Request) -> Result<(), Response> {
    let header = request.headers.get("authorization").unwrap_or_default();
    let Some(fields) = header.strip_prefix("Digest ") else {
        let challenge = format!(
            "Digest realm=\"{REALM}\", domain=\"\", nonce=\"{NONCE}\", algorithm=MD5, qop=\"auth\", stale=false"
        );
        return Err(unauthorized().header("www-authenticate", &challenge));
    };
    let given = |name: &str| field(fields, name).unwrap_or_default();
    let wanted = answer(
        &Login {
            user: &config.public_key,
            password: &config.private_key,
        },
        &Challenge {
            realm: REALM,
            nonce: NONCE,
        },
        (&request.method, &request.target()),
        (&given("nc"), &given("cnonce")),
    );
    let is_right = given("username") == config.public_key
        && given("nonce") == NONCE
        && given("uri") == request.target()
        && given("qop") == "auth"
        && given("response") == wanted;
    if is_right { Ok(()) } else { Err(unauthorized()) }
}

fn unauthorized() -> Response {
    error(401, "", "You are not authorized for this resource.")
}
