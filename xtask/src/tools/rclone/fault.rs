//! What went wrong between rclone and a service, told by rclone's exit code and by the codes of S3 in what it printed.

use crate::error::CliError;
use crate::error::catalogue::storage as errors;
use crate::exec::Finished;

/// rclone's exit code for a folder, or a bucket, that is not there.
pub(super) const DIRECTORY_NOT_FOUND: i32 = 3;
/// The one for a file.
pub(super) const FILE_NOT_FOUND: i32 = 4;

/// A kind of failure that somebody can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageFault {
    NoBucket,
    Credentials,
    Region,
    Clock,
    Denied,
    Locked,
    NoLock,
    Taken,
    NotImplemented,
    Damaged,
    NoRemote,
    Unreachable,
}

/// Words of S3 and of rclone, the telling ones first. A request without a body (`HEAD`) has only the number of its status.
const WORDS: &[(&str, StorageFault)] = &[
    ("NoSuchBucket", StorageFault::NoBucket),
    ("InvalidAccessKeyId", StorageFault::Credentials),
    ("SignatureDoesNotMatch", StorageFault::Credentials),
    ("ExpiredToken", StorageFault::Credentials),
    ("InvalidToken", StorageFault::Credentials),
    ("RequestTimeTooSkewed", StorageFault::Clock),
    ("RequestExpired", StorageFault::Clock),
    ("AuthorizationHeaderMalformed", StorageFault::Region),
    ("PermanentRedirect", StorageFault::Region),
    ("IllegalLocationConstraint", StorageFault::Region),
    ("missing ObjectLockConfiguration", StorageFault::NoLock),
    ("missing Object Lock Configuration", StorageFault::NoLock),
    ("ObjectLocked", StorageFault::Locked),
    ("WORM protected", StorageFault::Locked),
    ("object protected by object lock", StorageFault::Locked),
    ("PreconditionFailed", StorageFault::Taken),
    ("ConditionalRequestConflict", StorageFault::Taken),
    ("NotImplemented", StorageFault::NotImplemented),
    ("BadDigest", StorageFault::Damaged),
    ("XAmzContentSHA256Mismatch", StorageFault::Damaged),
    ("AccessDenied", StorageFault::Denied),
    ("StatusCode: 403", StorageFault::Denied),
    ("find section in config file", StorageFault::NoRemote),
    ("no such host", StorageFault::Unreachable),
    ("connection refused", StorageFault::Unreachable),
    ("i/o timeout", StorageFault::Unreachable),
    ("certificate", StorageFault::Unreachable),
];

impl StorageFault {
    /// What the ending of a command tells.
    pub(super) fn of(finished: &Finished) -> Option<Self> {
        Self::in_text(&finished.stderr_tail.join("\n"))
    }

    /// What a text of rclone tells.
    pub(super) fn in_text(text: &str) -> Option<Self> {
        let found = WORDS.iter().find(|(word, _)| text.contains(word));
        found.map(|(_, fault)| *fault)
    }

    /// The error for people.
    pub(super) fn error(self, root: &str) -> CliError {
        let (remote, bucket) = root.split_once(':').unwrap_or(("", root));
        match self {
            Self::NoBucket => errors::bucket_missing(bucket),
            Self::Credentials => errors::storage_credentials(bucket),
            Self::Region => errors::bucket_elsewhere(bucket),
            Self::Clock => errors::storage_clock(),
            Self::Denied => errors::storage_denied(bucket),
            Self::Locked => errors::object_locked(bucket),
            Self::NoLock => errors::bucket_without_lock(bucket),
            Self::Taken => errors::object_taken(bucket),
            Self::NotImplemented => errors::storage_cannot(bucket),
            Self::Damaged => errors::upload_damaged(),
            Self::NoRemote => errors::remote_unknown(remote),
            Self::Unreachable => errors::storage_unreachable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_services_answer_is_told_apart() {
        for (printed, expected) in [
            (
                "api error NoSuchBucket: The specified bucket does not exist.",
                Some(StorageFault::NoBucket),
            ),
            (
                "StatusCode: 403, api error SignatureDoesNotMatch: The request signature we calculated does not match",
                Some(StorageFault::Credentials),
            ),
            (
                "StatusCode: 403, api error RequestTimeTooSkewed: The difference between the request time",
                Some(StorageFault::Clock),
            ),
            (
                "StatusCode: 400, api error AuthorizationHeaderMalformed: the region \"us-east-1\" is wrong",
                Some(StorageFault::Region),
            ),
            (
                "StatusCode: 301, api error PermanentRedirect: The bucket you are attempting to access",
                Some(StorageFault::Region),
            ),
            (
                "StatusCode: 403, api error AccessDenied: Access Denied",
                Some(StorageFault::Denied),
            ),
            (
                "HeadObject, StatusCode: 403, api error Forbidden: Forbidden",
                Some(StorageFault::Denied),
            ),
            (
                "StatusCode: 403, api error AccessDenied: Access Denied because object protected by object lock.",
                Some(StorageFault::Locked),
            ),
            (
                "InvalidRequest: Bucket is missing ObjectLockConfiguration",
                Some(StorageFault::NoLock),
            ),
            (
                "StatusCode: 412, api error PreconditionFailed: At least",
                Some(StorageFault::Taken),
            ),
            (
                "api error NotImplemented: A header you provided",
                Some(StorageFault::NotImplemented),
            ),
            (
                "didn't find section in config file (\"drive\")",
                Some(StorageFault::NoRemote),
            ),
            (
                "dial tcp: lookup s3.example.com: no such host",
                Some(StorageFault::Unreachable),
            ),
            ("something else", None),
        ] {
            assert_eq!(StorageFault::in_text(printed), expected, "{printed}");
        }
    }
}
