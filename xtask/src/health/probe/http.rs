//! A request, repeated where percentiles are wanted, and what is expected of each answer.

use std::time::Duration;

use serde_json::{Value, json};
use serde_json_path::JsonPath;
use ureq::http::{Method, header};

use super::{ProbeResult, RunContext};
use crate::domain::spread::percentile;
use crate::domain::verdict::CheckResult;
use crate::health::expect::{self, Expectations};
use crate::health::http::{Answer, HttpRequest};
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
    pub(super) fn probe(&self, run: &RunContext<'_>) -> Result<ProbeResult, Missing> {
        let mut request = self.request(run)?;
        let equals = self.expect.equals(run.values)?;
        let mut times_ms = Vec::new();
        let mut slowest: Option<ProbeResult> = None;
        for _ in 0..self.samples {
            request.timeout = run.timeout(self.timeout);
            let answer = match run.client.send(&request) {
                Ok(answer) => answer,
                Err(broken) => return Ok(self.with_budget(ProbeResult::of_broken(&broken))),
            };
            if let Err(fault) = self
                .expect
                .check(&answer, &equals)
                .and_then(|()| self.capture(&answer, run.values))
            {
                return Ok(self.with_budget(ProbeResult::of_answer(CheckResult::Failed, fault, &answer)));
            }
            times_ms.push(answer.timings.total_ms);
            if slowest
                .as_ref()
                .is_none_or(|result| result.timings.total_ms < answer.timings.total_ms)
            {
                let message = format!("status {} in {:.0} ms", answer.status, answer.timings.total_ms);
                slowest = Some(ProbeResult::of_answer(CheckResult::Passed, message, &answer));
            }
        }
        let result = slowest.expect("there is at least one sample");
        Ok(self.judge_times(self.with_budget(result), times_ms))
    }

    fn with_budget(&self, mut result: ProbeResult) -> ProbeResult {
        result.budget_ms = self.expect.p95_ms.or(self.expect.max_ms).map(|ms| ms as f64);
        if self.expect.p95_ms.is_none() && result.status.is_some() {
            result.measured_ms = Some(result.timings.total_ms);
        }
        result
    }

    fn judge_times(&self, mut result: ProbeResult, mut times_ms: Vec<f64>) -> ProbeResult {
        if self.samples == 1 && self.expect.p95_ms.is_none() {
            return result;
        }
        times_ms.sort_by(f64::total_cmp);
        let at = |percent| percentile(&times_ms, percent).unwrap_or_default();
        let (p50, p95, p99) = (at(50), at(95), at(99));
        result.fact("samples", times_ms.len());
        result.fact("p50_ms", json!(p50));
        result.fact("p95_ms", json!(p95));
        result.fact("p99_ms", json!(p99));
        result.measured_ms = Some(p95);
        result.message = format!(
            "p95 {p95:.0} ms, p50 {p50:.0} ms over {} requests",
            times_ms.len()
        );
        if let Some(budget_ms) = self.expect.p95_ms
            && p95 > budget_ms as f64
        {
            result.outcome = CheckResult::Failed;
            result.message = format!("p95 is {p95:.0} ms, at most {budget_ms} ms are allowed");
        }
        result
    }

    fn request(&self, run: &RunContext<'_>) -> Result<HttpRequest, Missing> {
        let values = run.values;
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
        headers.extend(run.staged_headers(&url));
        Ok(HttpRequest {
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
