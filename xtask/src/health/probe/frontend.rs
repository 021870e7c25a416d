//! The page as a browser loads it: the document, then every asset that it names, side by side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::{Value, json};
use ureq::http::header;

use super::document::{ASSET_LIMIT, AssetKind, Document};
use super::{Look, Scene};
use crate::domain::verdict::Outcome;
use crate::health::expect;
use crate::health::http::Answer;
use crate::health::report::ms;
use crate::health::template::{Missing, Template};

/// Browsers open six connections to a host.
const CONNECTIONS: usize = 6;

#[derive(Debug)]
pub(in crate::health) struct Frontend {
    pub url: Template,
    pub title: Option<Regex>,
    pub marker: Option<String>,
    pub load_ms: Option<u64>,
    pub timeout: Duration,
    pub body_limit_bytes: u64,
}

impl Frontend {
    pub(super) fn look(&self, scene: &Scene<'_>) -> Result<Look, Missing> {
        let started = Instant::now();
        let url = self.url.fill_url(scene.values)?;
        let answer = match scene.get(url, self.timeout, self.body_limit_bytes) {
            Ok(answer) => answer,
            Err(broken) => return Ok(self.timed(Look::of_broken(&broken), started)),
        };
        let document = match self.document(&answer) {
            Ok(document) => document,
            Err(fault) => {
                return Ok(self.timed(Look::of_answer(Outcome::Failed, fault, &answer), started));
            }
        };
        let assets = self.load_all(scene, &answer, &document);
        let mut look = Look::of_answer(Outcome::Passed, "", &answer);
        if let Some(broken) = assets.iter().find(|asset| asset.look.outcome != Outcome::Passed) {
            look.outcome = broken.look.outcome;
            look.message = format!("{}: {}", broken.address, broken.look.message);
        }
        let bytes: u64 = assets.iter().filter_map(|asset| asset.look.bytes).sum();
        look.fact("title", document.title.clone().unwrap_or_default());
        if let Some(marker) = &self.marker {
            look.fact("marker", document.meta(marker).unwrap_or_default());
        }
        look.fact("assets", assets.iter().map(Loaded::fact).collect::<Vec<_>>());
        look = self.timed(look, started);
        if look.outcome == Outcome::Passed {
            let load_ms = look.measured_ms.unwrap_or_default();
            let total = bytes + answer.body.len() as u64;
            look.message = format!(
                "loaded in {load_ms:.0} ms: the document and {} assets, {}",
                assets.len(),
                crate::report::bytes(total)
            );
            if let Some(budget_ms) = self.load_ms
                && load_ms > budget_ms as f64
            {
                look.outcome = Outcome::Failed;
                look.message = format!("loaded in {load_ms:.0} ms, at most {budget_ms} ms are allowed");
            }
        }
        Ok(look)
    }

    fn timed(&self, mut look: Look, started: Instant) -> Look {
        look.measured_ms = Some(ms(started.elapsed()));
        look.budget_ms = self.load_ms.map(|ms| ms as f64);
        look
    }

    fn document(&self, answer: &Answer) -> Result<Document, String> {
        if answer.status != 200 {
            return Err(format!("status {} instead of 200", answer.status));
        }
        let content_type = content_type(answer);
        if !content_type.to_ascii_lowercase().starts_with("text/html") {
            return Err(format!("the document is `{content_type}` instead of text/html"));
        }
        let document = Document::parse(expect::text(answer)?);
        if let Some(title) = &self.title {
            match &document.title {
                None => return Err("the document has no title".into()),
                Some(given) if !title.is_match(given) => {
                    return Err(format!(
                        "the title does not match `{title}`: {}",
                        expect::cut(given)
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(marker) = &self.marker
            && document.meta(marker).is_none_or(str::is_empty)
        {
            return Err(format!("the document has no <meta name=\"{marker}\">"));
        }
        if document.assets.len() > ASSET_LIMIT {
            return Err(format!(
                "the document names {} assets, at most {ASSET_LIMIT} are loaded",
                document.assets.len()
            ));
        }
        Ok(document)
    }

    fn load_all(&self, scene: &Scene<'_>, page: &Answer, document: &Document) -> Vec<Loaded> {
        let next = AtomicUsize::new(0);
        let loaded = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS.min(document.assets.len()) {
                scope.spawn(|| {
                    while let Some((kind, address)) =
                        document.assets.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let asset = self.load(scene, page, *kind, address);
                        let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
                        loaded.push(asset);
                    }
                });
            }
        });
        let mut loaded = loaded.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Which of several broken assets is named must not depend on which answered first.
        loaded.sort_by(|a, b| a.address.cmp(&b.address));
        loaded
    }

    fn load(&self, scene: &Scene<'_>, page: &Answer, kind: AssetKind, address: &str) -> Loaded {
        let loaded = |look, content_type: &str| Loaded {
            address: address.to_owned(),
            look,
            content_type: content_type.to_owned(),
        };
        let Ok(url) = page.url.join(address) else {
            return loaded(Look::new(Outcome::Failed, "is not an address"), "");
        };
        let answer = match scene.get(url.into(), self.timeout, self.body_limit_bytes) {
            Ok(answer) => answer,
            Err(broken) => return loaded(Look::of_broken(&broken), ""),
        };
        let content_type = content_type(&answer);
        let fault = if answer.status != 200 {
            Some(format!("status {} instead of 200", answer.status))
        } else if !kind.accepts(&content_type) {
            Some(format!("is `{content_type}`, which is not {}", kind.word()))
        } else if answer.body.is_empty() {
            Some("is empty".to_owned())
        } else {
            None
        };
        let outcome = if fault.is_some() {
            Outcome::Failed
        } else {
            Outcome::Passed
        };
        loaded(
            Look::of_answer(outcome, fault.unwrap_or_default(), &answer),
            &content_type,
        )
    }
}

/// An asset, loaded or not.
struct Loaded {
    address: String,
    look: Look,
    content_type: String,
}

impl Loaded {
    fn fact(&self) -> Value {
        json!({
            "address": self.address,
            "status": self.look.status,
            "bytes": self.look.bytes,
            "content_type": self.content_type,
            "total_ms": self.look.timings.total_ms,
        })
    }
}

fn content_type(answer: &Answer) -> String {
    answer
        .headers
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}
