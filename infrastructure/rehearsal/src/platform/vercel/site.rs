//! Serving the static output of a build.

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, RwLock};

use crate::http::message::decode;
use crate::http::server::Handler;
use crate::http::{Request, Response};

/// An address that serves the folder which is set; 404 as the platform's while there is none.
#[derive(Debug, Clone, Default)]
pub(in crate::platform) struct Site {
    protection: Protection,
    live: Arc<RwLock<Option<(String, PathBuf)>>>,
}

/// The secret without which a protected address asks for a login.
#[derive(Debug, Clone, Default)]
pub(in crate::platform) struct Protection(Arc<RwLock<Option<String>>>);

impl Protection {
    pub(super) fn set(&self, secret: &str) {
        *self.0.write().expect("no thread panics while it holds this lock") = Some(secret.to_owned());
    }

    fn lets_in(&self, request: &Request) -> bool {
        let secret = self.0.read().expect("no thread panics while it holds this lock");
        let given = request.headers.get("x-vercel-protection-bypass");
        secret.as_ref().is_none_or(|secret| given == Some(secret))
    }
}

impl Site {
    pub(super) fn protected(protection: &Protection) -> Self {
        Self {
            protection: protection.clone(),
            ..Self::default()
        }
    }

    pub(super) fn switch(&self, deployment: &str, folder: &Path) {
        let live = Some((deployment.to_owned(), folder.to_owned()));
        *self
            .live
            .write()
            .expect("no thread panics while it holds this lock") = live;
    }
}

impl Handler for Site {
    fn handle(&self, request: &Request) -> Response {
        if !self.protection.lets_in(request) {
            return Response::text(401, "Authentication Required");
        }
        let live = self
            .live
            .read()
            .expect("no thread panics while it holds this lock")
            .clone();
        let Some((deployment, folder)) = live else {
            return Response::text(
                404,
                "The deployment could not be found on Vercel.\n\nDEPLOYMENT_NOT_FOUND\n",
            );
        };
        if request.method != "GET" && request.method != "HEAD" {
            return Response::text(405, "Method Not Allowed");
        }
        let response = match read(&folder, &request.path) {
            Some((content_type, bytes)) => Response::bytes(200, content_type, bytes),
            None => Response::text(404, "The page could not be found\n\nNOT_FOUND\n"),
        };
        response
            .header("server", "Vercel")
            .header("x-vercel-id", &format!("rehearsal::{deployment}"))
            .header("cache-control", "public, max-age=0, must-revalidate")
    }
}

fn read(folder: &Path, path: &str) -> Option<(&'static str, Vec<u8>)> {
    let relative = PathBuf::from(decode(path.trim_start_matches('/')));
    // Nothing outside of the folder, however the path is written.
    if relative
        .components()
        .any(|component| !matches!(component, Component::Normal(_)))
    {
        return None;
    }
    let mut file = folder.join(relative);
    if file.is_dir() {
        file = file.join("index.html");
    }
    let bytes = std::fs::read(&file).ok()?;
    let content_type = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "application/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    Some((content_type, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_are_served() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("site");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(outer.path().join("secret"), "s").unwrap();
        std::fs::write(folder.join("index.html"), "i").unwrap();
        std::fs::write(folder.join("app.js"), "j").unwrap();
        assert_eq!(read(&folder, "/").unwrap().1, b"i");
        assert_eq!(
            read(&folder, "/app.js").unwrap().0,
            "application/javascript; charset=utf-8"
        );
        for outside in ["/../secret", "/%2e%2e/secret", "//secret", "/none"] {
            assert!(read(&folder, outside).is_none(), "{outside}");
        }
    }
}
