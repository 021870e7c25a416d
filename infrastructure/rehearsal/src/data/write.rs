//! `rehearsal write`: users who add properties through the backend.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::random::Random;
use crate::http::client::Client;

/// Where to write and how much.
#[derive(Debug, Args)]
pub struct Options {
    /// Address of the backend
    #[arg(long)]
    base: String,
    /// Properties to add
    #[arg(long)]
    count: u32,
    /// The same seed writes the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Who logs in
    #[arg(long, default_value = "tester@rehearsal.example")]
    email: String,
    /// Environment variable with the password ("rehearsal" when not set)
    #[arg(long, value_name = "VARIABLE", default_value = "REHEARSAL_TEST_PASSWORD")]
    password_env: String,
}

/// Logs in, adds properties, and prints the ids that the backend acknowledged.
pub fn run(options: &Options) -> Result<()> {
    let client = Client::for_url(&options.base)?.timeout(Duration::from_secs(20));
    let password = std::env::var(&options.password_env).unwrap_or_else(|_| "rehearsal".to_owned());
    let credentials = json!({"email": options.email, "password": password});
    let answer = client.send_json("POST", "/api/auth/login", &credentials)?;
    if answer.status != 200 {
        bail!("the login was answered with {}", answer.status);
    }
    let token = answer.parse()?["token"]
        .as_str()
        .context("the login gave no token")?
        .to_owned();
    let client = client.header("authorization", &format!("Bearer {token}"));
    let mut random = Random::new(options.seed ^ 0x5eed);
    let mut ids = Vec::new();
    for number in 0..options.count {
        let property = json!({
            "title": format!("{} {number}", random.words(2)),
            "city": *random.pick(&["Graz", "Wien", "Linz"]),
            "price": random.range(100, 900_000),
        });
        let answer = client.send_json("POST", "/api/properties", &property)?;
        if answer.status != 201 {
            bail!(
                "after {} of {} writes one was answered with {}",
                ids.len(),
                options.count,
                answer.status
            );
        }
        ids.push(answer.parse()?["id"].clone());
    }
    println!("{}", json!({"written": ids.len(), "ids": Value::Array(ids)}));
    Ok(())
}
