//! Public ssh keys, as `ssh-keygen` writes them.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

const KIND: &str = "ssh-ed25519";

/// A new public key. Its private side is nowhere: nothing here proves that it has one.
pub fn random() -> String {
    let mut blob = Vec::new();
    for part in [KIND.as_bytes(), &rand::random::<[u8; 32]>()] {
        blob.extend(u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
        blob.extend(part);
    }
    format!("{KIND} {} rehearsal", BASE64_STANDARD.encode(blob))
}

/// `SHA256:…`, as the tools print it; `None` for what is no key.
pub fn fingerprint(public_key: &str) -> Option<String> {
    let blob = BASE64_STANDARD
        .decode(public_key.split_whitespace().nth(1)?)
        .ok()?;
    let digest = BASE64_STANDARD_NO_PAD.encode(Sha256::digest(blob));
    Some(format!("SHA256:{digest}"))
}
