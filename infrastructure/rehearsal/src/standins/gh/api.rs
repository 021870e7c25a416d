//! `gh api`.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::client::GitHub;
use crate::http::Response;
use crate::http::message::encode;

/// Pages that are followed at most.
const MAX_PAGES: usize = 1000;

/// One request, or one for each page.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Options {
    endpoint: String,
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// `key=value`, with true, false, null and numbers as such, and @FILE
    #[arg(short = 'F', long = "field", value_name = "KEY=VALUE")]
    typed: Vec<String>,
    /// `key=value`, as text
    #[arg(short = 'f', long = "raw-field", value_name = "KEY=VALUE")]
    raw: Vec<String>,
    #[arg(short = 'H', long = "header", value_name = "KEY:VALUE")]
    headers: Vec<String>,
    /// A file with the body, or - for stdin
    #[arg(long)]
    input: Option<String>,
    #[arg(long)]
    paginate: bool,
    /// With --paginate: one array around the pages
    #[arg(long)]
    slurp: bool,
    /// Print the status line and the headers
    #[arg(short = 'i', long)]
    include: bool,
    /// Print no body
    #[arg(long)]
    silent: bool,
}

pub(super) fn run(options: &Options) -> Result<u8> {
    if options.slurp && !options.paginate {
        bail!("`--paginate` required when passing `--slurp`");
    }
    let github = GitHub::from_environment(None)?;
    let mut path = github.fill(&options.endpoint)?;
    if !path.starts_with('/') && !path.starts_with("https://") {
        path.insert(0, '/');
    }
    let fields = fields(options)?;
    let has_body = !fields.is_empty() || options.input.is_some();
    let default_method = if has_body { "POST" } else { "GET" };
    let method = options
        .method
        .as_deref()
        .unwrap_or(default_method)
        .to_ascii_uppercase();
    let body = body(options, &method, &mut path, fields)?;
    let mut headers = Vec::new();
    for header in &options.headers {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("header {header:?} requires a value separated by ':'"))?;
        headers.push((name.trim(), value.trim()));
    }
    let mut pages = Vec::new();
    let mut next = Some(path);
    while let Some(path) = next.take() {
        let response = github.send(&method, &path, &headers, &body)?;
        let failed = !(200..300).contains(&response.status);
        next = (options.paginate && !failed && pages.len() < MAX_PAGES)
            .then(|| next_page(&response))
            .flatten();
        if options.slurp && !failed {
            pages.push(response.parse()?);
            continue;
        }
        print(options, &response)?;
        if failed {
            let message = response
                .parse()
                .ok()
                .and_then(|body| body["message"].as_str().map(str::to_owned));
            bail!("gh: {} (HTTP {})", message.unwrap_or_default(), response.status);
        }
    }
    if options.slurp {
        println!("{}", Value::Array(pages));
    }
    Ok(0)
}

fn fields(options: &Options) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    let split = |item: &str| -> Result<(String, String)> {
        let (key, value) = item
            .split_once('=')
            .with_context(|| format!("field {item:?} requires a value separated by an '=' sign"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    for item in &options.raw {
        let (key, value) = split(item)?;
        insert(&mut fields, &key, Value::from(value))?;
    }
    for item in &options.typed {
        let (key, value) = split(item)?;
        let value = match value.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            text => match (text.parse::<i64>(), text.strip_prefix('@')) {
                (Ok(number), _) => Value::from(number),
                (_, Some(path)) => Value::from(read(path)?.as_str()),
                _ => Value::from(text),
            },
        };
        insert(&mut fields, &key, value)?;
    }
    Ok(fields)
}

/// `a`, `a[b]`, `a[]` and `a[][b]`, as gh nests them: the last adds to the list's last object until that has the key.
fn insert(fields: &mut Map<String, Value>, key: &str, value: Value) -> Result<()> {
    let Some((name, rest)) = key.split_once('[') else {
        fields.insert(key.to_owned(), value);
        return Ok(());
    };
    let inner = rest
        .strip_suffix(']')
        .with_context(|| format!("invalid key: {key:?}"))?;
    match inner.split_once("][") {
        Some(("", part)) if !part.contains(['[', ']']) => {
            let list = list_of(fields, name)?;
            match list
                .last_mut()
                .and_then(Value::as_object_mut)
                .filter(|newest| !newest.contains_key(part))
            {
                Some(newest) => {
                    newest.insert(part.to_owned(), value);
                }
                None => list.push(json!({part: value})),
            }
        }
        Some(_) => bail!("gh (stand-in): deeper nested keys are not supported: {key:?}"),
        None if inner.is_empty() => list_of(fields, name)?.push(value),
        None if inner.contains(['[', ']']) => bail!("invalid key: {key:?}"),
        None => {
            let object = fields.entry(name).or_insert_with(|| json!({}));
            let object = object
                .as_object_mut()
                .with_context(|| format!("expected map type under {name:?}"))?;
            object.insert(inner.to_owned(), value);
        }
    }
    Ok(())
}

fn list_of<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Vec<Value>> {
    let list = fields.entry(name).or_insert_with(|| json!([]));
    list.as_array_mut()
        .with_context(|| format!("expected array type under {name:?}"))
}

fn body(options: &Options, method: &str, path: &mut String, fields: Map<String, Value>) -> Result<Vec<u8>> {
    // With --input or GET, fields go into the query.
    if (options.input.is_some() || method == "GET") && !fields.is_empty() {
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("{}={}", encode(name), encode(&text))
            })
            .collect();
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&pairs.join("&"));
        if options.input.is_none() {
            return Ok(Vec::new());
        }
    }
    match &options.input {
        Some(file) => Ok(read(file)?.into_bytes()),
        None if fields.is_empty() => Ok(Vec::new()),
        None => Ok(Value::Object(fields).to_string().into_bytes()),
    }
}

fn read(path: &str) -> Result<String> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("failed to read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("open {path}"))
}

fn next_page(response: &Response) -> Option<String> {
    let links = response.headers.get("link")?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    Some(next.trim().strip_prefix('<')?.split('>').next()?.to_owned())
}

fn print(options: &Options, response: &Response) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if options.include {
        writeln!(out, "HTTP/1.1 {}", response.status)?;
        for (name, value) in response.headers.iter() {
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out)?;
    }
    if !options.silent {
        out.write_all(&response.body)?;
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_nest_as_in_gh() {
        let mut fields = Map::new();
        for (key, value) in [
            ("a", "1"),
            ("l[]", "2"),
            ("l[]", "3"),
            ("o[x]", "4"),
            ("r[][t]", "5"),
            ("r[][i]", "6"),
            ("r[][t]", "7"),
        ] {
            insert(&mut fields, key, Value::from(value)).unwrap();
        }
        assert_eq!(
            Value::Object(fields.clone()),
            json!({"a": "1", "l": ["2", "3"], "o": {"x": "4"}, "r": [{"t": "5", "i": "6"}, {"t": "7"}]})
        );
        assert!(insert(&mut fields, "a[]", Value::Null).is_err());
        assert!(insert(&mut fields, "a[", Value::Null).is_err());
    }
}
