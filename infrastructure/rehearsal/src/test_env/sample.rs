//! At which lines of a journal the tests stop an operation: a sample, or with `XTASK_LINES=all` each of them in each way.

/// Whether each line is tried in each way; `cargo xtask ci faults --all` asks for it.
pub fn every_line() -> bool {
    std::env::var("XTASK_LINES").is_ok_and(|lines| lines == "all")
}

/// Those of `lines` that are tried: one of so many by its position, beginning with `first`, or all.
pub fn sampled<T>(lines: impl IntoIterator<Item = T>, one_of: usize, first: usize) -> Vec<T> {
    let lines = lines.into_iter().enumerate();
    let tried = lines.filter(|(position, _)| every_line() || position % one_of == first);
    tried.map(|(_, line)| line).collect()
}
