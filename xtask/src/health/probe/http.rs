//! A request, repeated where percentiles are wanted, and what is expected of each answer.

use std::time::Duration;

use serde_json::{Value, json};
use serde_json_path::JsonPath;
use ureq::http::{Method, header};

use super::{Look, Scene};
use crate::domain::spread::percentile;
use crate::domain::verdict::Outcome;
use crate::health::expect::{self, Expectations};
use crate::health::http::{Answer, Request};
use crate::health::template::{Missing, Template, Values, fill_json};

#[derive(Debug)]
pub(in crate::health) struct HttpProbe {
    pub method: Method,
    pub url: Template,
    pub headers: Vec<(String, Template)>,
    pub json: Option<Value>,
    pub body: Option<Template>,
    pub captures: Vec<(String, JsonPath)>,
    pub samples: u32,
    pub timeout: Duration,
    pub redirects: u8,
    pub body_limit_bytes: u64,
    pub expect: Expectations,
}

impl HttpProbe {
    pub(super) fn look(&self, scene: &Scene<'_>) -> Result<Look, Missing> {
        let mut request = self.request(scene)?;
        let equals = self.expect.equals(scene.values)?;
        let mut times_ms = Vec::new();
        let mut slowest: Option<Look> = None;
        for _ in 0..self.samples {
            request.timeout = scene.timeout(self.timeout);
            let answer = match scene.client.send(&request) {
                Ok(answer) => answer,
                Err(broken) => return Ok(self.with_budget(Look::of_broken(&broken))),
            };
            if let Err(fault) = self
                .expect
                .check(&answer, &equals)
                .and_then(|()| self.capture(&answer, scene.values))
            {
                return Ok(self.with_budget(Look::of_answer(Outcome::Failed, fault, &answer)));
            }
            times_ms.push(answer.timings.total_ms);
            if slowest
                .as_ref()
                .is_none_or(|look| look.timings.total_ms < answer.timings.total_ms)
            {
                let message = format!("status {} in {:.0} ms", answer.status, answer.timings.total_ms);
                slowest = Some(Look::of_answer(Outcome::Passed, message, &answer));
            }
        }
        let look = slowest.expect("there is at least one sample");
        Ok(self.judge_times(self.with_budget(look), times_ms))
    }

    fn with_budget(&self, mut look: Look) -> Look {
        look.budget_ms = self.expect.p95_ms.or(self.expect.max_ms).map(|ms| ms as f64);
        if self.expect.p95_ms.is_none() && look.status.is_some() {
            look.measured_ms = Some(look.timings.total_ms);
        }
        look
    }

    fn judge_times(&self, mut look: Look, mut times_ms: Vec<f64>) -> Look {
        if self.samples == 1 && self.expect.p95_ms.is_none() {
            return look;
        }
        times_ms.sort_by(f64::total_cmp);
        let at = |percent| percentile(&times_ms, percent).unwrap_or_default();
        let (p50, p95, p99) = (at(50), at(95), at(99));
        look.fact("samples", times_ms.len());
        look.fact("p50_ms", json!(p50));
        look.fact("p95_ms", json!(p95));
        look.fact("p99_ms", json!(p99));
        look.measured_ms = Some(p95);
        look.message = format!(
            "p95 {p95:.0} ms, p50 {p50:.0} ms over {} requests",
            times_ms.len()
        );
        if let Some(budget_ms) = self.expect.p95_ms
            && p95 > budget_ms as f64
        {
            look.outcome = Outcome::Failed;
            look.message = format!("p95 is {p95:.0} ms, at most {budget_ms} ms are allowed");
        }
        look
    }

    fn request(&self, scene: &Scene<'_>) -> Result<Request, Missing> {
        let values = scene.values;
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.clone(), value.fill(values)?));
        }
        let mut body = match &self.body {
            Some(body) => Some(body.fill(values)?.into_bytes()),
            None => None,
        };
        if let Some(json) = &self.json {
            body = Some(fill_json(json, values)?.to_string().into_bytes());
            if !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            {
                headers.push((header::CONTENT_TYPE.to_string(), "application/json".into()));
            }
        }
        let url = self.url.fill_url(values)?;
        if super::is_below(&url, &values.frontend) {
            headers.extend(scene.frontend_headers.iter().cloned());
        }
        Ok(Request {
            method: self.method.clone(),
            url,
            headers,
            body,
            timeout: self.timeout,
            redirects: self.redirects,
            body_limit_bytes: self.body_limit_bytes,
        })
    }

    fn capture(&self, answer: &Answer, values: &Values) -> Result<(), String> {
        if self.captures.is_empty() {
            return Ok(());
        }
        let body = expect::json(answer)?;
        for (name, path) in &self.captures {
            let value = match path.query(&body).at_most_one() {
                Ok(Some(Value::String(text))) if !text.is_empty() => text.clone(),
                Ok(Some(number @ Value::Number(_))) => number.to_string(),
                Ok(None) => return Err(format!("nothing to capture as `{name}`: {path} selects nothing")),
                Ok(Some(_)) => {
                    return Err(format!(
                        "nothing to capture as `{name}`: {path} is neither a text nor a number"
                    ));
                }
                Err(_) => return Err(format!("cannot capture `{name}`: {path} selects more than one")),
            };
            values.store(name, value);
        }
        Ok(())
    }
}
