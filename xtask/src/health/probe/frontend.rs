//! The page as a browser loads it: the document, then every asset that it names, side by side.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::{Value, json};
use ureq::http::header;

use super::document::{ASSET_LIMIT, AssetKind, Document};
use super::{ProbeResult, RunContext};
use crate::domain::verdict::CheckResult;
use crate::health::expect;
use crate::health::http::Answer;
use crate::health::report::ms;
use crate::health::template::{Missing, Template};
use crate::sync;

/// Browsers open six connections to a host.
const CONNECTIONS: usize = 6;

#[derive(Debug)]
pub(in crate::health) struct FrontendProbe {
    pub url: Template,
    pub title: Option<Regex>,
    pub marker: Option<String>,
    pub load_ms: Option<u64>,
    pub timeout: Duration,
    pub body_limit_bytes: u64,
}

impl FrontendProbe {
    pub(super) fn probe(&self, run: &RunContext<'_>) -> Result<ProbeResult, Missing> {
        let started = Instant::now();
        let url = self.url.fill_url(run.values)?;
        let answer = match run.get(url, self.timeout, self.body_limit_bytes) {
            Ok(answer) => answer,
            Err(broken) => return Ok(self.timed(ProbeResult::of_broken(&broken), started)),
        };
        let document = match self.document(&answer) {
            Ok(document) => document,
            Err(fault) => {
                return Ok(self.timed(
                    ProbeResult::of_answer(CheckResult::Failed, fault, &answer),
                    started,
                ));
            }
        };
        let assets = self.load_all(run, &answer, &document);
        let mut result = ProbeResult::of_answer(CheckResult::Passed, "", &answer);
        if let Some(broken) = assets
            .iter()
            .find(|asset| asset.result.outcome != CheckResult::Passed)
        {
            result.outcome = broken.result.outcome;
            result.message = format!("{}: {}", broken.address, broken.result.message);
        }
        let bytes: u64 = assets.iter().filter_map(|asset| asset.result.bytes).sum();
        result.fact("title", document.title.clone().unwrap_or_default());
        if let Some(marker) = &self.marker {
            result.fact("marker", document.meta(marker).unwrap_or_default());
        }
        result.fact("assets", assets.iter().map(Loaded::fact).collect::<Vec<_>>());
        result = self.timed(result, started);
        if result.outcome == CheckResult::Passed {
            let load_ms = result.measured_ms.unwrap_or_default();
            let total = bytes + answer.body.len() as u64;
            result.message = format!(
                "loaded in {load_ms:.0} ms: the document and {} assets, {}",
                assets.len(),
                crate::report::bytes(total)
            );
            if let Some(budget_ms) = self.load_ms
                && load_ms > budget_ms as f64
            {
                result.outcome = CheckResult::Failed;
                result.message = format!("loaded in {load_ms:.0} ms, at most {budget_ms} ms are allowed");
            }
        }
        Ok(result)
    }

    fn timed(&self, mut result: ProbeResult, started: Instant) -> ProbeResult {
        result.measured_ms = Some(ms(started.elapsed()));
        result.budget_ms = self.load_ms.map(|ms| ms as f64);
        result
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

    fn load_all(&self, run: &RunContext<'_>, page: &Answer, document: &Document) -> Vec<Loaded> {
        let next = AtomicUsize::new(0);
        let loaded = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS.min(document.assets.len()) {
                scope.spawn(|| {
                    while let Some((kind, address)) =
                        document.assets.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let asset = self.load(run, page, *kind, address);
                        let mut loaded = sync::lock(&loaded);
                        loaded.push(asset);
                    }
                });
            }
        });
        let mut loaded = sync::into_inner(loaded);
        // Which of several broken assets is named must not depend on which answered first.
        loaded.sort_by(|a, b| a.address.cmp(&b.address));
        loaded
    }

    fn load(&self, run: &RunContext<'_>, page: &Answer, kind: AssetKind, address: &str) -> Loaded {
        let loaded = |result, content_type: &str| Loaded {
            address: address.to_owned(),
            result,
            content_type: content_type.to_owned(),
        };
        let Ok(url) = page.url.join(address) else {
            return loaded(ProbeResult::new(CheckResult::Failed, "is not an address"), "");
        };
        let answer = match run.get(url.into(), self.timeout, self.body_limit_bytes) {
            Ok(answer) => answer,
            Err(broken) => return loaded(ProbeResult::of_broken(&broken), ""),
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
            CheckResult::Failed
        } else {
            CheckResult::Passed
        };
        loaded(
            ProbeResult::of_answer(outcome, fault.unwrap_or_default(), &answer),
            &content_type,
        )
    }
}

/// An asset, loaded or not.
struct Loaded {
    address: String,
    result: ProbeResult,
    content_type: String,
}

impl Loaded {
    fn fact(&self) -> Value {
        json!({
            "address": self.address,
            "status": self.result.status,
            "bytes": self.result.bytes,
            "content_type": self.content_type,
            "total_ms": self.result.timings.total_ms,
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
