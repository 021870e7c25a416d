//! Matching a request to a pattern such as `GET /repos/{owner}/{repo}`.

use super::message::{Request, decode};

/// The values of a pattern's placeholders, in order.
pub type Captures = Vec<String>;

/// Compares a request with `METHOD /path/{with}/{placeholders}`; a last `{name*}` takes the rest of the path.
pub fn matches(pattern: &str, request: &Request) -> Option<Captures> {
    let (method, path) = pattern.split_once(' ')?;
    if method != request.method {
        return None;
    }
    let mut captures = Captures::new();
    let mut actual = request.path.split('/');
    for expected in path.split('/') {
        if expected.ends_with("*}") {
            let rest: Vec<&str> = actual.by_ref().collect();
            captures.push(decode(&rest.join("/")));
            break;
        }
        let part = actual.next()?;
        if expected.starts_with('{') {
            if part.is_empty() {
                return None;
            }
            captures.push(decode(part));
        } else if expected != part {
            return None;
        }
    }
    actual.next().is_none().then_some(captures)
}

/// The first endpoint of the tables that a request is for, with its pattern. `below` stands before the path of each pattern.
pub fn find<E: Copy>(
    tables: &[&[(&'static str, E)]],
    below: &str,
    request: &Request,
) -> Option<(&'static str, E, Captures)> {
    let mut endpoints = tables.iter().copied().flatten();
    endpoints.find_map(|&(pattern, endpoint)| {
        let whole = pattern.replacen(' ', &format!(" {below}"), 1);
        matches(&whole, request).map(|captures| (pattern, endpoint, captures))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;

    #[test]
    fn patterns_match_whole_paths_only() {
        let cases = [
            ("GET /a/{b}", "GET", "/a/x%20y", Some(vec!["x y"])),
            ("GET /a/{b}", "POST", "/a/x", None),
            ("GET /a/{b}", "GET", "/a", None),
            ("GET /a/{b}", "GET", "/a/", None),
            ("GET /a/{b}", "GET", "/a/x/y", None),
            ("GET /a/{b}/c", "GET", "/a/x/c", Some(vec!["x"])),
            ("GET /a/{b*}", "GET", "/a/x/y", Some(vec!["x/y"])),
        ];
        for (pattern, method, path, expected) in cases {
            let request = Request::new(method, path, Headers::default());
            let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(matches(pattern, &request), expected, "{pattern} {method} {path}");
        }
    }
}
