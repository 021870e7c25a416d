//! The rest of the product, without simulated platforms: health, ledger, metrics.

mod adapter;
mod earlier_formats;
mod health;
mod init;
mod installed;
mod ledger;
mod many_releases;
mod metrics;
mod upgrade;
