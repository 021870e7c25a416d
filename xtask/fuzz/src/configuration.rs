//! The files that a team writes. A mistake is named with a line that the file has.

use std::path::Path;

use xtask::config::Config;
use xtask::health::check_text;

/// `health.toml`.
pub(crate) fn health(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    mistakes_have_a_line(text, check_text(Path::new("health.toml"), text));
}

/// `pipeline.toml`.
pub(crate) fn pipeline(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = Config::parse(Path::new("pipeline.toml"), text);
    if let Ok(config) = &read {
        for environment in config.environments.values() {
            assert!(!config.secret_names(environment).is_empty());
        }
    }
    mistakes_have_a_line(text, read.map(drop));
}

fn mistakes_have_a_line<E: std::fmt::Display>(text: &str, read: Result<(), E>) {
    let Err(error) = read else { return };
    let message = error.to_string();
    let line = message
        .split(':')
        .nth(1)
        .and_then(|line| line.parse::<usize>().ok());
    let last = text.matches('\n').count() + 1;
    assert!(
        line.is_some_and(|line| (1..=last).contains(&line)),
        "no line of the file: {message}"
    );
}
