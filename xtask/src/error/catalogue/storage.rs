//! Errors of the storages that are reached through rclone.

use super::catalogue;

catalogue! {
    "Storages", "The backup itself is good where only its copy in a storage failed; the error has its path.";

    /// The storage is reached by a program that is not here.
    rclone_missing() Usage
        "rclone, through which a storage of pipeline.toml is reached, is not on PATH",
        live "nothing live was changed",
        next "install the package rclone (with `object_lock`: 1.74 or newer), and run the command again";

    /// No remote of this name is configured.
    remote_unknown(remote) Usage
        "rclone's configuration has no remote `{remote}`",
        live "nothing live was changed",
        next "compare `remote` in pipeline.toml with: rclone listremotes (or with the text in the variable that `config` names)";

    /// The variable holds something else than an `rclone.conf`.
    remote_configuration_unusable(line) Usage
        "line {line} of the rclone configuration in the variable that `config` names is neither `[remote]` nor `key = value`",
        live "nothing live was changed",
        next "set the variable to the text that `rclone config show REMOTE` prints (not the encrypted file), and run the command again";

    /// The bucket does not exist, or not where we ask.
    bucket_missing(bucket) Failed
        "there is no bucket {bucket}",
        live "nothing live was changed",
        next "make the bucket, or correct `bucket`, `endpoint` and `path_style` in pipeline.toml, and run the command again";

    /// The service does not take the key, or not any more.
    storage_credentials(bucket) Failed
        "the service of the storage {bucket} refuses the credentials",
        live "nothing live was changed",
        next "correct the variables that `access_key` and `secret_key` name, and run the command again";

    /// The bucket is in another region.
    bucket_elsewhere(bucket) Failed
        "the bucket {bucket} is in another region than `region`",
        live "nothing live was changed",
        next "set `region` in pipeline.toml to the bucket's (the message of the service below has it), and run the command again";

    /// The clock here is wrong by more than the service takes.
    storage_clock() Failed
        "the service of the storage refuses the time of this machine",
        live "nothing live was changed",
        next "set the clock (timedatectl set-ntp true), and run the command again";

    /// The credentials are good, and may not do this.
    storage_denied(bucket) Failed
        "the credentials may not do this in the storage {bucket}",
        live "nothing live was changed",
        next "allow listing, reading and writing below `prefix` (for `backup prune` deleting too; docs/SETUP.md has the policy), and run the command again";

    /// An object lock, or a rule of the bucket, keeps the file.
    object_locked(bucket) Failed
        "the storage {bucket} keeps the file under a lock",
        live "nothing live was changed",
        next "run the command again when the lock has ended; in a bucket with versions a deletion only hides the file until then";

    /// `object_lock` for a bucket that has no such thing.
    bucket_without_lock(bucket) Failed
        "the bucket {bucket} has no object lock",
        live "nothing live was changed",
        next "make a bucket with object lock, or take `object_lock` out of pipeline.toml, and run the command again";

    /// The upload ended well, and the file is not locked.
    object_not_locked(name) Failed
        "{name} was uploaded without the lock that `object_lock` asks for",
        live "nothing live was changed",
        next "install rclone 1.74 or newer (rclone version), and run the command again";

    /// Another file of this name.
    object_taken(bucket) Failed
        "the storage {bucket} keeps another backup of this id already",
        live "nothing live was changed",
        next "run the command again; each environment and machine needs another `prefix`";

    /// The service lacks what we ask for.
    storage_cannot(bucket) Failed
        "the service of the storage {bucket} does not have a function that is needed",
        live "nothing live was changed",
        next "see the message of the service below, and set `provider` in pipeline.toml to rclone's name of the service";

    /// The service itself found that what arrived is not what was sent.
    upload_damaged() Failed
        "the upload arrived damaged, and the service refused it",
        live "nothing live was changed",
        next "run the command again";

    /// No answer.
    storage_unreachable() Failed
        "the service of the storage cannot be reached",
        live "nothing live was changed",
        next "check `endpoint` in pipeline.toml and the network, and run the command again";
}
