//! Errors about the configuration and the surroundings of a command.

use super::catalogue;

catalogue! {
    "Configuration and the rest", "Nothing was begun.";

    /// A secret that the configuration names is not in the environment.
    secret_not_set(variable, file) Usage
        "the environment variable {variable} is not set or empty",
        live "nothing was changed",
        next "set {variable} (it is named in {file}) and run the command again";

    /// The value of a variable has the quotes that belong to the shell or the file around it.
    connection_string_quoted(variable) Usage
        "the connection string in the environment variable {variable} begins or ends with a quote",
        live "nothing was changed",
        next "set {variable} without the quotes around the value (mongodb://… or mongodb+srv://…) and run the command again";

    /// A configuration file has mistakes; each is a line with file, line and column.
    file_invalid(mistakes, file) Usage
        "{mistakes}",
        live "nothing was changed",
        next "correct {file} and run the command again";

    /// `version` of pipeline.toml is that of another program. Rollback, restore and all that reads only warn.
    version_other(file, wanted, program) Refused
        "{file} is meant for version {wanted} of this program, and this is {program}",
        live "nothing was changed",
        next "install version {wanted}; or, where {file} is of an earlier one, run `cargo xtask upgrade`";

    /// `migrations.paths` is misspelt: a rollback would keep a database that a migration has changed.
    migrations_unmatched(paths) Usage
        "`[migrations] paths` in pipeline.toml match no file of any commit: {paths}",
        live "nothing was changed",
        next "correct the paths, or commit the folder, and run the command again";

    /// A backup would lie in the clear where others can read it.
    backup_unencrypted(places) Failed
        "only encrypted backups go to {places}, and backup.recipients and backup.identity in pipeline.toml name no key",
        live "nothing was changed",
        next "write identity = \"BACKUP_AGE_IDENTITY\" to [backup] and run `cargo xtask setup`, which makes the key; or, where others may read the data, unencrypted = \"let-others-read-them\"";

    /// `--env` names an environment that the configuration lacks.
    environment_unknown(file, name, known) Usage
        "{file} has no environment `{name}`",
        live "nothing was changed",
        next "choose one of: {known}";

    /// `doctor --adapter` with a name that no part with programs of the team has.
    no_such_adapter(name, environment, file) Usage
        "the environment {environment} has no part {name} with `platform = \"command\"` in {file}",
        live "nothing was changed",
        next "cargo xtask doctor --config-only";

    /// The command works on the database of an environment that has none in the configuration.
    no_database(environment, file) Usage
        "the environment `{environment}` has no database in {file}: there is nothing to back up and nothing to restore",
        live "nothing was changed",
        next "write `[environments.{environment}.mongodb]` with `uri` and `database` to {file}, or leave this command out";

    /// The command releases an environment that has no backend and no frontend in the configuration.
    nothing_to_release(environment, file) Usage
        "the environment `{environment}` has no backend and no frontend in {file}: there is nothing to release",
        live "nothing was changed",
        next "write `[[environments.{environment}.backends]]` or `[[environments.{environment}.frontends]]` to {file} (docs/SETUP.md)";

    /// The command runs outside of a repository with a pipeline.
    pipeline_file_missing(file) Usage
        "no {file} here or in a folder above",
        live "nothing was changed",
        next "run the command inside the repository, or see docs/SETUP.md to create that file";

    /// `--format html` with another command than `metrics`.
    only_metrics_has_html() Usage
        "only `metrics` has an HTML form",
        live "nothing was changed",
        next "choose --format text or --format json";

    /// `test` with a name that is not in the configuration.
    suite_unknown(name, known) Usage
        "pipeline.toml has no test suite `{name}`",
        live "nothing was changed",
        next "choose from: {known}";

    /// A test suite ended with another code than 0.
    suite_failed(name, cause) Failed
        "the tests {name} failed: {cause}",
        live "nothing was changed",
        next "fix them and run `cargo xtask test {name}`";

    /// `notify --test` with nothing configured.
    no_channel() Failed
        "no channel received the test message",
        live "nothing was changed",
        next "set notify.slack or [notify.email] in pipeline.toml";

    /// `notify --test`: at least one channel refused the message.
    message_not_delivered() Failed
        "the test message was not delivered",
        live "nothing was changed",
        next "check `[notify]` in pipeline.toml and the variables that it names";
}
