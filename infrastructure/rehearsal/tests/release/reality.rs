//! What real repositories and platforms do that a tidy test environment does not: each test has a row in `docs/REALITY.md`.

mod committed;
mod git_settings;
mod railway;
