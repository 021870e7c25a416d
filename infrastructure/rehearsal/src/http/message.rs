//! Requests and answers as values.

use anyhow::{Context as _, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use url::form_urlencoded;

/// Header fields in their order; names compare without case.
#[derive(Debug, Default, Clone)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Appends one field.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A request as received.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// The host named by an absolute target or by the `Host` field.
    pub host: String,
    /// The path, still percent-encoded.
    pub path: String,
    /// The decoded query.
    pub query: Vec<(String, String)>,
    /// Header fields.
    pub headers: Headers,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Request {
    /// Builds one from a request line's target, absolute (as for a proxy) or not.
    pub fn new(method: &str, target: &str, headers: Headers) -> Self {
        let (host, local) = match target.split_once("://") {
            Some((_, rest)) => match rest.find('/') {
                Some(at) => (rest[..at].to_owned(), &rest[at..]),
                None => (rest.to_owned(), "/"),
            },
            None => (headers.get("host").unwrap_or_default().to_owned(), target),
        };
        let (path, query) = local.split_once('?').unwrap_or((local, ""));
        Self {
            method: method.to_ascii_uppercase(),
            host,
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers,
            body: Vec::new(),
        }
    }

    /// The path with its query, as it was asked for.
    pub fn target(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        format!("{}?{}", self.path, pairs.join("&"))
    }

    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("the body is not JSON")
    }

    /// The token of `Authorization: Bearer …` (or `token …`, which GitHub takes too).
    pub fn bearer(&self) -> Option<&str> {
        let value = self.headers.get("authorization")?;
        let (scheme, token) = value.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token"))
            .then_some(token.trim())
    }
}

/// How an answer goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ExitKind {
    /// As it should.
    #[default]
    Normal,
    /// The connection is closed without a word.
    Close,
    /// The head promises the whole body, half of it follows, then the connection is closed.
    Cut,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields; the length is added when it is written.
    pub headers: Headers,
    /// The whole body.
    pub body: Vec<u8>,
    /// What happens on the wire.
    pub ending: ExitKind,
}

impl Response {
    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// An answer of that content type.
    pub fn bytes(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
        .header("content-type", content_type)
    }

    /// A JSON answer.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::bytes(status, "application/json; charset=utf-8", value.to_string())
    }

    /// Plain text.
    pub fn text(status: u16, body: &str) -> Self {
        Self::bytes(status, "text/plain; charset=utf-8", body)
    }

    /// The connection is closed instead of an answer.
    pub fn close() -> Self {
        Self {
            status: 0,
            ending: ExitKind::Close,
            ..Self::default()
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.add(name, value);
        self
    }

    /// The body as JSON.
    pub fn parse(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("an answer {} that is not JSON", self.status))
    }
}

/// Undoes percent-encoding; malformed escapes stay as they are.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Percent-encodes all but the unreserved characters.
pub fn encode(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_both_forms_name_the_same_request() {
        for target in ["http://a.example/x/y?b=1%202&c", "/x/y?b=1+2&c"] {
            let mut headers = Headers::default();
            headers.add("Host", "a.example");
            let request = Request::new("get", target, headers);
            assert_eq!(request.host, "a.example");
            assert_eq!(request.path, "/x/y");
            assert_eq!(request.param("b"), Some("1 2"));
            assert_eq!(request.param("c"), Some(""));
        }
    }

    #[test]
    fn percent_encoding_goes_there_and_back() {
        for text in ["release=a sha=b", "ü/%", "100%", "%zz", ""] {
            assert_eq!(decode(&encode(text)), text);
        }
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
