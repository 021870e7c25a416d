//! Passwords and tokens.

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// A token's life.
const TOKEN_SECONDS: i64 = 3600;

/// The scrypt hash of a password. Cheap parameters: a rehearsal protects nobody, but the way is the real one.
pub fn hash_password(password: &str, salt: &[u8]) -> Result<Vec<u8>> {
    let parameters =
        scrypt::Params::new(10, 8, 1, 32).map_err(|error| anyhow!("wrong scrypt parameters: {error}"))?;
    let mut hash = vec![0_u8; 32];
    scrypt::scrypt(password.as_bytes(), salt, &parameters, &mut hash)
        .map_err(|error| anyhow!("cannot hash the password: {error}"))?;
    Ok(hash)
}

/// Signs a token (JWT, HS256) for that user.
pub(super) fn issue_token(secret: &str, subject: &str, role: &str) -> Result<String> {
    let expires = chrono::Utc::now().timestamp() + TOKEN_SECONDS;
    let header = BASE64.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string());
    let claims = BASE64.encode(json!({"sub": subject, "role": role, "exp": expires}).to_string());
    let signed = format!("{header}.{claims}");
    let signature = BASE64.encode(sign(secret, &signed)?.finalize().into_bytes());
    Ok(format!("{signed}.{signature}"))
}

/// The claims of a token that we signed and that has not expired.
pub(super) fn check_token(secret: &str, token: &str) -> Result<Value> {
    let (signed, signature) = token.rsplit_once('.').ok_or_else(|| anyhow!("not a token"))?;
    let signature = BASE64.decode(signature)?;
    sign(secret, signed)?
        .verify_slice(&signature)
        .context("the signature is wrong")?;
    let (_, claims) = signed.split_once('.').ok_or_else(|| anyhow!("not a token"))?;
    let claims: Value = serde_json::from_slice(&BASE64.decode(claims)?)?;
    if claims["exp"].as_i64().unwrap_or(0) < chrono::Utc::now().timestamp() {
        bail!("the token has expired");
    }
    Ok(claims)
}

fn sign(secret: &str, text: &str) -> Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("JWT_SECRET cannot be used")?;
    mac.update(text.as_bytes());
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unchanged_token_of_ours_is_taken() {
        let token = issue_token("secret", "a@b.example", "admin").unwrap();
        assert_eq!(check_token("secret", &token).unwrap()["sub"], "a@b.example");
        assert!(check_token("other", &token).is_err());
        assert!(check_token("secret", &token.replace('.', "")).is_err());
        let mut parts: Vec<&str> = token.split('.').collect();
        let forged = BASE64.encode(json!({"sub": "x", "exp": i64::MAX}).to_string());
        parts[1] = &forged;
        assert!(check_token("secret", &parts.join(".")).is_err());
    }
}
