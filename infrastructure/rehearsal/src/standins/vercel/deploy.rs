//! `vercel deploy --prebuilt`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use sha1::Digest as _;

use super::api::{Api, accept};
use super::build::OUTPUT;
use super::{DeployOptions, Global, git};

/// One archive is cut into parts of this size.
const PART_BYTES: usize = 100_000_000;

/// An archive is no file on the disk; this is what is said of it.
const FILE_MODE: u32 = 0o666;

/// A file of the deployment.
struct Upload {
    name: String,
    digest: String,
    bytes: Vec<u8>,
}

/// Uploads `.vercel/output` and makes a deployment of it.
pub(super) fn run(global: &Global, options: &DeployOptions) -> Result<u8> {
    if !options.prebuilt || options.archive.as_deref() != Some("tgz") || !options.no_wait {
        eprintln!("vercel (stand-in): only `deploy --prebuilt --archive=tgz --no-wait` is supported");
        return Ok(2);
    }
    if options.skip_domain && !options.prod {
        bail!("`--skip-domain` can only be used with production deployments");
    }
    if !Path::new(OUTPUT).join("config.json").exists() {
        bail!(
            "The \"--prebuilt\" option was used, but no prebuilt output found in \"{OUTPUT}\". Run `vercel build` to generate a local build."
        );
    }
    let (api, project) = Api::linked(global)?;
    api.introduce()?;
    let settings = api.json("GET", &format!("/v9/projects/{project}"), None)?;
    let uploads = pack()?;
    let body = describe(&settings, options, &uploads)?;
    let made = create(&api, &body, &uploads)?;
    print(options, global.non_interactive, &made)?;
    Ok(u8::from(made["readyState"] == "ERROR"))
}

fn pack() -> Result<Vec<Upload>> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    builder
        .append_dir_all(OUTPUT, OUTPUT)
        .context("cannot pack the output")?;
    let archive = builder.into_inner()?.finish()?;
    let parts = archive
        .chunks(PART_BYTES)
        .enumerate()
        .map(|(index, part)| Upload {
            name: format!(".vercel/source.tgz.part{}", index + 1),
            digest: hex::encode(sha1::Sha1::digest(part)),
            bytes: part.to_vec(),
        });
    Ok(parts.collect())
}

fn describe(settings: &Value, options: &DeployOptions, uploads: &[Upload]) -> Result<Value> {
    let mut meta = Map::new();
    for pair in &options.meta {
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("not KEY=VALUE: {pair}"))?;
        meta.insert(name.to_owned(), Value::from(value));
    }
    let files: Vec<Value> = uploads
        .iter()
        .map(|file| json!({"file": file.name, "sha": file.digest, "size": file.bytes.len(), "mode": FILE_MODE}))
        .collect();
    let mut body = json!({
        "name": settings["name"], "project": settings["id"], "version": 2, "meta": meta, "files": files,
        "source": "cli", "env": {}, "build": {"env": {}},
        "projectSettings": {"sourceFilesOutsideRootDirectory": true, "rootDirectory": settings["rootDirectory"]},
    });
    if let Some(git) = git::metadata() {
        body["gitMetadata"] = git;
    }
    if options.prod {
        body["target"] = Value::from("production");
    }
    if options.skip_domain {
        body["autoAssignCustomDomains"] = Value::from(false);
    }
    Ok(body)
}

/// Asks, uploads what is missing, and asks again.
fn create(api: &Api, body: &Value, uploads: &[Upload]) -> Result<Value> {
    let path = "/v13/deployments?skipAutoDetectionConfirmation=1&prebuilt=1";
    let send = || {
        api.send(
            "POST",
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
    };
    let first = send()?;
    let answer = first.parse().unwrap_or(Value::Null);
    if answer["error"]["code"] != "missing_files" {
        return accept(&first);
    }
    let missing = answer["error"]["missing"]
        .as_array()
        .context("an unexpected answer")?;
    for file in uploads
        .iter()
        .filter(|file| missing.iter().any(|digest| *digest == file.digest.as_str()))
    {
        let size = file.bytes.len().to_string();
        let fields = [
            ("content-type", "application/octet-stream"),
            ("x-now-digest", file.digest.as_str()),
            ("x-now-size", &size),
        ];
        accept(&api.send("POST", "/v2/files", &fields, &file.bytes)?).context("Upload failed")?;
    }
    accept(&send()?)
}

fn print(options: &DeployOptions, non_interactive: bool, made: &Value) -> Result<()> {
    let text = |name: &str| made[name].as_str().unwrap_or_default();
    eprintln!("Inspect: {}", text("inspectorUrl"));
    eprintln!(
        "{}: https://{}",
        if options.prod { "Production" } else { "Preview" },
        text("url")
    );
    if !options.json {
        print!("https://{}", text("url"));
        return Ok(());
    }
    let (host, ready) = (text("url"), made["readyState"] == "READY");
    let deployment = json!({
        "id": made["id"], "url": format!("https://{host}"), "inspectorUrl": made["inspectorUrl"],
        "readyState": made["readyState"], "target": made["target"],
    });
    let shown = if non_interactive {
        let message = format!("Deployment {host} {}.", if ready { "ready" } else { "created" });
        let inspect = json!({"command": format!("vercel inspect {host}"), "when": "Inspect deployment"});
        json!({"status": "ok", "deployment": deployment, "message": message, "next": [inspect]})
    } else {
        deployment
    };
    println!("{}", serde_json::to_string_pretty(&shown)?);
    Ok(())
}
