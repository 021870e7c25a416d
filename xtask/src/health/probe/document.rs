//! What we need of an HTML document: its title, its meta tags and the assets that it loads. No browser, and no more
//! of HTML's rules than these need: comments, quoted attributes, letter case.

/// Assets beyond this are not loaded: a page that names more is reported.
pub(super) const ASSET_LIMIT: usize = 100;

/// What an asset is, and so which content type it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AssetKind {
    Script,
    Style,
    Image,
    Other,
}

impl AssetKind {
    /// A server that answers every path with the start page gives a missing script a 200: its type gives it away.
    pub(super) fn accepts(self, content_type: &str) -> bool {
        let kind = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match self {
            Self::Script => {
                kind.ends_with("/javascript")
                    || kind.ends_with("/ecmascript")
                    || kind.ends_with("/x-javascript")
            }
            Self::Style => kind == "text/css",
            Self::Image => kind.starts_with("image/"),
            Self::Other => kind != "text/html",
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Script => "a script",
            Self::Style => "a style sheet",
            Self::Image => "an image",
            Self::Other => "an asset",
        }
    }
}

/// The parts of a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub title: Option<String>,
    /// Name → content.
    pub meta: Vec<(String, String)>,
    pub assets: Vec<(AssetKind, String)>,
}

impl Document {
    pub(super) fn meta(&self, name: &str) -> Option<&str> {
        self.meta
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, content)| content.as_str())
    }

    pub(super) fn parse(html: &str) -> Self {
        let mut document = Self::default();
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            rest = &rest[at..];
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
                continue;
            }
            let Some((name, attributes, after)) = tag(&rest[1..]) else {
                rest = &rest[1..];
                continue;
            };
            rest = after;
            document.take(&name, &attributes);
            // What is between these tags is text, not HTML.
            if matches!(name.as_str(), "title" | "script" | "style" | "textarea") {
                let close = format!("</{name}");
                let lower = rest.to_ascii_lowercase();
                let end = lower.find(&close).unwrap_or(rest.len());
                if name == "title" && document.title.is_none() {
                    document.title = Some(unescape(rest[..end].trim()));
                }
                rest = &rest[end..];
            }
        }
        document
    }

    fn take(&mut self, name: &str, attributes: &[(String, String)]) {
        let get = |wanted: &str| {
            attributes
                .iter()
                .find(|(given, _)| given == wanted)
                .map(|(_, value)| unescape(value))
        };
        let asset = match name {
            "meta" => {
                if let (Some(name), Some(content)) = (get("name"), get("content")) {
                    self.meta.push((name, content));
                }
                None
            }
            "script" => get("src").map(|src| (AssetKind::Script, src)),
            "img" => get("src").map(|src| (AssetKind::Image, src)),
            "link" => get("href").and_then(|href| {
                let rel = get("rel").unwrap_or_default().to_ascii_lowercase();
                let mut words = rel.split_ascii_whitespace();
                words.find_map(|word| match word {
                    "stylesheet" => Some((AssetKind::Style, href.clone())),
                    "icon" => Some((AssetKind::Image, href.clone())),
                    "modulepreload" => Some((AssetKind::Script, href.clone())),
                    "manifest" | "preload" => Some((AssetKind::Other, href.clone())),
                    _ => None,
                })
            }),
            _ => None,
        };
        if let Some(asset) = asset.filter(|(_, address)| !address.is_empty() && !address.starts_with("data:"))
            && !self.assets.contains(&asset)
        {
            self.assets.push(asset);
        }
    }
}

type Tag<'a> = (String, Vec<(String, String)>, &'a str);

/// Name, attributes and the rest after `<`; `None` where no tag starts.
fn tag(text: &str) -> Option<Tag<'_>> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    let name = text[..end].to_ascii_lowercase();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let mut attributes = Vec::new();
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return Some((name, attributes, rest));
        }
        if let Some(after) = rest.strip_prefix('>') {
            return Some((name, attributes, after));
        }
        // At least one character is taken, so that the loop always goes on.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = rest[first..]
            .find(|c: char| c.is_ascii_whitespace() || "=>/".contains(c))
            .map_or(rest.len(), |at| at + first);
        let attribute = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = String::new();
        if let Some(given) = rest.strip_prefix('=') {
            let given = given.trim_start();
            let quote = given.chars().next().filter(|c| "\"'".contains(*c));
            let (found, after) = if let Some(quote) = quote {
                given[1..].split_once(quote).unwrap_or((&given[1..], ""))
            } else {
                let end = given
                    .find(|c: char| c.is_ascii_whitespace() || c == '>')
                    .unwrap_or(given.len());
                given.split_at(end)
            };
            found.clone_into(&mut value);
            rest = after;
        }
        attributes.push((attribute, value));
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_meta_and_assets_are_found_and_comments_are_not() {
        let document = Document::parse(
            "<!doctype html><!-- <script src=old.js></script> --><HTML><head><META NAME='release' content=\"1.2\">\
             <title> Fish &amp; Chips <b> </title><link rel=\"preload stylesheet\" href=a.css><link rel=canonical href=/x>\
             <script>if (a < b) { document.write('<script src=no.js>') }</script><script async src = 'b.js?x=1&amp;y=2'>\
             </script><img src=data:image/png;base64,AA==><img src=/c.png><img src=/c.png>< p><a href=",
        );
        assert_eq!(document.title.as_deref(), Some("Fish & Chips <b>"));
        assert_eq!(document.meta("Release"), Some("1.2"));
        let assets: Vec<_> = document
            .assets
            .iter()
            .map(|(kind, address)| (*kind, address.as_str()))
            .collect();
        assert_eq!(
            assets,
            [
                (AssetKind::Other, "a.css"),
                (AssetKind::Script, "b.js?x=1&y=2"),
                (AssetKind::Image, "/c.png")
            ]
        );
    }

    #[test]
    fn a_start_page_in_place_of_a_script_is_told_apart() {
        assert!(AssetKind::Script.accepts("text/javascript; charset=utf-8"));
        assert!(!AssetKind::Script.accepts("text/html; charset=utf-8"));
        assert!(AssetKind::Style.accepts("text/css"));
        assert!(!AssetKind::Other.accepts("text/html"));
    }
}
