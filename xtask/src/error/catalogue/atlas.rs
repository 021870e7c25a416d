//! Errors of the snapshots that MongoDB Atlas takes.

use super::catalogue;

catalogue! {
    "Atlas", "With `backup.engine = \"atlas\"` or `\"both\"`: a deploy waits for its snapshot before anything is live.";

    /// The program is not here.
    atlas_missing() Usage
        "the program `atlas`, by which snapshots are taken, is not on PATH",
        live "nothing live was changed",
        next "install the Atlas CLI (mongodb.com/docs/atlas/cli), and run the command again";

    /// Earlier versions report failures as successes, or lack what is needed.
    atlas_too_old(found, needed) Usage
        "the program `atlas` is {found}, and {needed} or newer is needed",
        live "nothing live was changed",
        next "update the Atlas CLI, and run the command again";

    /// The keys are not accepted, or may not do this.
    atlas_denied(cause) Failed
        "Atlas does not accept these credentials: {cause}",
        live "nothing live was changed",
        next "correct the variables that [environments.NAME.atlas] names, the role of the key (Project Backup Manager) and its access list, and run the command again";

    /// No cluster of that name.
    atlas_cluster_unknown(cluster, project, cause) Usage
        "the project {project} on Atlas has no cluster {cluster}: {cause}",
        live "nothing live was changed",
        next "correct `project` and `cluster` of [environments.NAME.atlas] in pipeline.toml, and run the command again";

    /// A snapshot of another cluster would keep nothing of what is live.
    atlas_other_cluster(cluster, of_cluster, variable, of_string) Refused
        "the cluster {cluster} on Atlas ({of_cluster}) is not the one of the connection string in {variable} ({of_string})",
        live "nothing live was changed",
        next "correct `cluster` of [environments.NAME.atlas] in pipeline.toml, and run the command again";

    /// The cluster takes no snapshots.
    atlas_without_backup(cluster) Refused
        "cloud backup is off for the cluster {cluster} on Atlas",
        live "nothing live was changed",
        next "enable Cloud Backup for the cluster (tier M10 or larger), and run the command again";

    /// Atlas gave up.
    snapshot_failed(id, cluster) Failed
        "the snapshot {id} of the cluster {cluster} failed on Atlas",
        live "nothing live was changed",
        next "see the activity feed of the project on Atlas, and run the command again: it asks for another snapshot";

    /// The wait has an end.
    snapshot_late(id, cluster, seconds) Failed
        "the snapshot {id} of the cluster {cluster} did not complete within {seconds} s",
        live "nothing live was changed; Atlas continues with the snapshot",
        next "wait until it is completed (cargo xtask backup list), or raise `snapshot_s` of [environments.NAME.atlas], and run the command again";

    /// Nothing is recorded of it.
    snapshot_unknown(id) Usage
        "{id} is no snapshot that an operation of this environment took: which collections it has is not known",
        live "nothing live was changed",
        next "cargo xtask backup list   (it has those that can be imported)";

    /// Atlas could not restore it, or not all of it.
    snapshot_not_restored(id, what, why) Failed
        "the snapshot {id} was not restored beside the live collections ({what}): {why}",
        live "nothing live was changed, and what was restored beside it is dropped",
        next "see the activity feed of the project on Atlas, and run the command again; or import another snapshot (cargo xtask backup list)";

    /// Without `--retention` it would be kept for a day.
    snapshot_short_lived(id, expires, wanted) Failed
        "Atlas keeps the snapshot {id} until {expires}, and {wanted} was asked for",
        live "nothing live was changed",
        next "see the policies of the cluster's backups on Atlas (a Backup Compliance Policy may forbid it), and run the command again";
}
