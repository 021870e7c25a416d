//! The forms that values have: names, paths, addresses.

use std::path::{Component, Path};

/// Whether it is the name of an environment variable, as all of ours are.
pub fn is_variable(name: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_inside)
}

pub(super) fn is_word(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && !text.starts_with(['-', '.']) && text.chars().all(is_inside)
}

/// The name of a part: it stands in the names of steps, between spaces.
pub(super) fn is_part_name(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_inside)
}

/// What neither a shell nor YAML reads otherwise, in paths.
pub(super) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')
}

/// Whether `uses:` of a workflow's step takes it. What documents write in the place of a name is no action.
pub fn is_action(text: &str) -> bool {
    if let Some(folder) = text.strip_prefix("./") {
        return is_below(Path::new(folder)) && folder.chars().all(is_plain);
    }
    let Some((action, pin)) = text.split_once('@') else {
        return false;
    };
    let parts: Vec<&str> = action.split('/').collect();
    let is_standin = parts.contains(&"OWNER") || parts.contains(&"REPOSITORY") || pin == "COMMIT";
    !is_standin && parts.len() >= 2 && parts.into_iter().all(is_word) && is_reference(pin)
}

/// A name that git takes as a part of a reference (git-check-ref-format), and that no shell and no pattern reads otherwise.
pub(super) fn is_reference(text: &str) -> bool {
    let is_part = |part: &str| {
        let ends = part.ends_with('.') || part.to_ascii_lowercase().ends_with(".lock");
        is_word(part) && !part.contains("..") && !ends
    };
    text.split('/').all(is_part)
}

pub(super) fn is_below(path: &Path) -> bool {
    !path.as_os_str().is_empty()
        && path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// A folder of a remote: each part is a name, and none leads elsewhere.
pub(super) fn is_remote_path(text: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    text.is_empty() || text.trim_end_matches('/').split('/').all(is_part)
}

pub(super) fn is_host(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && is_word(part) && !part.contains('_');
    text.split('.').all(is_part)
}

pub(super) fn is_address(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    matches!(url.scheme(), "http" | "https")
        && text.trim() == text
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

pub(super) fn is_command(command: &[String]) -> bool {
    command.first().is_some_and(|program| !program.trim().is_empty())
}
