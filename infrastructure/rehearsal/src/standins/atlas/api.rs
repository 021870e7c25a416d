//! `atlas api GROUP OPERATION`: one call each, as the description of the API has it. What is answered is printed as it is, also
//! where it is an error.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::body_of;
use super::client::Client;

/// The only version that collection restores have.
const VERSION: &str = "2025-03-12";

#[derive(Debug, Subcommand)]
#[command(rename_all = "camelCase")]
pub(super) enum Group {
    CloudBackups {
        #[command(subcommand)]
        command: Operation,
    },
}

#[derive(Debug, Subcommand)]
#[command(rename_all = "camelCase")]
pub(super) enum Operation {
    CreateCollectionRestoreJob {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        file: Option<String>,
    },
    ListCollectionRestoreJobs {
        #[command(flatten)]
        place: Place,
    },
    GetCollectionRestoreJob {
        #[command(flatten)]
        place: Place,
        #[arg(long = "jobId")]
        job: String,
    },
    ListRestoreJobCollections {
        #[command(flatten)]
        place: Place,
        #[arg(long = "jobId")]
        job: String,
        #[arg(long = "itemsPerPage")]
        items: Option<u32>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Place {
    #[arg(long)]
    version: Option<String>,
    #[arg(long = "groupId")]
    group: String,
    #[arg(long = "clusterName")]
    cluster: String,
}

pub(super) fn run(group: Group, client: &Client) -> Result<u8> {
    let Group::CloudBackups { command } = group;
    let (place, rest, body) = match &command {
        Operation::CreateCollectionRestoreJob { place, file } => {
            (place, String::new(), Some(body_of(file.as_deref())?))
        }
        Operation::ListCollectionRestoreJobs { place } => (place, String::new(), None),
        Operation::GetCollectionRestoreJob { place, job } => (place, format!("/{job}"), None),
        Operation::ListRestoreJobCollections { place, job, items } => {
            let query = items.iter().map(|items| format!("?itemsPerPage={items}"));
            (
                place,
                format!("/{job}/collections{}", query.collect::<String>()),
                None,
            )
        }
    };
    if place.version.as_deref() != Some(VERSION) {
        eprintln!(
            "warning: using default API version '{VERSION}'; consider pinning a version to ensure consisentcy when updating the CLI"
        );
    }
    let path = format!("/clusters/{}/collectionRestoreJobs{rest}", place.cluster);
    let client = client.of_project(&place.group);
    let method = if body.is_some() { "POST" } else { "GET" };
    let answered = client.ask(method, VERSION, &path, body.as_ref())?;
    println!("{}", String::from_utf8_lossy(&answered.body));
    if !(200..300).contains(&answered.status) {
        bail!("server returned an error response code");
    }
    Ok(0)
}
