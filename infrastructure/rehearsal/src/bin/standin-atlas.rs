//! Stands in for `atlas`.

fn main() -> std::process::ExitCode {
    rehearsal::standins::atlas::main()
}
