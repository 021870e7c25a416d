//! What health routes of real applications answer when all is well: `{"ok":true}`, `{"status":"OK"}`, a line of text, or
//! nothing at all. The status of the answer is checked beside it.

use serde_json::Value;

use crate::report::one_line;

/// Members that say it, in small letters.
const MEMBERS: [&str; 11] = [
    "ok", "healthy", "success", "alive", "up", "ready", "status", "state", "health", "result", "message",
];
const GOOD: [&str; 18] = [
    "ok",
    "okay",
    "healthy",
    "up",
    "alive",
    "pass",
    "passed",
    "passing",
    "pong",
    "green",
    "good",
    "running",
    "ready",
    "live",
    "online",
    "success",
    "operational",
    "available",
];
const BAD: [&str; 14] = [
    "error",
    "errors",
    "down",
    "fail",
    "failed",
    "failing",
    "failure",
    "unhealthy",
    "not",
    "degraded",
    "unavailable",
    "starting",
    "red",
    "false",
];

/// An error that says what the body is, unless it says that all is well.
pub(super) fn is_well(body: &str) -> Result<(), String> {
    let body = body.trim();
    if body.is_empty() {
        return Ok(());
    }
    if body.starts_with('<') {
        // A single-page application answers every path with its page.
        return Err("the answer is a page of HTML, not that of a health route".into());
    }
    let well = match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(members)) => of_members(&members),
        Ok(value) => of_value(&value),
        Err(_) => of_text(body),
    };
    match well {
        Some(true) => Ok(()),
        Some(false) => Err(format!(
            "the answer reports that not all is well: {}",
            one_line(body)
        )),
        None => Err(format!(
            "the answer does not report whether all is well: {}",
            one_line(body)
        )),
    }
}

/// One bad member outweighs all good ones.
fn of_members(members: &serde_json::Map<String, Value>) -> Option<bool> {
    let said = members.iter().filter(|(name, _)| {
        let name = name.to_ascii_lowercase();
        MEMBERS.contains(&name.as_str())
    });
    let said: Vec<bool> = said.filter_map(|(_, value)| of_value(value)).collect();
    (!said.is_empty()).then(|| said.iter().all(|well| *well))
}

fn of_value(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(well) => Some(*well),
        Value::String(text) => of_text(text),
        Value::Number(number) => match number.as_u64()? {
            1 | 200..=299 => Some(true),
            0 | 400..=599 => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn of_text(text: &str) -> Option<bool> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .collect();
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if has(&BAD) {
        return Some(false);
    }
    has(&GOOD).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_real_health_routes_are_understood() {
        for well in [
            "",
            " \n",
            "OK",
            "ok\n",
            "Healthy",
            "pong",
            "API is running",
            "Server is up and running!",
            "\"ok\"",
            "true",
            r#"{"ok":true}"#,
            r#"{"status":"OK"}"#,
            r#"{"status":"healthy","uptime":12.5}"#,
            r#"{"status":"UP"}"#,
            r#"{"success":true,"message":"Server is healthy"}"#,
            r#"{"Status":"Healthy"}"#,
            r#"{"status":200}"#,
            r#"{"status":"pass","checks":{}}"#,
            r#"{"message":"pong"}"#,
            r#"{"ok":1,"db":"connected"}"#,
            // Terminus of NestJS, AdonisJS, LoopBack, Keystone, lightship.
            r#"{"status":"ok","info":{"mongodb":{"status":"up"}},"error":{},"details":{"mongodb":{"status":"up"}}}"#,
            r#"{"isHealthy":true,"status":"ok","finishedAt":"2026-01-31T12:00:00.000Z","checks":[]}"#,
            r#"{"status":"UP","checks":[]}"#,
            r#"{"status":"pass","timestamp":1769860800000}"#,
            "SERVER_IS_READY",
        ] {
            assert_eq!(is_well(well), Ok(()), "{well}");
        }
        for bad in [
            "<!doctype html><html></html>",
            "not ok",
            "DOWN",
            "database error",
            "false",
            "{}",
            "[]",
            "null",
            "hello",
            r#"{"ok":false}"#,
            r#"{"status":"error"}"#,
            r#"{"status":"unhealthy"}"#,
            r#"{"status":"degraded"}"#,
            r#"{"ok":true,"status":"error"}"#,
            r#"{"status":503}"#,
            r#"{"status":"starting"}"#,
            r#"{"uptime":12}"#,
            r#"{"status":"error","info":{},"error":{"mongodb":{"status":"down"}}}"#,
            r#"{"isHealthy":false,"status":"error","checks":[]}"#,
            "SERVER_IS_NOT_READY",
            "Degraded",
        ] {
            assert!(is_well(bad).is_err(), "{bad}");
        }
    }
}
