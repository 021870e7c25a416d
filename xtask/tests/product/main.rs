//! The rest of the product, without simulated platforms: health, ledger, metrics.

mod health;
mod ledger;
mod metrics;
